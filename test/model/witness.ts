/**
 * Answers that carry a revision are witnesses: each says where in the one order it stands. So nothing has to be searched;
 * it is enough to look whether the places agree with real time, with each other and with the log. O(n log n).
 *
 * Rules K1 to K4, K7 to K9, K11. Refuses to know which API the answers came from: `Witness` is what any of them can be put
 * as, and the log is the events of a watch over everything from the beginning.
 */
import type { AnyCall, Violation } from "./history.ts";

/** What one commit did to one key; null = deleted. */
export interface LogEvent {
  revision: number;
  key: string;
  value: string | null;
  /** Of a put. */
  createRevision?: number;
  version?: number;
}

/** A record as somebody saw it, as far as it was told; null = no such key. */
export type Seen = { value?: string; modRevision?: number; createRevision?: number; version?: number } | null;

export interface Witness {
  call: AnyCall;
  /** The commit's own for a write, that of the state read for a read; null when the answer does not say. */
  revision: number | null;
  /** By key; empty for a read. */
  wrote: ReadonlyMap<string, string | null>;
  /** What held at the revision, or, for a write, right before it. */
  saw: ReadonlyMap<string, Seen>;
}

/** All events of the keys under test, by revision and by key. */
export class Log {
  readonly events: readonly LogEvent[];
  readonly #byKey: Map<string, LogEvent[]>;
  readonly #byRevision: Map<number, LogEvent[]>;

  constructor(events: readonly LogEvent[]) {
    this.events = events;
    this.#byKey = Map.groupBy(events, ({ key }) => key);
    this.#byRevision = Map.groupBy(events, ({ revision }) => revision);
  }

  at(revision: number): readonly LogEvent[] {
    return this.#byRevision.get(revision) ?? [];
  }

  of(key: string): readonly LogEvent[] {
    return this.#byKey.get(key) ?? [];
  }

  /** How many events of the key are at or below a revision. */
  countUpTo(key: string, revision: number): number {
    const events = this.of(key);
    let [low, high] = [0, events.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (events[middle]!.revision <= revision) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The key's last event at or below a revision. */
  lastOf(key: string, revision: number): LogEvent | undefined {
    return this.of(key)[this.countUpTo(key, revision) - 1];
  }
}

export function checkWitnesses(witnesses: readonly Witness[], log: Log): Violation[] {
  return [
    ...checkLog(log),
    ...witnesses.flatMap((witness) => checkPlace(witness, log)),
    ...checkUnique(witnesses),
    ...checkUnexpected(witnesses, log),
    ...checkRealTime(witnesses, log),
  ];
}

/** The log by itself: in order, one event a key and revision, versions that count from each creation. */
function checkLog(log: Log): Violation[] {
  const violations: Violation[] = [];
  const broken = (rule: string, { revision, key }: LogEvent, what: string): void =>
    void violations.push({ rule, what: `log at ${revision}, key "${key}": ${what}` });
  let last = 0;
  for (const event of log.events) {
    if (event.revision < last) broken("K2", event, `comes after revision ${last}`);
    last = event.revision;
  }
  for (const key of new Set(log.events.map((event) => event.key))) {
    let before: LogEvent | undefined;
    for (const event of log.of(key)) {
      if (before?.revision === event.revision) broken("K3", event, "is there twice");
      const isNew = !before || before.value === null;
      if (event.value === null && isNew) broken("K8", event, "deletes what is not there");
      const version = isNew ? 1 : (before!.version ?? 0) + 1;
      const createRevision = isNew ? event.revision : before!.createRevision;
      if (event.value !== null && event.version !== undefined && event.version !== version)
        broken("K8", event, `version ${event.version} instead of ${version}`);
      if (event.value !== null && event.createRevision !== undefined && event.createRevision !== createRevision)
        broken("K8", event, `createRevision ${event.createRevision} instead of ${createRevision}`);
      before = event;
    }
  }
  return violations;
}

/** What was answered is what the log has at that revision. */
function checkPlace({ call, revision, wrote, saw }: Witness, log: Log): Violation[] {
  const violations: Violation[] = [];
  const broken = (rule: string, what: string): void => void violations.push({ rule, what, calls: [call] });
  if (wrote.size > 0) {
    if (revision === null) {
      if (call.outcome === "ok") broken("K1", "was acknowledged, and is nowhere in the log");
      return violations;
    }
    const events = new Map(log.at(revision).map(({ key, value }) => [key, value]));
    for (const [key, value] of wrote) {
      if (!events.has(key)) broken("K1", `"${key}" was not written at revision ${revision}`);
      else if (events.get(key) !== value)
        broken("K1", `"${key}" became ${shown(events.get(key)!)} at revision ${revision}, not ${shown(value)}`);
    }
    for (const key of events.keys()) {
      if (!wrote.has(key)) broken("K3", `"${key}", which it did not write, was written at its revision ${revision}`);
    }
  }
  if (revision === null) return violations;
  const seenAt = wrote.size > 0 ? revision - 1 : revision;
  for (const [key, seen] of saw) {
    const difference = differenceOf(seen, log.lastOf(key, seenAt));
    if (difference) broken(wrote.size > 0 ? "K7" : "K9", `"${key}" at revision ${seenAt}: ${difference}`);
  }
  return violations;
}

/** K4: no two calls were given the same revision. */
function checkUnique(witnesses: readonly Witness[]): Violation[] {
  const writes = witnesses.filter(({ wrote, revision }) => wrote.size > 0 && revision !== null);
  return [...Map.groupBy(writes, ({ revision }) => revision)]
    .filter(([, sharers]) => sharers.length > 1)
    .map(([revision, sharers]) => ({
      rule: "K4",
      what: `revision ${revision} was given ${sharers.length} times`,
      calls: sharers.map(({ call }) => call),
    }));
}

/** Nothing is in the log that nobody wrote. */
function checkUnexpected(witnesses: readonly Witness[], log: Log): Violation[] {
  const known = new Set(witnesses.filter(({ wrote }) => wrote.size > 0).map(({ revision }) => revision));
  return log.events
    .filter(({ revision }) => !known.has(revision))
    .map(({ revision, key, value }) => ({
      rule: "K2",
      what: `at revision ${revision} "${key}" became ${shown(value)}, which no call accounts for`,
    }));
}

/**
 * K2: whoever is called after another has returned does not stand before it, and behind it if it writes.
 *
 * In the order of time each call is given the first place it can have. A place is only a lower bound for others, so the first
 * one is the best: if with it something does not fit, nothing does.
 */
function checkRealTime(witnesses: readonly Witness[], log: Log): Violation[] {
  const violations: Violation[] = [];
  const moments = witnesses
    .flatMap((witness) => {
      const slot = { witness, revision: 0 };
      const { calledAt, returnedAt, outcome } = witness.call;
      const called = { at: calledAt, isReturn: false, slot };
      return outcome === "ok" ? [called, { at: returnedAt, isReturn: true, slot }] : [called];
    })
    .sort((a, b) => a.at - b.at || Number(a.isReturn) - Number(b.isReturn));
  let newest: { revision: number; call: AnyCall } | null = null;
  for (const { isReturn, slot } of moments) {
    const { call, revision, wrote, saw } = slot.witness;
    if (isReturn) {
      if (slot.revision > (newest?.revision ?? 0)) newest = { revision: slot.revision, call };
      continue;
    }
    const lower: number = newest?.revision ?? 0;
    if (revision === null) {
      const place = wrote.size > 0 ? lower : firstPlace(saw, log, lower);
      slot.revision = place ?? lower;
      if (place === null)
        violations.push({
          rule: "K2",
          what: `what it saw held nowhere from revision ${lower} on, which had been answered before`,
          calls: [newest?.call ?? call, call],
        });
      continue;
    }
    slot.revision = revision;
    if (wrote.size > 0 ? revision > lower : revision >= lower) continue;
    violations.push({
      rule: "K2",
      what: `stands at revision ${revision}, but ${lower} had been answered before it was called`,
      calls: [newest!.call, call],
    });
  }
  return violations;
}

/** The first revision from `lower` on at which all that was seen holds. */
function firstPlace(saw: ReadonlyMap<string, Seen>, log: Log, lower: number): number | null {
  let place = lower;
  for (let isSettled = false; !isSettled;) {
    isSettled = true;
    for (const [key, seen] of saw) {
      const events = log.of(key);
      let at = log.countUpTo(key, place);
      while (differenceOf(seen, events[at - 1])) {
        if (at === events.length) return null;
        place = events[at++]!.revision;
        isSettled = false;
      }
    }
  }
  return place;
}

/** Between what was seen of a key and its last event; null when they agree. */
function differenceOf(seen: Seen, event: LogEvent | undefined): string | null {
  const isThere = event !== undefined && event.value !== null;
  if (seen === null) return isThere ? `said to be absent, but is ${shown(event.value)}` : null;
  if (!isThere) return `said to be ${shown(seen.value ?? null)}, but is absent`;
  if (seen.value !== undefined && seen.value !== event.value)
    return `said to be ${shown(seen.value)}, but is ${shown(event.value)}`;
  const told = [
    ["modRevision", seen.modRevision, event.revision],
    ["createRevision", seen.createRevision, event.createRevision],
    ["version", seen.version, event.version],
  ] as const;
  const wrong = told.find(([, said, is]) => said !== undefined && is !== undefined && said !== is);
  return wrong ? `${wrong[0]} said to be ${wrong[1]}, but is ${wrong[2]}` : null;
}

const shown = (value: string | null): string => (value === null ? "absent" : `"${value}"`);
