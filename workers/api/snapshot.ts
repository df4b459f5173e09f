/** A whole namespace as one stream, out and in. */
import { createHash } from "node:crypto";
import { z } from "@hono/zod-openapi";
import { invalid } from "../../objects/errors.ts";
import type { SpacedRecord } from "../../objects/store/backend.ts";
import type { IncrementalDigest } from "../../objects/store/snapshot.ts";
import { SnapshotReader, SnapshotWriter } from "../../objects/store/snapshot.ts";
import type { NamespaceClient } from "../request/namespace-client.ts";
import { flag, route } from "./route.ts";

const TYPE = "application/x-ndjson";
/** Records sent to the object in one call. */
const STAGE_BYTES = 1024 * 1024;

export const snapshotRoutes = [
  route({
    method: "get",
    path: "/snapshot",
    tag: "Operations",
    id: "saveSnapshot",
    summary: "Everything in the namespace at one revision, as NDJSON with a checksum at its end",
    response: TYPE,
    async handle({ client }) {
      const { value: first } = await client.snapshotPage(null);
      const parts = snapshotParts(client, first);
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
        "x-holdfast-revision": String(first.revision),
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
    query: z.strictObject({ force: flag("Replace what the namespace holds") }),
    rawBody: TYPE,
    response: z.object({ records: z.number().int(), revision: z.number().int() }),
    async handle({ client, request, query, options }) {
      if (request.body === null) throw invalid("body", "is empty: a snapshot is expected");
      const force = query.force ?? false;
      const { restore } = (await client.restoreBegin(force)).value;
      const reader = new SnapshotReader(sha256());
      const batch = new StageBatch((records) => client.restoreStage(restore, records));
      for await (const chunk of request.body as AsyncIterable<Uint8Array>) {
        for (const record of reader.push(chunk)) await batch.add(record);
      }
      await batch.flush();
      const { namespace, revision } = reader.finish();
      const origin = { namespace, revision, count: batch.count };
      const answer = await client.restoreCommit(restore, origin, { force, caller: options.caller });
      return { value: { ...answer.value, revision: answer.revision }, revision: answer.revision };
    },
  }),
];

type Part = Awaited<ReturnType<NamespaceClient["snapshotPage"]>>["value"];

async function* snapshotParts(client: NamespaceClient, first: Part): AsyncGenerator<Uint8Array> {
  const writer = new SnapshotWriter(sha256());
  const { namespace, datacenter } = client;
  const { revision } = first;
  yield writer.header({ holdfast: "snapshot", format: 1, namespace, datacenter, revision, createdAt: Date.now() });
  let part = first;
  for (;;) {
    if (part.records.length > 0) yield writer.records(part.records);
    if (part.after === null) break;
    part = (await client.snapshotPage({ revision, after: part.after })).value;
  }
  yield writer.trailer();
}

class StageBatch {
  count = 0;
  readonly #send: (records: SpacedRecord[]) => Promise<unknown>;
  #records: SpacedRecord[] = [];
  #bytes = 0;

  constructor(send: (records: SpacedRecord[]) => Promise<unknown>) {
    this.#send = send;
  }

  async add(record: SpacedRecord): Promise<void> {
    this.#records.push(record);
    this.#bytes += record.record.key.length + record.record.value.length + 100;
    if (this.#bytes >= STAGE_BYTES) await this.flush();
  }

  async flush(): Promise<void> {
    if (this.#records.length === 0) return;
    this.count += this.#records.length;
    await this.#send(this.#records);
    this.#records = [];
    this.#bytes = 0;
  }
}

function sha256(): IncrementalDigest {
  const hash = createHash("sha256");
  return { update: (bytes) => void hash.update(bytes), digestHex: () => hash.digest("hex") };
}
