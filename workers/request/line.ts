/**
 * For who brings many calls at once: they take the places that an object has as these come free, one after the other,
 * instead of being refused. A part of the places is left to everybody else.
 *
 * Belongs to one request, or to one socket: its promises are never shared.
 */
import type { Gate } from "./admission.ts";
import { tooManyWaiting } from "./admission.ts";

/** Of an object's places. */
const SHARE = 0.75;
const PATIENCE_MS = 10_000;

/** Between two looks, when it is others who hold the places. */
const LOOK_MS = 5;

export class Line {
  #last: Promise<unknown> = Promise.resolve();
  #inside = 0;
  /** Of the first in line, when it waits. */
  #wake: (() => void) | null = null;

  /** As `gate.enter`, when it is its turn. Codes: `unavailable`. */
  enter(gate: Gate): Promise<number> {
    const entered = this.#last.then(() => this.#enter(gate));
    this.#last = entered.catch(() => {});
    return entered;
  }

  leave(): void {
    this.#inside--;
    this.#wake?.();
  }

  async #enter(gate: Gate): Promise<number> {
    const untilAt = Date.now() + PATIENCE_MS;
    while (this.#inside >= SHARE * gate.limit || gate.isFull(Date.now())) {
      if (Date.now() > untilAt) throw tooManyWaiting();
      const woken = new Promise<void>((resolve) => (this.#wake = resolve));
      await Promise.race([woken, scheduler.wait(LOOK_MS)]);
      this.#wake = null;
    }
    this.#inside++;
    return gate.enter(Date.now());
  }
}
