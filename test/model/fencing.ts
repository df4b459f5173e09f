/**
 * Fencing tokens of all grants of a lock, without a search: no two are equal (but where many hold at once), they rise in real
 * time, and no more permits were certainly held at once than there are. Shown with its owner's name, a token passes while it is
 * certainly held, and never once its release was acknowledged, whoever else has the same. Rules M1, M2, M4, M5, for histories
 * too long to search.
 */
import type { Call, Violation } from "./history.ts";
import type { LockInput, LockOutput } from "./models/lock.ts";

type Acquisition = LockInput & { kind: "acquire" };

interface Grant {
  token: number;
  permits: number;
  call: Call<Acquisition, LockOutput>;
  /** Until when it was certainly held: an end was asked for, or may have come by itself. */
  heldUntil: number;
  /** From when it was certainly not: its release had been acknowledged. */
  goneFrom: number;
}

export function checkFencing(calls: readonly Call<LockInput, LockOutput>[], permits: number): Violation[] {
  const grants = grantsOf(calls);
  const byLock = Map.groupBy(grants, ({ call }) => call.input.lock).values();
  return [
    ...[...byLock].flatMap((ofLock) => [...checkTokens(ofLock, permits === 1), ...checkHolders(ofLock, permits)]),
    ...checkUses(calls, grants),
  ];
}

function grantsOf(calls: readonly Call<LockInput, LockOutput>[]): Grant[] {
  const ends = new Map<string, number>();
  const gone = new Map<string, number>();
  const renewals = new Map<string, number>();
  for (const { input, calledAt, returnedAt, outcome, output } of calls) {
    if (input.kind === "release" && output && "done" in output && output.done !== false)
      gone.set(input.hold, returnedAt);
    if (input.kind === "release" && outcome !== "fail")
      ends.set(input.hold, Math.min(ends.get(input.hold) ?? Infinity, calledAt));
    if (input.kind === "renew" && output && "done" in output && output.done)
      renewals.set(input.hold, Math.max(renewals.get(input.hold) ?? 0, calledAt + input.ttlMs));
  }
  return calls.flatMap((call): Grant[] => {
    const { input, output, calledAt } = call;
    if (input.kind !== "acquire" || !output || !("token" in output) || output.token === null) return [];
    const lapsesAt = Math.max(calledAt + input.ttlMs, renewals.get(input.hold) ?? 0);
    const heldUntil = Math.min(lapsesAt, ends.get(input.hold) ?? Infinity);
    const goneFrom = gone.get(input.hold) ?? Infinity;
    return [{ token: output.token, permits: input.permits, call: { ...call, input }, heldUntil, goneFrom }];
  });
}

function checkUses(calls: readonly Call<LockInput, LockOutput>[], grants: readonly Grant[]): Violation[] {
  const byHold = new Map(grants.map((grant) => [holdingOf({ ...grant.call.input, token: grant.token }), grant]));
  return calls.flatMap((call): Violation[] => {
    const { input, output, calledAt, returnedAt } = call;
    if (input.kind !== "check" && input.kind !== "guardedWrite" && input.kind !== "renew") return [];
    const grant = byHold.get(holdingOf(input));
    if (!grant || !output || !("done" in output)) return [];
    const what = `${input.kind} of ${input.hold} with token ${input.token}`;
    if (output.done && calledAt > grant.goneFrom)
      return [{ rule: "M5", what: `${what} passed after its release`, calls: [grant.call, call] }];
    if (!output.done && calledAt > grant.call.returnedAt && returnedAt < grant.heldUntil)
      return [{ rule: "M4", what: `${what} was refused while it was held`, calls: [grant.call, call] }];
    return [];
  });
}

const holdingOf = ({ lock, hold, token }: { lock: string; hold: string; token: number }): string =>
  `${lock} ${hold} ${token}`;

function checkTokens(grants: readonly Grant[], isUnique: boolean): Violation[] {
  const violations: Violation[] = [];
  for (const [token, sharers] of Map.groupBy(grants, (grant) => grant.token)) {
    if (isUnique && sharers.length > 1)
      violations.push({
        rule: "M1",
        what: `token ${token} was given ${sharers.length} times`,
        calls: sharers.map(({ call }) => call),
      });
  }
  const moments = momentsOf(grants.map((grant) => ({ grant, from: grant.call.calledAt, to: grant.call.returnedAt })));
  let newest: Grant | null = null;
  for (const { grant, isEnd } of moments) {
    if (isEnd) {
      if (!newest || grant.token > newest.token) newest = grant;
    } else if (newest && grant.token < newest.token) {
      violations.push({
        rule: "M1",
        what: `token ${grant.token} was given after ${newest.token}`,
        calls: [newest.call, grant.call],
      });
    }
  }
  return violations;
}

function checkHolders(grants: readonly Grant[], permits: number): Violation[] {
  const sure = grants.filter(({ call, heldUntil }) => call.returnedAt < heldUntil);
  const moments = momentsOf(sure.map((grant) => ({ grant, from: grant.call.returnedAt, to: grant.heldUntil })));
  const holding = new Set<Grant>();
  let taken = 0;
  for (const { grant, isEnd } of moments) {
    if (isEnd) holding.delete(grant);
    else holding.add(grant);
    taken += isEnd ? -grant.permits : grant.permits;
    if (!isEnd && taken > permits)
      return [
        { rule: "M2", what: `${taken} of ${permits} permits were held`, calls: [...holding].map(({ call }) => call) },
      ];
  }
  return [];
}

function momentsOf(spans: readonly { grant: Grant; from: number; to: number }[]): { grant: Grant; isEnd: boolean }[] {
  return spans
    .flatMap(({ grant, from, to }) => [
      { grant, at: from, isEnd: false },
      { grant, at: to, isEnd: true },
    ])
    .sort((a, b) => a.at - b.at || Number(b.isEnd) - Number(a.isEnd));
}
