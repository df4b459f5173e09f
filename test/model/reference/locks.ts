/** Locks to check the checkers with: right, or wrong in one named way. */
import type { Call } from "../history.ts";
import type { LockInput, LockOutput } from "../models/lock.ts";
import type { Random } from "../random.ts";
import { simulate } from "../simulate.ts";
import { plantedIn } from "./fault.ts";

export type LockFault =
  | "grants to two holders"
  | "uses a token again"
  | "goes back with its tokens"
  | "lets a stranger release"
  | "lapses early"
  | "renews what has lapsed"
  | "acknowledges a release and keeps holding"
  | "lists a holder that is none"
  | "confirms what is not held"
  | "lets a stale token write"
  | "lets a stale owner in by another's token"
  | "refuses a free lock";

interface Hold {
  hold: string;
  permits: number;
  token: number;
  untilAt: number;
}

const TTL_MS = 40;
const FAULTY_SHARE = 0.6;

class Lock {
  readonly #permits: number;
  readonly #random: Random;
  readonly #isNow: (fault: LockFault) => boolean;
  #holds: Hold[] = [];
  #token = 10;
  #gone: Hold | null = null;

  constructor(permits: number, random: Random, fault: LockFault | null) {
    this.#permits = permits;
    this.#random = random;
    this.#isNow = plantedIn(random, fault, FAULTY_SHARE);
  }

  apply(input: LockInput, at: number): LockOutput {
    this.#lapse(at);
    switch (input.kind) {
      case "acquire":
        return { token: this.#acquire(input.hold, input.permits, at) };
      case "release": {
        const index = this.#find(input);
        if (index === -1) {
          if (this.#holds.length > 0 && this.#isNow("lets a stranger release")) this.#holds.pop();
          return { done: false };
        }
        if (!this.#isNow("acknowledges a release and keeps holding")) this.#end(index);
        return { done: true };
      }
      case "renew": {
        const index = this.#find(input);
        if (index !== -1) this.#holds[index]!.untilAt = at + input.ttlMs;
        return { done: index !== -1 || this.#isNow("renews what has lapsed") };
      }
      case "check":
        return { done: this.#passes(input) || this.#isNow("confirms what is not held") };
      case "guardedWrite":
        return { done: this.#passes(input) || this.#isNow("lets a stale token write") };
      case "holders": {
        const holders = this.#holds.map(({ hold, token }) => ({ hold, token }));
        if (this.#gone && this.#isNow("lists a holder that is none")) holders.push(this.#gone);
        return { holders };
      }
      case "lapse":
        throw new Error("nobody calls this");
    }
  }

  #acquire(hold: string, permits: number, at: number): number | null {
    const taken = this.#holds.reduce((sum, held) => sum + held.permits, 0);
    const isFree = taken + permits <= this.#permits;
    if (isFree ? this.#isNow("refuses a free lock") : !this.#isNow("grants to two holders")) return null;
    // What several may hold was now and then granted to them together.
    const isTogether = this.#permits > 1 && this.#holds.length > 0 && this.#random.chance(0.3);
    if (!isTogether) this.#token += 1 + this.#random.below(3);
    if (this.#isNow("goes back with its tokens")) this.#token -= 5;
    const token = this.#gone && this.#isNow("uses a token again") ? this.#gone.token : this.#token;
    this.#holds.push({ hold, permits, token, untilAt: at + TTL_MS });
    return token;
  }

  #lapse(at: number): void {
    const isEarly = this.#isNow("lapses early");
    for (let index = this.#holds.length - 1; index >= 0; index--)
      if (isEarly || this.#holds[index]!.untilAt <= at) this.#end(index);
  }

  #end(index: number): void {
    [this.#gone = null] = this.#holds.splice(index, 1);
  }

  #passes(shown: { hold: string; token: number }): boolean {
    if (this.#find(shown) !== -1) return true;
    return (
      this.#holds.some(({ token }) => token === shown.token) && this.#isNow("lets a stale owner in by another's token")
    );
  }

  #find({ hold, token }: { hold: string; token: number }): number {
    return this.#holds.findIndex((held) => held.hold === hold && held.token === token);
  }
}

/** `permits`: of the lock; a call takes one, or with `all` sometimes everything. */
export function locksHistory(
  random: Random,
  fault: LockFault | null,
  { permits, all = false, calls = 300 }: { permits: number; all?: boolean; calls?: number },
): Call<LockInput, LockOutput>[] {
  const names = ["x", "y"];
  const locks = new Map(names.map((name) => [name, new Lock(permits, random, fault)]));
  const held = new Map<number, { lock: string; hold: string; token: number }>();
  const old: { lock: string; hold: string; token: number }[] = [];
  let count = 0;
  return simulate<LockInput, LockOutput>(random, {
    clients: 5,
    calls,
    lostShare: 0.02,
    next(client) {
      if (random.chance(0.15)) return { kind: "holders", lock: random.pick(names) };
      const own = held.get(client);
      if (!own) {
        if (old.length > 0 && random.chance(0.1)) return { kind: "release", ...random.pick(old) };
        if (old.length > 0 && random.chance(0.15))
          return { kind: random.chance(0.5) ? "check" : "guardedWrite", ...random.pick(old.slice(-8)) };
        if (old.length > 0 && random.chance(0.1)) return { kind: "renew", ...random.pick(old), ttlMs: TTL_MS };
        const amount = all && random.chance(0.3) ? permits : 1;
        return { kind: "acquire", lock: random.pick(names), hold: `h${count++}`, permits: amount, ttlMs: TTL_MS };
      }
      if (random.chance(0.4)) return { kind: "renew", ...own, ttlMs: TTL_MS };
      // Now and then it is forgotten, and runs out.
      held.delete(client);
      old.push(own);
      return random.chance(0.2) ? null : { kind: "release", ...own };
    },
    apply: (input, at) => locks.get(input.lock)!.apply(input, at),
    answered(client, input, output) {
      if (input.kind === "acquire" && "token" in output && output.token !== null)
        held.set(client, { lock: input.lock, hold: input.hold, token: output.token });
      if (input.kind === "renew" && "done" in output && !output.done) held.delete(client);
    },
  });
}
