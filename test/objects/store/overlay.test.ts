/** What a command sees of a range while it writes: its own writes over the base, in order, forwards and backwards. Rule K10. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { fromBinaryString, toBinaryString } from "../../../objects/bytes.ts";
import { OverlayTxn } from "../../../objects/store/txn.ts";
import { context, openStore } from "./memory.ts";

const key = fc.string({ unit: fc.constantFrom("\0", "a", "b", "\x80", "\xff"), maxLength: 2 });
const step = fc.record({ type: fc.constantFrom("put", "delete", "range"), space: fc.constantFrom("kv", "other"), key });
const asked = fc.record({
  from: key,
  to: fc.option(key),
  limit: fc.option(fc.integer({ min: 1, max: 4 }), { nil: undefined }),
  reverse: fc.boolean(),
});

test("a range is the base with what was written over it, wherever it begins and however far it goes", () => {
  const property = fc.property(fc.array(key), fc.array(step, { maxLength: 30 }), asked, (before, steps, options) => {
    const { store } = openStore();
    store.run({ command: "fill" }, context(), (txn) => {
      for (const name of before) txn.put("kv", fromBinaryString(name), new Uint8Array());
    });
    const { from, to, limit, reverse } = options;
    const range = { from: fromBinaryString(from), to: to === null ? null : fromBinaryString(to) };
    const outer = new OverlayTxn(store, store.revision + 1, store);
    const expected = { kv: new Set(before), other: new Set<string>() };
    const compare = (txn: OverlayTxn, space: "kv" | "other"): void => {
      const inside = [...expected[space]].filter((name) => name >= from && (to === null || name < to)).sort();
      const wanted = (reverse ? inside.toReversed() : inside).slice(0, limit);
      const got = txn.range(space, range, { reverse, ...(limit !== undefined && { limit }) });
      expect(got.map((record) => toBinaryString(record.key))).toEqual(wanted);
    };
    // A transaction in a transaction is the same over another base.
    let txn = outer;
    for (const [at, { type, space, key: name }] of steps.entries()) {
      if (at === 15) txn = new OverlayTxn(outer, outer.revision, outer);
      const set = expected[space as "kv" | "other"];
      if (type === "put") {
        txn.put(space, fromBinaryString(name), new Uint8Array());
        set.add(name);
      } else if (type === "delete") {
        txn.delete(space, fromBinaryString(name));
        set.delete(name);
      } else compare(txn, space as "kv" | "other");
    }
    compare(txn, "kv");
    compare(txn, "other");
  });
  fc.assert(property, { numRuns: 500 });
});
