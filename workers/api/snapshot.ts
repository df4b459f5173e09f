/** A whole namespace as one stream, out and in. */
import { z } from "@hono/zod-openapi";
import { invalid } from "../../objects/errors.ts";
import { forgetAuthorizers } from "../request/authorizer.ts";
import { restoreSnapshot, takeSnapshot } from "../request/snapshot.ts";
import { flag, route } from "./route.ts";

const TYPE = "application/x-ndjson";

export const snapshotRoutes = [
  route({
    method: "get",
    path: "/snapshot",
    tag: "Operations",
    id: "saveSnapshot",
    summary: "Everything in the namespace at one revision, as NDJSON with a checksum at its end",
    permission: [{ verb: "backup", kind: "snapshot" }],
    response: TYPE,
    async handle({ client }) {
      const snapshot = await takeSnapshot(client);
      const parts = snapshot.parts();
      const body = new ReadableStream<Uint8Array>(
        {
          async pull(controller) {
            const { done, value } = await parts.next();
            if (done) controller.close();
            else controller.enqueue(value);
          },
        },
        { highWaterMark: 0 },
      );
      const headers = {
        "content-type": TYPE,
        "cache-control": "no-store",
        "x-holdfast-revision": String(snapshot.revision),
      };
      return new Response(body, { headers });
    },
  }),
  route({
    method: "post",
    path: "/restore",
    tag: "Operations",
    id: "restoreSnapshot",
    summary: "Put a snapshot into the namespace; revisions go on above all that were ever issued",
    permission: [
      { verb: "backup", kind: "snapshot" },
      // It brings policies and tokens of its own.
      { verb: "create", kind: "acl" },
      { verb: "update", kind: "acl" },
      { verb: "delete", kind: "acl" },
    ],
    query: z.strictObject({ force: flag("Replace what the namespace holds") }),
    rawBody: TYPE,
    response: z.object({ records: z.number().int(), revision: z.number().int() }),
    async handle({ client, request, query, options }) {
      if (request.body === null) throw invalid("body", "is empty: a snapshot is expected");
      const chunks = request.body as AsyncIterable<Uint8Array>;
      const force = query.force ?? false;
      const answer = await restoreSnapshot(client, chunks, { force, caller: options.caller });
      forgetAuthorizers(client.namespace);
      return { value: { ...answer.value, revision: answer.revision }, revision: answer.revision };
    },
  }),
];
