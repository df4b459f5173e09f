/** Elections: one leader at most, known to observers with what it last proclaimed. Rules E1 to E4, M1. */
import type { Call } from "../history.ts";
import type { Model } from "../search.ts";
import { agrees, lapseCall } from "./lock.ts";

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

/** As for locks: a leader's time runs out, at the earliest when its last acknowledged renewal has. */
export function withTermEnds(
  calls: readonly Call<ElectionInput, ElectionOutput>[],
): Call<ElectionInput, ElectionOutput>[] {
  const resigned = new Set(
    calls.flatMap(({ input, output }) =>
      input.kind === "resign" && output && "done" in output && output.done ? [input.candidacy] : [],
    ),
  );
  const ends = calls.flatMap(({ input, outcome, output, calledAt }): Call<ElectionInput, ElectionOutput>[] => {
    if (input.kind !== "campaign" || outcome === "fail") return [];
    if (output !== null && "token" in output && output.token === null) return [];
    const { candidacy } = input;
    if (resigned.has(candidacy)) return [];
    const renewals = calls.flatMap((call) =>
      call.input.kind === "renew" &&
      call.input.candidacy === candidacy &&
      call.output &&
      "done" in call.output &&
      call.output.done
        ? [call.calledAt + call.input.ttlMs]
        : [],
    );
    const until = outcome === "unknown" ? calledAt : Math.max(calledAt + input.ttlMs, ...renewals);
    return [lapseCall({ kind: "lapse", election: input.election, candidacy }, until)];
  });
  return [...calls, ...ends];
}
