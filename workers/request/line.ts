/**
 * For who brings many calls at once: they take the places that an object has as these come free, one after the other,
 * instead of being refused. A part of the places is left to everybody else.
 *
 * Belongs to one request, or to one socket: its promises are never shared.
 */
import { waitUntil } from "cloudflare:workers";
import type { Gate } from "./admission.ts";
import { tooManyWaiting } from "./admission.ts";

/** Of an object's places. */
const SHARE = 0.75;
const PATIENCE_MS = 10_000;

/** Between two looks, when it is others who hold the places. */
const LOOK_MS = 5;

export class Line {
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  #inside = 0;
  /** Of the first in line, when it waits. */
  #wake: (() => void) | null = null;
  /** Nobody is inside any more. */
  #emptied: (() => void) | undefined;

  /** As `gate.enter`, when it is its turn. Codes: `unavailable`. */
  enter(gate: Gate): number | Promise<number> {
    if (this.#waiting === 0 && this.#hasPlace(gate)) return this.#step(gate);
    this.#waiting++;
    const entered = this.#last.then(() => this.#awaitPlace(gate)).finally(() => this.#waiting--);
    this.#last = entered.catch(() => {});
    return entered;
  }

  /** Those that have their place. */
  get inside(): number {
    return this.#inside;
  }

  leave(): void {
    if (--this.#inside === 0) this.#emptied?.();
    this.#wake?.();
  }

  #hasPlace(gate: Gate): boolean {
    return this.#inside < SHARE * gate.limit && !gate.isFull(Date.now());
  }

  #step(gate: Gate): number {
    // Who is inside has to leave also when the socket is lost meanwhile, which ends everything else of its request.
    if (this.#inside === 0) waitUntil(new Promise<void>((resolve) => (this.#emptied = resolve)));
    this.#inside++;
    return gate.enter(Date.now());
  }

  async #awaitPlace(gate: Gate): Promise<number> {
    const untilAt = Date.now() + PATIENCE_MS;
    while (!this.#hasPlace(gate)) {
      if (Date.now() > untilAt) throw tooManyWaiting();
      const woken = new Promise<void>((resolve) => (this.#wake = resolve));
      await Promise.race([woken, scheduler.wait(LOOK_MS)]);
      this.#wake = null;
    }
    return this.#step(gate);
  }
}
