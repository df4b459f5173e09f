/** What becomes of a place whose request breaks off just when its turn has come. Rule K6. */
import { expect, test } from "vitest";
import { HoldfastError } from "../../../objects/errors.ts";
import type { LockClaim } from "../../../objects/locks/locks.ts";
import type { NamespaceClient } from "../../../workers/request/namespace-client.ts";
import { awaitTurn, CANCELLED } from "../../../workers/api/turn.ts";

const WAITING: LockClaim = {
  kind: "mutex",
  name: "l",
  owner: "b",
  token: null,
  count: 1,
  lease: "7",
  ttlMs: 15_000,
  ownsLease: true,
  ticket: 5,
  sinceAt: 0,
};
const GRANTED: LockClaim = { ...WAITING, token: 8 };

interface Given {
  lasts: boolean;
  /** What a look at the claim answers. */
  found: () => LockClaim | null;
  /** What there is when the place is given up. */
  left?: LockClaim | null;
  reason?: unknown;
}

/** The client has gone; what was done about its claim. */
async function goneFrom({ lasts, found, left = null, reason }: Given): Promise<{ outcome: unknown; done: string[] }> {
  const done: string[] = [];
  // Of a client no more is used here.
  const client = { read: async () => ({ value: { value: found(), index: 8 }, revision: 8 }) };
  const outcome = await awaitTurn<LockClaim, "lock.claim">(
    {
      client: client as unknown as NamespaceClient,
      signal: AbortSignal.abort(reason),
      reauthorize: async () => undefined,
    },
    {
      query: "lock.claim",
      input: { name: "l", owner: "b" },
      claim: WAITING,
      range: { space: "lock_claim", from: new Uint8Array(), to: null },
      waitMs: 1000,
      stay: false,
      lasts,
      withdraw: async () => (done.push("withdraw"), left),
      giveBack: async () => done.push("give back"),
    },
  ).catch((error: HoldfastError) => ({ code: error.code, ...error.details }));
  return { outcome, done };
}

const unreachable = (): never => {
  throw new HoldfastError("unavailable", "the namespace could not be reached");
};
const GONE = { code: "unavailable" };
const UNKNOWN = { code: "unavailable", outcome: "unknown" };

test("without an id: what was granted too late is given back, and a place is given up", async () => {
  const granted = await goneFrom({ lasts: false, found: () => GRANTED, left: GRANTED });
  expect(granted).toEqual({ outcome: GONE, done: ["withdraw", "give back"] });
  const waiting = await goneFrom({ lasts: false, found: () => WAITING });
  expect(waiting).toEqual({ outcome: null, done: ["withdraw"] });
  const unknown = await goneFrom({ lasts: false, found: unreachable, left: GRANTED });
  expect(unknown).toEqual({ outcome: GONE, done: ["withdraw", "give back"] });
});

test("with one nothing is: its repeat has been told that it holds, or waits in this place", async () => {
  expect(await goneFrom({ lasts: true, found: () => GRANTED, left: GRANTED })).toEqual({ outcome: UNKNOWN, done: [] });
  expect(await goneFrom({ lasts: true, found: () => WAITING })).toEqual({ outcome: UNKNOWN, done: [] });
  expect(await goneFrom({ lasts: true, found: unreachable, left: GRANTED })).toEqual({ outcome: UNKNOWN, done: [] });
});

test("who cancels is there: the place is given up, unless its turn has come", async () => {
  const reason = CANCELLED;
  expect(await goneFrom({ lasts: true, found: () => WAITING, reason })).toEqual({ outcome: null, done: ["withdraw"] });
  expect(await goneFrom({ lasts: true, found: () => GRANTED, reason })).toEqual({ outcome: UNKNOWN, done: [] });
});

test("of a place that is gone nothing is left to give up", async () => {
  expect(await goneFrom({ lasts: false, found: () => null })).toEqual({
    outcome: { code: "expired", lease: "7" },
    done: [],
  });
});
