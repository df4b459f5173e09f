/**
 * The transaction port: the only way a room reads and changes state.
 *
 * A command is a synchronous function over a `Txn`. Its writes are held in memory until it returns; then they are one
 * commit with one revision. When it throws, nothing of it remains. A `Txn` sees its own writes.
 */
import { compareBytes, fromBinaryString, keyAfter, toBinaryString, utf8 } from "../bytes.ts";
import { HoldfastError, invalid } from "../errors.ts";
import type { Caller } from "../model.ts";
import { KeyOrder } from "./key-order.ts";

/** A kind of records: `instance`, `kv`, `lease`, … Spaces do not see each other's keys. */
export type Space = string;

export interface StoredRecord {
  key: Uint8Array;
  value: Uint8Array;
  /** The revision that created the key; kept while it lives. */
  createRevision: number;
  modRevision: number;
  /** Writes since creation; 1 at creation. */
  version: number;
  lease: string | null;
}

/** What a commit did to one key: the record before and after, null for absence. */
export interface Change {
  space: Space;
  key: Uint8Array;
  before: StoredRecord | null;
  after: StoredRecord | null;
  /** The record before was swept away: nobody has looked at it, and `before` is null. History has it. */
  isSwept?: true;
}

/** A record by its name. */
export interface Place {
  space: Space;
  key: Uint8Array;
}

/** Keys from `from` (inclusive) to `to` (exclusive; null = no end). */
export interface KeyRange {
  from: Uint8Array;
  to: Uint8Array | null;
}

/** All keys of a space. */
export const EVERYTHING: KeyRange = { from: new Uint8Array(), to: null };

export interface SpacedRange extends KeyRange {
  space: Space;
}

export interface RangeOptions {
  /** At most this many records. */
  limit?: number;
  reverse?: boolean;
  /** They may end with the record with which keys and values have so many bytes, whatever is left: see `isCut`. */
  bytesMax?: number;
}

/** Whether records were left out because these have so many bytes. */
export function isCut(records: readonly StoredRecord[], bytesMax = Infinity): boolean {
  return bytesMax < Infinity && records.reduce((sum, { key, value }) => sum + key.length + value.length, 0) >= bytesMax;
}

/** What is held of records at once. */
export interface Held {
  records: number;
  /** Of values. */
  bytes: number;
}

export interface RecordSize {
  key: Uint8Array;
  valueBytes: number;
}

export interface Reader {
  get(space: Space, key: Uint8Array): StoredRecord | undefined;
  /** As many `get`s, in their order. A transaction has them at hand from then on, to read, write or delete them. */
  getMany(space: Space, keys: readonly Uint8Array[]): (StoredRecord | undefined)[];
  /** Records in key order. */
  range(space: Space, range: KeyRange, options?: RangeOptions): StoredRecord[];
  /** Their keys and sizes alone; values, which may be large, are not read. */
  sizes(space: Space, range: KeyRange, limit: number): RecordSize[];
  /** Everything that hangs on a lease. */
  leased(lease: string): Place[];
  /** As many `leased`s, in their order, kept at hand like records; null when more than `max` hangs on them. */
  leasedMany(leases: readonly string[], max: Held): Place[][] | null;
}

/** What was, as far as history goes back. */
export interface History {
  /** A range as of a past revision, without what a command has written. Codes: `compacted`, `future_revision`. */
  rangeAt(space: Space, range: KeyRange, revision: number, options?: RangeOptions): StoredRecord[];
}

/** Of records that were swept away. */
export interface SweptTotal {
  keys: number;
  keyBytes: number;
  valueBytes: number;
}

export interface Txn extends Reader, History {
  /** What this command has swept so far. */
  readonly sweptTotal: SweptTotal;
  /** The revision this command will have, if it writes. */
  readonly revision: number;
  /** Writes a record, and answers it. `lease` null or absent detaches it from the lease it had. */
  put(space: Space, key: Uint8Array, value: Uint8Array, lease?: string | null): StoredRecord;
  /** Writes a record whose key is new, as the caller knows: nothing is looked up. */
  create(space: Space, key: Uint8Array, value: Uint8Array): void;
  /** True when the key was there. */
  delete(space: Space, key: Uint8Array): boolean;
  /** Deletes a whole range; `swept` are all there are in it. What they hold goes into history where it lies, unseen. */
  sweep(space: Space, range: KeyRange, swept: readonly RecordSize[]): void;
}

/** What a command is handed besides its input: it has no other clock, randomness or identity. */
export interface Context {
  now: number;
  caller: Caller;
  /** Fresh random bytes. */
  random(length: number): Uint8Array;
}

/** As etcd's default for a request. Runtimes cap a row near 2 MB, in which the key and what is kept beside it have room. */
export const VALUE_BYTES_MAX = 1_572_864;
export const KEY_BYTES_MAX = 4096;

/** The base a command's writes are laid over. */
export class OverlayTxn implements Txn {
  readonly revision: number;
  readonly sweptTotal: SweptTotal = { keys: 0, keyBytes: 0, valueBytes: 0 };
  readonly #base: Reader;
  readonly #history: History;
  readonly #changes = new Map<string, Change>();
  /** The keys of `#changes`, by space. */
  readonly #touched = new Map<Space, KeyOrder>();
  readonly #sweeps: SpacedRange[] = [];
  /** What was read from the base, which stands still while a command runs. */
  readonly #read = new Map<string, StoredRecord | undefined>();
  /** What hangs on a lease there, likewise. */
  readonly #leased = new Map<string, Place[]>();
  /** What was written to hang on a lease. */
  readonly #hung = new Map<string, Set<Change>>();
  #replacedBytes = 0;

  constructor(base: Reader, revision: number, history: History) {
    this.#base = base;
    this.revision = revision;
    this.#history = history;
  }

  /** The effective changes, in the order in which their keys were first touched. */
  changes(): Change[] {
    return [...this.#changes.values()].filter(
      ({ before, after, isSwept = false }) => before !== null || after !== null || isSwept,
    );
  }

  /** The ranges that were swept: all that the base has in them is a change. */
  get sweeps(): readonly SpacedRange[] {
    return this.#sweeps;
  }

  /** What was written or deleted, and the values that were there before. */
  get changed(): Held {
    return { records: this.#changes.size, bytes: this.#replacedBytes };
  }

  get(space: Space, key: Uint8Array): StoredRecord | undefined {
    const id = changeKey(space, key);
    const change = this.#changes.get(id);
    return change ? (change.after ?? undefined) : this.#baseOf(id, space, key);
  }

  getMany(space: Space, keys: readonly Uint8Array[]): (StoredRecord | undefined)[] {
    const found = this.#base.getMany(space, keys);
    return keys.map((key, at) => {
      const id = changeKey(space, key);
      this.#read.set(id, found[at]);
      const change = this.#changes.get(id);
      return change ? (change.after ?? undefined) : found[at];
    });
  }

  range(space: Space, range: KeyRange, options: RangeOptions = {}): StoredRecord[] {
    const { limit = Infinity, reverse = false, bytesMax = Infinity } = options;
    const touched = this.#touchedIn(space, range, reverse);
    let next = touched.next();
    if (next.done) return this.#base.range(space, range, options);
    const found: StoredRecord[] = [];
    const takeUpTo = (last: string | null): void => {
      while (!next.done && found.length < limit) {
        if (last !== null && (reverse ? next.value < last : next.value > last)) return;
        const { after } = this.#changes.get(next.value)!;
        if (after) found.push(after);
        next = touched.next();
      }
    };
    // What was touched hides records of the base: then more of them are read, twice as many each time.
    let rest = range;
    for (let size = limit; found.length < limit; size *= 2) {
      const page = this.#base.range(space, rest, { reverse, bytesMax, ...(size < Infinity && { limit: size }) });
      for (const record of page) {
        const id = changeKey(space, record.key);
        takeUpTo(id);
        if (found.length >= limit) return found;
        if (!this.#changes.has(id)) found.push(record);
      }
      if (isCut(page, bytesMax)) {
        if (isCut(found, bytesMax)) break;
      } else if (page.length < size) {
        takeUpTo(null);
        break;
      }
      const last = page.at(-1)!.key;
      rest = reverse ? { from: range.from, to: last } : { from: keyAfter(last), to: range.to };
    }
    return found;
  }

  sizes(space: Space, range: KeyRange, limit: number): RecordSize[] {
    if (this.#touchedIn(space, range).next().done) return this.#base.sizes(space, range, limit);
    return this.range(space, range, { limit }).map(({ key, value }) => ({ key, valueBytes: value.length }));
  }

  rangeAt(space: Space, range: KeyRange, revision: number, options?: RangeOptions): StoredRecord[] {
    return this.#history.rangeAt(space, range, revision, options);
  }

  leased(lease: string): Place[] {
    let found = this.#leased.get(lease);
    if (!found) this.#leased.set(lease, (found = this.#base.leased(lease)));
    const untouched = found.filter(({ space, key }) => !this.#changes.has(changeKey(space, key)));
    for (const { space, key } of this.#hung.get(lease) ?? []) untouched.push({ space, key });
    return untouched;
  }

  leasedMany(leases: readonly string[], max: Held): Place[][] | null {
    const found = this.#base.leasedMany(leases, max);
    if (!found) return null;
    leases.forEach((lease, at) => this.#leased.set(lease, found[at]!));
    return leases.map((lease) => this.leased(lease));
  }

  create(space: Space, key: Uint8Array, value: Uint8Array): void {
    this.#note(changeKey(space, key), { space, key, before: null, after: null });
    this.put(space, key, value);
  }

  put(space: Space, key: Uint8Array, value: Uint8Array, lease: string | null = null): StoredRecord {
    if (key.length > KEY_BYTES_MAX) {
      throw new HoldfastError("too_large", `key: longer than ${KEY_BYTES_MAX} bytes`, {
        field: "key",
        limit: KEY_BYTES_MAX,
      });
    }
    if (value.length > VALUE_BYTES_MAX) {
      throw new HoldfastError("too_large", `value: larger than ${VALUE_BYTES_MAX} bytes`, {
        field: "value",
        limit: VALUE_BYTES_MAX,
      });
    }
    const change = this.#touch(space, key);
    const current = change.after;
    this.#hang(change, lease);
    return (change.after = {
      key,
      value,
      createRevision: current?.createRevision ?? this.revision,
      modRevision: this.revision,
      // A key that is put twice in one command has been written once: the commit is what counts.
      version: current ? (current.modRevision === this.revision ? current.version : current.version + 1) : 1,
      lease,
    });
  }

  delete(space: Space, key: Uint8Array): boolean {
    const change = this.#touch(space, key);
    const existed = change.after !== null;
    this.#hang(change, null);
    change.after = null;
    return existed;
  }

  sweep(space: Space, range: KeyRange, swept: readonly RecordSize[]): void {
    for (const id of this.#touchedIn(space, range)) {
      const change = this.#changes.get(id)!;
      this.#hang(change, null);
      change.after = null;
      if (change.before === null) continue;
      change.before = null;
      change.isSwept = true;
    }
    for (const { key, valueBytes } of swept) {
      this.sweptTotal.keys++;
      this.sweptTotal.keyBytes += key.length;
      this.sweptTotal.valueBytes += valueBytes;
      const id = changeKey(space, key);
      if (!this.#changes.has(id)) this.#note(id, { space, key, before: null, after: null, isSwept: true });
    }
    this.#sweeps.push({ space, ...range });
  }

  #touchedIn(space: Space, { from, to }: KeyRange, reverse = false): Iterator<string, undefined> & Iterable<string> {
    const order = this.#touched.get(space);
    return order ? order.between(changeKey(space, from), to && changeKey(space, to), reverse) : [].values();
  }

  #touch(space: Space, key: Uint8Array): Change {
    const id = changeKey(space, key);
    let change = this.#changes.get(id);
    if (!change) {
      const before = this.#baseOf(id, space, key) ?? null;
      this.#replacedBytes += before?.value.length ?? 0;
      change = { space, key, before, after: before };
      this.#note(id, change);
    }
    return change;
  }

  /** Tells what hangs on which lease, before the change does. */
  #hang(change: Change, lease: string | null): void {
    const before = change.after?.lease ?? null;
    if (before !== null) this.#hung.get(before)?.delete(change);
    if (lease === null) return;
    const hung = this.#hung.get(lease);
    if (hung) hung.add(change);
    else this.#hung.set(lease, new Set([change]));
  }

  #note(id: string, change: Change): void {
    if (!this.#changes.has(id)) {
      let order = this.#touched.get(change.space);
      if (!order) this.#touched.set(change.space, (order = new KeyOrder()));
      order.add(id);
    }
    this.#changes.set(id, change);
  }

  #baseOf(id: string, space: Space, key: Uint8Array): StoredRecord | undefined {
    if (this.#read.has(id)) return this.#read.get(id);
    const record = this.#base.get(space, key);
    this.#read.set(id, record);
    return record;
  }
}

export function inRange(key: Uint8Array, range: KeyRange): boolean {
  return compareBytes(key, range.from) >= 0 && (range.to === null || compareBytes(key, range.to) < 0);
}

/** From a key to the next one there can be. */
export function isOneKey({ from, to }: KeyRange): boolean {
  if (to?.length !== from.length + 1 || to[from.length] !== 0) return false;
  return from.every((byte, at) => byte === to[at]);
}

export function keysBySpace(places: readonly Place[]): Map<Space, Uint8Array[]> {
  const keys = new Map<Space, Uint8Array[]>();
  for (const { space, key } of places) {
    const known = keys.get(space);
    if (known) known.push(key);
    else keys.set(space, [key]);
  }
  return keys;
}

/** One text for a space and a key in it. */
export function changeKey(space: Space, key: Uint8Array): string {
  return `${space}\0${toBinaryString(key)}`;
}

/** A revision given by a caller: a safe integer of at least 0. */
export function assertRevision(field: string, revision: number): void {
  if (!Number.isSafeInteger(revision) || revision < 0) throw invalid(field, "must be a whole number of at least 0");
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** A space of JSON records whose keys are tuples of names, joined by NUL (which no name may contain). */
export class JsonSpace<T> {
  readonly name: Space;
  /** What was put, by the bytes that it became: while these are at hand they need not be parsed. */
  readonly #put = new WeakMap<Uint8Array, T>();

  constructor(name: Space) {
    this.name = name;
  }

  key(...parts: string[]): Uint8Array {
    return utf8(parts.join("\0"));
  }

  parts(key: Uint8Array): string[] {
    return decoder.decode(key).split("\0");
  }

  decode(record: StoredRecord): T {
    return JSON.parse(decoder.decode(record.value)) as T;
  }

  /** As `decode`, but shared: not to be changed. */
  peek(record: StoredRecord): Readonly<T> {
    return this.#put.get(record.value) ?? this.decode(record);
  }

  record(reader: Reader, ...parts: string[]): StoredRecord | undefined {
    return reader.get(this.name, this.key(...parts));
  }

  get(reader: Reader, ...parts: string[]): T | undefined {
    const record = this.record(reader, ...parts);
    return record && this.decode(record);
  }

  /** All records whose key starts with these parts and has more of them. */
  under(reader: Reader, parts: string[], options: RangeOptions & { after?: Uint8Array } = {}): StoredRecord[] {
    return reader.range(this.name, this.rangeUnder(parts, options.after), options);
  }

  rangeUnder(parts: string[], after?: Uint8Array): KeyRange {
    const prefix = parts.length === 0 ? "" : parts.join("\0") + "\0";
    const from = utf8(prefix);
    const to = parts.length === 0 ? null : utf8(parts.join("\0") + "\x01");
    if (!after) return { from, to };
    return { from: fromBinaryString(toBinaryString(after) + "\0"), to };
  }

  /** From then on `value` is shared with who peeks, and is not to be changed. */
  put(txn: Txn, parts: string[], value: T, lease?: string | null): StoredRecord {
    const bytes = encoder.encode(JSON.stringify(value));
    this.#put.set(bytes, value);
    return txn.put(this.name, this.key(...parts), bytes, lease);
  }

  /** A record whose key is new, as the caller knows. */
  create(txn: Txn, parts: string[], value: T): void {
    txn.create(this.name, this.key(...parts), encoder.encode(JSON.stringify(value)));
  }

  delete(txn: Txn, ...parts: string[]): boolean {
    return txn.delete(this.name, this.key(...parts));
  }
}
