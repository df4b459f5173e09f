/**
 * `GET /watch`: changes of keys as server-sent events, resumable by `Last-Event-ID`. The namespace's object writes them
 * (watch-events.ts), and they are passed on as they are.
 */
import { z } from "@hono/zod-openapi";
import { keyAfter, prefixEnd, utf8 } from "../../objects/bytes.ts";
import { invalid } from "../../objects/errors.ts";
import type { WatchRange } from "../../objects/store/store.ts";
import { KV } from "../../objects/kv/key.ts";
import { hashOf } from "../request/authorizer.ts";
import { eventResponse, lastEventIdOf } from "./event-stream.ts";
import { flag, REVISION_MAX, route, whole, words } from "./route.ts";

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
    async handle({ client, request, query, authorizer, token }) {
      if (query.key !== undefined && query.prefix !== undefined)
        throw invalid("key", "cannot be given together with prefix");
      const { value, revision } = await client.watch({
        range: query.key === undefined ? prefixRange(query.prefix ?? "") : keyRange(query.key),
        previous: query.previous ?? false,
        since: lastEventIdOf(request.headers) ?? query.since ?? null,
        reader: authorizer.isUnbounded ? "unbounded" : { secretHash: token === null ? null : hashOf(token) },
      });
      return eventResponse(value, revision);
    },
  }),
];

function prefixRange(prefix: string): WatchRange {
  const from = utf8(prefix);
  return { space: KV, from, to: prefixEnd(from) };
}

function keyRange(key: string): WatchRange {
  const from = utf8(key);
  return { space: KV, from, to: keyAfter(from) };
}
