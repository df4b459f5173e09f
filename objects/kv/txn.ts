/**
 * Transactions over keys: compare, then do one thing or the other, in one commit.
 *
 * Everything is compared with the state before the transaction, in nested ones too: the way through it is found first, and
 * then gone. Source of form and rules: etcd v3 API.
 */
import { compareBytes, keyAfter, toBinaryString } from "../bytes.ts";
import { HoldfastError, invalid } from "../errors.ts";
import type { Context, Reader, StoredRecord, Txn } from "../store/txn.ts";
import { KV } from "./key.ts";
import type { DeleteInput, DeleteResult, PutInput, PutResult } from "./kv.ts";
import { put, remove } from "./kv.ts";
import type { RangeInput, RangeResult, RangeSource } from "./range.ts";
import { rangeOf, slices } from "./range.ts";

/** Comparisons or operations of a level; those nested in it share what it leaves. */
export const TXN_OPERATIONS_MAX = 128;

export type CompareTarget = "value" | "version" | "createRevision" | "modRevision" | "lease";
export type CompareOperator = "=" | "!=" | "<" | ">";

/**
 * Holds if it holds for every key of the range; a range without any counts as one absent key. An absent key has version and
 * revisions 0 and no lease (0); it has no value, so nothing holds of that.
 */
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
  /** With `revision`: as of that one, without what the transaction has written. */
  | ({ type: "range"; revision?: number | undefined } & RangeInput)
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
  /** The commit's; where nothing was written, that of the state that was seen. */
  revision: number;
}

/** Codes: `invalid_argument` (`reason` "duplicate": one way writes a key twice), `too_large`, those of the operations. */
export function transact(txn: Txn, context: Context, input: TxnInput): TxnResult {
  assertCount(input, TXN_OPERATIONS_MAX);
  writesOf(input.then);
  writesOf(input.else);
  return follow(txn, context, wayThrough(txn, input));
}

/** What will be done, when all that is compared has been. */
interface Way {
  succeeded: boolean;
  steps: { operation: TxnOperation; nested: Way | null }[];
}

function wayThrough(reader: Reader, input: TxnInput): Way {
  const succeeded = input.compare.every((compare) => holds(reader, compare));
  const steps = (succeeded ? input.then : input.else).map((operation) => ({
    operation,
    nested: operation.type === "txn" ? wayThrough(reader, operation) : null,
  }));
  return { succeeded, steps };
}

function follow(txn: Txn, context: Context, { succeeded, steps }: Way): TxnResult {
  const results = steps.map(({ operation, nested }): TxnOperationResult => {
    switch (operation.type) {
      case "put":
        return { type: "put", ...put(txn, context, operation) };
      case "delete":
        return { type: "delete", ...remove(txn, context, operation) };
      case "range":
        return { type: "range", ...readRange(txn, operation) };
      case "txn":
        return { type: "txn", ...follow(txn, context, nested!) };
    }
  });
  const hasWritten = results.some(
    (result) =>
      result.type === "put" ||
      (result.type === "delete" && result.deleted > 0) ||
      (result.type === "txn" && result.revision === txn.revision),
  );
  return { succeeded, results, revision: hasWritten ? txn.revision : txn.revision - 1 };
}

/** There is no going on later within the same transaction. */
function readRange(txn: Txn, input: RangeInput & { revision?: number | undefined }): RangeResult {
  const result = rangeOf(input, sourceOf(txn, input.revision));
  const { limit = 0, orderBy } = input;
  // In key order what has not been looked at comes after the limit; in another it may come first.
  const isCut = orderBy === undefined && limit > 0 && result.records.length >= limit;
  if (result.rest === null || isCut) return result;
  throw new HoldfastError("too_large", "a range of the transaction has more keys than one answer carries", {
    limit: result.records.length,
  });
}

const sourceOf = (txn: Txn, revision: number | undefined): RangeSource => ({
  range: (range, options) =>
    revision === undefined ? txn.range(KV, range, options) : txn.rangeAt(KV, range, revision, options),
});

function holds(reader: Reader, compare: Compare): boolean {
  const { key, to } = compare;
  if (to === undefined) return isSo(reader.get(KV, key), compare);
  const source: RangeSource = { range: (range, options) => reader.range(KV, range, options) };
  let isEmpty = true;
  for (const records of slices({ from: key, to }, false, source)) {
    isEmpty = false;
    if (!records.every((record) => isSo(record, compare))) return false;
  }
  return !isEmpty || isSo(undefined, compare);
}

function isSo(record: StoredRecord | undefined, { target, operator, operand }: Compare): boolean {
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

function assertCount({ compare, then, else: otherwise }: TxnInput, max: number): void {
  const count = Math.max(compare.length, then.length, otherwise.length);
  if (count > max) throw tooManyOperations();
  for (const operation of [...then, ...otherwise]) {
    if (operation.type === "txn") assertCount(operation, max - count);
  }
}

export function tooManyOperations(): HoldfastError {
  return new HoldfastError("too_large", `operations: more than ${TXN_OPERATIONS_MAX} in one transaction`, {
    field: "operations",
    limit: TXN_OPERATIONS_MAX,
  });
}

/** Whether it may make the store larger. */
export const hasPuts = ({ then, else: otherwise }: TxnInput): boolean =>
  [...then, ...otherwise].some((one) => one.type === "put" || (one.type === "txn" && hasPuts(one)));

interface Writes {
  /** As binary strings. */
  puts: Set<string>;
  deletes: { from: string; to: string | null }[];
}

/** What one way through these operations may write. One way writes a key at most once; what only one of two does, both may. */
function writesOf(operations: readonly TxnOperation[]): Writes {
  const deletes = operations.filter((operation) => operation.type === "delete").map(deletedBy);
  const puts = new Set<string>();
  const add = (key: string, isSafe: (key: string) => boolean = () => false): void => {
    if ((puts.has(key) && !isSafe(key)) || deletes.some(({ from, to }) => key >= from && (to === null || key < to))) {
      throw new HoldfastError("invalid_argument", "operations: a key is written twice in one transaction", {
        field: "operations",
        reason: "duplicate",
      });
    }
    puts.add(key);
  };
  for (const operation of operations) {
    if (operation.type !== "txn") continue;
    const [then, otherwise] = [writesOf(operation.then), writesOf(operation.else)];
    for (const key of then.puts) add(key);
    for (const key of otherwise.puts) add(key, (written) => then.puts.has(written));
    deletes.push(...then.deletes, ...otherwise.deletes);
  }
  for (const operation of operations) if (operation.type === "put") add(toBinaryString(operation.key));
  return { puts, deletes };
}

function deletedBy({ key, to }: DeleteInput): Writes["deletes"][number] {
  const end = to === undefined ? keyAfter(key) : to;
  return { from: toBinaryString(key), to: end && toBinaryString(end) };
}
