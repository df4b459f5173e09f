/**
 * `GET /watch`: changes of keys as server-sent events, resumable by `Last-Event-ID`.
 *
 * The reader sets the pace: the next changes are asked for when the last have been taken. So a reader that stops reading
 * holds one batch and no more; after a while it is told to come again and the stream ends.
 *
 * What the caller may see is asked for again with every batch: a token that is revoked ends its streams.
 *
 * Source: WHATWG HTML, server-sent events.
 */
import { z } from "@hono/zod-openapi";
import { keyAfter, prefixEnd, toBinaryString, utf8 } from "../../objects/bytes.ts";
import { HoldfastError, invalid } from "../../objects/errors.ts";
import type { StoreEvent, WatchRange } from "../../objects/store/store.ts";
import { KV } from "../../objects/kv/kv.ts";
import type { Authorizer } from "../request/authorizer.ts";
import type { NamespaceClient } from "../request/namespace-client.ts";
import { problemOf } from "../request/problem.ts";
import { keyOutput, recordOutput } from "./convert.ts";
import { flag, REVISION_MAX, route, whole, words } from "./route.ts";

/** One wait at the owner; after it a mark tells how far was looked, and whether the reader is still there. */
const WAIT_MS = 10_000;
/** Of one batch: what a reader may have unread is bounded by it, and by one revision. */
const BATCH = { limit: 200, bytesMax: 64 * 1024 };
const UNREAD_MAX_MS = 60_000;
const UNREAD_LOOK_MS = 15_000;
const RETRY_MS = 1000;

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
      const told = request.headers.get("last-event-id");
      if (told !== null && !/^\d{1,16}$/.test(told)) throw invalid("Last-Event-ID", "must be a revision");
      const asked = told === null ? query.since : Number(told);
      const range = query.key === undefined ? prefixRange(query.prefix ?? "") : keyRange(query.key);
      const previous = query.previous ?? false;
      // The first look tells a revision that cannot be watched from as an ordinary error.
      const since = asked ?? (await client.status()).revision;
      const first = await client.changes({ since, ranges: [range], previous, ...BATCH });
      const watch = { client, range, previous, reauthorize };
      return new Response(streamOf(watch, seenBy(authorizer, range, first.value)), {
        headers: {
          "content-type": "text/event-stream; charset=utf-8",
          "cache-control": "no-store",
          "x-content-type-options": "nosniff",
          "x-accel-buffering": "no",
          "x-holdfast-revision": String(first.revision),
        },
      });
    },
  }),
];

/**
 * What is written is taken from the source when the reader has taken what was before. The stream is the runtime's own:
 * its bytes go out without JavaScript in between.
 */
function streamOf(watch: Watch, first: Batch): ReadableStream<Uint8Array> {
  const { readable, writable } = new IdentityTransformStream();
  const writer: WritableStreamDefaultWriter<Uint8Array> = writable.getWriter();
  let writingSince: number | null = null;
  const write = async (bytes: Uint8Array): Promise<void> => {
    writingSince = Date.now();
    await writer.write(bytes);
    writingSince = null;
  };
  // One timer for all of the stream: setting one for each write costs more than the write.
  const watchdog = setInterval(() => {
    if (writingSince === null || Date.now() - writingSince < UNREAD_MAX_MS) return;
    void writer.abort(new Error("slow_consumer: nothing was read for a minute")).catch(() => {});
  }, UNREAD_LOOK_MS);
  const end = (): void => clearInterval(watchdog);
  follow(watch, first, write)
    .then(() => writer.close())
    .then(end, end);
  return readable;
}

/** Ends with a reason told, or rejects when the reader is gone. */
async function follow(
  { client, range, previous, reauthorize }: Watch,
  first: Batch,
  write: (bytes: Uint8Array) => Promise<void>,
): Promise<void> {
  await write(utf8(`retry: ${RETRY_MS}\n: watching after revision ${first.revision}\n\n`));
  const ends = [range.from, range.to ?? EVERYTHING].map(toBinaryString);
  const what = [client.namespace, client.datacenter, previous, range.to === null, ends[0]!.length, ...ends].join("\0");
  let since: number | null = null;
  let batch = first;
  for (;;) {
    await write(batchBytes(what, since, batch));
    since = batch.revision;
    const input = { since, ranges: [range], previous, ...BATCH };
    try {
      const { value } = await client.changes(input, WAIT_MS);
      batch = seenBy(await reauthorize(), range, value);
    } catch (error) {
      if (!(error instanceof HoldfastError)) throw error;
      return write(utf8(errorText(error)));
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
  if (events.length === 0) return utf8(`id: ${revision}\nevent: progress\ndata: {"revision":${revision}}\n\n`);
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

const errorText = (error: HoldfastError): string => `event: error\ndata: ${JSON.stringify(problemOf(error))}\n\n`;

function prefixRange(prefix: string): WatchRange {
  const from = utf8(prefix);
  return { space: KV, from, to: prefixEnd(from) };
}

function keyRange(key: string): WatchRange {
  const from = utf8(key);
  return { space: KV, from, to: keyAfter(from) };
}
