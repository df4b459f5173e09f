/**
 * `GET /watch`: changes of keys as server-sent events, resumable by `Last-Event-ID`.
 *
 * What the caller may see is asked for again with every batch: a token that is revoked ends its streams.
 */
import { z } from "@hono/zod-openapi";
import { keyAfter, prefixEnd, toBinaryString, utf8 } from "../../objects/bytes.ts";
import { HoldfastError, invalid } from "../../objects/errors.ts";
import type { StoreEvent, WatchRange } from "../../objects/store/store.ts";
import { KV } from "../../objects/kv/key.ts";
import type { Authorizer } from "../request/authorizer.ts";
import type { NamespaceClient } from "../request/namespace-client.ts";
import { keyOutput, recordOutput } from "./convert.ts";
import type { WriteEvents } from "./event-stream.ts";
import { errorEvent, EVENTS_WAIT_MS, eventStream, lastEventIdOf, opening, progressEvent } from "./event-stream.ts";
import { flag, REVISION_MAX, route, whole, words } from "./route.ts";

/** Of one batch: what a reader may have unread is bounded by it, and by one revision. */
const BATCH = { limit: 200, bytesMax: 64 * 1024 };

export const watchRoutes = [
  route({
    method: "get",
    path: "/watch",
    tag: "Keys",
    id: "watch",
    summary: "Changes of keys as server-sent events: put, delete, progress, error",
    permission: [{ verb: "watch", kind: "kv", filtered: true }],
    query: z.strictObject({
      prefix: words("Keys that begin so; default: all"),
      key: words("One key"),
      since: whole(0, REVISION_MAX, "Begin with the first change after this revision; default: now"),
      previous: flag("With the value before each change"),
    }),
    response: "text/event-stream",
    async handle({ client, request, query, authorizer, reauthorize }) {
      if (query.key !== undefined && query.prefix !== undefined)
        throw invalid("key", "cannot be given together with prefix");
      const asked = lastEventIdOf(request.headers) ?? query.since;
      const range = query.key === undefined ? prefixRange(query.prefix ?? "") : keyRange(query.key);
      const previous = query.previous ?? false;
      // The first look tells a revision that cannot be watched from as an ordinary error.
      const since = asked ?? (await client.status()).revision;
      const first = await client.changes({ since, ranges: [range], previous, ...BATCH });
      const watch = { client, range, previous, reauthorize };
      const begin = seenBy(authorizer, range, first.value);
      return eventStream((write) => follow(watch, begin, write), first.revision);
    },
  }),
];

/** Ends with a reason told, or rejects when the reader is gone. */
async function follow(
  { client, range, previous, reauthorize }: Watch,
  first: Batch,
  write: WriteEvents,
): Promise<void> {
  await write(opening(`watching after revision ${first.revision}`));
  const ends = [range.from, range.to ?? EVERYTHING].map(toBinaryString);
  const what = [client.namespace, client.datacenter, previous, range.to === null, ends[0]!.length, ...ends].join("\0");
  let since: number | null = null;
  let batch = first;
  for (;;) {
    await write(batchBytes(what, since, batch));
    since = batch.revision;
    const input = { since, ranges: [range], previous, ...BATCH };
    try {
      const { value } = await client.changes(input, EVENTS_WAIT_MS);
      batch = seenBy(await reauthorize(), range, value);
    } catch (error) {
      if (!(error instanceof HoldfastError)) throw error;
      return write(errorEvent(error));
    }
  }
}

const EVERYTHING = new Uint8Array();

interface Watch {
  client: NamespaceClient;
  range: WatchRange;
  previous: boolean;
  reauthorize: () => Promise<Authorizer>;
}

interface Batch {
  events: StoreEvent[];
  revision: number;
  /** Something of the range is not for this caller: what is sent is its own. */
  isFiltered?: boolean;
}

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

/** The newest batches as they were sent: many who watch the same are told the same. Plain data, shared by requests. */
const sent = new Map<string, { since: number; revision: number; bytes: Uint8Array }>();
const SENT_MAX = 64;
const SENT_BYTES_MAX = 16 * 1024;

/** `what` says all that the text depends on besides the revisions, which are never given twice. */
function batchBytes(what: string, since: number | null, batch: Batch): Uint8Array {
  const { events, revision } = batch;
  if (events.length === 0) return progressEvent(revision);
  if (batch.isFiltered) return utf8(events.map(eventText).join(""));
  const before = sent.get(what);
  if (before?.since === since && before.revision === revision) return before.bytes;
  const bytes = utf8(events.map(eventText).join(""));
  if (since !== null && bytes.length <= SENT_BYTES_MAX) {
    if (sent.size >= SENT_MAX) sent.delete(sent.keys().next().value!);
    sent.set(what, { since, revision, bytes });
  }
  return bytes;
}

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

function prefixRange(prefix: string): WatchRange {
  const from = utf8(prefix);
  return { space: KV, from, to: prefixEnd(from) };
}

function keyRange(key: string): WatchRange {
  const from = utf8(key);
  return { space: KV, from, to: keyAfter(from) };
}
