/** D3: a snapshot that is not whole is refused, wherever it is damaged. */
import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { text, utf8 } from "../../../objects/bytes.ts";
import { HoldfastError } from "../../../objects/errors.ts";
import type { SpacedRecord } from "../../../objects/store/backend.ts";
import { paddingAfter, SnapshotReader, SnapshotWriter } from "../../../objects/store/snapshot.ts";

function digest() {
  const hash = createHash("sha256");
  return { update: (bytes: Uint8Array) => void hash.update(bytes), digestHex: () => hash.digest("hex") };
}

const record = (space: string, key: string, value = "v", lease: string | null = null): SpacedRecord => ({
  space,
  record: { key: utf8(key), value: utf8(value), createRevision: 1, modRevision: 2, version: 2, lease },
});

const RECORDS = [
  record("instance", "a"),
  record("kv", ""),
  record("kv", "\u0000"),
  record("kv", "ä", "x".repeat(50), "7"),
  record("kv", "ö", "", "-9223372036854775808"),
  record("kv_attributes", "ö", "[]", "0b7e2f2c-5e1a-4f6d-9f0a-6a1d3d1f2b3c"),
];

function snapshotOf(records: SpacedRecord[], revision = 9): string {
  const writer = new SnapshotWriter(digest());
  const header = {
    holdfast: "snapshot",
    format: 1,
    namespace: "n",
    datacenter: "dc1",
    revision,
    createdAt: 0,
  } as const;
  return text(writer.header(header)) + text(writer.records(records)) + text(writer.trailer());
}

function read(source: Uint8Array, chunkBytes = 7): SpacedRecord[] {
  const reader = new SnapshotReader(digest());
  const records: SpacedRecord[] = [];
  for (let at = 0; at < source.length; at += chunkBytes)
    records.push(...reader.push(source.subarray(at, at + chunkBytes)));
  expect(reader.finish().namespace).toBe("n");
  return records;
}

describe("snapshot text", () => {
  test("what was written is read, in chunks of any size", () => {
    const source = utf8(snapshotOf(RECORDS));
    for (const chunk of [1, 2, 7, 64, 10_000]) expect(read(source, chunk)).toEqual(RECORDS);
    expect(read(utf8(snapshotOf([], 0)))).toEqual([]);
  });

  test("what etcd's clients want at the end of a file is passed over, and nothing else", () => {
    const records = RECORDS.slice(1);
    const source = utf8(snapshotOf(records));
    const file = (padding: number, digest = 32) =>
      new Uint8Array([...source, ...Array.from({ length: padding }, () => 0x0a), ...new Uint8Array(digest).fill(0x0a)]);
    const padding = paddingAfter(source.length).length;
    for (const chunk of [1, 7, 10_000]) expect(read(file(padding), chunk)).toEqual(records);
    expect(padding).toBeGreaterThan(0);
    for (const wrong of [file(padding - 1), file(padding + 1), file(padding, 31), file(padding, 33), file(0)]) {
      expect(() => read(wrong)).toThrow("comes after the end");
    }
  });

  test("one flipped bit anywhere, or a cut anywhere, is refused", () => {
    const source = utf8(snapshotOf(RECORDS));
    fc.assert(
      fc.property(fc.nat(source.length - 1), fc.nat(7), (at, bit) => {
        const damaged = source.slice();
        damaged[at]! ^= 1 << bit;
        expect(() => read(damaged)).toThrow(HoldfastError);
        expect(() => read(source.slice(0, at))).toThrow(HoldfastError);
      }),
      { numRuns: 500 },
    );
  });

  test.each([
    ["out of order", [RECORDS[1]!, RECORDS[0]!]],
    ["twice", [RECORDS[1]!, RECORDS[1]!]],
    ["a revision above the header's", [{ ...RECORDS[0]!, record: { ...RECORDS[0]!.record, modRevision: 10 } }]],
    ["created after it was changed", [{ ...RECORDS[0]!, record: { ...RECORDS[0]!.record, createRevision: 3 } }]],
    ["a space that cannot be", [record("KV; DROP", "a")]],
    ["a lease that cannot be", [record("kv", "a", "v", "x")]],
    ["a key that is too long", [record("kv", "k".repeat(5000))]],
  ])("a record %s is refused though its digest agrees", (_what, records) => {
    expect(() => read(utf8(snapshotOf(records)))).toThrow(/line \d+/);
  });

  test("other formats, other files and text after the end are refused", () => {
    const good = snapshotOf(RECORDS);
    expect(() => read(utf8(good.replace('"format":1', '"format":2')))).toThrow("format");
    expect(() => read(utf8("hello\n"))).toThrow("JSON");
    expect(() => read(utf8('{"a":1}\n'))).toThrow("header");
    expect(() => read(utf8(`${good}[]\n`))).toThrow("after the end");
    expect(() => read(utf8(`${good}x`))).toThrow("after the end");
    expect(() => read(utf8(""))).toThrow("broke off");
  });
});
