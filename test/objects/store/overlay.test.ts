/**
 * What a command sees while it writes: its own writes over the base. Ranges in order, forwards and backwards (rule K10), and
 * what hangs on leases.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { fromBinaryString, toBinaryString } from "../../../objects/bytes.ts";
import { isCut, OverlayTxn } from "../../../objects/store/txn.ts";
import { context, openStore } from "./memory.ts";

const key = fc.string({ unit: fc.constantFrom("\0", "a", "b", "\x80", "\xff"), maxLength: 2 });
const VALUE = new Uint8Array(2);
const step = fc.record({
  type: fc.constantFrom("put", "delete", "sweep", "range"),
  space: fc.constantFrom("kv", "other"),
  key,
});
const asked = fc.record({
  from: key,
  to: fc.option(key),
  limit: fc.option(fc.integer({ min: 1, max: 4 }), { nil: undefined }),
  bytesMax: fc.option(fc.integer({ min: 1, max: 12 }), { nil: undefined }),
  reverse: fc.boolean(),
});

test("a range is the base with what was written over it, wherever it begins and however far it goes", () => {
  const property = fc.property(fc.array(key), fc.array(step, { maxLength: 30 }), asked, (before, steps, options) => {
    const { store } = openStore();
    store.run({ command: "fill" }, context(), (txn) => {
      for (const name of before) txn.put("kv", fromBinaryString(name), VALUE);
    });
    const { from, to, limit, bytesMax, reverse } = options;
    const range = { from: fromBinaryString(from), to: to === null ? null : fromBinaryString(to) };
    const outer = new OverlayTxn(store, store.revision + 1, store);
    const expected = { kv: new Set(before), other: new Set<string>() };
    const compare = (txn: OverlayTxn, space: "kv" | "other"): void => {
      const inside = [...expected[space]].filter((name) => name >= from && (to === null || name < to)).sort();
      const wanted = (reverse ? inside.toReversed() : inside).slice(0, limit);
      const got = txn.range(space, range, { reverse, ...(limit !== undefined && { limit }) });
      expect(got.map((record) => toBinaryString(record.key))).toEqual(wanted);
      const sizes = txn.sizes(space, range, limit ?? 1000);
      expect(sizes.map(({ key: bytes }) => toBinaryString(bytes))).toEqual(inside.slice(0, limit));
      if (bytesMax === undefined) return;
      // Some of the first, or all.
      const part = txn.range(space, range, { reverse, bytesMax, ...(limit !== undefined && { limit }) });
      expect(part).toEqual(got.slice(0, part.length));
      if (!isCut(part, bytesMax)) expect(part).toHaveLength(got.length);
      if (txn.changed.records === 0 && limit === undefined) expect(isCut(part.slice(0, -1), bytesMax)).toBe(false);
    };
    // A transaction in a transaction is the same over another base.
    let txn = outer;
    for (const [at, { type, space, key: name }] of steps.entries()) {
      if (at === 15) txn = new OverlayTxn(outer, outer.revision, outer);
      const set = expected[space as "kv" | "other"];
      if (type === "put") {
        txn.put(space, fromBinaryString(name), VALUE);
        set.add(name);
      } else if (type === "delete") {
        txn.delete(space, fromBinaryString(name));
        set.delete(name);
      } else if (type === "sweep") {
        const end = name.slice(0, -1) + "\xff";
        const swept = { from: fromBinaryString(name), to: fromBinaryString(end) };
        txn.sweep(space, swept, txn.sizes(space, swept, 1000));
        for (const one of set) if (one >= name && one < end) set.delete(one);
      } else compare(txn, space as "kv" | "other");
    }
    compare(txn, "kv");
    compare(txn, "other");
  });
  fc.assert(property, { numRuns: 500 });
});

const hanging = fc.record({ put: fc.boolean(), key, lease: fc.constantFrom(null, "1", "2", "3") });

test("what hangs on leases is what the base has with what was written over it, read one by one or together", () => {
  const property = fc.property(
    fc.array(hanging, { maxLength: 8 }),
    fc.array(hanging, { maxLength: 12 }),
    fc.nat({ max: 12 }),
    fc.record({ records: fc.integer({ min: 0, max: 6 }), bytes: fc.integer({ min: 0, max: 12 }) }),
    (before, steps, askedAt, max) => {
      const { store } = openStore();
      const leases = new Map<string, string | null>();
      const apply = (txn: OverlayTxn, { put, key: name, lease }: (typeof steps)[number]): void => {
        if (put) txn.put("kv", fromBinaryString(name), VALUE, lease);
        else txn.delete("kv", fromBinaryString(name));
        if (put) leases.set(name, lease);
        else leases.delete(name);
      };
      store.run({ command: "fill" }, context(), (txn) => {
        for (const one of before) apply(txn, one);
      });
      const stored = [...leases.values()].filter((lease) => lease !== null).length;
      const txn = new OverlayTxn(store, store.revision + 1, store);
      const on = (lease: string): string[] => [...leases].filter(([, on]) => on === lease).map(([name]) => name);
      const names = (places: { key: Uint8Array }[]): string[] =>
        places.map((place) => toBinaryString(place.key)).sort();
      for (const [at, one] of steps.entries()) {
        if (at === askedAt) {
          const together = txn.leasedMany(["1", "2", "3"], max);
          if (stored > max.records || stored * VALUE.length > max.bytes) expect(together).toBeNull();
          else expect(together!.map(names)).toEqual(["1", "2", "3"].map((lease) => on(lease).sort()));
        }
        apply(txn, one);
      }
      for (const lease of ["1", "2", "3"]) expect(names(txn.leased(lease))).toEqual(on(lease).sort());
    },
  );
  fc.assert(property, { numRuns: 500 });
});
