/**
 * What a watch tells: changes of keys as server-sent events, to the end of the stream.
 *
 * What the reader may see is asked for again with every batch: a token that is revoked ends its streams.
 */
import { toBinaryString, utf8 } from "../../objects/bytes.ts";
import type { Changes, ChangesInput } from "../../objects/core.ts";
import { HoldfastError } from "../../objects/errors.ts";
import type { StoreEvent, WatchRange } from "../../objects/store/store.ts";
import type { Authorizer } from "../request/authorizer.ts";
import { keyOutput, recordOutput } from "./convert.ts";
import type { WriteEvents } from "./event-stream.ts";
import { errorEvent, EVENTS_WAIT_MS, opening, progressEvent } from "./event-stream.ts";

export interface Watch {
  range: WatchRange;
  /** With the value before each change. */
  previous: boolean;
  changes: (input: ChangesInput, waitMs: number) => Promise<Changes>;
  /** What the reader may do as of now. Codes: `unauthenticated`, `unavailable`. */
  reauthorize: () => Promise<Authorizer>;
  /** Of all who watch the same namespace. */
  told: Told;
}

interface Batch extends Changes {
  /** Something of the range is not for this reader: what is sent is its own. */
  isFiltered?: boolean;
}

/** Of one batch: what a reader may have unread is bounded by it, and by one revision. */
const BATCH = { limit: 200, bytesMax: 64 * 1024 };

/** What there is after a revision, for who may see it. Codes: `compacted`, `future_revision`, and those of the caller. */
export async function look(
  { range, previous, changes, reauthorize }: Watch,
  since: number,
  waitMs = 0,
): Promise<Batch> {
  const batch = await changes({ since, ranges: [range], previous, ...BATCH }, waitMs);
  return seenBy(await reauthorize(), range, batch);
}

/** Goes on after a first look. Ends with a reason told, or rejects when the reader is gone. */
export async function follow(watch: Watch, first: Batch, write: WriteEvents): Promise<void> {
  await write(opening(`watching after revision ${first.revision}`));
  const { range, previous, told } = watch;
  const ends = [range.from, range.to ?? EVERYTHING].map(toBinaryString);
  const what = [previous, range.to === null, ends[0]!.length, ...ends].join("\0");
  let since: number | null = null;
  let batch = first;
  for (;;) {
    await write(told.bytesOf(what, since, batch));
    since = batch.revision;
    try {
      batch = await look(watch, since, EVENTS_WAIT_MS);
    } catch (error) {
      if (!(error instanceof HoldfastError)) throw error;
      return write(errorEvent(error));
    }
  }
}

const EVERYTHING = new Uint8Array();

/** Values of before take the right to read as well. Codes: `permission_denied`, `unauthenticated` (nothing of it is left). */
function seenBy(authorizer: Authorizer, range: WatchRange, batch: Batch): Batch {
  const seesAll = (["watch", "read"] as const).every((verb) => authorizer.covers(verb, "kv", range));
  if (seesAll) return batch;
  if (!authorizer.allowsAny("watch", "kv")) throw authorizer.denied("watch", "kv");
  const events = batch.events
    .filter(({ key }) => authorizer.allows("watch", "kv", key))
    .map((event) => (event.before && !authorizer.allows("read", "kv", event.key) ? { ...event, before: null } : event));
  return { events, revision: batch.revision, isFiltered: true };
}

/** The newest batches of one namespace as they were sent: many who watch the same are told the same. */
export class Told {
  readonly #newest = new Map<string, { since: number; revision: number; bytes: Uint8Array }>();
  #size = 0;

  /** `what` says all that the text depends on besides the revisions, which are never given twice. */
  bytesOf(what: string, since: number | null, { events, revision, isFiltered = false }: Batch): Uint8Array {
    if (events.length === 0) return progressEvent(revision);
    if (isFiltered || since === null) return bytesOf(events);
    const before = this.#newest.get(what);
    if (before?.since === since && before.revision === revision) return before.bytes;
    const bytes = bytesOf(events);
    this.#forget(what);
    this.#newest.set(what, { since, revision, bytes });
    this.#size += bytes.length;
    // The newest stays, whatever its size: who is told the same may come next.
    while (this.#newest.size > 1 && (this.#newest.size > TOLD_MAX || this.#size > TOLD_BYTES_MAX)) {
      this.#forget(this.#newest.keys().next().value!);
    }
    return bytes;
  }

  #forget(what: string): void {
    this.#size -= this.#newest.get(what)?.bytes.length ?? 0;
    this.#newest.delete(what);
  }
}

const TOLD_MAX = 64;
const TOLD_BYTES_MAX = 1024 * 1024;

const bytesOf = (events: StoreEvent[]): Uint8Array => utf8(events.map(eventText).join(""));

/** Only the last event of a revision carries its id: whoever resumes never gets half of one. */
function eventText(event: StoreEvent, index: number, events: StoreEvent[]): string {
  const isLast = events[index + 1]?.revision !== event.revision;
  const data = {
    ...(event.record ? recordOutput(event.record) : { ...keyOutput(event.key), modRevision: event.revision }),
    ...(event.before && { previous: recordOutput(event.before) }),
  };
  const type = event.record ? "put" : "delete";
  return `${isLast ? `id: ${event.revision}\n` : ""}event: ${type}\ndata: ${JSON.stringify(data)}\n\n`;
}
