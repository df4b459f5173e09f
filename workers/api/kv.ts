/** Keys and values: bytes as they are, one by one, or many as JSON. */
import { z } from "@hono/zod-openapi";
import { compareBytes, prefixEnd, utf8 } from "../../objects/bytes.ts";
import { invalid } from "../../objects/errors.ts";
import type { StoredRecord } from "../../objects/store/txn.ts";
import { VALUE_BYTES_MAX } from "../../objects/store/txn.ts";
import { readBody } from "../request/body.ts";
import type { Demand } from "../request/permission.ts";
import { recordOutput } from "./convert.ts";
import { demandOfAttaching, demandsOfPut } from "../request/key-demands.ts";
import type { ApiResult } from "./route.ts";
import { flag, notFound, REVISION_MAX, route, whole, words } from "./route.ts";
import * as schema from "./schemas.ts";

const path = "/kv/{key+}";
const cas = whole(0, REVISION_MAX, "Only if the key's modRevision is this; 0 = only if it does not exist");
const RANGE_DEFAULT = 1000;

export const kvRoutes = [
  route({
    method: "get",
    path,
    tag: "Keys",
    id: "getKey",
    summary: "A key's value as bytes; with prefix, all keys that begin so as JSON",
    permission: [
      {
        verbs: ["read"],
        kinds: ["kv"],
        parts: ({ params, query }) => [{ verb: "read", kind: "kv", ...targetOf(params, query.prefix) }],
      },
    ],
    query: z.strictObject({
      prefix: flag("List the keys that begin so"),
      keys: flag("With prefix: without values"),
      limit: whole(1, 10_000, "With prefix: at most this many; default 1000"),
      after: words("With prefix: continue after this key"),
      revision: whole(1, REVISION_MAX, "As of this revision"),
      consistency: z.enum(["strong"]).optional(),
    }),
    response: z.object({ items: z.array(schema.recordOutput), more: z.boolean(), after: z.string().nullable() }),
    async handle({ client, params, query }) {
      const key = params["key"]!;
      const options = { strong: query.consistency === "strong" };
      if (!query.prefix) {
        const { value, revision } = await client.query(
          "kv.range",
          { key: utf8(key), revision: query.revision },
          options,
        );
        const record = value.records[0];
        if (!record) throw notFound(`there is no key "${key}"`);
        return bytesResponse(record, revision);
      }
      const prefix = utf8(key);
      const next = query.after === undefined ? prefix : utf8(`${query.after}\0`);
      const input = {
        // Never before what the caller has been found to have a right to.
        key: compareBytes(next, prefix) < 0 ? prefix : next,
        to: prefixEnd(prefix),
        limit: query.limit ?? RANGE_DEFAULT,
        keysOnly: query.keys,
        revision: query.revision,
      };
      const { value, revision } = await client.query("kv.range", input, options);
      const items = value.records.map((record) => recordOutput(record, query.keys));
      return { value: { items, more: value.more, after: value.more ? items.at(-1)!.key : null }, revision };
    },
  }),
  route({
    method: "put",
    path,
    tag: "Keys",
    id: "putKey",
    summary: "Write a key",
    permission: [
      {
        verbs: ["create", "update"],
        kinds: ["kv"],
        parts: ({ params, query }) => [
          ...demandsOfPut(params["key"]!, query.cas),
          ...(query.lease === undefined ? [] : [demandOfAttaching(query.lease)]),
        ],
      },
    ],
    query: z.strictObject({ cas, lease: words("The lease it lives on") }),
    rawBody: "application/octet-stream",
    response: schema.recordOutput.omit({ value: true }),
    async handle({ client, request, params, query, options }) {
      const value = await readBody(request, VALUE_BYTES_MAX);
      const input = { key: keyOf(params), value, cas: query.cas, lease: query.lease };
      const answer = await client.execute("kv.put", input, options);
      return { value: recordOutput(answer.value.record, true), revision: answer.revision };
    },
  }),
  route({
    method: "delete",
    path,
    tag: "Keys",
    id: "deleteKey",
    summary: "Delete a key, or all keys that begin so",
    permission: [
      {
        verbs: ["delete"],
        kinds: ["kv"],
        parts: ({ params, query }) => [{ verb: "delete", kind: "kv", ...targetOf(params, query.prefix) }],
      },
    ],
    query: z.strictObject({ cas, prefix: flag("All keys that begin so, up to 100,000") }),
    response: z.object({ deleted: z.number().int() }),
    async handle({ client, params, query, options }): Promise<ApiResult> {
      const key = utf8(params["key"]!);
      if (query.prefix && query.cas !== undefined) throw invalid("cas", "is for a single key");
      const input = query.prefix ? { key, to: prefixEnd(key) } : { key: keyOf(params), cas: query.cas };
      const { value, revision } = await client.execute("kv.delete", input, options);
      if (!query.prefix && value.deleted === 0) throw notFound(`there is no key "${params["key"]}"`);
      return { value: { deleted: value.deleted }, revision };
    },
  }),
];

/** One key, or all that begin so: the range has to be allowed as a whole. */
function targetOf(params: Record<string, string>, isPrefix = false): Pick<Demand, "name" | "range"> {
  const key = utf8(params["key"]!);
  return isPrefix ? { range: { from: key, to: prefixEnd(key) } } : { name: key };
}

function keyOf(params: Record<string, string>): Uint8Array {
  if (params["key"] === "") throw invalid("key", "must not be empty");
  return utf8(params["key"]!);
}

function bytesResponse(record: StoredRecord, revision: number): ApiResult {
  return new Response(record.value as Uint8Array<ArrayBuffer>, {
    headers: {
      // A value may be anything: a browser must not take it for a page of ours.
      "content-type": "application/octet-stream",
      "content-security-policy": "sandbox; default-src 'none'",
      "x-content-type-options": "nosniff",
      "cache-control": "no-store",
      etag: `"${record.modRevision}"`,
      "x-holdfast-revision": String(revision),
      "x-holdfast-create-revision": String(record.createRevision),
      "x-holdfast-mod-revision": String(record.modRevision),
      "x-holdfast-version": String(record.version),
    },
  });
}
