/**
 * How many requests one isolate lets wait for one object at a time; the rest is told at once to come again.
 *
 * An object that is offered twice what it can do answers next to nothing in time; one that is offered what it can do
 * answers it all. The limit follows the object's own pace: what it completed lately, times the wait that is tolerable
 * (Little's law). An object that nobody fills has places for a burst; one that is filled and slow has fewer, so that
 * what is admitted is answered before its caller gives up.
 *
 * Refuses to know: promises of other requests. Only numbers are shared between them.
 */
import { HoldfastError } from "../../objects/errors.ts";

const LIMIT_MIN = 8;
/** For a burst. */
const LIMIT_USUAL = 64;
const LIMIT_MAX = 2000;
const WAIT_SECONDS = 0.1;
/** The wait in a burst, when the object is slow. */
const WAIT_MAX_SECONDS = 0.25;
const WINDOW_MS = 500;
const OBJECTS_MAX = 10_000;

/** What has not left by the end of the period after the one it entered in never will: its request was ended under it. */
const PERIOD_MS = 15_000;

export class Gate {
  /** In flight, entered in this period and in the one before. */
  #inFlight = { current: 0, previous: 0 };
  #period = 0;
  #limit = LIMIT_USUAL;
  #completed = 0;
  /** In this window; else what was completed says what was asked for, not what can be done. */
  #wasFull = false;
  #windowAt = 0;

  get limit(): number {
    return this.#limit;
  }

  /** Others are in flight besides the one that asks. */
  get isShared(): boolean {
    return this.#count > 1;
  }

  isFull(nowAt: number): boolean {
    this.#moveTo(nowAt);
    return this.#count >= this.#limit;
  }

  /** Throws `unavailable` when there is no place. Every `enter` is followed by one `leave` with what it answered. */
  enter(nowAt: number): number {
    if (this.isFull(nowAt)) throw tooManyWaiting();
    this.#inFlight.current++;
    if (this.#count >= this.#limit) this.#wasFull = true;
    return this.#period;
  }

  leave(entered: number, nowAt: number): void {
    this.#moveTo(nowAt);
    if (entered === this.#period) this.#inFlight.current--;
    else if (entered === this.#period - 1) this.#inFlight.previous--;
    this.#completed++;
    const elapsed = nowAt - this.#windowAt;
    if (elapsed < WINDOW_MS) return;
    // After a pause the rate says nothing about what the object can do.
    if (elapsed < 4 * WINDOW_MS) {
      const perSecond = (this.#completed * 1000) / elapsed;
      const usual = this.#wasFull ? Math.min(LIMIT_USUAL, perSecond * WAIT_MAX_SECONDS) : LIMIT_USUAL;
      const limit = Math.ceil(Math.max(usual, perSecond * WAIT_SECONDS));
      this.#limit = Math.min(LIMIT_MAX, Math.max(LIMIT_MIN, limit));
    }
    this.#completed = 0;
    this.#wasFull = false;
    this.#windowAt = nowAt;
  }

  get #count(): number {
    return this.#inFlight.current + this.#inFlight.previous;
  }

  #moveTo(nowAt: number): void {
    const period = Math.floor(nowAt / PERIOD_MS);
    if (period === this.#period) return;
    this.#inFlight = { current: 0, previous: period === this.#period + 1 ? this.#inFlight.current : 0 };
    this.#period = period;
  }
}

const OVERLOADED = { reason: "overload" };

export function tooManyWaiting(): HoldfastError {
  return new HoldfastError("unavailable", "too many requests wait for this namespace", OVERLOADED, 1000);
}

const gates = new Map<string, Gate>();

/** Without making one. */
export function isFull(objectName: string): boolean {
  return gates.get(objectName)?.isFull(Date.now()) ?? false;
}

export function gateOf(objectName: string): Gate {
  let gate = gates.get(objectName);
  if (!gate) {
    if (gates.size >= OBJECTS_MAX) gates.clear();
    gates.set(objectName, (gate = new Gate()));
  }
  return gate;
}
