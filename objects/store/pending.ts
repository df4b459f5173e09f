/**
 * What the commits of one batch write, held until the batch ends and then written many rows to a statement, because a call
 * of the database costs more than a row. A record that one batch writes again and again is written once.
 *
 * Refuses to know: commits, statements, the storage transaction around it.
 */
import type { AppendedCommit } from "./backend.ts";
import type { SqlValue } from "./sqlite.sql.ts";
import type { Space, StoredRecord } from "./txn.ts";
import { changeKey } from "./txn.ts";

export interface PendingRecord {
  space: Space;
  key: Uint8Array;
  /** Null: the key is to be deleted. */
  record: StoredRecord | null;
}

/** More is written before the batch ends: values may be large. */
const BYTES_MAX = 1024 * 1024;
const ROW_BYTES = 200;

export class PendingWrites {
  readonly #records = new Map<string, PendingRecord>();
  readonly #spaces = new Set<Space>();
  readonly #requests = new Set<string>();
  /** Rows in column order. */
  readonly history: SqlValue[][] = [];
  readonly log: SqlValue[][] = [];
  /** The same with a request's key and the result that is kept for it. */
  readonly repeatable: SqlValue[][] = [];
  #bytes = 0;

  get isEmpty(): boolean {
    return this.log.length + this.repeatable.length === 0;
  }

  get isLarge(): boolean {
    return this.#bytes > BYTES_MAX;
  }

  get records(): Iterable<PendingRecord> {
    return this.#records.values();
  }

  /** Undefined: nothing is pending for the key. */
  get(space: Space, key: Uint8Array): PendingRecord | undefined {
    return this.#records.size === 0 ? undefined : this.#records.get(changeKey(space, key));
  }

  /** Whether anything of the space is pending: records, or versions that were replaced. */
  touches(space: Space): boolean {
    return this.#spaces.has(space);
  }

  hasRequest(requestKey: string): boolean {
    return this.#requests.has(requestKey);
  }

  write(space: Space, key: Uint8Array, record: StoredRecord | null): void {
    this.#records.set(changeKey(space, key), { space, key, record });
    this.#spaces.add(space);
    this.#bytes += ROW_BYTES + (record?.value.length ?? 0);
  }

  replace(row: SqlValue[], bytes: number): void {
    this.history.push(row);
    this.#bytes += ROW_BYTES + bytes;
  }

  append(row: SqlValue[], bytes: number, replay: AppendedCommit["replay"]): void {
    this.#bytes += ROW_BYTES + bytes;
    if (replay === null) {
      this.log.push(row);
      return;
    }
    this.repeatable.push([...row, replay.requestKey, replay.result]);
    this.#bytes += replay.result.length;
    this.#requests.add(replay.requestKey);
  }
}
