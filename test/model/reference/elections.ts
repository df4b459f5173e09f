/** Elections to check the checkers with: right, or wrong in one named way. */
import type { Call } from "../history.ts";
import type { ElectionInput, ElectionOutput } from "../models/election.ts";
import type { Random } from "../random.ts";
import { simulate } from "../simulate.ts";
import { plantedIn } from "./fault.ts";

export type ElectionFault =
  | "elects two leaders"
  | "elects with the token of before"
  | "lets a former leader proclaim"
  | "shows the leader of before"
  | "forgets a proclamation"
  | "keeps one who resigned"
  | "ends a term early";

interface Leader {
  candidacy: string;
  token: number;
  value: string;
  untilAt: number;
}

const TTL_MS = 40;
const FAULTY_SHARE = 0.5;

class Election {
  readonly #random: Random;
  readonly #isNow: (fault: ElectionFault) => boolean;
  #leader: Leader | null = null;
  #before: Leader | null = null;
  #token = 0;

  constructor(random: Random, fault: ElectionFault | null) {
    this.#random = random;
    this.#isNow = plantedIn(random, fault, FAULTY_SHARE);
  }

  apply(input: ElectionInput, at: number): ElectionOutput {
    if (this.#leader && (this.#leader.untilAt <= at || this.#isNow("ends a term early"))) this.#end();
    const isLeader = "candidacy" in input && this.#leader?.candidacy === input.candidacy;
    switch (input.kind) {
      case "campaign": {
        if (this.#leader && !this.#isNow("elects two leaders")) return { token: null };
        const isSame = this.#token > 0 && this.#isNow("elects with the token of before");
        this.#token += isSame ? 0 : 1 + this.#random.below(3);
        const { candidacy, value } = input;
        this.#leader = { candidacy, value, token: this.#token, untilAt: at + TTL_MS };
        return { token: this.#token };
      }
      case "proclaim":
        if (!isLeader) {
          const isLet = this.#leader !== null && this.#isNow("lets a former leader proclaim");
          if (isLet) this.#leader!.value = input.value;
          return { done: isLet };
        }
        if (!this.#isNow("forgets a proclamation")) this.#leader!.value = input.value;
        return { done: true };
      case "renew":
        if (isLeader) this.#leader!.untilAt = at + input.ttlMs;
        return { done: isLeader };
      case "resign":
        if (isLeader && !this.#isNow("keeps one who resigned")) this.#end();
        return { done: isLeader };
      case "leader": {
        const seen = this.#before && this.#isNow("shows the leader of before") ? this.#before : this.#leader;
        return { leader: seen && { candidacy: seen.candidacy, token: seen.token, value: seen.value } };
      }
      case "lapse":
        throw new Error("nobody calls this");
    }
  }

  #end(): void {
    this.#before = this.#leader;
    this.#leader = null;
  }
}

export function electionsHistory(random: Random, fault: ElectionFault | null): Call<ElectionInput, ElectionOutput>[] {
  const object = new Election(random, fault);
  const terms = new Map<number, { election: string; candidacy: string; token: number }>();
  const former: { election: string; candidacy: string; token: number }[] = [];
  let count = 0;
  return simulate<ElectionInput, ElectionOutput>(random, {
    clients: 5,
    calls: 250,
    lostShare: 0.02,
    next(client) {
      const value = `v${count++}`;
      if (random.chance(0.3)) return { kind: "leader", election: "e" };
      const term = terms.get(client);
      if (!term) {
        if (former.length > 0 && random.chance(0.3)) return { kind: "proclaim", ...random.pick(former), value };
        return { kind: "campaign", election: "e", candidacy: `c${count}`, value, ttlMs: TTL_MS };
      }
      if (random.chance(0.3)) return { kind: "proclaim", ...term, value };
      if (random.chance(0.3)) return { kind: "renew", election: "e", candidacy: term.candidacy, ttlMs: TTL_MS };
      terms.delete(client);
      former.push(term);
      return random.chance(0.2) ? null : { kind: "resign", ...term };
    },
    apply: (input, at) => object.apply(input, at),
    answered(client, input, output) {
      if (input.kind === "campaign" && "token" in output && output.token !== null)
        terms.set(client, { election: "e", candidacy: input.candidacy, token: output.token });
    },
  });
}
