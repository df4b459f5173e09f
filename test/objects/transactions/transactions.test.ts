/** Several changes of keys and registry as one, and what is told when they are none. */
import { beforeEach, expect, test } from "vitest";
import { utf8 } from "../../../objects/bytes.ts";
import type { Operation } from "../../../objects/transactions/transactions.ts";
import { codeOf, World } from "../fixture.ts";

let world: World;
beforeEach(() => {
  world = new World();
});

const run = (...operations: Operation[]) => world.run("transaction.run", operations);
const reasons = (...operations: Operation[]) =>
  run(...operations).failures.map(({ index, error }) => [index, error.details?.["reason"] ?? error.code]);
const entry = (name: string) => world.core.query("kv.entry", { key: utf8(name) }, world.now);
const key = utf8("k");
const set = (value: string, more: { cas?: number; flags?: string } = {}): Operation => ({
  type: "key.set",
  key,
  value: utf8(value),
  ...more,
});

test("operations see each other, and are one commit", () => {
  const { results, failures } = run(
    set("1", { cas: 0, flags: "9" }),
    { type: "key.get", key, required: true },
    { type: "node.put", node: { name: "n1", address: "192.0.2.1" } },
    { type: "node.get", name: "n1" },
    { type: "key.checkRevision", key, revision: 1 },
    { type: "key.delete", key },
    { type: "key.checkAbsent", key },
    set("2"),
  );
  expect(failures).toEqual([]);
  expect(results[1]).toMatchObject({ keys: [{ value: utf8("1"), flags: "9", modRevision: 1 }] });
  expect(results[3]).toMatchObject({ node: { name: "n1" } });
  expect(world.core.revision).toBe(1);
  expect(entry("k")).toMatchObject({ value: utf8("2"), flags: "0", createRevision: 1, modRevision: 1 });
});

test("when one fails nothing happens, and every failure is told with its place", () => {
  set("0");
  run(set("0"));
  expect(
    reasons(
      set("1"),
      set("2", { cas: 99 }),
      { type: "key.release", key, value: utf8(""), session: "x" },
      { type: "key.get", key: utf8("none"), required: true },
      { type: "key.get", key: utf8("none"), required: false },
      { type: "key.checkSession", key, session: "x" },
      { type: "key.checkAbsent", key },
      { type: "key.checkRevision", key, revision: 99 },
      { type: "key.delete", key: utf8("none"), cas: 5 },
      { type: "key.acquire", key, value: utf8(""), session: "x" },
      { type: "check.get", node: "n1", check: "c" },
      { type: "key.set", key: utf8(""), value: utf8("") },
    ),
  ).toEqual([
    [1, "stale"],
    [2, "notHeld"],
    [3, "absent"],
    [5, "session"],
    [6, "present"],
    [7, "revision"],
    [9, "not_found"],
    [10, "not_found"],
    [11, "invalid_argument"],
  ]);
  expect(entry("k")!.value).toEqual(utf8("0"));
  expect(world.core.revision).toBe(1);
});

test("locks: a session that is held, one that comes late, and the delay", () => {
  const session = (): string =>
    world.run("session.create", {
      name: "",
      node: "n1",
      ensure: { name: "n1", address: "192.0.2.1" },
      behavior: "release",
      lockDelayMs: 1000,
      ttlMs: null,
      checks: [],
    }).id;
  const [a, b] = [session(), session()];
  const acquire = (id: string): Operation => ({ type: "key.acquire", key, value: utf8(""), session: id });
  expect(reasons(acquire(a), { type: "key.checkSession", key, session: a })).toEqual([]);
  expect(reasons(acquire(b))).toEqual([[0, "held"]]);
  world.run("session.destroy", { id: a });
  expect(reasons(acquire(b))).toEqual([[0, "delayed"]]);
  world.pass(1000);
  expect(reasons(acquire(b))).toEqual([]);
  // What is written by a transaction hangs on the session as well.
  world.run("session.destroy", { id: b });
  expect(entry("k")!.session).toBeNull();
});

test("a tree is read and deleted", () => {
  for (const name of ["t/1", "t/2", "u"]) run({ type: "key.set", key: utf8(name), value: utf8(name) });
  const prefix = utf8("t/");
  const { results } = run({ type: "key.getTree", prefix }, { type: "key.deleteTree", prefix });
  expect(results[0]!.keys!.map(({ value }) => value)).toEqual([utf8("t/1"), utf8("t/2")]);
  expect([entry("t/1"), entry("u")]).toMatchObject([null, { version: 1 }]);
});

test("more than an answer carries is a failure, and so are more operations than it takes", () => {
  const large = new Uint8Array(900_000);
  for (let n = 0; n < 10; n++) world.run("kv.put", { key: utf8(`l/${n}`), value: large });
  const tree: Operation = { type: "key.getTree", prefix: utf8("l/") };
  expect(reasons(tree)).toEqual([[0, "too_large"]]);
  const five: Operation[] = Array.from({ length: 10 }, () => ({ type: "key.get", key: utf8("l/0"), required: true }));
  expect(reasons(...five)).toEqual([[9, "too_large"]]);
  expect(codeOf(() => run(...Array.from({ length: 129 }, () => set("v"))))).toBe("invalid_argument");
});

test("reads alone need no commit", () => {
  run(set("v"));
  const read = world.core.query("transaction.read", [{ type: "key.get", key, required: true }], world.now);
  expect(read).toMatchObject({ results: [{ keys: [{ value: utf8("v") }] }], failures: [] });
  const failed = world.core.query("transaction.read", [{ type: "node.get", name: "none" }], world.now);
  expect(failed).toMatchObject({ results: [], failures: [{ index: 0, error: { code: "not_found" } }] });
});
