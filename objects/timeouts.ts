/**
 * Very many waits with few timers: what ends within the same tenth of a second shares one, so a wait ends up to that much
 * late and never early. Most waits end before their time, by an event; those cost no timer of their own.
 *
 * Refuses to know: what is waited for.
 */

const SLOT_MS = 100;

export class Timeouts {
  /** By the end of the slot, in epoch milliseconds. */
  readonly #slots = new Map<number, Set<() => void>>();

  /** Calls `act` in `ms`, counted from `now`; the answer calls it off. */
  add(now: number, ms: number, act: () => void): () => void {
    const endAt = Math.ceil((now + ms) / SLOT_MS) * SLOT_MS;
    let slot = this.#slots.get(endAt);
    if (slot === undefined) {
      this.#slots.set(endAt, (slot = new Set()));
      setTimeout(() => this.#end(endAt), endAt - now);
    }
    const waiting = slot;
    waiting.add(act);
    return () => waiting.delete(act);
  }

  #end(endAt: number): void {
    const slot = this.#slots.get(endAt)!;
    this.#slots.delete(endAt);
    for (const act of slot) act();
  }
}
