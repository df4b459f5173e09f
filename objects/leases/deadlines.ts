/**
 * Deadlines in memory: what lapses when, unless it is renewed.
 *
 * A renewal only moves a number: no record, no revision, no row. The heap is put right lazily, when an entry that was
 * renewed meanwhile comes up, so a renewal costs one map lookup however many leases there are.
 *
 * What is due together is handed out in the order of keys, not of deadlines: neighbours are on the same pages of the
 * database, and to write a page is most of what a lapse costs.
 *
 * Refuses to know: what a lapse means, and the clock (instants are handed in as epoch milliseconds).
 */

export type TimerKind =
  /** A lease of its own, with records attached to it. */
  | "lease"
  /** A session, with the keys it holds. */
  | "session"
  /** An instance's time to live. */
  | "instance"
  /** A pushed check's time to live. */
  | "check"
  /** An instance that has been critical for too long; not renewable. */
  | "deregister"
  /** The pause after the holder of a key was lost; not renewable. */
  | "lockDelay"
  /** A topic in which something is due, deliveries whose time is over, what was purged; none is renewable. */
  | QueueTimerKind;

export type QueueTimerKind = "queue" | "queueFlight" | "queueGarbage";

/** A deadline as the records tell it: the least that was promised. */
export interface Timer {
  key: string;
  kind: TimerKind;
  ttlMs: number;
  /** Its beginning by the records: granted, registered or turned passing. */
  sinceAt: number;
}

export interface Deadline {
  readonly key: string;
  readonly kind: TimerKind;
  ttlMs: number;
  deadlineAt: number;
  /** Extensions by outages and stalls since the last real renewal. */
  extensions: number;
  /** The deadline by which it was put in its place. */
  queuedAt: number;
  removed: boolean;
}

/** A deadline met this late was held up by us: a stall, an outage, a clock that jumped. */
export const LATE_MS = 2000;
/** So often may an outage or a stall stand in for a renewal. */
export const EXTENSIONS_MAX = 3;

/** Put in order at once; what becomes due later waits for them. */
const DUE_MAX = 4000;

export class Deadlines {
  readonly #byKey = new Map<string, Deadline>();
  #heap: Deadline[] = [];
  /** Taken out of the heap because their time had come; the last is the next. */
  #due: Deadline[] = [];
  /** The earliest deadline of them. */
  #dueSince = 0;
  readonly #counts: Record<TimerKind, number> = {
    lease: 0,
    session: 0,
    instance: 0,
    check: 0,
    deregister: 0,
    lockDelay: 0,
    queue: 0,
    queueFlight: 0,
    queueGarbage: 0,
  };

  get size(): number {
    return this.#byKey.size;
  }

  count(kind: TimerKind): number {
    return this.#counts[kind];
  }

  get(key: string): Deadline | undefined {
    return this.#byKey.get(key);
  }

  values(): IterableIterator<Deadline> {
    return this.#byKey.values();
  }

  /** Takes over what a record says. A deadline that renewals have moved further stays, while its duration does. */
  set(timer: Timer): void {
    const { key, kind, ttlMs } = timer;
    const promisedAt = timer.sinceAt + ttlMs;
    const entry = this.#byKey.get(key);
    if (entry !== undefined && entry.ttlMs === ttlMs && isRenewable(kind)) {
      entry.deadlineAt = Math.max(entry.deadlineAt, promisedAt);
      return;
    }
    // Another duration may end sooner, and the heap cannot move an entry up: the old one stays behind as removed.
    this.remove(key);
    this.#byKey.set(key, this.#push({ key, kind, ttlMs, deadlineAt: promisedAt, extensions: 0 }));
    this.#counts[kind]++;
  }

  remove(key: string): void {
    const entry = this.#byKey.get(key);
    if (entry === undefined) return;
    entry.removed = true;
    this.#byKey.delete(key);
    this.#counts[entry.kind]--;
    // Removed entries leave the heap when they come up; many of them at once are swept.
    if (this.#heap.length > 64 && this.#heap.length > 2 * this.#byKey.size) this.#rebuild();
  }

  /** Moves the deadline to a full duration from now; undefined when there is none of that key. */
  renew(key: string, nowAt: number): Deadline | undefined {
    const entry = this.#byKey.get(key);
    if (entry === undefined || !isRenewable(entry.kind)) return undefined;
    entry.deadlineAt = Math.max(entry.deadlineAt, nowAt + entry.ttlMs);
    entry.extensions = 0;
    return entry;
  }

  /** Keeps an entry until `deadlineAt`, though nobody renewed it. */
  postpone(entry: Deadline, deadlineAt: number): void {
    entry.deadlineAt = Math.max(entry.deadlineAt, deadlineAt);
  }

  /** Puts a deadline back as a checkpoint tells it. */
  restore(key: string, deadlineAt: number, extensions: number): void {
    const entry = this.#byKey.get(key);
    if (entry === undefined) return;
    entry.extensions = extensions;
    if (!isRenewable(entry.kind) || deadlineAt <= entry.deadlineAt) return;
    entry.deadlineAt = deadlineAt;
  }

  /**
   * Renewals up to `renewedAt` may have been acknowledged of which nothing is known: every deadline is as if each had been
   * renewed then. No promise is broken by it, and what nobody renewed goes a little later.
   */
  assure(renewedAt: number): void {
    for (const entry of this.#byKey.values()) {
      if (isRenewable(entry.kind)) entry.deadlineAt = Math.max(entry.deadlineAt, renewedAt + entry.ttlMs);
    }
  }

  /**
   * The owner was away, or time jumped: who could not renew meanwhile gets a full duration, as from a new leader of etcd,
   * but not again and again. Answers whether any deadline moved.
   */
  extend(nowAt: number): boolean {
    let moved = false;
    for (const entry of this.#byKey.values()) {
      if (!isRenewable(entry.kind) || entry.extensions >= EXTENSIONS_MAX) continue;
      if (entry.deadlineAt >= nowAt + entry.ttlMs) continue;
      entry.deadlineAt = nowAt + entry.ttlMs;
      entry.extensions++;
      moved = true;
    }
    return moved;
  }

  /** The earliest deadline, or null. */
  nextAt(): number | null {
    this.#settleDue();
    if (this.#due.length > 0) return this.#dueSince;
    this.#settle();
    return this.#heap[0]?.deadlineAt ?? null;
  }

  /**
   * Up to `limit` entries whose deadline has passed. They stay until removed or postponed. Of thousands none waits for those
   * that become due after it.
   */
  due(nowAt: number, limit: number): Deadline[] {
    this.#settleDue();
    if (this.#due.length === 0) this.#takeDue(nowAt);
    const found: Deadline[] = [];
    for (let at = this.#due.length - 1; at >= 0 && found.length < limit; at--) {
      const entry = this.#due[at]!;
      if (isInPlace(entry)) found.push(entry);
    }
    return found;
  }

  #takeDue(nowAt: number): void {
    while (this.#due.length < DUE_MAX) {
      this.#settle();
      const top = this.#heap[0];
      if (top === undefined || top.deadlineAt > nowAt) break;
      if (this.#due.push(top) === 1) this.#dueSince = top.deadlineAt;
      this.#pop();
    }
    this.#due.sort((a, b) => (a.key < b.key ? 1 : -1));
  }

  /** Puts back what was moved since it was taken, as far as it comes next. */
  #settleDue(): void {
    for (;;) {
      const next = this.#due.at(-1);
      if (next === undefined || isInPlace(next)) return;
      this.#due.pop();
      if (!next.removed) this.#queue(next);
    }
  }

  /** Brings the top of the heap up to date. */
  #settle(): void {
    for (;;) {
      const top = this.#heap[0];
      if (top === undefined || isInPlace(top)) return;
      this.#pop();
      if (!top.removed) this.#queue(top);
    }
  }

  #rebuild(): void {
    this.#due = [];
    const entries = [...this.#byKey.values()];
    for (const entry of entries) entry.queuedAt = entry.deadlineAt;
    // A sorted array is a heap.
    this.#heap = entries.sort((a, b) => a.queuedAt - b.queuedAt);
  }

  #push(timer: Omit<Deadline, "queuedAt" | "removed">): Deadline {
    const entry = { ...timer, queuedAt: timer.deadlineAt, removed: false };
    this.#queue(entry);
    return entry;
  }

  #queue(entry: Deadline): void {
    entry.queuedAt = entry.deadlineAt;
    const heap = this.#heap;
    let at = heap.length;
    heap.push(entry);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (heap[parent]!.queuedAt <= entry.queuedAt) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = entry;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && heap[child + 1]!.queuedAt < heap[child]!.queuedAt) child++;
      if (heap[child]!.queuedAt >= last.queuedAt) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
  }
}

const isInPlace = ({ removed, queuedAt, deadlineAt }: Deadline): boolean => !removed && queuedAt >= deadlineAt;

const RENEWABLE: Record<TimerKind, boolean> = {
  lease: true,
  session: true,
  instance: true,
  check: true,
  deregister: false,
  lockDelay: false,
  queue: false,
  queueFlight: false,
  queueGarbage: false,
};

export const isRenewable = (kind: TimerKind): boolean => RENEWABLE[kind];
