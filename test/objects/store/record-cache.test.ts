/** Records kept in memory: what is read is what is stored, whatever happened to it since it was read. */
import { describe, expect, test } from "vitest";
import { keyAfter, text, utf8 } from "../../../objects/bytes.ts";
import { RecordCache } from "../../../objects/store/record-cache.ts";
import { context, openStore } from "./memory.ts";

const A = utf8("a");
const ONE_KEY = { from: A, to: keyAfter(A) };

function opened() {
  const { database, backend, store } = openStore();
  const put = (value: string) => store.run({ command: "put" }, context(), (txn) => txn.put("kv", A, utf8(value)));
  const remove = () => store.run({ command: "delete" }, context(), (txn) => txn.delete("kv", A));
  const read = () => {
    const one = store.get("kv", A);
    expect(store.range("kv", ONE_KEY)).toEqual(one ? [one] : []);
    return one && text(one.value);
  };
  return { database, backend, store, put, remove, read };
}

describe("a record that was read before", () => {
  test("and written, deleted, or written again since", () => {
    const { put, remove, read } = opened();
    expect(read()).toBeUndefined();
    put("1");
    expect([read(), read()]).toEqual(["1", "1"]);
    put("2");
    expect(read()).toBe("2");
    remove();
    expect(read()).toBeUndefined();
    put("3");
    expect(read()).toBe("3");
  });

  test("costs no call of the database", () => {
    const { database, put, read } = opened();
    put("1");
    read();
    database.failOn = /SELECT/;
    expect(read()).toBe("1");
  });

  test("in a batch: as it is by then, and as before when the batch is undone", () => {
    const { database, backend, put, read } = opened();
    put("1");
    read();
    const undone = () =>
      database.transaction(() =>
        backend.batch(() => {
          put("2");
          expect(read()).toBe("2");
          // It is written by now, and read again.
          backend.leased("none");
          expect(read()).toBe("2");
          throw new Error("undone");
        }),
      );
    expect(undone).toThrow("undone");
    expect(text(backend.get("kv", A)!.value)).toBe("1");
  });

  test("in a store that was cleared", () => {
    const { backend, put, read } = opened();
    put("1");
    read();
    backend.clear(5);
    expect(backend.get("kv", A)).toBeUndefined();
  });
});

test("what is kept has a bound: the oldest go first, and what is large is not taken", () => {
  const cache = new RecordCache();
  const key = (n: number) => utf8(`key ${n}`);
  const record = (n: number, bytes: number) => ({
    key: key(n),
    value: new Uint8Array(bytes),
    createRevision: 1,
    modRevision: 1,
    version: 1,
    lease: null,
  });
  cache.add("kv", record(0, 100_000));
  expect(cache.get("kv", key(0))).toBeUndefined();
  for (let n = 1; n <= 200; n++) cache.add("kv", record(n, 60_000));
  expect(cache.get("kv", key(1))).toBeUndefined();
  const kept = Array.from({ length: 200 }, (_, n) => n + 1).filter((n) => cache.get("kv", key(n)));
  expect(kept.length).toBe(Math.floor((4 * 1024 * 1024) / (60_000 + 200 + 7)));
  expect(kept.at(-1)).toBe(200);
});
