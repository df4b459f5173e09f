/**
 * Records that were read lately: what many ask for costs no call of the database.
 *
 * Refuses to know: what is stored and when it changes; its owner tells it.
 */
import type { Space, StoredRecord } from "./txn.ts";
import { changeKey } from "./txn.ts";

const BYTES_MAX = 4 * 1024 * 1024;
/** A larger one would push out too many others. */
const RECORD_BYTES_MAX = 64 * 1024;
/** What a record takes besides key and value. */
const RECORD_BYTES = 200;

export class RecordCache {
  /** The oldest first. */
  readonly #kept = new Map<string, StoredRecord>();
  #bytes = 0;

  get(space: Space, key: Uint8Array): StoredRecord | undefined {
    return this.#kept.size === 0 ? undefined : this.#kept.get(changeKey(space, key));
  }

  add(space: Space, record: StoredRecord): void {
    const bytes = bytesOf(record);
    if (bytes > RECORD_BYTES_MAX) return;
    const id = changeKey(space, record.key);
    this.#drop(id);
    this.#kept.set(id, record);
    this.#bytes += bytes;
    for (const [oldest] of this.#kept) {
      if (this.#bytes <= BYTES_MAX) return;
      this.#drop(oldest);
    }
  }

  /** It has been written, or deleted. */
  changed(space: Space, key: Uint8Array): void {
    if (this.#kept.size > 0) this.#drop(changeKey(space, key));
  }

  clear(): void {
    this.#kept.clear();
    this.#bytes = 0;
  }

  #drop(id: string): void {
    const record = this.#kept.get(id);
    if (!record) return;
    this.#kept.delete(id);
    this.#bytes -= bytesOf(record);
  }
}

const bytesOf = ({ key, value }: StoredRecord): number => key.length + value.length + RECORD_BYTES;
