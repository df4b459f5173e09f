/**
 * The store against a naive model that keeps every state it ever had: any sequence of writes, reads at any revision,
 * watches from anywhere, compactions and restarts must look the same on both. Rules K2 to K5, K8 to K10, W1 to W9, D1, D2.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { compareBytes, fromBinaryString, toBinaryString } from "../../../objects/bytes.ts";
import { HoldfastError } from "../../../objects/errors.ts";
import type { Store, StoreEvent, WatchRange } from "../../../objects/store/store.ts";
import type { KeyRange, StoredRecord, Txn } from "../../../objects/store/txn.ts";
import { context, type MemoryDatabase, openStore } from "./memory.ts";

const SPACES = ["kv", "other"];

type State = Map<string, StoredRecord>;

const within = (state: State, space: string, range: KeyRange): StoredRecord[] =>
  [...state]
    .filter(([id]) => id.startsWith(`${space}:`))
    .map(([, record]) => record)
    .filter(({ key }) => compareBytes(key, range.from) >= 0 && (range.to === null || compareBytes(key, range.to) < 0))
    .toSorted((a, b) => compareBytes(a.key, b.key));

/** All states, by revision. */
class Model {
  states: State[] = [new Map()];
  compacted = 0;

  get revision(): number {
    return this.states.length - 1;
  }

  at(revision: number, space: string, range: KeyRange): StoredRecord[] {
    return within(this.states[revision]!, space, range);
  }

  /** What changed between a revision and the one before. */
  eventsOf(revision: number): Omit<StoreEvent, "revision">[] {
    const [before, after] = [this.states[revision - 1]!, this.states[revision]!];
    const ids = new Set([...before.keys(), ...after.keys()]);
    return [...ids]
      .filter((id) => before.get(id) !== after.get(id))
      .map((id) => ({
        space: id.slice(0, id.indexOf(":")),
        key: (after.get(id) ?? before.get(id))!.key,
        record: after.get(id) ?? null,
        before: before.get(id) ?? null,
      }));
  }
}

type Write = { type: "put" | "delete" | "sweep"; space: string; key: string; value: string; lease: string | null };
type Step =
  | { type: "run"; writes: Write[]; fails: boolean }
  | { type: "expire"; lease: string }
  | { type: "compact"; back: number; slice: number }
  | { type: "restart" }
  | { type: "restore"; back: number };

const key = fc.oneof(
  fc.constantFrom("", "a", "a\0", "ab", "b", "\xff", "\xff\xff"),
  fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)), maxLength: 3 }),
);
const write: fc.Arbitrary<Write> = fc.record({
  type: fc.constantFrom("put", "put", "delete", "sweep"),
  space: fc.constantFrom(...SPACES),
  key,
  value: fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)), maxLength: 5 }),
  lease: fc.constantFrom(null, null, "1", "2"),
});
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      type: fc.constant("run" as const),
      writes: fc.array(write, { maxLength: 4 }),
      fails: fc.boolean().map(() => false),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant("run" as const),
      writes: fc.array(write, { minLength: 1, maxLength: 4 }),
      fails: fc.constant(true),
    }),
  },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("expire" as const), lease: fc.constantFrom("1", "2") }) },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant("compact" as const),
      back: fc.nat(12),
      slice: fc.integer({ min: 1, max: 5 }),
    }),
  },
  { weight: 2, arbitrary: fc.constant({ type: "restart" as const }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("restore" as const), back: fc.nat(5) }) },
);
const rangeArbitrary: fc.Arbitrary<KeyRange> = fc
  .record({ from: key, to: fc.option(key) })
  .map(({ from, to }) => ({ from: fromBinaryString(from), to: to === null ? null : fromBinaryString(to) }));

interface Writer extends Pick<Txn, "delete" | "sizes" | "sweep"> {
  put(...args: Parameters<Txn["put"]>): void;
}

/** Which bytes a write is about; both sides run the same. */
function apply(txn: Writer, writes: Write[]): void {
  for (const { type, space, key: name, value, lease } of writes) {
    const bytes = fromBinaryString(name);
    if (type === "put") txn.put(space, bytes, fromBinaryString(value), lease);
    else if (type === "delete") txn.delete(space, bytes);
    else {
      // To where, the value says; nothing: to the end.
      const range = { from: bytes, to: value === "" ? null : fromBinaryString(value) };
      txn.sweep(space, range, txn.sizes(space, range, 1000));
    }
  }
}

function runOnModel(model: Model, writes: Write[]): void {
  const before = model.states.at(-1)!;
  const after: State = new Map(before);
  const revision = model.revision + 1;
  apply(
    {
      put(space, bytes, value, lease = null) {
        const id = `${space}:${toBinaryString(bytes)}`;
        const old = after.get(id);
        const version = old ? (old.modRevision === revision ? old.version : old.version + 1) : 1;
        after.set(id, {
          key: bytes,
          value,
          createRevision: old?.createRevision ?? revision,
          modRevision: revision,
          version,
          lease,
        });
      },
      delete: (space, bytes) => after.delete(`${space}:${toBinaryString(bytes)}`),
      sizes: (space, range) =>
        within(after, space, range).map(({ key: bytes, value }) => ({ key: bytes, valueBytes: value.length })),
      sweep(space, _range, swept) {
        for (const { key: bytes } of swept) after.delete(`${space}:${toBinaryString(bytes)}`);
      },
    },
    writes,
  );
  const isChange = [...new Set([...before.keys(), ...after.keys()])].some((id) => before.get(id) !== after.get(id));
  if (isChange) model.states.push(after);
}

const plain = (records: (StoredRecord | undefined | null)[]): unknown[] =>
  records.map(
    (record) => record && { ...record, key: toBinaryString(record.key), value: toBinaryString(record.value) },
  );

const plainEvent = (event: Omit<StoreEvent, "revision">): string =>
  JSON.stringify([event.space, toBinaryString(event.key), ...plain([event.record, event.before])]);

/** Every revision that can be read, read both ways. */
function compareReads(store: Store, model: Model, range: KeyRange, limit: number): void {
  for (const space of SPACES) {
    for (let revision = Math.max(model.compacted, 0); revision <= model.revision; revision++) {
      const expected = model.at(revision, space, range);
      expect(plain(store.rangeAt(space, range, revision))).toEqual(plain(expected));
      const reversed = store.rangeAt(space, range, revision, { limit, reverse: true });
      expect(plain(reversed)).toEqual(plain(expected.toReversed().slice(0, limit)));
      for (const { key: bytes } of expected.slice(0, 3)) {
        const single = expected.find((record) => compareBytes(record.key, bytes) === 0);
        expect(plain([store.getAt(space, bytes, revision)])).toEqual(plain([single]));
      }
    }
    const now = model.at(model.revision, space, range);
    expect(plain(store.range(space, range, { limit }))).toEqual(plain(now.slice(0, limit)));
    expect(store.count(space, range)).toBe(now.length);
  }
}

/** From every revision that can be watched: gapless, in order, nothing twice, no revision split over two batches. */
function compareWatches(store: Store, model: Model, ranges: WatchRange[], limit: number): void {
  for (let since = model.compacted; since <= model.revision; since++) {
    const seen: { revision: number; text: string }[] = [];
    for (let at = since; at < model.revision;) {
      const batch = store.eventsSince(at, ranges, { limit, bytesMax: 4 * limit });
      expect(batch.revision).toBeGreaterThan(at);
      for (const event of batch.events) {
        expect(event.revision).toBeGreaterThan(at);
        expect(event.revision).toBeLessThanOrEqual(batch.revision);
        seen.push({ revision: event.revision, text: plainEvent(event) });
      }
      at = batch.revision;
    }
    const revisions = seen.map(({ revision }) => revision);
    expect(revisions).toEqual(revisions.toSorted((a, b) => a - b));
    for (let revision = since + 1; revision <= model.revision; revision++) {
      const expected = model
        .eventsOf(revision)
        .filter(({ space, key: bytes }) =>
          ranges.some(
            (range) =>
              range.space === space &&
              compareBytes(bytes, range.from) >= 0 &&
              (range.to === null || compareBytes(bytes, range.to) < 0),
          ),
        );
      const got = seen.filter((event) => event.revision === revision).map((event) => event.text);
      expect(got.toSorted()).toEqual(expected.map(plainEvent).toSorted());
    }
  }
}

test("any history looks as in the model", () => {
  const watch = fc
    .record({ space: fc.constantFrom(...SPACES), range: rangeArbitrary })
    .map(({ space, range }) => ({ space, ...range }));
  const property = fc.property(
    fc.array(step, { maxLength: 25 }),
    rangeArbitrary,
    fc.array(watch, { minLength: 1, maxLength: 2 }),
    fc.integer({ min: 1, max: 4 }),
    fc.boolean(),
    (steps, range, ranges, limit, isBatched) => {
      const { database, ...opened } = openStore();
      let { backend, store } = opened;
      const model = new Model();
      const perform = (action: Exclude<Step, { type: "restart" }>): void => {
        switch (action.type) {
          case "run": {
            const act = () =>
              store.run({ command: "run" }, context(), (txn) => {
                apply(txn, action.writes);
                if (action.fails) throw new HoldfastError("conflict", "planned");
              });
            if (action.fails) expect(act).toThrow("planned");
            else {
              act();
              runOnModel(model, action.writes);
            }
            break;
          }
          case "expire": {
            const hanging = store.leased(action.lease);
            store.run({ command: "expire" }, context(), (txn) => {
              for (const { space, key: bytes } of txn.leased(action.lease)) txn.delete(space, bytes);
            });
            const expected = [...model.states.at(-1)!].filter(([, { lease }]) => lease === action.lease);
            expect(hanging.map(({ space, key: bytes }) => `${space}:${toBinaryString(bytes)}`).toSorted()).toEqual(
              expected.map(([id]) => id).toSorted(),
            );
            if (expected.length > 0) {
              const after = new Map(model.states.at(-1)!);
              for (const [id] of expected) after.delete(id);
              model.states.push(after);
            }
            break;
          }
          case "compact": {
            const target = Math.max(model.compacted, model.revision - action.back);
            while (!store.compact(target, action.slice));
            model.compacted = Math.max(model.compacted, target);
            break;
          }
          case "restore": {
            const revision = Math.max(model.compacted, model.revision - action.back);
            restoreInto(openStore().database, store, model, revision);
            break;
          }
        }
        expect(store.revision).toBe(model.revision);
      };
      const compare = (): void => {
        compareReads(store, model, range, limit);
        compareWatches(store, model, ranges, limit);
        expect(store.verifyChain(0, 1000).brokenAt).toBeNull();
      };
      // A batch ends with a restart; what it has not written yet is read all the same.
      const inBatch = (act: () => void): void => (isBatched ? backend.batch(act) : act());
      let rest = steps;
      for (;;) {
        const end = rest.findIndex(({ type }) => type === "restart");
        const upTo = end === -1 ? rest : rest.slice(0, end);
        inBatch(() => {
          for (const action of upTo) if (action.type !== "restart") perform(action);
          compare();
        });
        if (end === -1) break;
        ({ backend, store } = openStore(database));
        rest = rest.slice(end + 1);
      }
      compare();
      expect(backend.head().hash).toEqual(store.hash);
    },
  );
  fc.assert(property, { numRuns: 300 });
}, 60_000);

/** D1, D2: what is restored is the state at that revision, and everything older counts as compacted. */
function restoreInto(database: MemoryDatabase, source: Store, model: Model, revision: number): void {
  const target = openStore(database);
  target.store.run({ command: "before" }, context(), (txn) =>
    txn.put("kv", fromBinaryString("gone"), new Uint8Array()),
  );
  target.backend.stageBegin();
  let after = null;
  do {
    const page = source.snapshotPage(revision, after, 20);
    target.backend.stage(page.records);
    after = page.after;
  } while (after !== null);
  const floor = 5000;
  database.transaction(() => target.backend.stageCommit(floor));
  target.store.reload();
  const everything = { from: new Uint8Array(), to: null };
  for (const space of SPACES) {
    expect(plain(target.store.range(space, everything))).toEqual(plain(model.at(revision, space, everything)));
  }
  expect(() => target.store.eventsSince(1, [{ space: "kv", ...everything }])).toThrow("compacted");
  const next = target.store.run({ command: "next" }, context(), (txn) =>
    txn.put("kv", fromBinaryString("n"), new Uint8Array()),
  );
  expect(next.revision).toBe(floor + 1);
  expect(target.store.verifyChain(0, 100).brokenAt).toBeNull();
}
