/**
 * What a watcher was told, over all its connections, against the log. Rules W1 to W7, W9 and W12.
 *
 * A connection begins after a revision and ends somehow; the next one begins after the last revision that was complete.
 */
import type { Violation } from "./history.ts";
import type { Log, LogEvent } from "./witness.ts";

export type WatchItem =
  /** `isLast`: with it the revision was said to be complete, and can be resumed from. */
  | { type: "event"; revision: number; key: string; value: string | null; previous?: string | null; isLast: boolean }
  /** Everything up to here has been told. */
  | { type: "progress"; revision: number };

export interface WatchConnection {
  /** Told are changes after this revision. */
  since: number;
  items: readonly WatchItem[];
  /** `compacted` if it was refused for that; else the connection broke or was closed. */
  end: { type: "closed" } | { type: "compacted"; compacted: number };
}

export interface WatchRecord {
  name: string;
  /** Which keys it is about. */
  matches: (key: string) => boolean;
  connections: readonly WatchConnection[];
  /** It was read until this revision had been told or passed. */
  until: number;
}

export function checkWatch(watch: WatchRecord, log: Log): Violation[] {
  const violations: Violation[] = [];
  const broken = (rule: string, what: string): void => void violations.push({ rule, what: `${watch.name}: ${what}` });
  const expected = log.events.filter(({ key }) => watch.matches(key));
  /** Up to here everything has been told, as far as the watcher can know. */
  let complete: number | null = null;
  for (const [number, connection] of watch.connections.entries()) {
    const { since, items, end } = connection;
    if (complete !== null && since !== complete)
      broken("W5", `connection ${number} resumed after ${since}, but ${complete} was the last that was complete`);
    if (end.type === "compacted") {
      if (items.length > 0) broken("W7", `connection ${number} was told ${items.length} items of a compacted past`);
      if (since >= end.compacted)
        broken("W7", `revision ${since} was refused as compacted, but only what is below ${end.compacted} is`);
      // What lies between is lost to this watcher, and it has been told so.
      complete = end.compacted;
      continue;
    }
    complete = checkConnection(connection, complete ?? since, expected, (rule, what) =>
      broken(rule, `connection ${number}: ${what}`),
    );
  }
  const missing = expected.find(({ revision }) => revision > (complete ?? 0) && revision <= watch.until);
  if (missing) broken("W2", `ended before revision ${missing.revision} ("${missing.key}") was told`);
  return violations;
}

/** Up to which revision it is complete. */
function checkConnection(
  { items }: WatchConnection,
  since: number,
  expected: readonly LogEvent[],
  broken: (rule: string, what: string) => void,
): number {
  let complete = since;
  /** Events of a revision of which more may come. */
  let open: WatchItem[] = [];
  const told = new Map<string, WatchItem>();
  let newest = since;
  let marked = since;
  let at = indexAfter(expected, since);
  /** Everything up to the revision should have been told by now. */
  const settle = (revision: number): void => {
    for (; at < expected.length && expected[at]!.revision <= revision; at++) {
      const { revision: of, key } = expected[at]!;
      if (!told.has(idOf(of, key))) broken("W2", `revision ${of} ("${key}") is missing`);
    }
    complete = Math.max(complete, revision);
    open = [];
  };
  const byId = new Map(expected.map((event) => [idOf(event.revision, event.key), event]));
  const before = previousValues(expected);
  for (const item of items) {
    const { revision } = item;
    if (item.type === "progress") {
      if (revision < newest) broken("W6", `mark of ${revision} after ${newest}`);
      if (open.length > 0) broken("W4", `mark of ${revision} within revision ${open[0]!.revision}`);
      settle(revision);
      newest = Math.max(newest, revision);
      marked = Math.max(marked, revision);
      continue;
    }
    const id = idOf(revision, item.key);
    const event = byId.get(id);
    if (told.has(id)) broken("W3", `revision ${revision} ("${item.key}") twice`);
    else if (revision <= since) broken("W7", `revision ${revision} ("${item.key}"), though it was after ${since}`);
    else if (revision <= marked) broken("W6", `revision ${revision} ("${item.key}") after the mark of ${marked}`);
    else if (revision <= complete) broken("W4", `revision ${revision} ("${item.key}") goes on after it was complete`);
    if (revision < newest) broken("W1", `revision ${revision} after ${newest}`);
    if (open.length > 0 && open[0]!.revision !== revision)
      broken("W4", `revision ${open[0]!.revision} never became complete before ${revision}`);
    if (!event) broken("W2", `revision ${revision} ("${item.key}") is not in the log`);
    else if (event.value !== item.value) broken("W2", `revision ${revision} ("${item.key}") with another value`);
    if (event && item.previous !== undefined && item.previous !== before.get(id))
      broken("W9", `revision ${revision} ("${item.key}") with another value before`);
    told.set(id, item);
    newest = Math.max(newest, revision);
    open = open[0]?.revision === revision ? [...open, item] : [item];
    if (item.isLast) settle(revision);
  }
  return complete;
}

/** The value that each event replaced; null where there was none. */
function previousValues(events: readonly LogEvent[]): Map<string, string | null> {
  const values = new Map<string, string | null>();
  const previous = new Map<string, string | null>();
  for (const { revision, key, value } of events) {
    previous.set(idOf(revision, key), values.get(key) ?? null);
    values.set(key, value);
  }
  return previous;
}

const idOf = (revision: number, key: string): string => `${revision} ${key}`;

function indexAfter(events: readonly LogEvent[], revision: number): number {
  const index = events.findIndex((event) => event.revision > revision);
  return index === -1 ? events.length : index;
}
