/**
 * Events of whole revisions, put together up to what one answer carries.
 *
 * A batch ends behind a revision, because none is split over two; one that is very large comes alone. What was there before
 * its changes is told as far as there is room: beyond what an RPC carries nobody could be told of it at all.
 */
import type { EventBatch, EventsOptions, StoreEvent } from "./store.ts";
import type { Space, StoredRecord } from "./txn.ts";

export interface ToldChange {
  space: Space;
  key: Uint8Array;
  record: StoredRecord | null;
  /** Asked for where it is told. */
  before: () => StoredRecord | null | undefined;
}

/** An RPC carries 32 MiB. */
const ANSWER_BYTES_MAX = 30 * 1024 * 1024;
/** Of an event, and of a record in it, besides bytes of keys and values. */
const [EVENT_BYTES, RECORD_BYTES] = [80, 100];

export class EventBatcher {
  readonly #events: StoreEvent[] = [];
  readonly #limit: number;
  readonly #bytesMax: number;
  readonly #previous: boolean;
  #bytes = 0;

  constructor({ limit = 1000, bytesMax = Infinity, previous = true }: EventsOptions) {
    this.#limit = limit;
    this.#bytesMax = bytesMax;
    this.#previous = previous;
  }

  get isFull(): boolean {
    return this.#events.length >= this.#limit || this.#bytes >= this.#bytesMax;
  }

  /** False: it is for another batch. */
  add(revision: number, changes: readonly ToldChange[]): boolean {
    const bytes = changes.reduce((sum, { key, record }) => sum + EVENT_BYTES + key.length + bytesOf(record), 0);
    if (this.#events.length > 0 && this.#bytes + bytes > this.#bytesMax) return false;
    this.#bytes += bytes;
    for (const { space, key, record, before } of changes) {
      this.#events.push({ revision, space, key, record, before: this.#previous ? this.#fitting(before()) : null });
    }
    return true;
  }

  endingAt(revision: number): EventBatch {
    return { events: this.#events, revision };
  }

  #fitting(record: StoredRecord | null | undefined): StoredRecord | null {
    const bytes = bytesOf(record ?? null);
    if (!record || this.#bytes + bytes > ANSWER_BYTES_MAX) return null;
    this.#bytes += bytes;
    return record;
  }
}

const bytesOf = (record: StoredRecord | null): number =>
  record ? RECORD_BYTES + record.key.length + record.value.length : 0;
