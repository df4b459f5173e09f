/** The store's rules one by one; numbers are those of objects/SPEC.md. */
import { crc32 } from "node:zlib";
import { describe, expect, test } from "vitest";
import {
  equalBytes,
  fromBinaryString,
  keyAfter,
  prefixEnd,
  text,
  toBinaryString,
  utf8,
} from "../../../objects/bytes.ts";
import { HoldfastError } from "../../../objects/errors.ts";
import { SqliteBackend } from "../../../objects/store/sqlite.sql.ts";
import type { WatchRange } from "../../../objects/store/store.ts";
import { Store } from "../../../objects/store/store.ts";
import { KEY_BYTES_MAX, VALUE_BYTES_MAX } from "../../../objects/store/txn.ts";
import { context, MemoryDatabase, openStore, sha256 } from "./memory.ts";

const ALL: WatchRange = { space: "kv", from: new Uint8Array(), to: null };

function put(store: Store, key: string, value: string, requestId?: string): number {
  return store.run({ command: "put", requestId }, context(), (txn) => txn.put("kv", utf8(key), utf8(value))).revision;
}

function remove(store: Store, key: string): number {
  return store.run({ command: "delete" }, context(), (txn) => txn.delete("kv", utf8(key))).revision;
}

function codeOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof HoldfastError) return error.code;
    throw error;
  }
  return "none";
}

describe("commits", () => {
  test("K3: all writes of a command share one revision; a command that writes nothing has none", () => {
    const { store } = openStore();
    const { revision } = store.run({ command: "two" }, context(), (txn) => {
      txn.put("kv", utf8("a"), utf8("1"));
      txn.put("kv", utf8("b"), utf8("2"));
    });
    expect(revision).toBe(1);
    expect([store.get("kv", utf8("a"))!.modRevision, store.get("kv", utf8("b"))!.modRevision]).toEqual([1, 1]);
    expect(store.run({ command: "read" }, context(), (txn) => txn.get("kv", utf8("a"))).commit).toBeNull();
    expect(store.revision).toBe(1);
  });

  test("K5: a command that throws leaves nothing, and takes no revision", () => {
    const { store } = openStore();
    put(store, "a", "1");
    expect(() =>
      store.run({ command: "bad" }, context(), (txn) => {
        txn.put("kv", utf8("a"), utf8("2"));
        txn.put("kv", utf8("b"), utf8("2"));
        throw new HoldfastError("conflict", "no");
      }),
    ).toThrow("no");
    expect(text(store.get("kv", utf8("a"))!.value)).toBe("1");
    expect(store.get("kv", utf8("b"))).toBeUndefined();
    expect(put(store, "c", "1")).toBe(2);
  });

  test("K9: a commit that replaces and deletes very many keeps every one of them, those of its own batch too", () => {
    const { backend, store } = openStore();
    const keys = Array.from({ length: 400 }, (_, n) => utf8(`key-${n}`));
    const write = (value: string, some: readonly Uint8Array[]): void =>
      void store.run({ command: "write" }, context(), (txn) => {
        for (const key of some) txn.put("kv", key, utf8(value), key.length % 2 === 0 ? "7" : null);
      });
    write("one", keys);
    backend.batch(() => {
      write("two", keys.slice(0, 150));
      store.run({ command: "both" }, context(), (txn) => {
        for (const [n, key] of keys.entries()) {
          if (n % 3 === 0) txn.delete("kv", key);
          else txn.put("kv", key, utf8("three"));
        }
      });
    });
    const valueAt = (revision: number): string[] =>
      keys.map((key) => {
        const record = backend.getAt("kv", key, revision);
        return record ? text(record.value) : "none";
      });
    expect(valueAt(1)).toEqual(keys.map(() => "one"));
    expect(valueAt(2)).toEqual(keys.map((_, n) => (n < 150 ? "two" : "one")));
    expect(valueAt(3)).toEqual(keys.map((_, n) => (n % 3 === 0 ? "none" : "three")));
    const before = keys.map((key) => backend.replacedBy("kv", key, 3)!);
    expect(before.map(({ modRevision }) => modRevision)).toEqual(keys.map((_, n) => (n < 150 ? 2 : 1)));
    expect(before.map(({ lease }) => lease)).toEqual(keys.map((key) => (key.length % 2 === 0 ? "7" : null)));
  });

  test("K6: a repeated request id answers the first result and is applied once; another command with it is refused", () => {
    const { database, store } = openStore();
    const once = () =>
      store.run({ command: "append", requestId: "r1" }, context(), (txn) => {
        txn.put("kv", utf8("a"), utf8("x"));
        return { made: 7, bytes: utf8("b") };
      });
    const first = once();
    expect(once()).toEqual({ ...first, commit: null });
    const again = openStore(database).store;
    const third = again.run({ command: "append", requestId: "r1" }, context(), () => ({ made: 8, bytes: utf8("c") }));
    expect(third.value).toEqual(first.value);
    expect(again.get("kv", utf8("a"))!.version).toBe(1);
    expect(codeOf(() => again.run({ command: "other", requestId: "r1" }, context(), () => 1))).toBe("conflict");
  });

  test("K6: an answer that is too large to be kept is refused, and nothing of its command remains", () => {
    const { store } = openStore();
    const answer = (bytes: number) => (): string =>
      codeOf(() =>
        store.run({ command: "read", requestId: `r${bytes}` }, context(), (txn) => {
          txn.put("kv", utf8("a"), utf8("x"));
          return new Uint8Array(bytes);
        }),
      );
    expect(answer(1024 * 1024)()).toBe("none");
    const { revision } = store;
    expect(answer(2 * VALUE_BYTES_MAX)()).toBe("too_large");
    expect(store.revision).toBe(revision);
  });

  test("K8: version counts writes since creation; delete and create begins anew", () => {
    const { store } = openStore();
    put(store, "a", "1");
    put(store, "a", "2");
    expect(store.get("kv", utf8("a"))).toMatchObject({ createRevision: 1, modRevision: 2, version: 2 });
    remove(store, "a");
    put(store, "a", "3");
    expect(store.get("kv", utf8("a"))).toMatchObject({ createRevision: 4, modRevision: 4, version: 1 });
  });

  test("a key put and deleted in one command is no change; put, deleted and put again is one creation", () => {
    const { store } = openStore();
    const none = store.run({ command: "x" }, context(), (txn) => {
      txn.put("kv", utf8("a"), utf8("1"));
      txn.delete("kv", utf8("a"));
    });
    expect(none.commit).toBeNull();
    put(store, "a", "1");
    store.run({ command: "x" }, context(), (txn) => {
      txn.delete("kv", utf8("a"));
      txn.put("kv", utf8("a"), utf8("2"));
    });
    expect(store.get("kv", utf8("a"))).toMatchObject({ createRevision: 2, modRevision: 2, version: 1 });
  });

  test("keys and values up to their limits are kept whole, larger ones refused by name", () => {
    const { store } = openStore();
    const key = new Uint8Array(KEY_BYTES_MAX).fill(255);
    const value = new Uint8Array(VALUE_BYTES_MAX).map((_, at) => at);
    store.run({ command: "put" }, context(), (txn) => txn.put("kv", key, value));
    expect(equalBytes(store.get("kv", key)!.value, value)).toBe(true);
    const tooLarge = (k: number, v: number) => () =>
      store.run({ command: "put" }, context(), (txn) => txn.put("kv", new Uint8Array(k), new Uint8Array(v)));
    expect(codeOf(tooLarge(KEY_BYTES_MAX + 1, 0))).toBe("too_large");
    expect(codeOf(tooLarge(1, VALUE_BYTES_MAX + 1))).toBe("too_large");
    expect(store.revision).toBe(1);
  });

  test("keys that differ in one byte, with and without NUL and 0xff, are different keys", () => {
    const { store } = openStore();
    const keys = ["a", "a\0", "a\0\0", "a\xff", "\xff\xff", "\0"].map(fromBinaryString);
    store.run({ command: "put" }, context(), (txn) => keys.forEach((key, at) => txn.put("kv", key, utf8(String(at)))));
    keys.forEach((key, at) => expect(text(store.get("kv", key)!.value)).toBe(String(at)));
    const under = store.range("kv", { from: fromBinaryString("a"), to: prefixEnd(fromBinaryString("a")) });
    expect(under.map(({ key }) => toBinaryString(key))).toEqual(["a", "a\0", "a\0\0", "a\xff"]);
    const last = store.range("kv", { from: fromBinaryString("\xff"), to: prefixEnd(fromBinaryString("\xff")) });
    expect(last).toHaveLength(1);
  });
});

describe("a range that is swept", () => {
  const swept = { from: utf8("k"), to: utf8("l") };
  const sweep = (store: Store) =>
    store.run({ command: "sweep" }, context(), (txn) => txn.sweep("kv", swept, txn.sizes("kv", swept, 100)));

  test("W9: tells what was there before each key, from memory and from the log", () => {
    const database = new MemoryDatabase();
    const { store } = openStore(database);
    put(store, "k1", "x");
    put(store, "k2", "y");
    const { revision } = sweep(store);
    for (const one of [store, openStore(database).store]) {
      const { events } = one.eventsSince(revision - 1, [ALL]);
      expect(events.map(({ record, before }) => [record, text(before!.value)])).toEqual([
        [null, "x"],
        [null, "y"],
      ]);
      expect(one.eventsSince(revision - 1, [ALL], { previous: false }).events).toMatchObject([
        { key: utf8("k1"), before: null },
        { key: utf8("k2"), before: null },
      ]);
    }
  });

  test("comes alone in a batch that it would make too large", () => {
    const { store } = openStore();
    for (let i = 0; i < 50; i++) put(store, `k${i}`, "");
    put(store, "before", "");
    const { revision } = sweep(store);
    put(store, "after", "");
    const since = revision - 2;
    const batch = (at: number) => store.eventsSince(at, [ALL], { bytesMax: 1000 });
    expect([batch(since).revision, batch(revision - 1).revision]).toEqual([revision - 1, revision]);
    expect(batch(revision - 1).events).toHaveLength(50);
  });

  test("is told without what was there before, where that is more than an answer carries", () => {
    const { store } = openStore();
    const value = new Uint8Array(VALUE_BYTES_MAX);
    for (let i = 0; i < 25; i++)
      store.run({ command: "put" }, context(), (txn) => txn.put("kv", utf8(`k${String(i).padStart(2, "0")}`), value));
    const { revision } = sweep(store);
    const { events } = store.eventsSince(revision - 1, [ALL]);
    expect(events.map(({ before }) => before !== null)).toEqual([...Array(19).fill(true), ...Array(6).fill(false)]);
  });
});

describe("old revisions", () => {
  test("K9: below the compaction `compacted`, above the newest `future_revision`, never silently another", () => {
    const { store } = openStore();
    for (let i = 1; i <= 5; i++) put(store, "a", String(i));
    expect(store.compact(3)).toBe(true);
    expect(codeOf(() => store.getAt("kv", utf8("a"), 2))).toBe("compacted");
    expect(text(store.getAt("kv", utf8("a"), 3)!.value)).toBe("3");
    expect(codeOf(() => store.getAt("kv", utf8("a"), 6))).toBe("future_revision");
    expect(codeOf(() => store.getAt("kv", utf8("a"), 1.5))).toBe("invalid_argument");
    expect(codeOf(() => store.compact(6))).toBe("future_revision");
  });

  test("W7, W8: a watch from a compacted or future revision is refused; one from the mark itself is whole", () => {
    const { store } = openStore();
    for (let i = 1; i <= 5; i++) put(store, `k${i}`, "x");
    store.compact(3);
    expect(codeOf(() => store.eventsSince(2, [ALL]))).toBe("compacted");
    expect(codeOf(() => store.eventsSince(6, [ALL]))).toBe("future_revision");
    expect(store.eventsSince(3, [ALL]).events.map(({ revision }) => revision)).toEqual([4, 5]);
  });

  test("W7: who resumes is told what memory has of the compacted past, and what the mark itself did in any case", () => {
    const database = new MemoryDatabase();
    const { store } = openStore(database);
    for (let i = 1; i <= 3; i++) put(store, `k${i}`, "x");
    remove(store, "k3");
    put(store, "k5", "x");
    store.compact(4);
    const revisions = (from: Store, since: number): number[] =>
      from.eventsSince(since, [ALL], { resumes: true }).events.map(({ revision }) => revision);
    expect(revisions(store, 1)).toEqual([2, 3, 4, 5]);
    const again = openStore(database).store;
    expect(again.eventsSince(3, [ALL], { resumes: true }).events).toMatchObject([
      { revision: 4, key: utf8("k3"), record: null, before: null },
      { revision: 5, record: { version: 1 } },
    ]);
    expect(codeOf(() => revisions(again, 2))).toBe("compacted");
    expect(codeOf(() => again.eventsSince(3, [ALL]))).toBe("compacted");
  });

  test("compaction in slices forgets exactly what it says", () => {
    const { store } = openStore();
    for (let i = 1; i <= 20; i++) put(store, "a", String(i));
    expect(store.compact(15, 4)).toBe(false);
    expect(store.compacted).toBe(4);
    expect(text(store.getAt("kv", utf8("a"), 4)!.value)).toBe("4");
    let slices = 1;
    while (!store.compact(15, 4)) slices++;
    expect([store.compacted, slices]).toEqual([15, 3]);
    expect(text(store.getAt("kv", utf8("a"), 16)!.value)).toBe("16");
  });
});

describe("spaces without history", () => {
  const open = (database = new MemoryDatabase()) => {
    const backend = new SqliteBackend(database, crc32, new Set(["passing"]));
    return { backend, store: new Store(backend, sha256) };
  };
  const write = (store: Store, space: string, key: string, value: string | null): number =>
    store.run({ command: "write" }, context(), (txn) => {
      if (value === null) txn.delete(space, utf8(key));
      else txn.put(space, utf8(key), utf8(value));
    }).revision;
  const range = { from: new Uint8Array(), to: null };
  const passing: WatchRange = { space: "passing", ...range };

  test("keep no replaced versions, and say `compacted` of the past; others are read as ever", () => {
    const database = new MemoryDatabase();
    const { store } = open(database);
    const past = write(store, "passing", "a", "1");
    write(store, "kv", "a", "1");
    write(store, "passing", "a", "2");
    write(store, "kv", "a", null);
    expect(database.all("SELECT space FROM history")).toEqual([["kv"]]);
    expect(codeOf(() => store.rangeAt("passing", range, past))).toBe("compacted");
    expect(codeOf(() => store.getAt("passing", utf8("a"), past))).toBe("compacted");
    expect(text(store.rangeAt("passing", range, store.revision)[0]!.value)).toBe("2");
    expect(store.rangeAt("kv", range, past + 1)).toHaveLength(1);
    expect(codeOf(() => store.snapshotPage(past, null, 1000))).toBe("compacted");
  });

  test("are watched from what memory has, and from no further back", () => {
    const database = new MemoryDatabase();
    const { store } = open(database);
    const since = write(store, "passing", "a", "1");
    write(store, "passing", "a", null);
    expect(store.eventsSince(since, [passing]).events).toMatchObject([{ record: null, before: { version: 1 } }]);
    const again = open(database).store;
    expect(codeOf(() => again.eventsSince(since, [passing]))).toBe("compacted");
    expect(again.eventsSince(again.revision, [passing]).events).toEqual([]);
    expect(again.eventsSince(since, [ALL]).events).toEqual([]);
  });

  test("have an index that never misses a change, a deletion least of all", () => {
    const database = new MemoryDatabase();
    const { store } = open(database);
    write(store, "passing", "a", "1");
    const gone = write(store, "passing", "a", null);
    write(store, "kv", "a", "1");
    expect(store.lastChange([passing])).toBe(gone);
    const again = open(database).store;
    expect(again.lastChange([passing])).toBeGreaterThanOrEqual(gone);
    const index = again.lastChange([passing]);
    write(again, "kv", "a", "2");
    expect(again.lastChange([passing])).toBe(index);
  });

  test("a key that is there has an index of its own, which its neighbours do not move", () => {
    const { store } = open();
    const one: WatchRange = { space: "passing", from: utf8("a"), to: keyAfter(utf8("a")) };
    const written = write(store, "passing", "a", "1");
    write(store, "passing", "b", "1");
    expect(store.lastChange([one])).toBe(written);
    write(store, "passing", "a", null);
    const gone = write(store, "passing", "b", null);
    expect(store.lastChange([one])).toBe(gone);
  });

  test("are kept whole for a snapshot, and what was kept for it goes", () => {
    const database = new MemoryDatabase();
    const { backend, store } = open(database);
    const before = write(store, "passing", "a", "1");
    backend.keepAll();
    write(store, "passing", "a", "2");
    write(store, "passing", "a", null);
    expect(store.snapshotPage(before, null, 1000).records).toMatchObject([{ record: { version: 1 } }]);
    expect(store.rangeAt("passing", range, before)).toHaveLength(1);
    backend.keepUsual();
    expect(codeOf(() => store.snapshotPage(before, null, 1000))).toBe("compacted");
    expect(backend.dropLeftovers()).toBe(false);
    expect(database.all("SELECT count(*) FROM history")).toEqual([[0]]);
  });
});

describe("reading ahead", () => {
  const keys = ["a", "b", "c"].map((key) => utf8(key));
  const values = (store: Store) => keys.map((key) => (store.get("kv", key) ? text(store.get("kv", key)!.value) : null));

  test("answers what one read each would answer, also of what was written since", () => {
    const { backend, store } = openStore();
    put(store, "a", "1");
    put(store, "b", "1");
    backend.batch(() => {
      backend.foresee("kv", keys);
      expect(values(store)).toEqual(["1", "1", null]);
      put(store, "a", "2");
      put(store, "c", "2");
      remove(store, "b");
      expect(values(store)).toEqual(["2", null, "2"]);
      // Whatever looks at leases has what is pending written first.
      expect(store.leased("1")).toEqual([]);
      expect(values(store)).toEqual(["2", null, "2"]);
    });
    expect(values(store)).toEqual(["2", null, "2"]);
  });

  test("is forgotten with its batch, also with one that fails", () => {
    const { database, backend, store } = openStore();
    put(store, "a", "1");
    const failing = (): unknown =>
      database.transaction(() =>
        backend.batch(() => {
          backend.foresee("kv", keys);
          throw new Error("no");
        }),
      );
    expect(failing).toThrow("no");
    put(store, "b", "2");
    expect(values(store)).toEqual(["1", "2", null]);
  });

  test("a database that is called once for all of them", () => {
    const { database, backend, store } = openStore();
    put(store, "a", "1");
    backend.batch(() => {
      backend.foresee("kv", keys);
      database.failOn = /SELECT/;
      expect(values(store)).toEqual(["1", null, null]);
    });
    database.failOn = null;
  });
});

describe("damage", () => {
  test("a flipped byte in a value is refused, in current and in old records", () => {
    const { database, store } = openStore();
    put(store, "a", "aaaa");
    put(store, "a", "bbbb");
    put(store, "b", "fine");
    database.all("UPDATE records SET value = ? WHERE key = ?", utf8("bbcb"), utf8("a"));
    database.all("UPDATE history SET value = ? WHERE key = ?", utf8("abaa"), utf8("a"));
    expect(codeOf(() => store.get("kv", utf8("a")))).toBe("corrupt");
    expect(codeOf(() => store.range("kv", ALL))).toBe("corrupt");
    expect(codeOf(() => store.getAt("kv", utf8("a"), 1))).toBe("corrupt");
    expect(codeOf(() => store.snapshotPage(3, null, 1000))).toBe("corrupt");
    expect(text(store.get("kv", utf8("b"))!.value)).toBe("fine");
  });

  test("a changed lease, revision or key is noticed like a changed value", () => {
    for (const change of ["lease = '9'", "mod_revision = 2", "version = 5", "key = x'62'", "space = 'vk'"]) {
      const { database, store } = openStore();
      put(store, "a", "1");
      database.all(`UPDATE records SET ${change}`);
      expect(
        codeOf(() => [store.range("kv", ALL), store.range("vk", ALL)]),
        change,
      ).toBe("corrupt");
    }
  });

  test("A2: a changed, removed or reordered log entry breaks the chain where it stands", () => {
    const broken = (statement: string): number | null => {
      const { database, store } = openStore();
      for (let i = 1; i <= 6; i++) put(store, `k${i}`, String(i));
      expect(store.verifyChain(0, 100)).toEqual({ checked: 6, through: 6, brokenAt: null });
      database.all(statement);
      return store.verifyChain(0, 100).brokenAt;
    };
    expect(broken("UPDATE log SET canonical = replace(canonical, 'root', 'toor') WHERE revision = 3")).toBe(3);
    expect(broken("DELETE FROM log WHERE revision = 3")).toBe(4);
    expect(broken("UPDATE log SET content = zeroblob(32) WHERE revision = 2")).toBe(2);
    expect(
      broken("UPDATE log SET revision = CASE revision WHEN 4 THEN -5 WHEN 5 THEN -4 END WHERE revision IN (4, 5)"),
    ).not.toBeNull();
  });

  test("the chain can be checked in slices, and after the oldest entries were let go", () => {
    const { backend, store } = openStore();
    for (let i = 1; i <= 10; i++) put(store, "k", String(i));
    const first = store.verifyChain(0, 4);
    expect(first).toEqual({ checked: 4, through: 4, brokenAt: null });
    expect(store.verifyChain(4, 100)).toEqual({ checked: 6, through: 10, brokenAt: null });
    backend.trimLog(6);
    expect(store.verifyChain(0, 100)).toEqual({ checked: 4, through: 10, brokenAt: null });
    expect(put(store, "k", "11")).toBe(11);
  });
});

describe("restarts", () => {
  test("K4: revisions go on, also after all log entries were let go and above a raised floor", () => {
    const { database, backend, store } = openStore();
    for (let i = 1; i <= 3; i++) put(store, "k", String(i));
    store.compact(3);
    backend.trimLog(3);
    const again = openStore(database);
    expect(again.store.revision).toBe(3);
    expect(put(again.store, "k", "4")).toBe(4);
    again.backend.raiseFloor(1000);
    again.store.reload();
    expect(codeOf(() => again.store.getAt("kv", utf8("k"), 4))).toBe("compacted");
    expect(put(again.store, "k", "5")).toBe(1001);
    expect(again.store.verifyChain(0, 100).brokenAt).toBeNull();
  });

  test("K12: the hash of the chain is the same after a restart", () => {
    const { database, store } = openStore();
    put(store, "a", "1");
    expect(openStore(database).store.hash).toEqual(store.hash);
  });

  test("a store of a newer schema is not touched", () => {
    const { database, backend } = openStore();
    backend.setMeta("schema_version", "99");
    expect(codeOf(() => openStore(database))).toBe("unsupported");
  });

  test("a commit of very many keys is logged whole", () => {
    const { database, store } = openStore();
    const keys = Array.from({ length: 30_000 }, (_, at) => utf8(`some/long/path/to/a/key/${at}`));
    store.run({ command: "many", requestId: "r" }, context(), (txn) => {
      for (const key of keys) txn.put("kv", key, utf8("v"));
      return keys.length;
    });
    const again = openStore(database).store;
    expect(again.log(0, 1)[0]!.changes).toHaveLength(30_000);
    expect(again.verifyChain(0, 1).brokenAt).toBeNull();
    expect(again.eventsSince(0, [ALL]).events).toHaveLength(30_000);
    expect(again.run({ command: "many", requestId: "r" }, context(), () => 0).value).toBe(30_000);
  });

  test("a disk that fails in the middle of a batch leaves nothing of it", () => {
    const database = new MemoryDatabase();
    const { store } = openStore(database);
    put(store, "a", "1");
    database.failOn = /INSERT INTO log /;
    expect(() => database.transaction(() => put(store, "b", "2"))).toThrow("disk I/O error");
    database.failOn = null;
    const again = openStore(database).store;
    expect([again.revision, again.get("kv", utf8("b"))]).toEqual([1, undefined]);
  });
});
