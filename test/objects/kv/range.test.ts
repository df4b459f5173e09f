/** Ranges against a naive reading of what was asked for: filter, sort, cut; in parts, and as of a revision. */
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { compareBytes, text, utf8 } from "../../../objects/bytes.ts";
import { RANGE_BYTES_MAX } from "../../../objects/kv/key.ts";
import type { OrderBy, RangeInput } from "../../../objects/kv/range.ts";
import { rangeOf } from "../../../objects/kv/range.ts";
import type { KeyRange, StoredRecord } from "../../../objects/store/txn.ts";
import { inRange } from "../../../objects/store/txn.ts";
import { codeOf, World } from "../fixture.ts";

const KEYS = ["a", "ab", "b", "c", "d"];
const ORDERS: OrderBy[] = ["version", "createRevision", "modRevision", "value"];
const orUndefined = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });

const asked = fc.record({
  key: fc.constantFrom(...KEYS).map(utf8),
  to: fc.constantFrom(undefined, null, ...["b", "c", "a"].map(utf8)),
  limit: orUndefined(fc.nat(4)),
  reverse: fc.boolean(),
  orderBy: orUndefined(fc.constantFrom(...ORDERS)),
  bounds: orUndefined(
    fc.record({
      createMin: orUndefined(fc.nat(20)),
      createMax: orUndefined(fc.nat(20)),
      modMin: orUndefined(fc.nat(20)),
      modMax: orUndefined(fc.nat(20)),
    }),
  ),
  keysOnly: fc.boolean(),
  count: fc.constant(true),
});

/** By the words of the description alone. */
function naive(
  all: readonly StoredRecord[],
  input: RangeInput,
): { records: StoredRecord[]; more: boolean; count: number } {
  const { key, to, limit = 0, reverse = false, orderBy, bounds = {}, keysOnly } = input;
  const within = all.filter((one) =>
    to === undefined ? compareBytes(one.key, key) === 0 : inRange(one.key, { from: key, to }),
  );
  const { createMin = 0, createMax = 99, modMin = 0, modMax = 99 } = bounds;
  const kept = within.filter(
    (one) =>
      one.createRevision >= createMin &&
      one.createRevision <= createMax &&
      one.modRevision >= modMin &&
      one.modRevision <= modMax,
  );
  const by = (a: StoredRecord, b: StoredRecord): number =>
    orderBy === undefined
      ? compareBytes(a.key, b.key)
      : orderBy === "value"
        ? compareBytes(a.value, b.value)
        : a[orderBy] - b[orderBy];
  kept.sort((a, b) => (reverse ? -by(a, b) : by(a, b)) || compareBytes(a.key, b.key));
  const cut = limit === 0 ? kept : kept.slice(0, limit);
  const records = keysOnly ? cut.map((one) => ({ ...one, value: new Uint8Array() })) : cut;
  return { records, more: cut.length < kept.length, count: within.length };
}

describe("what a range answers", () => {
  const world = new World();
  const states: StoredRecord[][] = [[]];

  beforeAll(() => {
    const writes: [string, string | null][] = [
      ["b", "2"],
      ["a", "1"],
      ["b", "0"],
      ["d", "9"],
      ["ab", "1"],
      ["a", null],
      ["c", ""],
      ["b", "5"],
      ["a", "1"],
      ["d", null],
      ["d", "1"],
    ];
    for (const [key, value] of writes) {
      if (value === null) world.run("kv.delete", { key: utf8(key) });
      else world.run("kv.put", { key: utf8(key), value: utf8(value) });
      states.push(world.core.store.range("kv", { from: new Uint8Array(), to: null }));
    }
  });

  test("is what was asked for, now and as of every revision", () => {
    fc.assert(
      fc.property(asked, orUndefined(fc.integer({ min: 1, max: 11 })), (input, revision) => {
        const { records, more, count } = world.core.query("kv.range", { ...input, revision }, world.now);
        expect({ records, more, count }).toEqual(naive(states[revision ?? 11]!, input));
      }),
      { numRuns: 2000 },
    );
  });
});

describe("what one answer does not carry", () => {
  const value = new Uint8Array(RANGE_BYTES_MAX / 8);
  const all = Array.from({ length: 20 }, (_, n): StoredRecord => ({
    key: utf8(String.fromCharCode(97 + n)),
    value,
    createRevision: 40 - n,
    modRevision: 40,
    version: 1,
    lease: null,
  }));
  const source = {
    range: ({ from, to }: KeyRange, { limit, reverse }: { limit: number; reverse: boolean }) => {
      const found = all.filter(({ key }) => inRange(key, { from, to }));
      return (reverse ? found.toReversed() : found).slice(0, limit);
    },
  };

  test.each([
    ["in key order", {}],
    ["backwards", { reverse: true }],
    ["by creation", { orderBy: "createRevision" as const }],
  ])("%s: the parts make up the whole", (_name, more) => {
    const found: string[] = [];
    let rest: KeyRange | null = { from: utf8("a"), to: null };
    let parts = 0;
    for (; rest !== null; parts++) {
      const part = rangeOf({ key: rest.from, to: rest.to, ...more }, source);
      expect(part.more).toBe(part.rest !== null);
      found.push(...part.records.map(({ key }) => text(key)));
      rest = part.rest;
    }
    expect(parts).toBeGreaterThan(1);
    expect(found.toSorted()).toEqual(all.map(({ key }) => text(key)));
    expect(new Set(found).size).toBe(all.length);
  });

  test("very many are looked at in parts, too, and the best of each part is enough", () => {
    const none = new Uint8Array();
    const many = Array.from({ length: 60_000 }, (_, n): StoredRecord => {
      const key = utf8(String(n).padStart(6, "0"));
      return { key, value: none, createRevision: 1, modRevision: (n * 7919) % 60_000, version: 1, lease: null };
    });
    const source = {
      range: ({ from, to }: KeyRange, { limit }: { limit: number }) => {
        const at = from.length === 0 ? 0 : Number(text(from).slice(0, 6)) + (from.length > 6 ? 1 : 0);
        return to === null ? many.slice(at, at + limit) : [];
      },
    };
    const input = { to: null, orderBy: "modRevision" as const, reverse: true, limit: 2 };
    const first = rangeOf({ key: none, ...input }, source);
    expect([first.records.length, first.more]).toEqual([2, true]);
    const second = rangeOf({ key: first.rest!.from, ...input }, source);
    expect([second.records.length, second.rest]).toEqual([2, null]);
    const best = [...first.records, ...second.records].map(({ modRevision }) => modRevision).sort((a, b) => b - a);
    expect(best.slice(0, 2)).toEqual([59_999, 59_998]);
  });

  test("the first of an order are found though the range is larger", () => {
    const { records, more, rest } = rangeOf({ key: utf8("a"), to: null, orderBy: "createRevision", limit: 2 }, source);
    expect([records.map(({ key }) => text(key)), more, rest]).toEqual([["t", "s"], true, null]);
  });
});

test("what is no range is refused", () => {
  const query = (input: RangeInput) => codeOf(() => new World().core.query("kv.range", input, 0));
  expect(query({ key: new Uint8Array() })).toBe("invalid_argument");
  expect(query({ key: utf8("a"), to: null, limit: -1 })).toBe("invalid_argument");
  expect(query({ key: utf8("a"), to: null, limit: 0.5 })).toBe("invalid_argument");
});
