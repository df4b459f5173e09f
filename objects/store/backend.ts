/** What the store asks of its storage, and the shapes kept there. One implementation: `sqlite.sql.ts`. */
import type { Caller } from "../model.ts";
import type { Change, KeyRange, RangeOptions, Reader, Space, SpacedRange, StoredRecord } from "./txn.ts";

/** The part of a commit that is audited and hash-chained. */
export interface CommitEntry {
  revision: number;
  at: number;
  command: string;
  caller: Caller;
  requestId: string | null;
}

export interface Commit extends CommitEntry {
  changes: Change[];
  /** What the base had in these ranges was swept away, before anything was written. */
  sweeps: readonly SpacedRange[];
}

/** One change as the log keeps it; values are found in the records and the history. */
export interface LoggedChange {
  space: Space;
  key: Uint8Array;
  type: "put" | "delete";
}

export interface LogRow extends CommitEntry {
  changes: LoggedChange[];
  /** The bytes that were hashed for this entry, exactly as they were. */
  canonical: string;
  /** Digest of the written values. */
  content: Uint8Array;
  /** Digest of the previous hash, `canonical` and `content`. */
  hash: Uint8Array;
}

export interface AppendedCommit {
  commit: Commit;
  canonical: string;
  content: Uint8Array;
  hash: Uint8Array;
  /** The command's result, for a caller who lost the answer; null when it gave no request id. */
  replay: { requestKey: string; result: string } | null;
}

export interface StoreHead {
  revision: number;
  /** History up to and including this revision is gone. */
  compacted: number;
  hash: Uint8Array;
}

/** A place in the order of space and key. */
export interface SnapshotCursor {
  space: Space;
  key: Uint8Array;
}

export interface SpacedRecord {
  space: Space;
  record: StoredRecord;
}

export interface SnapshotPage {
  records: SpacedRecord[];
  /** Where the next page begins; null after the last. */
  after: SnapshotCursor | null;
}

export interface Backend extends Reader {
  /** Runs `act` and writes what was appended meanwhile at its end; readers see it all the same. */
  batch<T>(act: () => T): T;
  head(): StoreHead;
  /** Writes records, history and log of one commit. The caller wraps it in a storage transaction. */
  append(appended: AppendedCommit): void;
  /** The record as it was at `revision`. */
  getAt(space: Space, key: Uint8Array, revision: number): StoredRecord | undefined;
  rangeAt(space: Space, range: KeyRange, revision: number, options?: RangeOptions): StoredRecord[];
  /** The record that `revision` replaced or deleted. */
  replacedBy(space: Space, key: Uint8Array, revision: number): StoredRecord | undefined;
  countRange(space: Space, range: KeyRange): number;
  /** The newest revision that wrote or deleted a key of the range, as far as history goes back; 0 = none. */
  lastChange(space: Space, range: KeyRange): number;
  /** Log rows after `since`, oldest first. */
  log(since: number, limit: number): LogRow[];
  /** The stored result of an earlier command with this request key. */
  replayOf(requestKey: string): { command: string; result: string; revision: number } | undefined;
  snapshotPage(revision: number, after: SnapshotCursor | null, bytesMax: number): SnapshotPage;
  /** The first revision as of which the space can be read, besides the present; Infinity = only the present. */
  historyBegins(space: Space): number;
  /** The same of all spaces together. */
  readonly allHistoryBegins: number;
  /** Drops the versions that these commits replaced, and moves the compaction mark to `revision`. */
  dropHistory(rows: LogRow[], revision: number): void;
  /** Forgets audit entries up to `revision`, keeping its hash as the chain's new base. */
  trimLog(revision: number): void;
  /** Where the chain of log entries begins: the hash before the oldest kept entry. */
  chainBase(): { revision: number; hash: Uint8Array };
  meta(name: string): string | undefined;
  setMeta(name: string, value: string): void;
  sizeBytes(): number;
}
