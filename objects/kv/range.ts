/**
 * Ranges of keys: filtered, put in order, cut, and counted.
 *
 * A range is read in slices, because values may be large, and an answer ends where it would become too large for a turn or
 * for an answer: what is left of the range is told, so that whoever asked may go on there.
 */
import { compareBytes, keyAfter } from "../bytes.ts";
import { invalid } from "../errors.ts";
import type { KeyRange, StoredRecord } from "../store/txn.ts";
import { isCut } from "../store/txn.ts";
import { assertKey, RANGE_BYTES_MAX, RANGE_RECORDS_MAX } from "./key.ts";

export type OrderBy = "version" | "createRevision" | "modRevision" | "value";

/** Bounds that a record's revisions must lie in, both included. */
export interface RevisionBounds {
  createMin?: number | undefined;
  createMax?: number | undefined;
  modMin?: number | undefined;
  modMax?: number | undefined;
}

export interface RangeInput {
  /** One key, with `to` absent; else all keys from `key` up to `to` (null = no end). */
  key: Uint8Array;
  to?: Uint8Array | null | undefined;
  /** 0 or absent = as many as one answer carries. */
  limit?: number | undefined;
  /** Backwards, in whatever order. */
  reverse?: boolean | undefined;
  /** Absent = by key. */
  orderBy?: OrderBy | undefined;
  /** Leave out what lies outside. */
  bounds?: RevisionBounds | undefined;
  keysOnly?: boolean | undefined;
  /** Count the keys of the whole range, whatever the answer leaves out. */
  count?: boolean | undefined;
}

export interface RangeResult {
  records: StoredRecord[];
  /** There may be more records than were answered. */
  more: boolean;
  /** What has not been looked at; null = all has. Asked for without a limit, answers to all such parts make up the whole. */
  rest: KeyRange | null;
  /** Where it was asked for. */
  count?: number;
}

/** Where a range is read: the state now, that of a transaction, or that of a past revision. */
export interface RangeSource {
  range(range: KeyRange, options: { limit: number; reverse: boolean; bytesMax: number }): StoredRecord[];
  /** Absent: it has to be read. */
  count?(range: KeyRange): number;
}

export function rangeOf(input: RangeInput, source: RangeSource): RangeResult {
  const { key, to, limit = 0 } = input;
  if (to === undefined) assertKey(key);
  else if (!Number.isSafeInteger(limit) || limit < 0) throw invalid("limit", "must be a whole number of at least 0");
  const range = to === undefined ? { from: key, to: keyAfter(key) } : { from: key, to };
  const found = input.orderBy === undefined ? inKeyOrder(input, range, source) : ordered(input, range, source);
  const records = input.keysOnly ? found.records.map(withoutValue) : found.records;
  const { more, rest } = found;
  if (!input.count) return { records, more, rest };
  return { records, more, rest, count: more ? countOf(range, source) : found.seen };
}

/** The keys of a range. */
export function countOf(range: KeyRange, source: RangeSource): number {
  if (source.count) return source.count(range);
  let count = 0;
  for (const slice of slices(range, false, source)) count += slice.length;
  return count;
}

interface Found {
  records: StoredRecord[];
  more: boolean;
  rest: KeyRange | null;
  /** Looked at, those that were left out included. */
  seen: number;
}

function inKeyOrder(input: RangeInput, range: KeyRange, source: RangeSource): Found {
  const { reverse = false, keysOnly = false } = input;
  const wanted = wantedOf(input);
  const isWithin = withinOf(input.bounds);
  const records: StoredRecord[] = [];
  let [bytes, seen] = [0, 0];
  for (const slice of slices(range, reverse, source, Math.min(SLICE, wanted + 1))) {
    for (const record of slice) {
      if (isWithin(record)) {
        bytes += sizeOf(record, keysOnly);
        const isFull = records.length === wanted || (bytes > RANGE_BYTES_MAX && records.length > 0);
        if (isFull) return { records, more: true, rest: restFrom(range, record, reverse), seen };
        records.push(record);
      } else if (seen >= SEEN_MAX) return { records, more: true, rest: restFrom(range, record, reverse), seen };
      seen++;
    }
  }
  return { records, more: false, rest: null, seen };
}

/** All of the range has to be looked at, but no more is held than is answered. */
function ordered(input: RangeInput, range: KeyRange, source: RangeSource): Found {
  const { keysOnly = false } = input;
  const wanted = wantedOf(input);
  const isWithin = withinOf(input.bounds);
  const order = orderOf(input.orderBy!, input.reverse ?? false);
  let records: StoredRecord[] = [];
  let [bytes, seen, isCut] = [0, 0, false];
  for (const slice of slices(range, false, source)) {
    for (const record of slice) {
      if (seen >= SEEN_MAX) {
        const kept = records.sort(order).slice(0, wanted);
        return { records: kept, more: true, rest: restFrom(range, record, false), seen };
      }
      if (isWithin(record)) {
        const isFull = records.length >= 2 * wanted || bytes > RANGE_BYTES_MAX;
        if (isFull && records.length > wanted) {
          records = records.sort(order).slice(0, wanted);
          bytes = records.reduce((sum, one) => sum + sizeOf(one, keysOnly), 0);
          isCut = true;
        }
        const isTooLarge = records.length >= RANGE_RECORDS_MAX || (bytes > RANGE_BYTES_MAX && records.length > 0);
        if (isTooLarge) return { records: records.sort(order), more: true, rest: restFrom(range, record, false), seen };
        records.push(record);
        bytes += sizeOf(record, keysOnly);
      }
      seen++;
    }
  }
  const more = isCut || records.length > wanted;
  return { records: records.sort(order).slice(0, wanted), more, rest: null, seen };
}

/** Of those who have the same, that with the smaller key comes first. */
export function orderOf(orderBy: OrderBy, reverse: boolean): (a: StoredRecord, b: StoredRecord) => number {
  const compare =
    orderBy === "value"
      ? (a: StoredRecord, b: StoredRecord) => compareBytes(a.value, b.value)
      : (a: StoredRecord, b: StoredRecord) => a[orderBy] - b[orderBy];
  const sign = reverse ? -1 : 1;
  return (a, b) => sign * compare(a, b) || compareBytes(a.key, b.key);
}

const wantedOf = ({ limit = 0 }: RangeInput): number =>
  Math.min(limit === 0 ? RANGE_RECORDS_MAX : limit, RANGE_RECORDS_MAX);

function withinOf(bounds: RevisionBounds | undefined): (record: StoredRecord) => boolean {
  if (!bounds) return () => true;
  const { createMin = 0, createMax = Infinity, modMin = 0, modMax = Infinity } = bounds;
  return ({ createRevision, modRevision }) =>
    createRevision >= createMin && createRevision <= createMax && modRevision >= modMin && modRevision <= modMax;
}

export function* slices(
  range: KeyRange,
  reverse: boolean,
  source: RangeSource,
  limit = SLICE,
): Generator<StoredRecord[]> {
  for (let left = range; ;) {
    const slice = source.range(left, { limit, reverse, bytesMax: SLICE_BYTES });
    if (slice.length > 0) yield slice;
    if (slice.length < limit && !isCut(slice, SLICE_BYTES)) return;
    const last = slice.at(-1)!.key;
    left = reverse ? { from: left.from, to: last } : { from: keyAfter(last), to: left.to };
  }
}

/** What begins with a record that was not taken. */
const restFrom = (range: KeyRange, { key }: StoredRecord, reverse: boolean): KeyRange =>
  reverse ? { from: range.from, to: keyAfter(key) } : { from: key, to: range.to };

const SLICE = 512;
const SLICE_BYTES = 4 * 1024 * 1024;
/** Records that are looked at in one turn, though they may not be answered. */
const SEEN_MAX = 50_000;
const NOTHING = new Uint8Array();
export const withoutValue = (record: StoredRecord): StoredRecord => ({ ...record, value: NOTHING });
const sizeOf = ({ key, value }: StoredRecord, keysOnly: boolean): number =>
  key.length + (keysOnly ? 0 : value.length) + 64;
