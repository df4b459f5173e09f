/** Elections: one leader at most, known to observers with what it last proclaimed. Rules E1 to E4, M1. */
import type { Call } from "../history.ts";
import type { Model } from "../search.ts";
import { agrees, withLapsesOf } from "./lapse.ts";

export type ElectionInput =
  | { kind: "campaign"; election: string; candidacy: string; value: string; ttlMs: number }
  | { kind: "proclaim"; election: string; candidacy: string; token: number; value: string }
  | { kind: "renew"; election: string; candidacy: string; ttlMs: number }
  | { kind: "resign"; election: string; candidacy: string; token: number }
  | { kind: "leader"; election: string }
  | { kind: "lapse"; election: string; candidacy: string };

export type ElectionOutput =
  /** Of a campaign; null = not elected. */
  | { token: number | null }
  /** Null where the answer does not tell. */
  | { done: boolean | null }
  | { leader: Leader | null };

export interface Leader {
  candidacy: string;
  token: number;
  value: string;
}

export interface ElectionState {
  leader: { candidacy: string; token: number | null; value: string } | null;
  highest: number;
}

export const election: Model<ElectionState, ElectionInput, ElectionOutput> = {
  initial: { leader: null, highest: 0 },
  partOf: (input) => input.election,
  keyOf: ({ leader, highest }) => `${highest} ${leader ? `${leader.candidacy}:${leader.token} ${leader.value}` : ""}`,
  step(state, input, output) {
    const { leader, highest } = state;
    switch (input.kind) {
      case "campaign": {
        const { candidacy, value } = input;
        if (output === null) return leader ? [state] : [{ leader: { candidacy, token: null, value }, highest }, state];
        if (!("token" in output)) return [];
        const { token } = output;
        // One who gave up waiting tells nothing of the others.
        if (token === null) return [state];
        return leader || token <= highest ? [] : [{ leader: { candidacy, token, value }, highest: token }];
      }
      case "proclaim": {
        const isLeader = leads(leader, input);
        if (!agrees(output, isLeader)) return [];
        return [isLeader ? { leader: { ...leader!, value: input.value }, highest } : state];
      }
      case "renew":
        return agrees(output, leader?.candidacy === input.candidacy) ? [state] : [];
      case "resign": {
        const isLeader = leads(leader, input);
        return agrees(output, isLeader) ? [isLeader ? { leader: null, highest } : state] : [];
      }
      case "leader":
        return output === null ? [state] : "leader" in output ? seenAs(state, output.leader) : [];
      case "lapse":
        return leader?.candidacy === input.candidacy ? [{ leader: null, highest }] : [];
    }
  },
};

const leads = (leader: ElectionState["leader"], { candidacy, token }: { candidacy: string; token: number }): boolean =>
  leader?.candidacy === candidacy && leader.token === token;

/** So the token of one whose answer was lost comes to be known. */
function seenAs(state: ElectionState, seen: Leader | null): ElectionState[] {
  const { leader, highest } = state;
  if (leader === null || seen === null) return leader === seen ? [state] : [];
  const { candidacy, token, value } = seen;
  const isSame = leader.candidacy === candidacy && leader.value === value && (leader.token ?? token) === token;
  return isSame ? [{ leader: seen, highest: Math.max(highest, token) }] : [];
}

/** The calls, and for each term the end of its time. */
export const withTermEnds = (
  calls: readonly Call<ElectionInput, ElectionOutput>[],
): Call<ElectionInput, ElectionOutput>[] =>
  withLapsesOf(calls, {
    begun: ({ input, output }) => {
      if (input.kind !== "campaign" || (output && "token" in output && output.token === null)) return null;
      const { election, candidacy, ttlMs } = input;
      return { name: candidacy, ms: ttlMs, lapse: { kind: "lapse", election, candidacy } };
    },
    renewed: (input) => (input.kind === "renew" ? { name: input.candidacy, ms: input.ttlMs } : null),
    ended: (input) => (input.kind === "resign" ? input.candidacy : null),
  });
