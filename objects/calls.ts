/**
 * Calls that come to an object together, from one isolate's concurrent requests, and the answers to them. An answer that is
 * large stays behind under a ticket and is fetched by itself, so that what comes together stays far below what one RPC
 * carries.
 */
import type { Outcome } from "./errors.ts";
import type { Namespace } from "./namespace.ts";
import { isLight } from "./weight.ts";

type BatchedMethod = "execute" | "query" | "read" | "heartbeat" | "renewLease" | "renewClaim" | "renewSession";

export type BatchedCall = { [M in BatchedMethod]: { method: M; args: Parameters<Namespace[M]> } }[BatchedMethod];

export type Answered = Outcome<unknown> | { ticket: number };

/** Of a call that travels with others. */
export const CALL_BYTES_MAX = 16 * 1024;
const ANSWER_BYTES_MAX = 64 * 1024;
const KEPT_MS = 10_000;

export class LargeAnswers {
  readonly #kept = new Map<number, { outcome: Outcome<unknown>; at: number }>();
  #last = 0;

  /** The outcome itself, or a ticket for it. */
  leave(outcome: Outcome<unknown>, now: number): Answered {
    if (isLight(outcome, ANSWER_BYTES_MAX)) return outcome;
    for (const [ticket, { at }] of this.#kept) {
      if (at > now - KEPT_MS) break;
      this.#kept.delete(ticket);
    }
    this.#kept.set(++this.#last, { outcome, at: now });
    return { ticket: this.#last };
  }

  take(ticket: number): Outcome<unknown> | undefined {
    const kept = this.#kept.get(ticket);
    this.#kept.delete(ticket);
    return kept?.outcome;
  }
}
