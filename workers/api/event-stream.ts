/**
 * Server-sent events at the reader's pace: what is written is asked for when the reader has taken what was before. So a
 * reader that stops reading holds one batch and no more; after a minute it is cut off, and may resume.
 *
 * Source: WHATWG HTML, server-sent events.
 */
import { utf8 } from "../../objects/bytes.ts";
import type { HoldfastError } from "../../objects/errors.ts";
import { invalid } from "../../objects/errors.ts";
import { problemOf } from "../request/problem.ts";

/** Resolves when the reader has taken it; rejects when it is gone. */
export type WriteEvents = (bytes: Uint8Array) => Promise<void>;

/** One wait at the owner; after it a mark tells how far was looked, and whether the reader is still there. */
export const EVENTS_WAIT_MS = 10_000;
const RETRY_MS = 1000;
const UNREAD_MAX_MS = 60_000;
const UNREAD_LOOK_MS = 15_000;

/** The stream ends when `follow` does. `revision`: what the beginning is as of. */
export function eventStream(follow: (write: WriteEvents) => Promise<void>, revision: number): Response {
  // The stream is the runtime's own: its bytes go out without JavaScript in between.
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
  follow(write)
    .then(() => writer.close())
    .then(end, end);
  return eventResponse(readable, revision);
}

export function eventResponse(events: ReadableStream<Uint8Array>, revision: number): Response {
  return new Response(events, {
    headers: {
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      "x-accel-buffering": "no",
      "x-holdfast-revision": String(revision),
    },
  });
}

/** What every stream begins with. */
export const opening = (comment: string): Uint8Array => utf8(`retry: ${RETRY_MS}\n: ${comment}\n\n`);

/** Everything up to this revision has been told. */
export const progressEvent = (revision: number): Uint8Array =>
  utf8(`id: ${revision}\nevent: progress\ndata: {"revision":${revision}}\n\n`);

/** The reason why a stream ends. */
export const errorEvent = (error: HoldfastError): Uint8Array =>
  utf8(`event: error\ndata: ${JSON.stringify(problemOf(error))}\n\n`);

/** `Last-Event-ID`: the revision after which to go on; null = the reader is new. Codes: `invalid_argument`. */
export function lastEventIdOf(headers: Headers): number | null {
  const told = headers.get("last-event-id");
  if (told === null) return null;
  if (!/^\d{1,16}$/.test(told)) throw invalid("Last-Event-ID", "must be a revision");
  return Number(told);
}
