/**
 * `GET /watch`: changes of keys as server-sent events, resumable by `Last-Event-ID`.
 *
 * The reader sets the pace: the next changes are asked for when the last have been taken. So a reader that stops reading
 * holds one batch and no more; after a while it is told to come again and the stream ends.
 *
 * Source: WHATWG HTML, server-sent events.
 */
import { z } from "@hono/zod-openapi";
import { prefixEnd, utf8 } from "../../objects/bytes.ts";
import { HoldfastError, invalid } from "../../objects/errors.ts";
import type { StoreEvent, WatchRange } from "../../objects/store/store.ts";
import { keyAfter } from "../../objects/bytes.ts";
import { KV } from "../../objects/kv/kv.ts";
import type { NamespaceClient } from "../request/namespace-client.ts";
import { problemOf } from "../request/problem.ts";
import { keyOutput, recordOutput } from "./convert.ts";
import { flag, REVISION_MAX, route, whole, words } from "./route.ts";

/** One wait at the owner; after it a mark tells how far was looked, and whether the reader is still there. */
const WAIT_MS = 10_000;
/** Of one batch: what a reader may have unread is bounded by it, and by one revision. */
const BATCH = { limit: 200, bytesMax: 64 * 1024 };
const UNREAD_MAX_MS = 60_000;
const RETRY_MS = 1000;

export const watchRoutes = [
  route({
    method: "get",
    path: "/watch",
    tag: "Keys",
    id: "watch",
    summary: "Changes of keys as server-sent events: put, delete, progress, error",
    query: z.strictObject({
      prefix: words("Keys that begin so; default: all"),
      key: words("One key"),
      since: whole(0, REVISION_MAX, "Begin with the first change after this revision; default: now"),
      previous: flag("With the value before each change"),
    }),
    response: "text/event-stream",
    async handle({ client, request, query }) {
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
      const events = streamOf(client, range, previous, first.value);
      return new Response(paced(events), {
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

async function* streamOf(
  client: NamespaceClient,
  range: WatchRange,
  previous: boolean,
  first: { events: StoreEvent[]; revision: number },
): AsyncGenerator<string> {
  yield `retry: ${RETRY_MS}\n: watching after revision ${first.revision}\n\n`;
  let batch = first;
  try {
    for (;;) {
      if (batch.events.length > 0) yield batch.events.map(eventText).join("");
      else yield `id: ${batch.revision}\nevent: progress\ndata: {"revision":${batch.revision}}\n\n`;
      const input = { since: batch.revision, ranges: [range], previous, ...BATCH };
      batch = (await client.changes(input, WAIT_MS)).value;
    }
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    yield errorText(error);
  }
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

/** A text is taken from the source when the reader has taken the one before. */
function paced(source: AsyncGenerator<string>): ReadableStream<Uint8Array> {
  let unread: ReturnType<typeof setTimeout> | undefined;
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        clearTimeout(unread);
        const { done, value } = await source.next();
        if (done) return controller.close();
        controller.enqueue(utf8(value));
        unread = setTimeout(() => {
          controller.error(new Error("slow_consumer: nothing was read for a minute"));
          void source.return(undefined);
        }, UNREAD_MAX_MS);
      },
      async cancel() {
        clearTimeout(unread);
        await source.return(undefined);
      },
    },
    { highWaterMark: 0 },
  );
}

function prefixRange(prefix: string): WatchRange {
  const from = utf8(prefix);
  return { space: KV, from, to: prefixEnd(from) };
}

function keyRange(key: string): WatchRange {
  const from = utf8(key);
  return { space: KV, from, to: keyAfter(from) };
}
