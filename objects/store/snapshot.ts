/**
 * A snapshot as text: NDJSON with a header, one line for each record in the order of space and key, and a trailer whose
 * digest covers every byte before it. A reader believes nothing until the trailer has agreed. Behind it there may be what
 * makes it a file that etcd's clients keep: empty lines up to a multiple of 512 bytes, and the digest of all that.
 *
 * Refuses to know: where the text goes, and the store it came from.
 */
import { compareBytes, equalBytes, fromBase64, toBase64, utf8 } from "../bytes.ts";
import { invalid } from "../errors.ts";
import type { HoldfastError } from "../errors.ts";
import type { SpacedRecord } from "./backend.ts";
import { KEY_BYTES_MAX, VALUE_BYTES_MAX } from "./txn.ts";

export interface SnapshotHeader {
  holdfast: "snapshot";
  format: 1;
  namespace: string;
  datacenter: string;
  revision: number;
  /** Epoch milliseconds. */
  createdAt: number;
}

/** SHA-256, fed in parts. */
export interface IncrementalDigest {
  update(bytes: Uint8Array): void;
  digestHex(): string;
}

type RecordLine = [
  space: string,
  key: string,
  value: string,
  createRevision: number,
  modRevision: number,
  version: number,
  lease: string | null,
];

interface Trailer {
  end: true;
  count: number;
  sha256: string;
}

const LINE_BYTES_MAX = 4 * 1024 * 1024;
const NAME = /^[a-z_]{1,32}$/;
/** A lease's number, or a session's id. */
const LEASE = /^(?:-?\d{1,19}|[\da-f-]{36})$/;
const NEWLINE = 0x0a;
/** What etcd's clients look for: they take a file for whole when so much is left over from blocks of 512 bytes. */
const [BLOCK_BYTES, DIGEST_BYTES] = [512, 32];
const TAIL_BYTES_MAX = BLOCK_BYTES + DIGEST_BYTES;

/** The padding behind so many bytes of text. */
export const paddingAfter = (bytes: number): Uint8Array =>
  new Uint8Array((BLOCK_BYTES - (bytes % BLOCK_BYTES)) % BLOCK_BYTES).fill(NEWLINE);

/** Makes the text in parts, and keeps the digest of what it has made. */
export class SnapshotWriter {
  readonly #digest: IncrementalDigest;
  #count = 0;

  constructor(digest: IncrementalDigest) {
    this.#digest = digest;
  }

  header(header: SnapshotHeader): Uint8Array {
    return this.#hashed(`${JSON.stringify(header)}\n`);
  }

  records(records: readonly SpacedRecord[]): Uint8Array {
    this.#count += records.length;
    return this.#hashed(records.map((record) => `${JSON.stringify(lineOf(record))}\n`).join(""));
  }

  trailer(): Uint8Array {
    return utf8(
      `${JSON.stringify({ end: true, count: this.#count, sha256: this.#digest.digestHex() } satisfies Trailer)}\n`,
    );
  }

  #hashed(text: string): Uint8Array {
    const bytes = utf8(text);
    this.#digest.update(bytes);
    return bytes;
  }
}

function lineOf({ space, record }: SpacedRecord): RecordLine {
  const { key, value, createRevision, modRevision, version, lease } = record;
  return [space, toBase64(key), toBase64(value), createRevision, modRevision, version, lease];
}

/** Reads the text in whatever parts it comes. All errors are `invalid_argument` and name the line. */
export class SnapshotReader {
  readonly #digest: IncrementalDigest;
  #rest = new Uint8Array();
  #line = 0;
  #count = 0;
  #header: SnapshotHeader | undefined;
  #last: SpacedRecord | undefined;
  #ended = false;
  /** Of the text, with its trailer. */
  #size = 0;
  /** What came behind it. */
  #tail: Uint8Array = new Uint8Array();

  constructor(digest: IncrementalDigest) {
    this.#digest = digest;
  }

  get header(): SnapshotHeader | undefined {
    return this.#header;
  }

  /** The records that are whole with this chunk. */
  push(chunk: Uint8Array): SpacedRecord[] {
    if (this.#ended) {
      this.#addToTail(chunk);
      return [];
    }
    const bytes = new Uint8Array(this.#rest.length + chunk.length);
    bytes.set(this.#rest);
    bytes.set(chunk, this.#rest.length);
    const records: SpacedRecord[] = [];
    let from = 0;
    while (!this.#ended) {
      const end = bytes.indexOf(NEWLINE, from);
      if (end === -1) break;
      const record = this.#take(bytes.subarray(from, end + 1));
      if (record) records.push(record);
      from = end + 1;
    }
    if (this.#ended) {
      this.#rest = new Uint8Array();
      this.#addToTail(bytes.slice(from));
      return records;
    }
    this.#rest = bytes.slice(from);
    if (this.#rest.length > LINE_BYTES_MAX) throw this.#corrupt("is too long");
    return records;
  }

  /** The text has ended: throws unless it was whole. */
  finish(): SnapshotHeader {
    if (!this.#ended || !this.#header) throw this.#corrupt("is missing: the snapshot broke off");
    if (this.#tail.length > 0 && !this.#isFileEnd()) throw this.#comesAfterEnd();
    return this.#header;
  }

  #isFileEnd(): boolean {
    const padding = paddingAfter(this.#size);
    return (
      this.#tail.length === padding.length + DIGEST_BYTES && equalBytes(this.#tail.subarray(0, padding.length), padding)
    );
  }

  #addToTail(bytes: Uint8Array): void {
    if (this.#tail.length + bytes.length > TAIL_BYTES_MAX) throw this.#comesAfterEnd();
    const tail = new Uint8Array(this.#tail.length + bytes.length);
    tail.set(this.#tail);
    tail.set(bytes, this.#tail.length);
    this.#tail = tail;
  }

  #comesAfterEnd(): HoldfastError {
    this.#line++;
    return this.#corrupt("comes after the end");
  }

  #take(line: Uint8Array): SpacedRecord | undefined {
    this.#line++;
    this.#size += line.length;
    let parsed: unknown;
    try {
      parsed = JSON.parse(decoder.decode(line));
    } catch {
      throw this.#corrupt("is not JSON");
    }
    if (!this.#header) {
      this.#header = this.#asHeader(parsed);
      this.#digest.update(line);
      return undefined;
    }
    if (!Array.isArray(parsed)) {
      this.#checkTrailer(parsed as Trailer);
      return undefined;
    }
    const record = this.#asRecord(parsed);
    this.#digest.update(line);
    this.#count++;
    this.#last = record;
    return record;
  }

  #asHeader(value: unknown): SnapshotHeader {
    const header = value as SnapshotHeader;
    if (header?.holdfast !== "snapshot") throw this.#corrupt("is not the header of a snapshot");
    if (header.format !== 1) throw this.#corrupt("has a format that this version does not know");
    const isWhole = Number.isSafeInteger(header.revision) && header.revision >= 0;
    if (!isWhole || typeof header.namespace !== "string") throw this.#corrupt("has no revision");
    return header;
  }

  #asRecord(line: unknown[]): SpacedRecord {
    const [space, key64, value64, createRevision, modRevision, version, lease] = line as RecordLine;
    let key: Uint8Array;
    let value: Uint8Array;
    try {
      key = fromBase64(key64);
      value = fromBase64(value64);
    } catch {
      throw this.#corrupt("is not base64");
    }
    if (typeof space !== "string" || !NAME.test(space)) throw this.#corrupt("has no space");
    if (key.length > KEY_BYTES_MAX || value.length > VALUE_BYTES_MAX) throw this.#corrupt("is too large");
    const areRevisions =
      isRevision(createRevision) && isRevision(modRevision) && isRevision(version) && createRevision <= modRevision;
    if (!areRevisions || modRevision > this.#header!.revision) throw this.#corrupt("has impossible revisions");
    if (lease !== null && !LEASE.test(lease)) throw this.#corrupt("has no such lease");
    const record = { space, record: { key, value, createRevision, modRevision, version, lease } };
    if (this.#last && order(this.#last, record) >= 0) throw this.#corrupt("is out of order");
    return record;
  }

  #checkTrailer(trailer: Trailer): void {
    if (trailer?.end !== true) throw this.#corrupt("is neither a record nor the end");
    if (trailer.count !== this.#count)
      throw this.#corrupt(`says ${trailer.count} records, but there were ${this.#count}`);
    if (trailer.sha256 !== this.#digest.digestHex()) throw this.#corrupt("does not agree with what came before it");
    this.#ended = true;
  }

  #corrupt(what: string): HoldfastError {
    return invalid("body", `the snapshot is damaged: line ${Math.max(1, this.#line)} ${what}`);
  }
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const isRevision = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 1;

function order(a: SpacedRecord, b: SpacedRecord): number {
  if (a.space !== b.space) return a.space < b.space ? -1 : 1;
  return compareBytes(a.record.key, b.record.key);
}
