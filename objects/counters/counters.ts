/**
 * Counters: one whole number of 64 bits a name, changed atomically. A counter that nobody has written is 0.
 *
 * Numbers are decimal texts outside, because 64 bits are more than a JSON number carries.
 */
import { invalid } from "../errors.ts";
import type { Page, PageInput, Stored } from "../policy/records.ts";
import { assertCas, pageOf } from "../policy/records.ts";
import { assertName, assertWhole } from "../registry/limits.ts";
import type { Context, Reader, Txn } from "../store/txn.ts";
import { JsonSpace } from "../store/txn.ts";

/** `modRevision` 0: it was never written. */
export type Counter = Stored<{ name: string; value: string }>;

/** By name: the number in decimal. */
const counterSpace = new JsonSpace<string>("counter");

const MIN = -(2n ** 63n);
const MAX = 2n ** 63n - 1n;
export const SEQUENCE_MAX = 1_000_000;

/** Codes: `invalid_argument` (also when it would not fit into 64 bits). */
export function addToCounter(
  txn: Txn,
  _context: Context,
  { name, delta }: { name: string; delta: string },
): Counter & { previous: string } {
  assertNumber("delta", delta);
  const { value: previous } = findCounter(txn, { name });
  const value = BigInt(previous) + BigInt(delta);
  if (value < MIN || value > MAX) throw invalid("delta", `${previous} and ${delta} do not fit into 64 bits together`);
  return { ...write(txn, name, value), previous };
}

/** The next numbers of a sequence, which nobody else gets: from `first` to `last`. */
export function nextInSequence(
  txn: Txn,
  context: Context,
  { name, count }: { name: string; count: number },
): { first: string; last: string } {
  assertWhole("count", count, 1, SEQUENCE_MAX);
  const { previous, value } = addToCounter(txn, context, { name, delta: String(count) });
  return { first: String(BigInt(previous) + 1n), last: value };
}

export interface SetCounterInput {
  name: string;
  value: string;
  /** Only if its mod revision is this; 0 = only if it was never written. */
  cas?: number | undefined;
}

/** Codes: `invalid_argument`, `conflict`. */
export function setCounter(txn: Txn, _context: Context, { name, value, cas }: SetCounterInput): Counter {
  assertNumber("value", value);
  assertCas(findCounter(txn, { name }), cas);
  return write(txn, name, BigInt(value));
}

/** False: there was none. Codes: `conflict`. */
export function deleteCounter(
  txn: Txn,
  _context: Context,
  { name, cas }: { name: string; cas?: number | undefined },
): { existed: boolean } {
  assertCas(findCounter(txn, { name }), cas);
  return { existed: counterSpace.delete(txn, name) };
}

export function findCounter(reader: Reader, { name }: { name: string }): Counter {
  assertName("name", name);
  const record = counterSpace.record(reader, name);
  if (!record) return { name, value: "0", createRevision: 0, modRevision: 0 };
  const { createRevision, modRevision } = record;
  return { name, value: counterSpace.decode(record), createRevision, modRevision };
}

export function listCounters(reader: Reader, input: PageInput): Page<Counter> {
  return pageOf(counterSpace, reader, input, ({ key }) => findCounter(reader, { name: counterSpace.parts(key)[0]! }));
}

function write(txn: Txn, name: string, value: bigint): Counter {
  counterSpace.put(txn, [name], String(value));
  return findCounter(txn, { name });
}

function assertNumber(field: string, value: unknown): asserts value is string {
  const isDecimal = typeof value === "string" && /^(?:0|-?[1-9]\d{0,18})$/.test(value);
  if (!isDecimal || BigInt(value) < MIN || BigInt(value) > MAX) {
    throw invalid(field, "must be a whole number of 64 bits, in decimal");
  }
}
