/**
 * Keys and values as bytes, in byte order, with compare-and-set: written and deleted.
 *
 * Refuses to know: what a dialect keeps in a value.
 */
import { HoldfastError, invalid } from "../errors.ts";
import { requireLease } from "../leases/leases.ts";
import type { Context, KeyRange, StoredRecord, SweptTotal, Txn } from "../store/txn.ts";
import { dropAttributes, dropAttributesIn } from "./attributes.ts";
import { assertKey, KV } from "./key.ts";
import type { RangeSource } from "./range.ts";
import { rangeOf, slices, withoutValue } from "./range.ts";

/**
 * What one command deletes at most, unseen. One RPC still tells a watcher of it, and the turn that it takes is over in
 * seconds: values are only moved, but that takes as long as the disk needs.
 */
export const SWEEP_MAX: SweptTotal = { keys: 100_000, keyBytes: 16 * 1024 * 1024, valueBytes: 96 * 1024 * 1024 };
/** And with an answer that tells what was there. */
const ANSWER_MAX = { keys: 10_000, bytes: 24 * 1024 * 1024 };

export interface PutInput {
  key: Uint8Array;
  value: Uint8Array;
  lease?: string | null | undefined;
  /** Leave the value, or the lease, as it is, whatever is given here; the key has to exist. */
  keepValue?: boolean | undefined;
  keepLease?: boolean | undefined;
  /** Only if the key's mod revision is this; 0 = only if the key does not exist. */
  cas?: number | undefined;
  /** Answer the record that was replaced. */
  previous?: boolean | undefined;
}

export interface PutResult {
  /** As it is now, without the value, which the caller has. */
  record: StoredRecord;
  previous: StoredRecord | null;
}

/** Codes: `conflict`, `not_found` (the lease; or the key, of which something is to be kept), `too_large`. */
export function put(txn: Txn, _context: Context, input: PutInput): PutResult {
  const { key, keepValue = false, keepLease = false } = input;
  assertKey(key);
  const before = txn.get(KV, key);
  assertCas(before, input.cas);
  const lease = keepLease ? (before?.lease ?? null) : (input.lease ?? null);
  if (!keepLease && lease !== null) requireLease(txn, lease);
  if ((keepValue || keepLease) && !before) {
    throw new HoldfastError("not_found", "the key does not exist", { field: "key" });
  }
  txn.put(KV, key, keepValue ? before!.value : input.value, lease);
  return { record: withoutValue(txn.get(KV, key)!), previous: (input.previous && before) || null };
}

export interface DeleteInput {
  /** One key, with `to` absent; else all keys from `key` up to `to`. */
  key: Uint8Array;
  to?: Uint8Array | null | undefined;
  cas?: number | undefined;
  previous?: boolean | undefined;
  /** Of a range: only as many as one commit takes well; call again while there are `more`. */
  partly?: boolean | undefined;
}

export interface DeleteResult {
  deleted: number;
  previous: StoredRecord[];
  /** There are more keys in the range. */
  more: boolean;
  /** That of the deletion; where there was nothing to delete, that of the state in which it was not there. */
  revision: number;
}

/** Codes: `conflict`, `too_large`. */
export function remove(txn: Txn, _context: Context, { key, to, cas, previous, partly }: DeleteInput): DeleteResult {
  if (to === undefined) {
    assertKey(key);
    const before = txn.get(KV, key);
    assertCas(before, cas);
    if (!before) return { deleted: 0, previous: [], more: false, revision: txn.revision - 1 };
    deleteKey(txn, key);
    return { deleted: 1, previous: previous ? [before] : [], more: false, revision: txn.revision };
  }
  if (cas !== undefined) throw invalid("cas", "is for a single key");
  if (partly) {
    const source: RangeSource = { range: (range, options) => txn.range(KV, range, options) };
    const { records, more } = rangeOf({ key, to }, source);
    for (const record of records) deleteKey(txn, record.key);
    return { ...deletedOf(txn, records), previous: previous ? records : [], more };
  }
  const range = { from: key, to };
  if (previous) {
    const records = recordsOf(txn, range);
    for (const record of records) txn.delete(KV, record.key);
    dropAttributesIn(txn, range, records.length);
    return { ...deletedOf(txn, records), previous: records, more: false };
  }
  const swept = txn.sizes(KV, range, SWEEP_MAX.keys + 1);
  if (swept.length > 0) {
    txn.sweep(KV, range, swept);
    const { keys, keyBytes, valueBytes } = txn.sweptTotal;
    if (keys > SWEEP_MAX.keys || keyBytes > SWEEP_MAX.keyBytes || valueBytes > SWEEP_MAX.valueBytes) {
      throw tooMany(SWEEP_MAX.keys);
    }
    dropAttributesIn(txn, range, swept.length);
  }
  return { ...deletedOf(txn, swept), previous: [], more: false };
}

/** All of a range, as far as an answer carries them. */
function recordsOf(txn: Txn, range: KeyRange): StoredRecord[] {
  const source: RangeSource = { range: (within, options) => txn.range(KV, within, options) };
  const records: StoredRecord[] = [];
  let bytes = 0;
  for (const slice of slices(range, false, source)) {
    records.push(...slice);
    for (const record of slice) bytes += record.key.length + record.value.length;
    if (records.length > ANSWER_MAX.keys || bytes > ANSWER_MAX.bytes) throw tooMany(ANSWER_MAX.keys);
  }
  return records;
}

const tooMany = (limit: number): HoldfastError =>
  new HoldfastError("too_large", `more than ${limit} keys, or very large ones: delete them in smaller ranges`, {
    limit,
  });

const deletedOf = (txn: Txn, { length }: readonly unknown[]): Pick<DeleteResult, "deleted" | "revision"> => ({
  deleted: length,
  revision: length > 0 ? txn.revision : txn.revision - 1,
});

/** A key with all that it has. */
export function deleteKey(txn: Txn, key: Uint8Array): void {
  txn.delete(KV, key);
  dropAttributes(txn, key);
}

function assertCas(before: StoredRecord | undefined, cas: number | undefined): void {
  if (cas === undefined) return;
  const revision = before?.modRevision ?? 0;
  if (revision === cas) return;
  const why = revision === 0 ? "the key does not exist" : `the key is at revision ${revision}`;
  throw new HoldfastError("conflict", `expected revision ${cas}, but ${why}`, { field: "cas", revision });
}
