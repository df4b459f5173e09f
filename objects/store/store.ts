/**
 * The revisioned store of one namespace: commands become commits, commits become one order.
 *
 * It knows no rooms, no dialects, no clock and no network. `run` executes one command over an overlay; if the command
 * wrote anything, that is one commit with one revision, hash-chained to the one before.
 */
import { compareBytes, fromBase64, toBase64, utf8 } from "../bytes.ts";
import { HoldfastError } from "../errors.ts";
import type { Backend, Commit, LogRow, SnapshotCursor, SnapshotPage } from "./backend.ts";
import { canonicalText } from "./canonical.ts";
import { EventBatcher } from "./event-batch.ts";
import type {
  Change,
  Context,
  Held,
  KeyRange,
  Place,
  RangeOptions,
  Reader,
  RecordSize,
  Space,
  SpacedRange,
  StoredRecord,
} from "./txn.ts";
import { assertRevision, inRange, isOneKey, OverlayTxn } from "./txn.ts";

/** SHA-256 over the concatenation of the chunks; synchronous, because a commit is one turn. */
export type Digest = (...chunks: Uint8Array[]) => Uint8Array;

export interface CommandCall {
  command: string;
  /** A caller who may repeat the call after a lost answer gives the same id again, and gets the first result. */
  requestId?: string | undefined;
}

export interface CommandResult<T> {
  value: T;
  /** The commit's revision; without a write, the store's. */
  revision: number;
  commit: Commit | null;
}

/** One change as watchers see it. */
export interface StoreEvent {
  revision: number;
  space: Space;
  key: Uint8Array;
  /** Null when the key was deleted. */
  record: StoredRecord | null;
  before: StoredRecord | null;
}

export type WatchRange = SpacedRange;

export interface EventsOptions {
  /** The batch ends with the first revision with which it has so many; default 1000. */
  limit?: number | undefined;
  /** And it has no more bytes than this, unless its only revision has. */
  bytesMax?: number | undefined;
  resumes?: boolean | undefined;
  /** With the record before each change; default true. */
  previous?: boolean | undefined;
}

export interface EventBatch {
  events: StoreEvent[];
  /** All matching events up to and including this revision are in this batch or were before it. */
  revision: number;
}

const RECENT_COMMITS_MAX = 512;
const RECENT_BYTES_MAX = 2 * 1024 * 1024;
/** Of a result that is kept for who asks again: it has a row together with the log entry. */
const RESULT_BYTES_MAX = 1_450_000;
/** Of a UTF-16 code unit. */
const UTF8_BYTES_MAX = 3;
/** Log rows looked at in one turn, so that a long scan does not hold up commits. */
const SCAN_COMMITS_MAX = 2000;

export class Store implements Reader {
  readonly #backend: Backend;
  readonly #digest: Digest;
  #revision: number;
  #compacted: number;
  #hash: Uint8Array;
  /** The newest commits, so that watchers who keep up cost no reads. Ends at `#revision`, without gaps. */
  #recent: { commit: Commit; bytes: number }[] = [];
  #recentBytes = 0;
  /** Space → revision of its last change, for those that were asked for. */
  readonly #spaceChanges = new Map<Space, number>();

  constructor(backend: Backend, digest: Digest) {
    this.#backend = backend;
    this.#digest = digest;
    const head = backend.head();
    this.#revision = head.revision;
    this.#compacted = head.compacted;
    this.#hash = head.hash;
  }

  get revision(): number {
    return this.#revision;
  }

  /** Reads and watches below this revision answer `compacted`. */
  get compacted(): number {
    return this.#compacted;
  }

  get hash(): Uint8Array {
    return this.#hash;
  }

  /** Runs one command. What it throws leaves no trace; a repeated request id answers the first result. */
  run<T>(call: CommandCall, context: Context, command: (txn: OverlayTxn) => T): CommandResult<T> {
    const requestKey = call.requestId === undefined ? null : `${context.caller.principal}\0${call.requestId}`;
    if (requestKey !== null) {
      const earlier = this.#backend.replayOf(requestKey);
      if (earlier) {
        if (earlier.command !== call.command) {
          throw new HoldfastError("conflict", "this request id was used for another command", {
            command: earlier.command,
          });
        }
        return { value: decodeResult(earlier.result) as T, revision: earlier.revision, commit: null };
      }
    }
    const txn = new OverlayTxn(this.#backend, this.#revision + 1, this);
    const value = command(txn);
    const changes = txn.changes();
    if (changes.length === 0) return { value, revision: this.#revision, commit: null };
    const commit: Commit = {
      revision: this.#revision + 1,
      at: context.now,
      command: call.command,
      caller: context.caller,
      requestId: call.requestId ?? null,
      changes,
      sweeps: txn.sweeps,
    };
    const canonical = canonicalText(commit);
    const content = this.#digest(...contentChunks(changes));
    const hash = this.#digest(this.#hash, utf8(canonical), content);
    const replay = requestKey === null ? null : { requestKey, result: keptResult(value) };
    this.#backend.append({ commit, canonical, content, hash, replay });
    this.#revision = commit.revision;
    this.#hash = hash;
    this.#remember(commit);
    return { value, revision: commit.revision, commit };
  }

  get(space: Space, key: Uint8Array): StoredRecord | undefined {
    return this.#backend.get(space, key);
  }

  getMany(space: Space, keys: readonly Uint8Array[]): (StoredRecord | undefined)[] {
    return this.#backend.getMany(space, keys);
  }

  range(space: Space, range: KeyRange, options?: RangeOptions): StoredRecord[] {
    return this.#backend.range(space, range, options);
  }

  sizes(space: Space, range: KeyRange, limit: number): RecordSize[] {
    return this.#backend.sizes(space, range, limit);
  }

  leased(lease: string): Place[] {
    return this.#backend.leased(lease);
  }

  leasedMany(leases: readonly string[], max: Held): Place[][] | null {
    return this.#backend.leasedMany(leases, max);
  }

  /**
   * The index of what these ranges hold: the newest revision that wrote or deleted one of their keys. Where nothing is
   * left that tells, the compaction mark, and at least 1. It stands still while nothing in the ranges changes.
   */
  lastChange(ranges: readonly WatchRange[]): number {
    const last = Math.max(0, ...ranges.map((range) => this.#lastChangeOf(range)));
    return last === 0 ? Math.max(1, this.#compacted) : last;
  }

  /** Nothing in the range has changed since that revision, as far as memory tells; false may mean that it does not. */
  isKnownUnchanged(rangeOf: () => WatchRange, since: number): boolean {
    if (since === this.#revision) return true;
    const oldest = this.#recent[0]?.commit.revision;
    if (oldest === undefined || since < oldest - 1 || since > this.#revision) return false;
    const range = rangeOf();
    for (let i = this.#recent.length - (this.#revision - since); i < this.#recent.length; i++) {
      const { changes } = this.#recent[i]!.commit;
      if (changes.some(({ space, key }) => space === range.space && inRange(key, range))) return false;
    }
    return true;
  }

  #lastChangeOf({ space, from, to }: WatchRange): number {
    const isTold = this.#backend.historyBegins(space) === 0;
    if (isTold && (from.length > 0 || to !== null)) return this.#backend.lastChange(space, { from, to });
    const current = !isTold && isOneKey({ from, to }) ? this.#backend.get(space, from) : undefined;
    if (current) return current.modRevision;
    // Of a key that is gone nothing tells where there is no history: it may have been the last change of the space.
    let last = this.#spaceChanges.get(space);
    if (last === undefined) {
      last = isTold ? this.#backend.lastChange(space, { from, to }) : this.#revision;
      this.#spaceChanges.set(space, last);
    }
    return last;
  }

  count(space: Space, range: KeyRange): number {
    return this.#backend.countRange(space, range);
  }

  /** The record as of a past revision. Codes: `compacted`, `future_revision`. */
  getAt(space: Space, key: Uint8Array, revision: number): StoredRecord | undefined {
    this.#assertReadable(revision, this.#backend.historyBegins(space));
    return this.#backend.getAt(space, key, revision);
  }

  /** A range as of a past revision. Codes: `compacted`, `future_revision`. */
  rangeAt(space: Space, range: KeyRange, revision: number, options?: RangeOptions): StoredRecord[] {
    this.#assertReadable(revision, this.#backend.historyBegins(space));
    if (revision === this.#revision) return this.#backend.range(space, range, options);
    return this.#backend.rangeAt(space, range, revision, options);
  }

  /**
   * The events after `since` in any of the ranges, in order, never splitting a revision. May stop early (at `limit`
   * events, or after a long scan): go on from the batch's revision. Who `resumes` gets what is still known of compacted
   * history: what memory has, and the compacted revision itself. Codes: `compacted`, `future_revision`.
   */
  eventsSince(since: number, ranges: WatchRange[], options: EventsOptions = {}): EventBatch {
    assertRevision("since", since);
    if (since > this.#revision) throw this.#futureError(since);
    const oldest = this.#recent[0]?.commit.revision;
    const isRecent = oldest !== undefined && since >= oldest - 1;
    const isKnown = options.resumes === true && (isRecent || since === this.#compacted - 1);
    if (since < this.#compacted && !isKnown) throw this.#compactedError(since);
    const batch = new EventBatcher(options);
    if (isRecent) return this.#recentEvents(since, ranges, batch);
    const isKept = since === this.#revision || ranges.every(({ space }) => since >= this.#backend.historyBegins(space));
    if (!isKept) throw this.#compactedError(since, (oldest ?? this.#revision + 1) - 1);
    return this.#loggedEvents(since, ranges, batch);
  }

  /** Codes: `compacted` (it is already), `future_revision`. */
  assertCompactable(revision: number): void {
    assertRevision("revision", revision);
    if (revision > this.#revision) throw this.#futureError(revision);
    if (revision <= this.#compacted) throw this.#compactedError(revision);
  }

  /** Forgets history up to `revision`, at most `limit` commits at a time; true when it got there. */
  compact(revision: number, limit = SCAN_COMMITS_MAX): boolean {
    assertRevision("revision", revision);
    if (revision > this.#revision) throw this.#futureError(revision);
    if (revision <= this.#compacted) return true;
    const rows = this.#backend.log(this.#compacted, limit).filter((row) => row.revision <= revision);
    const reached = rows.length < limit ? revision : (rows.at(-1)?.revision ?? revision);
    this.#backend.dropHistory(rows, reached);
    this.#compacted = reached;
    return reached === revision;
  }

  /** A part of all records as of a revision. Codes: `compacted`, `future_revision`. */
  snapshotPage(revision: number, after: SnapshotCursor | null, bytesMax: number): SnapshotPage {
    this.#assertReadable(revision, this.#backend.allHistoryBegins);
    return this.#backend.snapshotPage(revision, after, bytesMax);
  }

  /** Audit entries after `since`, oldest first. */
  log(since: number, limit: number): LogRow[] {
    return this.#backend.log(since, limit);
  }

  /** Recomputes the hash chain over `limit` entries after `since`; the first entry that does not fit, if any. */
  verifyChain(since: number, limit: number): { checked: number; through: number; brokenAt: number | null } {
    const base = this.#backend.chainBase();
    let previous = base.hash;
    let through = Math.max(since, base.revision);
    if (since > base.revision) {
      const anchor = this.#backend.log(since - 1, 1)[0];
      if (anchor?.revision === since) previous = anchor.hash;
    }
    let checked = 0;
    for (const row of this.#backend.log(through, limit)) {
      const hash = this.#digest(previous, utf8(row.canonical), row.content);
      if (compareBytes(hash, row.hash) !== 0) return { checked, through, brokenAt: row.revision };
      previous = row.hash;
      through = row.revision;
      checked++;
    }
    return { checked, through, brokenAt: null };
  }

  /** Begins again from the backend's state: after a restore, or after the revision floor was raised. */
  reload(): void {
    const head = this.#backend.head();
    this.#revision = head.revision;
    this.#compacted = head.compacted;
    this.#hash = head.hash;
    this.#recent = [];
    this.#recentBytes = 0;
    this.#spaceChanges.clear();
  }

  #remember(commit: Commit): void {
    for (const { space } of commit.changes) this.#spaceChanges.set(space, commit.revision);
    let bytes = 0;
    for (const { before, after } of commit.changes)
      bytes += 200 + (before?.value.length ?? 0) + (after?.value.length ?? 0);
    this.#recent.push({ commit, bytes });
    this.#recentBytes += bytes;
    while (
      this.#recent.length > RECENT_COMMITS_MAX ||
      (this.#recentBytes > RECENT_BYTES_MAX && this.#recent.length > 1)
    ) {
      this.#recentBytes -= this.#recent.shift()!.bytes;
    }
  }

  #recentEvents(since: number, ranges: WatchRange[], batch: EventBatcher): EventBatch {
    let through = since;
    for (let i = this.#recent.length - (this.#revision - since); i < this.#recent.length; i++) {
      const { revision, changes } = this.#recent[i]!.commit;
      const told = changes
        .filter(({ space, key }) => matches(space, key, ranges))
        .map(({ space, key, before, after, isSwept }) => ({
          space,
          key,
          record: after,
          before: () => (isSwept ? this.#backend.replacedBy(space, key, revision) : before),
        }));
      if (!batch.add(revision, told)) break;
      through = revision;
      if (batch.isFull) break;
    }
    return batch.endingAt(through);
  }

  #loggedEvents(since: number, ranges: WatchRange[], batch: EventBatcher): EventBatch {
    const rows = this.#backend.log(since, SCAN_COMMITS_MAX);
    let through = since;
    for (const { revision, changes } of rows) {
      const told = changes
        .filter(({ space, key }) => matches(space, key, ranges))
        .map(({ space, key, type }) => ({
          space,
          key,
          record: (type === "put" && this.#backend.getAt(space, key, revision)) || null,
          before: () => this.#backend.replacedBy(space, key, revision),
        }));
      if (!batch.add(revision, told)) return batch.endingAt(through);
      through = revision;
      if (batch.isFull) return batch.endingAt(through);
    }
    return batch.endingAt(rows.length < SCAN_COMMITS_MAX ? this.#revision : through);
  }

  #assertReadable(revision: number, begins: number): void {
    assertRevision("revision", revision);
    if (revision < this.#revision && revision < begins)
      throw this.#compactedError(revision, Math.min(begins, this.#revision));
    if (revision < this.#compacted) throw this.#compactedError(revision);
    // Revision 1 is that of a store to which nothing was written.
    if (revision > Math.max(1, this.#revision)) throw this.#futureError(revision);
  }

  #compactedError(revision: number, compacted = this.#compacted): HoldfastError {
    return new HoldfastError("compacted", `revision ${revision} has been compacted; the oldest kept is ${compacted}`, {
      compacted,
      revision: this.#revision,
    });
  }

  #futureError(revision: number): HoldfastError {
    return new HoldfastError(
      "future_revision",
      `revision ${revision} has not been reached; the newest is ${this.#revision}`,
      {
        revision: this.#revision,
      },
    );
  }
}

function matches(space: Space, key: Uint8Array, ranges: WatchRange[]): boolean {
  for (const range of ranges) if (range.space === space && inRange(key, range)) return true;
  return false;
}

const ABSENT = new Uint8Array([0]);
const PRESENT = new Uint8Array([1]);

function contentChunks(changes: Change[]): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  for (const { after } of changes) {
    if (!after) chunks.push(ABSENT);
    else chunks.push(PRESENT, utf8(`${after.value.length}:${after.lease ?? ""}:`), after.value);
  }
  return chunks;
}

/** Codes: `too_large`; then nothing of the command remains. */
function keptResult(value: unknown): string {
  const result = encodeResult(value);
  const mayBeLarge = result.length > RESULT_BYTES_MAX / UTF8_BYTES_MAX;
  if (!mayBeLarge || utf8(result).length <= RESULT_BYTES_MAX) return result;
  throw new HoldfastError("too_large", "the answer is too large to be kept for a repeated request: ask without an id", {
    limit: RESULT_BYTES_MAX,
  });
}

/** Results kept for repeated requests may hold byte strings. */
function encodeResult(value: unknown): string {
  return JSON.stringify({ value }, (_key, item: unknown) =>
    item instanceof Uint8Array ? { $bytes: toBase64(item) } : item,
  );
}

function decodeResult(encoded: string): unknown {
  const parsed = JSON.parse(encoded, (_key, item: unknown) =>
    typeof item === "object" && item !== null && "$bytes" in item ? fromBase64(String(item.$bytes)) : item,
  ) as { value: unknown };
  return parsed.value;
}
