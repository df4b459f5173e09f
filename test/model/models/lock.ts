/**
 * Locks with fencing tokens. A mutex has one permit, a semaphore several; of a read-write lock a reader takes one and a
 * writer all. Rules M1, M2, M4, M5, M7; L1 by the time from which a hold may lapse.
 *
 * Every acquisition has a name of its own, so that one whose answer was lost can be spoken of. That a hold ran out of time is
 * a call that nobody made: `lapses` adds it, from the first moment at which it was allowed to happen.
 */
import type { Call } from "../history.ts";
import type { Model } from "../search.ts";
import { agrees, withLapsesOf } from "./lapse.ts";

export type LockInput =
  | { kind: "acquire"; lock: string; hold: string; permits: number; ttlMs: number }
  | { kind: "release"; lock: string; hold: string; token: number }
  | { kind: "renew"; lock: string; hold: string; token: number; ttlMs: number }
  | { kind: "check"; lock: string; hold: string; token: number }
  /** A write that is to be carried out only while the token holds the lock. */
  | { kind: "guardedWrite"; lock: string; hold: string; token: number }
  | { kind: "holders"; lock: string }
  | { kind: "lapse"; lock: string; hold: string };

/**
 * Of an acquisition the token (null = not granted), of holders who they are; else whether the token held the lock, or null where
 * the answer does not tell.
 */
export type LockOutput = { token: number | null } | { done: boolean | null } | { holders: readonly Holder[] };

export interface Holder {
  hold: string;
  token: number;
}

interface Hold {
  hold: string;
  permits: number;
  /** Null where the answer was lost. */
  token: number | null;
}

export interface LockState {
  holds: readonly Hold[];
  highest: number;
}

/** More readers than any history has. */
export const ALL_READERS = 1_000_000;

/**
 * A lock with one permit is exact: whoever is refused was in somebody's way, and every grant has a token of its own. With more
 * a refusal may be out of fairness, and what is granted by one commit has one token.
 */
export function locksOf(permits: number): Model<LockState, LockInput, LockOutput> {
  return {
    initial: { holds: [], highest: 0 },
    partOf: ({ lock }) => lock,
    keyOf: ({ holds, highest }) =>
      `${highest} ${holds
        .map(({ hold, token }) => `${hold}:${token}`)
        .toSorted()
        .join()}`,
    step(state, input, output) {
      switch (input.kind) {
        case "acquire":
          return acquire(state, input, output, permits);
        case "release":
          return ended(state, holdOf(state, input), output);
        case "renew":
        case "check":
        case "guardedWrite":
          return agrees(output, holdOf(state, input) !== undefined) ? [state] : [];
        case "holders":
          return output === null ? [state] : "holders" in output ? seenAs(state, output.holders) : [];
        case "lapse":
          return ended(
            state,
            state.holds.find(({ hold }) => hold === input.hold),
            { done: true },
          );
      }
    },
  };
}

export const mutex = locksOf(1);
export const readWriteLock = locksOf(ALL_READERS);

function acquire(
  state: LockState,
  { hold, permits }: { hold: string; permits: number },
  output: LockOutput | null,
  permitsOfLock: number,
): LockState[] {
  const isExact = permitsOfLock === 1;
  const taken = state.holds.reduce((sum, held) => sum + held.permits, 0);
  const isFree = taken + permits <= permitsOfLock;
  if (output === null) {
    const granted = { holds: [...state.holds, { hold, permits, token: null }], highest: state.highest };
    return isFree ? [granted, state] : [state];
  }
  if (!("token" in output)) return [];
  const { token } = output;
  if (token === null) return isFree && isExact ? [] : [state];
  if (!isFree || token < state.highest + Number(isExact)) return [];
  return [{ holds: [...state.holds, { hold, permits, token }], highest: token }];
}

const holdOf = ({ holds }: LockState, { hold, token }: { hold: string; token: number }): Hold | undefined =>
  holds.find((held) => held.hold === hold && held.token === token);

function ended(state: LockState, hold: Hold | undefined, output: LockOutput | null): LockState[] {
  if (!agrees(output, hold !== undefined)) return [];
  return [hold ? { ...state, holds: state.holds.filter((held) => held !== hold) } : state];
}

/** Who holds it is exactly who is listed; so tokens come to be known whose answers were lost. */
function seenAs({ holds, highest }: LockState, holders: readonly Holder[]): LockState[] {
  if (holders.length !== holds.length) return [];
  const tokens = new Map(holders.map(({ hold, token }) => [hold, token]));
  const known = holds.map((hold) => ({ ...hold, token: tokens.get(hold.hold) ?? null }));
  const isSame = known.every(({ token }, at) => token !== null && (holds[at]!.token ?? token) === token);
  return isSame ? [{ holds: known, highest: Math.max(highest, ...known.map(({ token }) => token!)) }] : [];
}

/** The calls, and for each hold the lapse that may come. */
export const withLapses = (calls: readonly Call<LockInput, LockOutput>[]): Call<LockInput, LockOutput>[] =>
  withLapsesOf(calls, {
    begun: ({ input, output }) => {
      if (input.kind !== "acquire" || (output && "token" in output && output.token === null)) return null;
      const { lock, hold, ttlMs } = input;
      return { name: hold, ms: ttlMs, lapse: { kind: "lapse", lock, hold } };
    },
    renewed: (input) => (input.kind === "renew" ? { name: input.hold, ms: input.ttlMs } : null),
    ended: (input) => (input.kind === "release" ? input.hold : null),
  });
