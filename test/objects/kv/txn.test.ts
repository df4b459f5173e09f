/** Transactions over keys in the domain's own words; etcd's rules for them are tested where etcd is spoken. */
import { crc32 } from "node:zlib";
import { describe, expect, test } from "vitest";
import { utf8 } from "../../../objects/bytes.ts";
import { Core } from "../../../objects/core.ts";
import type { Compare, TxnInput, TxnOperation } from "../../../objects/kv/txn.ts";
import { CALLER, context, MemoryDatabase, sha256 } from "../store/memory.ts";
import { codeOf, World } from "../fixture.ts";

const put = (key: string, value = ""): TxnOperation => ({ type: "put", key: utf8(key), value: utf8(value) });
const get = (key: string): TxnOperation => ({ type: "range", key: utf8(key) });
const del = (key: string): TxnOperation => ({ type: "delete", key: utf8(key) });
const isAbsent = (key: string): Compare => ({ key: utf8(key), target: "version", operator: "=", operand: 0 });
const txn = (parts: Partial<TxnInput>): TxnInput => ({ compare: [], then: [], else: [], ...parts });

describe("the revision that is told", () => {
  test("is the commit's where something was written, else that of what was seen", () => {
    const world = new World();
    expect(world.run("kv.txn", txn({ then: [get("a"), del("a")] })).revision).toBe(0);
    expect(world.run("kv.txn", txn({ then: [put("a")] })).revision).toBe(1);
    expect(world.run("kv.txn", txn({ then: [get("a")] })).revision).toBe(1);
    const nested: TxnOperation = { type: "txn", ...txn({ then: [del("a")] }) };
    expect(world.run("kv.txn", txn({ then: [nested] })).revision).toBe(2);
    expect(world.run("kv.delete", { key: utf8("a") })).toMatchObject({ deleted: 0, revision: 2 });
    expect(world.core.revision).toBe(2);
  });
});

test("comparisons of every level see the state before all of it", () => {
  const world = new World();
  const inner: TxnOperation = { type: "txn", ...txn({ compare: [isAbsent("a")], then: [put("b")] }) };
  const { results } = world.run("kv.txn", txn({ compare: [isAbsent("a")], then: [put("a"), inner, get("b")] }));
  expect(results).toMatchObject([{ type: "put" }, { succeeded: true }, { records: [{ version: 1 }] }]);
});

test("a read as of a revision is not moved by what is written; one that is not there is refused", () => {
  const world = new World();
  world.run("kv.put", { key: utf8("a"), value: utf8("1") });
  const then: TxnOperation = { type: "range", key: utf8("a"), revision: 1 };
  const { results } = world.run("kv.txn", txn({ then: [put("a", "2"), then, get("a")] }));
  expect(results).toMatchObject([{}, { records: [{ value: utf8("1") }] }, { records: [{ value: utf8("2") }] }]);
  const future: TxnOperation = { type: "range", key: utf8("a"), revision: 3 };
  expect(codeOf(() => world.run("kv.txn", txn({ then: [put("a", "3"), future] })))).toBe("future_revision");
  expect(world.core.revision).toBe(2);
});

test("a full store takes transactions that cannot make it larger", () => {
  const database = new MemoryDatabase();
  const core = new Core(
    {
      database,
      transaction: (act) => database.transaction(act),
      checksum: crc32,
      digest: sha256,
      random: (length) => context().random(length),
      sizeMax: 0,
    },
    0,
  );
  const run = (input: TxnInput) => core.execute([{ command: "kv.txn", input, caller: CALLER }], 0)[0]!;
  expect(run(txn({ then: [get("a"), del("a")] }))).toMatchObject({ ok: true });
  const nested: TxnOperation = { type: "txn", ...txn({ else: [put("a")] }) };
  expect(run(txn({ then: [nested] }))).toMatchObject({ ok: false, error: { code: "quota_exceeded" } });
});

test("history is forgotten on demand, and it is on record who wanted it", () => {
  const world = new World();
  for (const value of ["1", "2", "3"]) world.run("kv.put", { key: utf8("a"), value: utf8(value) });
  world.core.beginCompaction(2, CALLER, world.now);
  while (!world.core.compactSome(2));
  const read = (revision: number) => () => world.core.query("kv.range", { key: utf8("a"), revision }, world.now);
  expect(codeOf(read(1))).toBe("compacted");
  expect(read(2)().records).toMatchObject([{ value: utf8("2") }]);
  expect(codeOf(() => world.core.beginCompaction(2, CALLER, world.now))).toBe("compacted");
  expect(codeOf(() => world.core.beginCompaction(9, CALLER, world.now))).toBe("future_revision");
  expect(world.core.store.log(3, 10)).toMatchObject([{ revision: 4, command: "store.compact", caller: CALLER }]);
});
