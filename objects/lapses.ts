/**
 * What has lapsed is removed, in slices, before anything else is looked at, unless it is so much that it takes many of them:
 * then whoever waits for an answer goes first. When we ourselves were late, or most instances lapse at once, it is kept.
 *
 * Refuses to know: what goes with what (endings.ts), and the clock.
 */
import type { Batches } from "./batches.ts";
import { lapse, readLapsing } from "./endings.ts";
import type { Deadline } from "./leases/deadlines.ts";
import { LATE_MS } from "./leases/deadlines.ts";
import type { PreservationSettings } from "./leases/preservation.ts";
import { Preservation } from "./leases/preservation.ts";
import type { InstanceName } from "./registry/registry.ts";
import { markSuspect } from "./registry/registry.ts";
import { subjectOf } from "./registry/timers.ts";
import type { Renewals } from "./renewals.ts";
import type { Timers } from "./timers.ts";

/** Lapses handled in one turn, so that others get their turn between. */
export const LAPSE_SLICE = 200;
/** After a slice that left some the next one comes by itself; requests do not wait for it, unless it takes longer. */
const CATCH_UP_MS = 100;
/** Of what goes with them, more or less. */
const CHANGED_MAX = { records: 5000, bytes: 16 * 1024 * 1024 };
/** How often a suspect is looked at again, at most. */
const SUSPECT_LOOK_MS = 5000;

export class Lapses {
  readonly #timers: Timers;
  readonly #renewals: Renewals;
  readonly #batches: Batches;
  readonly #settings: () => PreservationSettings;
  readonly #preservation = new Preservation();
  /** When lapsed ones were last removed. */
  #expiredAt = -Infinity;
  /** That was not all. */
  #isBehind = false;

  constructor(timers: Timers, renewals: Renewals, batches: Batches, settings: () => PreservationSettings) {
    this.#timers = timers;
    this.#renewals = renewals;
    this.#batches = batches;
    this.#settings = settings;
  }

  /** Removes what has lapsed, a slice at a time. Call again while it answers true: more is due. */
  settle(now: number): boolean {
    if (this.#timers.suspects.hasRevived) this.#batches.run(() => this.#clearSuspects(now));
    if (!this.#isDue(now)) return false;
    this.#batches.run(() => this.#expire(now));
    return this.#isDue(now);
  }

  /** Whether there is something to remove before a request is looked at. */
  mustExpire(now: number): boolean {
    const isCatchingUp = this.#isBehind && now - this.#expiredAt < CATCH_UP_MS;
    return !isCatchingUp && this.#isDue(now);
  }

  /** The same in a batch, before its commands. */
  expireFirst(now: number): void {
    if (this.mustExpire(now)) this.#expire(now);
  }

  #isDue(now: number): boolean {
    const nextAt = this.#timers.deadlines.nextAt();
    return nextAt !== null && nextAt <= now;
  }

  #expire(now: number): void {
    const { deadlines } = this.#timers;
    // Not what waits only because so many have lapsed with it: slices of them are removed all the time.
    const missedFrom = Math.max(deadlines.nextAt()!, this.#expiredAt);
    this.#expiredAt = now;
    if (now - missedFrom > LATE_MS && deadlines.extend(now)) this.#renewals.extended(now);
    const lapsed = this.#spare(deadlines.due(now, LAPSE_SLICE), now);
    if (lapsed.length > 0) this.#remove(lapsed, now);
    this.#isBehind = this.#isDue(now);
  }

  #remove(lapsed: Deadline[], now: number): void {
    let done = 0;
    this.#batches.commitOwn("leases.expire", now, (txn, context) => {
      readLapsing(txn, lapsed);
      for (const entry of lapsed) {
        // What hangs on one deadline may be much: then the others are for the next slice.
        const { records, bytes } = txn.changed;
        if (records >= CHANGED_MAX.records || bytes >= CHANGED_MAX.bytes) break;
        lapse(txn, context, entry);
        done++;
      }
    });
    // What no record stands behind any more goes all the same.
    for (const { key } of lapsed.slice(0, done)) this.#timers.deadlines.remove(key);
  }

  /** Takes out the instances that self-preservation keeps; they are marked and looked at again. */
  #spare(due: Deadline[], now: number): Deadline[] {
    const instances = due.filter(({ kind }) => kind === "instance");
    if (instances.length === 0) return due;
    const { deadlines, suspects } = this.#timers;
    const overdue = this.#overdueCount(now);
    if (!this.#preservation.mustKeep(overdue, deadlines.count("instance"), now, this.#settings())) {
      this.#preservation.expired(instances.length, now);
      return due;
    }
    const fresh = instances.filter(({ key }) => !suspects.has(key)).map(({ key }) => key);
    this.#mark(fresh, true, now);
    for (const entry of instances) deadlines.postpone(entry, now + Math.max(entry.ttlMs, SUSPECT_LOOK_MS));
    return due.filter(({ kind }) => kind !== "instance");
  }

  #clearSuspects(now: number): void {
    this.#mark(this.#timers.suspects.takeRevived(LAPSE_SLICE), false, now);
  }

  #mark(timerKeys: string[], suspect: boolean, now: number): void {
    const marks = timerKeys.map((key) => ({ ...nameOf(key), suspect }));
    this.#batches.commitOwn("leases.suspect", now, (txn, context) => markSuspect(txn, context, marks));
  }

  /** Instances nobody renewed: the suspects, and those that lapse now. */
  #overdueCount(now: number): number {
    const { deadlines, suspects } = this.#timers;
    let count = 0;
    for (const { kind, key, deadlineAt } of deadlines.values()) {
      if (kind === "instance" && (deadlineAt <= now || suspects.isSilent(key))) count++;
    }
    return count;
  }
}

function nameOf(timerKey: string): InstanceName {
  const { service, id } = subjectOf(timerKey);
  return { service, id };
}
