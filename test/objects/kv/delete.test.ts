/** Deletions of ranges: how much one command deletes, and what goes with the keys. */
import { describe, expect, test } from "vitest";
import { prefixEnd, utf8 } from "../../../objects/bytes.ts";
import { SWEEP_MAX } from "../../../objects/kv/kv.ts";
import { codeOf, World } from "../fixture.ts";

const prefix = (key: string) => ({ key: utf8(key), to: prefixEnd(utf8(key)) });

/** So many keys, 128 a transaction. */
function fill(world: World, count: number, keyOf: (at: number) => string, value = ""): void {
  for (let from = 0; from < count; from += 128) {
    const then = Array.from({ length: Math.min(128, count - from) }, (_, at) => ({
      type: "put" as const,
      key: utf8(keyOf(from + at)),
      value: utf8(value),
    }));
    world.run("kv.txn", { compare: [], then, else: [] });
  }
}

const countOf = (world: World, key: string): number =>
  world.core.query("kv.range", { ...prefix(key), limit: 1, keysOnly: true, count: true }, world.now).count!;

describe("of a range", () => {
  test("many thousand keys go in one revision, and are told as one", () => {
    const world = new World();
    const count = 20_000;
    fill(world, count, (at) => `k${at}`);
    const { revision } = world.core;
    const { key, to } = prefix("k");
    expect(world.run("kv.delete", { key, to })).toEqual({
      deleted: count,
      previous: [],
      more: false,
      revision: revision + 1,
    });
    expect(countOf(world, "")).toBe(0);
    const told = world.core.changes({ since: revision, ranges: [{ space: "kv", from: key, to }] });
    expect([told.events.length, told.revision]).toEqual([count, revision + 1]);
    expect(world.run("kv.delete", { key, to })).toMatchObject({ deleted: 0, revision: revision + 1 });
  }, 60_000);

  test("keys of more bytes than one command deletes are refused, and stay", () => {
    const world = new World();
    const count = Math.ceil(SWEEP_MAX.keyBytes / 4000) + 1;
    fill(world, count, (at) => `k${at}`.padEnd(4000, "x"));
    expect(codeOf(() => world.run("kv.delete", prefix("k")))).toBe("too_large");
    expect(countOf(world, "k")).toBe(count);
    const tenths = ["k1", "k2", "k3", "k4", "k5", "k6", "k7", "k8", "k9", "k0"].map((key) => ({
      type: "delete" as const,
      ...prefix(key),
    }));
    expect(codeOf(() => world.run("kv.txn", { compare: [], then: tenths, else: [] }))).toBe("too_large");
    expect(countOf(world, "k")).toBe(count);
    expect(world.run("kv.delete", prefix("k1"))).toMatchObject({ deleted: 1111 });
  }, 60_000);

  test("and so are values of more bytes", () => {
    const world = new World();
    const value = new Uint8Array(1_572_864);
    const count = SWEEP_MAX.valueBytes / value.length + 1;
    for (let at = 0; at < count; at++) world.run("kv.put", { key: utf8(`k${at}`), value });
    expect(codeOf(() => world.run("kv.delete", prefix("k")))).toBe("too_large");
    expect(world.run("kv.delete", prefix("k1"))).toMatchObject({ deleted: 11 });
    expect(world.run("kv.delete", prefix("k"))).toMatchObject({ deleted: count - 11 });
  });

  test("with what was there: no more than one answer carries", () => {
    const world = new World();
    for (let at = 0; at < 17; at++) world.run("kv.put", { key: utf8(`k${at}`), value: new Uint8Array(1_572_864) });
    expect(codeOf(() => world.run("kv.delete", { ...prefix("k"), previous: true }))).toBe("too_large");
    const { previous } = world.run("kv.delete", { ...prefix("k1"), previous: true });
    expect(previous.map(({ value }) => value.length)).toEqual(Array(8).fill(1_572_864));
    expect(world.run("kv.delete", prefix("k"))).toMatchObject({ deleted: 9 });
  });

  test("what keys have besides their values goes with them", () => {
    const world = new World();
    const set = (key: string) => world.run("kv.set", { key: utf8(key), value: utf8(""), flags: "7" });
    for (const key of ["k1", "k2", "l"]) set(key);
    world.run("kv.delete", prefix("k"));
    for (const key of ["k1", "l"]) world.run("kv.put", { key: utf8(key), value: utf8("new") });
    const { entries } = world.core.query("kv.entries", { prefix: utf8("") }, world.now);
    expect(entries.map(({ flags }) => flags)).toEqual(["0", "7"]);
  });

  test("what was read lately is gone as well", () => {
    const world = new World();
    world.run("kv.put", { key: utf8("k1"), value: utf8("old") });
    const read = () => world.core.query("kv.range", { key: utf8("k1") }, world.now).records;
    expect(read()).toHaveLength(1);
    world.run("kv.delete", prefix("k"));
    expect(read()).toEqual([]);
  });

  test("what hung on a lease does not any more", () => {
    const world = new World();
    const { id } = world.run("leases.grant", { ttlMs: 60_000 });
    world.run("kv.put", { key: utf8("k"), value: utf8(""), lease: id });
    world.run("kv.delete", prefix("k"));
    expect(world.core.query("leases.get", { id }, world.now).attached).toEqual([]);
  });
});
