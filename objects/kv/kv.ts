/**
 * Keys and values as bytes, in byte order, with compare-and-set and transactions.
 *
 * Refuses to know: what a dialect keeps in a value.
 * Source of the transaction's form: etcd v3 API (compare, then, else).
 */
import { compareBytes, equalBytes, keyAfter } from "../bytes.ts";
import { HoldfastError, invalid } from "../errors.ts";
import { requireLease } from "../leases/leases.ts";
import type { Context, KeyRange, Reader, StoredRecord, Txn } from "../store/txn.ts";
import { inRange, KEY_BYTES_MAX } from "../store/txn.ts";
import { dropAttributes, dropAttributesIn } from "./attributes.ts";

export const KV = "kv";
/** Operations of one transaction, nested ones included (etcd's default). */
export const TXN_OPERATIONS_MAX = 128;
const TXN_DEPTH_MAX = 8;
/** Of one answer, so that it stays far below what one RPC carries. */
export const RANGE_BYTES_MAX = 8 * 1024 * 1024;
export const RANGE_RECORDS_MAX = 10_000;
/** Keys deleted by one command. */
const DELETE_MAX = 10_000;

export interface PutInput {
  key: Uint8Array;
  value: Uint8Array;
  lease?: string | null | undefined;
  /** Only if the key's mod revision is this; 0 = only if the key does not exist. */
  cas?: number | undefined;
  /** Answer the record that was replaced. */
  previous?: boolean | undefined;
}

export interface PutResult {
  record: StoredRecord;
  previous: StoredRecord | null;
}

/** Codes: `conflict`, `not_found` (the lease), `too_large`. */
export function put(txn: Txn, _context: Context, { key, value, lease = null, cas, previous }: PutInput): PutResult {
  assertKey(key);
  const before = txn.get(KV, key);
  assertCas(before, cas);
  if (lease !== null) requireLease(txn, lease);
  txn.put(KV, key, value, lease);
  return { record: txn.get(KV, key)!, previous: (previous && before) || null };
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
}

/** Codes: `conflict`, `too_large`. */
export function remove(txn: Txn, _context: Context, { key, to, cas, previous, partly }: DeleteInput): DeleteResult {
  if (to === undefined) {
    assertKey(key);
    const before = txn.get(KV, key);
    assertCas(before, cas);
    if (!before) return { deleted: 0, previous: [], more: false };
    deleteKey(txn, key);
    return { deleted: 1, previous: previous ? [before] : [], more: false };
  }
  if (cas !== undefined) throw invalid("cas", "is for a single key");
  if (partly) {
    const { records, more } = rangeOf({ key, to }, (range, options) => txn.range(KV, range, options));
    for (const record of records) deleteKey(txn, record.key);
    return { deleted: records.length, previous: previous ? records : [], more };
  }
  const records = txn.range(KV, { from: key, to }, { limit: DELETE_MAX + 1 });
  if (records.length > DELETE_MAX) {
    throw new HoldfastError("too_large", `more than ${DELETE_MAX} keys: delete them in smaller ranges`, {
      limit: DELETE_MAX,
    });
  }
  for (const record of records) txn.delete(KV, record.key);
  if (records.length > 0) dropAttributesIn(txn, { from: key, to });
  return { deleted: records.length, previous: previous ? records : [], more: false };
}

/** A key with all that it has. */
export function deleteKey(txn: Txn, key: Uint8Array): void {
  txn.delete(KV, key);
  dropAttributes(txn, key);
}

export interface RangeInput {
  /** One key, with `to` absent; else all keys from `key` up to `to` (null = no end). */
  key: Uint8Array;
  to?: Uint8Array | null | undefined;
  limit?: number | undefined;
  reverse?: boolean | undefined;
  keysOnly?: boolean | undefined;
}

export interface RangeResult {
  records: StoredRecord[];
  /** There are more records than were answered. */
  more: boolean;
}

/** `read` answers the records of a range, at whichever revision the caller reads. */
export function rangeOf(
  { key, to, limit = RANGE_RECORDS_MAX, reverse = false, keysOnly = false }: RangeInput,
  read: (range: KeyRange, options: { limit: number; reverse: boolean }) => StoredRecord[],
): RangeResult {
  if (to === undefined) {
    assertKey(key);
    const records = read({ from: key, to: keyAfter(key) }, { limit: 1, reverse: false });
    return { records: keysOnly ? records.map(withoutValue) : records, more: false };
  }
  if (!Number.isSafeInteger(limit) || limit < 0) throw invalid("limit", "must be a whole number of at least 0");
  const wanted = Math.min(limit === 0 ? RANGE_RECORDS_MAX : limit, RANGE_RECORDS_MAX);
  const records: StoredRecord[] = [];
  let bytes = 0;
  // In slices, because values may be large: what does not fit is not read.
  let range: KeyRange = { from: key, to };
  for (;;) {
    const slice = read(range, { limit: Math.min(wanted + 1 - records.length, SLICE), reverse });
    for (const record of slice) {
      bytes += record.key.length + (keysOnly ? 0 : record.value.length) + 64;
      if (records.length === wanted || (bytes > RANGE_BYTES_MAX && records.length > 0)) return { records, more: true };
      records.push(keysOnly ? withoutValue(record) : record);
    }
    if (slice.length < SLICE) return { records, more: false };
    const last = slice.at(-1)!.key;
    range = reverse ? { from: range.from, to: last } : { from: keyAfter(last), to };
  }
}

const SLICE = 512;
const NOTHING = new Uint8Array();
const withoutValue = (record: StoredRecord): StoredRecord => ({ ...record, value: NOTHING });

export type CompareTarget = "value" | "version" | "createRevision" | "modRevision" | "lease";
export type CompareOperator = "=" | "!=" | "<" | ">";

/** Holds if it holds for every key of the range; an absent key has version, revisions 0 and no value. */
export interface Compare {
  key: Uint8Array;
  to?: Uint8Array | null | undefined;
  target: CompareTarget;
  operator: CompareOperator;
  /** Bytes for `value`, a decimal id for `lease`, else a whole number. */
  operand: Uint8Array | string | number;
}

export type TxnOperation =
  | ({ type: "put" } & PutInput)
  | ({ type: "delete" } & DeleteInput)
  | ({ type: "range" } & RangeInput)
  | ({ type: "txn" } & TxnInput);

export interface TxnInput {
  compare: Compare[];
  then: TxnOperation[];
  else: TxnOperation[];
}

export type TxnOperationResult =
  | ({ type: "put" } & PutResult)
  | ({ type: "delete" } & DeleteResult)
  | ({ type: "range" } & RangeResult)
  | ({ type: "txn" } & TxnResult);

export interface TxnResult {
  succeeded: boolean;
  results: TxnOperationResult[];
}

/** Codes: `invalid_argument` (also a key put twice on one path), `not_found`, `too_large`. */
export function transact(txn: Txn, context: Context, input: TxnInput): TxnResult {
  const count = countOperations(input, 1);
  if (count > TXN_OPERATIONS_MAX) {
    throw new HoldfastError("too_large", `operations: more than ${TXN_OPERATIONS_MAX} in one transaction`, {
      field: "operations",
      limit: TXN_OPERATIONS_MAX,
    });
  }
  assertNoDuplicates(input);
  return runTxn(txn, context, input);
}

function runTxn(txn: Txn, context: Context, input: TxnInput): TxnResult {
  const succeeded = input.compare.every((compare) => holds(txn, compare));
  const results = (succeeded ? input.then : input.else).map((operation): TxnOperationResult => {
    switch (operation.type) {
      case "put":
        return { type: "put", ...put(txn, context, operation) };
      case "delete":
        return { type: "delete", ...remove(txn, context, operation) };
      case "range":
        return { type: "range", ...rangeOf(operation, (range, options) => txn.range(KV, range, options)) };
      case "txn":
        return { type: "txn", ...runTxn(txn, context, operation) };
    }
  });
  return { succeeded, results };
}

function holds(reader: Reader, compare: Compare): boolean {
  const { key, to } = compare;
  const records =
    to === undefined ? [reader.get(KV, key)] : reader.range(KV, { from: key, to }, { limit: RANGE_RECORDS_MAX });
  return records.every((record) => compareWith(record, compare));
}

function compareWith(record: StoredRecord | undefined, { target, operator, operand }: Compare): boolean {
  // An absent key has no value to compare, so nothing holds of it.
  if (target === "value" && !record) return false;
  const order = orderOf(record, target, operand);
  switch (operator) {
    case "=":
      return order === 0;
    case "!=":
      return order !== 0;
    case "<":
      return order < 0;
    case ">":
      return order > 0;
  }
}

function orderOf(record: StoredRecord | undefined, target: CompareTarget, operand: Compare["operand"]): number {
  if (target === "value") {
    if (!(operand instanceof Uint8Array)) throw invalid("compare.operand", "must be bytes for a value");
    return compareBytes(record!.value, operand);
  }
  if (target === "lease") {
    const [mine, theirs] = [BigInt(record?.lease ?? 0), BigInt(String(operand))];
    return mine < theirs ? -1 : mine > theirs ? 1 : 0;
  }
  if (typeof operand !== "number") throw invalid("compare.operand", `must be a number for ${target}`);
  return (record?.[target] ?? 0) - operand;
}

function countOperations({ then, else: otherwise, compare }: TxnInput, depth: number): number {
  if (depth > TXN_DEPTH_MAX) throw invalid("operations", `must not be nested deeper than ${TXN_DEPTH_MAX}`);
  const nested = (operations: TxnOperation[]): number =>
    operations.reduce(
      (sum, operation) => sum + 1 + (operation.type === "txn" ? countOperations(operation, depth + 1) : 0),
      0,
    );
  return Math.max(compare.length, nested(then), nested(otherwise));
}

/** One path through a transaction writes a key at most once (etcd's rule). */
function assertNoDuplicates(input: TxnInput): void {
  for (const path of [input.then, input.else]) writesOf(path);
}

interface Writes {
  puts: Uint8Array[];
  deletes: KeyRange[];
}

function writesOf(operations: TxnOperation[]): Writes {
  const all: Writes = { puts: [], deletes: [] };
  const add = ({ puts, deletes }: Writes): void => {
    for (const key of puts) {
      if (all.puts.some((other) => equalBytes(other, key)) || all.deletes.some((range) => inRange(key, range))) {
        throw invalid("operations", "a key is written twice in one transaction");
      }
    }
    for (const range of deletes) {
      if (all.puts.some((key) => inRange(key, range))) {
        throw invalid("operations", "a key is written twice in one transaction");
      }
    }
    all.puts.push(...puts);
    all.deletes.push(...deletes);
  };
  for (const operation of operations) {
    if (operation.type === "put") add({ puts: [operation.key], deletes: [] });
    if (operation.type === "delete") {
      add({
        puts: [],
        deletes: [{ from: operation.key, to: operation.to === undefined ? keyAfter(operation.key) : operation.to }],
      });
    }
    if (operation.type === "txn") {
      const [then, otherwise] = [writesOf(operation.then), writesOf(operation.else)];
      // Only one of the two runs, so they may write the same keys.
      const merged = { puts: then.puts, deletes: [...then.deletes, ...otherwise.deletes] };
      merged.puts = [
        ...then.puts,
        ...otherwise.puts.filter((key) => !then.puts.some((other) => equalBytes(other, key))),
      ];
      add(merged);
    }
  }
  return all;
}

export function assertKey(key: Uint8Array): void {
  if (!(key instanceof Uint8Array)) throw invalid("key", "must be bytes");
  if (key.length === 0) throw invalid("key", "must not be empty");
  if (key.length > KEY_BYTES_MAX) {
    throw new HoldfastError("too_large", `key: longer than ${KEY_BYTES_MAX} bytes`, {
      field: "key",
      limit: KEY_BYTES_MAX,
    });
  }
}

function assertCas(before: StoredRecord | undefined, cas: number | undefined): void {
  if (cas === undefined) return;
  const revision = before?.modRevision ?? 0;
  if (revision === cas) return;
  const why = revision === 0 ? "the key does not exist" : `the key is at revision ${revision}`;
  throw new HoldfastError("conflict", `expected revision ${cas}, but ${why}`, { field: "cas", revision });
}
