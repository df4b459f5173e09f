/** What watchers may and may not be told, on a log of a few revisions. */
import { expect, test } from "vitest";
import { checkWatch, type WatchConnection, type WatchItem, type WatchRecord } from "./watch.ts";
import { Log, type LogEvent } from "./witness.ts";

/** Revision 3 is one of two keys. */
const EVENTS: LogEvent[] = [
  { revision: 2, key: "a", value: "1" },
  { revision: 3, key: "a", value: "2" },
  { revision: 3, key: "b", value: "2" },
  { revision: 5, key: "a", value: null },
];

const event = (revision: number, key: string, value: string | null, isLast = true): WatchItem => ({
  type: "event",
  revision,
  key,
  value,
  isLast,
});
const mark = (revision: number): WatchItem => ({ type: "progress", revision });
const A2 = event(2, "a", "1");
const A3 = event(3, "a", "2", false);
const B3 = event(3, "b", "2");
const A5 = event(5, "a", null);

const connection = (since: number, ...items: WatchItem[]): WatchConnection => ({
  since,
  items,
  end: { type: "closed" },
});
const compacted = (since: number, at: number): WatchConnection => ({
  since,
  items: [],
  end: { type: "compacted", compacted: at },
});

function rules(connections: WatchConnection[], options: Partial<WatchRecord> = {}): string[] {
  const watch = { name: "w", matches: () => true, until: 5, ...options, connections };
  return [...new Set(checkWatch(watch, new Log(EVENTS)).map(({ rule }) => rule))];
}

test.each<[string, WatchConnection[]]>([
  ["at one go", [connection(1, A2, A3, B3, A5)]],
  ["with marks", [connection(1, mark(1), A2, mark(2), A3, B3, mark(4), A5, mark(9))]],
  ["over two connections", [connection(1, A2), connection(2, A3, B3, A5)]],
  ["cut within a revision, which comes again whole", [connection(1, A2, A3), connection(2, A3, B3, A5)]],
  ["a connection without anything", [connection(1), connection(1, A2, A3, B3, A5)]],
  ["resumed after a mark", [connection(1, A2, A3, B3, mark(4)), connection(4, A5)]],
  ["what was compacted is told, and passed over", [connection(1, A2), compacted(2, 4), connection(4, A5)]],
])("passes: %s", (_, connections) => {
  expect(rules(connections)).toEqual([]);
});

test.each<[string, string, WatchConnection[]]>([
  ["W1", "backwards", [connection(1, A3, B3, A2, A5)]],
  ["W2", "a gap", [connection(1, A2, A5)]],
  ["W2", "a gap within a revision", [connection(1, A2, B3, A5)]],
  ["W2", "a gap between two connections", [connection(1, A2), connection(3, A5)]],
  ["W2", "an end too early", [connection(1, A2, A3, B3)]],
  ["W2", "what never happened", [connection(1, A2, event(3, "c", "x", false), A3, B3, A5)]],
  ["W3", "twice", [connection(1, A2, A2, A3, B3, A5)]],
  ["W4", "half of a revision said to be whole", [connection(1, A2, event(3, "a", "2"), B3, A5)]],
  ["W2", "half of a revision in each connection", [connection(1, A2, event(3, "a", "2")), connection(3, B3, A5)]],
  ["W5", "resumed from elsewhere", [connection(1, A2, A3, B3), connection(2, A3, B3, A5)]],
  ["W6", "a mark before what it covers", [connection(1, A2, mark(3), A3, B3, A5)]],
  ["W6", "a mark backwards", [connection(1, A2, A3, B3, mark(2), A5)]],
  ["W7", "what was before the start", [connection(2, A2, A3, B3, A5)]],
  ["W7", "refused as compacted, though it is not", [connection(1, A2), compacted(2, 2), connection(2, A3, B3, A5)]],
])("%s: %s", (rule, _, connections) => {
  expect(rules(connections)).toContain(rule);
});

test("W9: the value before", () => {
  const told = (previous: string | null): WatchItem => ({ ...(A5 as Extract<WatchItem, { type: "event" }>), previous });
  expect(rules([connection(1, A2, A3, B3, told("2"))])).toEqual([]);
  expect(rules([connection(1, A2, A3, B3, told("1"))])).toEqual(["W9"]);
});

test("only what it is about", () => {
  const options = { matches: (key: string) => key === "b" };
  expect(rules([connection(1, B3, mark(5))], options)).toEqual([]);
  expect(rules([connection(1, mark(5))], options)).toEqual(["W2"]);
});
