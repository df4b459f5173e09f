/** Ranges of large values: no more of them is read at once than is wanted, and the answers are the same. */
import { expect, test } from "vitest";
import { prefixEnd, utf8 } from "../../../objects/bytes.ts";
import { World } from "../fixture.ts";

const MIB = 1024 * 1024;

test("large values are read a few at a time, now and as of a past revision, by range, by prefix, and for a snapshot", () => {
  const world = new World();
  const value = new Uint8Array(1.2 * MIB);
  const names = Array.from({ length: 20 }, (_, at) => `k${String(at).padStart(2, "0")}`);
  for (const name of names) world.run("kv.put", { key: utf8(name), value });
  const past = world.core.revision;
  world.run("kv.put", { key: utf8("k00"), value });
  const range = { key: utf8("k"), to: prefixEnd(utf8("k")) };
  const rowsRead = countValues(world);

  for (const revision of [undefined, past]) {
    const { records, more, rest } = world.core.query("kv.range", { ...range, revision }, world.now);
    expect([records.length, more]).toEqual([6, true]);
    expect(rest!.from).toEqual(utf8("k06"));
    // Four of them are 4 MiB; one answer takes 8.
    expect(rowsRead()).toBeLessThanOrEqual(8);
  }
  const backwards = world.core.query("kv.range", { ...range, reverse: true, keysOnly: true }, world.now);
  expect(backwards.records.map(({ key }) => Buffer.from(key).toString())).toEqual(names.toReversed());
  rowsRead();

  const listed = world.core.query("kv.entries", { prefix: utf8("k") }, world.now);
  expect([listed.entries.length, listed.next]).toEqual([6, utf8("k06")]);
  expect(rowsRead()).toBeLessThanOrEqual(8);

  const page = world.core.store.snapshotPage(world.core.revision, null, MIB);
  expect(page.after).not.toBeNull();
  expect(rowsRead()).toBeLessThanOrEqual(page.records.length);
});

/** Large values that were read from the database since it was asked last. */
function countValues(world: World): () => number {
  const { database } = world;
  const all = database.all.bind(database);
  let count = 0;
  database.all = (query, ...bindings) => {
    const rows = all(query, ...bindings);
    for (const row of rows) if (row.some((cell) => cell instanceof Uint8Array && cell.length > MIB)) count++;
    return rows;
  };
  return () => [count, (count = 0)][0]!;
}
