/**
 * Keys with their attributes: written with flags, acquired and released as locks, and read in pages of one revision.
 *
 * A lock is advisory: who does not ask for it may still write or delete the key. Whoever acquires a key stores a value with
 * it; so does whoever releases it. Writing what is there already writes nothing, so it wakes nobody.
 *
 * Source of the rules: Consul's key-value store.
 */
import { equalBytes, keyAfter, prefixEnd } from "../bytes.ts";
import { invalid } from "../errors.ts";
import { requireSession } from "../sessions/sessions.ts";
import type { Context, KeyRange, RangeOptions, Reader, Space, StoredRecord, Txn } from "../store/txn.ts";
import { isCut } from "../store/txn.ts";
import type { KeyAttributes } from "./attributes.ts";
import { assertFlags, attributesFrom, attributesOf, KEY_ATTRIBUTES, putAttributes } from "./attributes.ts";
import { assertKey, KV, RANGE_BYTES_MAX, RANGE_RECORDS_MAX } from "./key.ts";
import { isDelayed } from "./lock-delay.ts";

export type KeyEntry = StoredRecord & KeyAttributes;

/** `applied` false: the state did not allow it, and nothing has changed. */
export interface EntryResult {
  applied: boolean;
  /** As it is now. */
  entry: KeyEntry | null;
}

export interface SetInput {
  key: Uint8Array;
  value: Uint8Array;
  /** Default "0". */
  flags?: string | undefined;
  /** Only if the key's mod revision is this; 0 = only if the key does not exist. */
  cas?: number | undefined;
}

/** Writes a key. Who holds it goes on to, but the count of its acquisitions begins anew. */
export function setEntry(txn: Txn, { key, value, flags = "0", cas }: SetInput): EntryResult {
  assertWritable(key, value, flags);
  const before = entryOf(txn, key);
  if (cas !== undefined && cas !== (before?.modRevision ?? 0)) return { applied: false, entry: before };
  const { session, token } = before ?? FREE;
  return { applied: true, entry: write(txn, before, key, value, { flags, session, token, lockIndex: 0 }) };
}

export interface LockInput {
  key: Uint8Array;
  value: Uint8Array;
  /** Default "0". */
  flags?: string | undefined;
  session: string;
}

export type Acquired = EntryResult & {
  /** Why it was not granted. */
  refused?: "held" | "delayed";
};

/** Granted to who holds it already, too: then it is no new grant. Codes: `not_found` (the session). */
export function acquire(txn: Txn, { now }: Context, { key, value, flags = "0", session }: LockInput): Acquired {
  assertWritable(key, value, flags);
  const before = entryOf(txn, key);
  if (isDelayed(txn, key, now)) return { applied: false, entry: before, refused: "delayed" };
  requireSession(txn, session);
  const held = before ?? FREE;
  if (held.session !== null && held.session !== session) return { applied: false, entry: before, refused: "held" };
  const lock =
    held.session === session
      ? { session, lockIndex: held.lockIndex, token: held.token }
      : { session, lockIndex: held.lockIndex + 1, token: txn.revision };
  return { applied: true, entry: write(txn, before, key, value, { flags, ...lock }) };
}

/** Not applied unless this session holds the key. */
export function release(txn: Txn, { key, value, flags = "0", session }: LockInput): EntryResult {
  assertWritable(key, value, flags);
  assertSessionGiven(session);
  const before = entryOf(txn, key);
  if (before?.session !== session) return { applied: false, entry: before };
  const { lockIndex } = before;
  return { applied: true, entry: write(txn, before, key, value, { flags, session: null, lockIndex, token: 0 }) };
}

export function entryOf(reader: Reader, key: Uint8Array): KeyEntry | null {
  const record = reader.get(KV, key);
  return record ? { ...record, ...attributesOf(reader, key) } : null;
}

/** Writes a key with other attributes; a lease that it lives on goes on to be its own. */
function write(
  txn: Txn,
  before: KeyEntry | null,
  key: Uint8Array,
  value: Uint8Array,
  attributes: KeyAttributes,
): KeyEntry {
  if (before && isSame(before, attributes) && equalBytes(before.value, value)) return before;
  txn.put(KV, key, value, before?.lease ?? null);
  putAttributes(txn, key, attributes);
  return entryOf(txn, key)!;
}

const isSame = (a: KeyAttributes, b: KeyAttributes): boolean =>
  a.flags === b.flags && a.session === b.session && a.lockIndex === b.lockIndex;

const FREE: Pick<KeyAttributes, "session" | "lockIndex" | "token"> = { session: null, lockIndex: 0, token: 0 };

function assertWritable(key: Uint8Array, value: Uint8Array, flags: string): void {
  assertKey(key);
  if (!(value instanceof Uint8Array)) throw invalid("value", "must be bytes");
  assertFlags(flags);
}

function assertSessionGiven(session: string): void {
  if (typeof session !== "string" || session === "") throw invalid("session", "must not be empty");
}

export type ReadRange = (space: Space, range: KeyRange, options: RangeOptions) => StoredRecord[];

/** A part of a listing. */
export interface ListInput {
  prefix: Uint8Array;
  /** Where the part before this one said to go on. */
  from?: Uint8Array | undefined;
}

export interface EntryPage {
  entries: KeyEntry[];
  /** Where to go on; null at the end. */
  next: Uint8Array | null;
}

/** The keys that begin with a prefix, as many as one answer carries. */
export function listEntries({ prefix, from = prefix }: ListInput, read: ReadRange): EntryPage {
  const entries: KeyEntry[] = [];
  const to = prefixEnd(prefix);
  let bytes = 0;
  for (let at = from; ;) {
    const records = read(KV, { from: at, to }, { limit: SLICE, bytesMax: SLICE_BYTES });
    const attributes = attributesIn(records, read);
    for (const [index, record] of records.entries()) {
      bytes += record.key.length + record.value.length + ENTRY_BYTES;
      const isFull = entries.length === RANGE_RECORDS_MAX || (bytes > RANGE_BYTES_MAX && entries.length > 0);
      if (isFull) return { entries, next: record.key };
      entries.push({ ...record, ...attributesFrom(attributes[index]) });
    }
    if (isLast(records)) return { entries, next: null };
    at = keyAfter(records.at(-1)!.key);
  }
}

/** Values may be large: what does not fit is not read. */
const SLICE = 128;
const SLICE_BYTES = 2 * 1024 * 1024;
const isLast = (records: StoredRecord[]): boolean => records.length < SLICE && !isCut(records, SLICE_BYTES);
/** What an entry takes besides key and value. */
const ENTRY_BYTES = 128;

/** The attributes of each record, as far as it has some. */
function attributesIn(records: StoredRecord[], read: ReadRange): (StoredRecord | undefined)[] {
  const [first, last] = [records[0], records.at(-1)];
  if (!first || !last) return [];
  const found = read(KEY_ATTRIBUTES, { from: first.key, to: keyAfter(last.key) }, {});
  // Both are in key order, and nothing has attributes that is no key.
  let at = 0;
  return records.map(({ key }) => {
    const next = found[at];
    if (!next || !equalBytes(next.key, key)) return undefined;
    at++;
    return next;
  });
}

export interface KeysInput extends ListInput {
  /** Keys are cut behind the first one that follows the prefix, and told once. */
  separator?: Uint8Array | undefined;
}

export interface KeyPage {
  keys: Uint8Array[];
  /** Where to go on; null at the end. */
  next: Uint8Array | null;
}

/** Keys alone; what lies behind a separator is passed over. */
export function listKeys({ prefix, from = prefix, separator }: KeysInput, read: ReadRange): KeyPage {
  const keys: Uint8Array[] = [];
  const to = prefixEnd(prefix);
  let bytes = 0;
  for (let at: Uint8Array | null = from; at !== null;) {
    const records = read(KV, { from: at, to }, { limit: SLICE, bytesMax: SLICE_BYTES });
    at = isLast(records) ? null : keyAfter(records.at(-1)!.key);
    for (const { key } of records) {
      const end = separator ? endOfCut(key, prefix.length, separator) : -1;
      const cut = end === -1 ? key : key.slice(0, end);
      bytes += cut.length + ENTRY_BYTES;
      if (keys.length === RANGE_RECORDS_MAX || bytes > RANGE_BYTES_MAX) return { keys, next: key };
      keys.push(cut);
      if (end === -1) continue;
      at = prefixEnd(cut);
      break;
    }
  }
  return { keys, next: null };
}

/** Behind the first separator after the prefix; -1 when there is none. */
function endOfCut(key: Uint8Array, prefixLength: number, separator: Uint8Array): number {
  if (separator.length === 0) return -1;
  for (let at = prefixLength; at + separator.length <= key.length; at++) {
    if (separator.every((byte, index) => key[at + index] === byte)) return at + separator.length;
  }
  return -1;
}
