/** Witnesses on histories that fit on a page. */
import { expect, test } from "vitest";
import type { AnyCall } from "./history.ts";
import { checkWitnesses, Log, type LogEvent, type Seen, type Witness } from "./witness.ts";

/** Key "k" is written at 2, deleted at 4, written anew at 6; "other" at 3. */
const EVENTS: LogEvent[] = [
  { revision: 2, key: "k", value: "a", createRevision: 2, version: 1 },
  { revision: 3, key: "other", value: "x", createRevision: 3, version: 1 },
  { revision: 4, key: "k", value: null },
  { revision: 6, key: "k", value: "b", createRevision: 6, version: 1 },
];

const call = (calledAt: number, returnedAt: number): AnyCall => ({
  client: 0,
  id: calledAt,
  input: { kind: "call" },
  calledAt,
  returnedAt,
  outcome: returnedAt === Infinity ? "unknown" : "ok",
  output: null,
});

const write = (at: [number, number], revision: number | null, value: string | null, key = "k"): Witness => ({
  call: call(...at),
  revision,
  wrote: new Map([[key, value]]),
  saw: new Map(),
});

const read = (at: [number, number], revision: number | null, seen: Seen, key = "k"): Witness => ({
  call: call(...at),
  revision,
  wrote: new Map(),
  saw: new Map([[key, seen]]),
});

/** Accounts for all of the log. */
const WRITES = [write([0, 1], 2, "a"), write([2, 3], 3, "x", "other"), write([4, 5], 4, null), write([6, 7], 6, "b")];

const rules = (witnesses: Witness[], events = EVENTS): string[] => [
  ...new Set(checkWitnesses(witnesses, new Log(events)).map(({ rule }) => rule)),
];

test.each<[string, Witness[]]>([
  ["writes alone", []],
  ["a read at its revision", [read([2, 3], 3, { value: "a", modRevision: 2, version: 1 })]],
  ["a read of absence", [read([5, 6], 5, null)]],
  ["a read that tells no revision, at the only place it fits", [read([4, 7], null, null)]],
  ["a read that overlaps what came since", [read([0, 9], 2, { value: "a" })]],
  ["a compare that saw the record before", [{ ...write([6, 7], 6, "b"), saw: new Map([["k", null]]) }].slice(1)],
])("passes: %s", (_, more) => {
  expect(rules([...WRITES, ...more])).toEqual([]);
});

test.each<[string, string, Witness[]]>([
  ["K2", "a stale read", [read([8, 9], 4, null)]],
  ["K2", "a stale read that tells no revision", [read([8, 9], null, { modRevision: 2 })]],
  [
    "K2",
    "a read behind one that returned before",
    [read([8, 9], 9, { value: "b" }), read([10, 11], 8, { value: "b" })],
  ],
  ["K9", "another value than at that revision", [read([0, 9], 3, { value: "b" })]],
  ["K9", "another version", [read([0, 9], 3, { value: "a", version: 2 })]],
  ["K9", "a record that was deleted", [read([0, 9], 5, { value: "a" })]],
  ["K4", "a revision that another has", [write([8, 9], 6, "b")]],
  ["K1", "acknowledged and not in the log", [write([8, 9], 7, "c")]],
  ["K1", "acknowledged, and nowhere", [write([8, 9], null, "c")]],
])("%s: %s", (rule, _, more) => {
  expect(rules([...WRITES, ...more])).toContain(rule);
});

test("K7: a compare that did not hold right before its commit", () => {
  const compared = { ...WRITES[3]!, saw: new Map([["k", { modRevision: 2 }]]) };
  expect(rules([...WRITES.slice(0, 3), compared])).toEqual(["K7"]);
});

test("K2: a write that stands before one that had returned", () => {
  const late = write([8, 9], 6, "b");
  expect(rules([...WRITES.slice(0, 3), read([6, 7], 7, { value: "b" }), late])).toEqual(["K2"]);
});

test("a write without answer takes part with its call alone", () => {
  const unknown = (calledAt: number) => ({ ...WRITES[2]!, call: call(calledAt, Infinity) });
  expect(rules([...WRITES.toSpliced(2, 1), unknown(0)])).toEqual([]);
  // Called when a later revision had been answered.
  expect(rules([...WRITES.toSpliced(2, 1), unknown(8)])).toEqual(["K2"]);
});

test("K2: a change that no call accounts for", () => {
  expect(rules(WRITES.slice(1))).toEqual(["K2"]);
});

test("K8 and K3: the log by itself", () => {
  const versions = EVENTS.with(3, { revision: 6, key: "k", value: "b", createRevision: 2, version: 2 });
  expect(rules(WRITES, versions)).toEqual(["K8"]);
  expect(rules(WRITES, [...EVENTS, EVENTS[3]!])).toContain("K3");
  expect(
    rules(WRITES, EVENTS.toSpliced(1, 0, { revision: 3, key: "k", value: "y", createRevision: 2, version: 2 })),
  ).toContain("K3");
});

test("a hundred thousand calls are checked at once", () => {
  const events = Array.from({ length: 50_000 }, (_, at) => ({ revision: at + 2, key: `k${at % 50}`, value: `v${at}` }));
  const witnesses = events.flatMap(({ revision, key, value }, at) => [
    write([at * 4, at * 4 + 1], revision, value, key),
    read([at * 4 + 2, at * 4 + 3], revision, { value }, key),
  ]);
  const startedAt = performance.now();
  expect(checkWitnesses(witnesses, new Log(events))).toEqual([]);
  console.info(`${witnesses.length} witnesses in ${Math.round(performance.now() - startedAt)} ms`);
});
