/** What a watcher of a log is told over several connections: right, or with one thing put wrong. */
import type { Random } from "../random.ts";
import type { WatchConnection, WatchItem, WatchRecord } from "../watch.ts";
import type { LogEvent } from "../witness.ts";

export type WatchFault =
  | "drops an event"
  | "drops a whole revision"
  | "swaps two revisions"
  | "repeats an event"
  | "repeats a revision"
  | "splits a revision over two connections"
  | "goes on after a revision was complete"
  | "tells another value"
  | "tells another value before"
  | "tells an event of no commit"
  | "marks before it has told"
  | "marks backwards"
  | "tells what was before the start"
  | "resumes too late"
  | "resumes too early"
  | "hides a compaction"
  | "ends early";

type Event = Extract<WatchItem, { type: "event" }>;

/** All the log as one watcher reads it, cut into connections at random, in the middle of revisions too. */
export function watchOf(random: Random, log: readonly LogEvent[]): WatchRecord {
  const values = new Map<string, string | null>();
  const events = log.map(({ revision, key, value }, at): Event => {
    const previous = values.get(key) ?? null;
    values.set(key, value);
    return { type: "event", revision, key, value, previous, isLast: log[at + 1]?.revision !== revision };
  });
  const connections: WatchConnection[] = [];
  let [at, since] = [0, 0];
  while (at < events.length) {
    const taken = events.slice(at, at + 5 + random.below(30));
    const lastWhole = taken.findLastIndex(({ isLast }) => isLast);
    const items = taken.flatMap((event): WatchItem[] =>
      event.isLast && random.chance(0.1) ? [event, { type: "progress", revision: event.revision }] : [event],
    );
    connections.push({ since, items, end: { type: "closed" } });
    // What was cut in the middle of a revision comes again as a whole.
    at += lastWhole + 1;
    since = taken[lastWhole]?.revision ?? since;
  }
  return { name: "watcher", matches: () => true, connections, until: log.at(-1)!.revision };
}

/** The same with one thing wrong; the fault is always one that shows. */
export function withFault(random: Random, watch: WatchRecord, fault: WatchFault): WatchRecord {
  const { connections } = watch;
  const number = random.pick([...connections.keys()].filter((at) => connections[at]!.items.length > 8));
  const connection = connections[number]!;
  const { items, since } = connection;
  const replace = (changed: Partial<WatchConnection>): WatchRecord => ({
    ...watch,
    connections: connections.with(number, { ...connection, ...changed }),
  });
  const isEvent = (item: WatchItem | undefined): item is Event => item?.type === "event";
  const eventsAt = [...items.keys()].filter((at) => isEvent(items[at]));
  // One that ends a revision and is told by this connection alone.
  const endsAt = eventsAt.filter((at) => (items[at] as Event).isLast);
  const at = random.pick(endsAt);
  const item = items[at] as Event;
  const withoutMarks = items.filter(isEvent);
  switch (fault) {
    case "drops an event":
      return replace({ items: moveEnd(items, at) });
    case "drops a whole revision":
      return replace({ items: withoutMarks.filter(({ revision }) => revision !== item.revision) });
    case "swaps two revisions": {
      const [first, second] = [withoutMarks[0]!.revision, withoutMarks.at(-1)!.revision];
      const part = (revision: number): Event[] => withoutMarks.filter((event) => event.revision === revision);
      const between = withoutMarks.filter(({ revision }) => revision !== first && revision !== second);
      return replace({ items: [...part(second), ...between, ...part(first)] });
    }
    case "repeats an event":
      return replace({ items: items.toSpliced(at, 0, { ...item, isLast: false }) });
    case "repeats a revision": {
      const again = withoutMarks.filter(({ revision }) => revision === item.revision);
      return replace({ items: items.toSpliced(at + 1, 0, ...again) });
    }
    case "splits a revision over two connections": {
      const manyAt = eventsAt.find((where) => !(items[where] as Event).isLast && isEvent(items[where + 1]))!;
      const half = { ...(items[manyAt] as Event), isLast: true };
      return {
        ...watch,
        connections: connections.toSpliced(
          number,
          1,
          { ...connection, items: [...items.slice(0, manyAt), half] },
          { ...connection, since: half.revision, items: items.slice(manyAt + 1) },
        ),
      };
    }
    case "goes on after a revision was complete": {
      const manyAt = eventsAt.find((where) => !(items[where] as Event).isLast && isEvent(items[where + 1]))!;
      return replace({ items: items.with(manyAt, { ...(items[manyAt] as Event), isLast: true }) });
    }
    case "tells another value":
      return replace({ items: items.with(at, { ...item, value: "another" }) });
    case "tells another value before":
      return replace({ items: items.with(at, { ...item, previous: "another" }) });
    case "tells an event of no commit":
      return replace({ items: items.with(at, { ...item, key: "none's" }) });
    case "marks before it has told":
      return replace({
        items: items.toSpliced(firstOf(items, item.revision), 0, { type: "progress", revision: item.revision }),
      });
    case "marks backwards":
      return replace({ items: items.toSpliced(at + 1, 0, { type: "progress", revision: item.revision - 1 }) });
    case "tells what was before the start":
      return replace({ items: [{ ...item, revision: since, isLast: true }, ...items] });
    case "resumes too late":
      return {
        ...watch,
        connections: connections.map((one, which) => (which === 0 ? one : { ...one, since: one.since + 1 })),
      };
    case "resumes too early":
      return {
        ...watch,
        connections: connections.map((one, which) => (which === 0 ? one : { ...one, since: one.since - 1 })),
      };
    case "hides a compaction":
      return replace({ end: { type: "compacted", compacted: since + 1 } });
    case "ends early":
      return { ...watch, connections: connections.slice(0, -1) };
  }
}

/** Without the last event of a revision, whose end is told with the one before if there is one. */
function moveEnd(items: readonly WatchItem[], at: number): WatchItem[] {
  const rest = items.toSpliced(at, 1);
  const [before, { revision }] = [rest[at - 1], items[at]!];
  return before?.type === "event" && before.revision === revision
    ? rest.with(at - 1, { ...before, isLast: true })
    : rest;
}

const firstOf = (items: readonly WatchItem[], revision: number): number =>
  items.findIndex((item) => item.type === "event" && item.revision === revision);
