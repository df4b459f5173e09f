/** Counters: whole numbers of 64 bits, changed atomically, and sequences drawn from them. */
import { z } from "@hono/zod-openapi";
import type { Counter } from "../../objects/counters/counters.ts";
import { SEQUENCE_MAX } from "../../objects/counters/counters.ts";
import { REVISION_MAX, route, whole, words } from "./route.ts";
import { visiblePage } from "./visible.ts";

/** In decimal, because JSON numbers end at 2^53; a number that is exact is taken, too. */
const number64 = z
  .union([z.string().max(20), z.number().int().min(-REVISION_MAX).max(REVISION_MAX)])
  .describe("A whole number of 64 bits, in decimal");
const decimal = z.string().describe("A whole number of 64 bits, in decimal");

const counterFields = {
  name: z.string(),
  value: decimal,
  createRevision: z.number().int(),
  modRevision: z.number().int().describe("0: it was never written"),
};
const counterOutput = z.object(counterFields).openapi("Counter");
const change = { verb: "update", kind: "lock", on: "name" } as const;

export const counterRoutes = [
  route({
    method: "get",
    path: "/counters",
    tag: "Counters",
    id: "listCounters",
    summary: "All counters",
    permission: [{ verb: "read", kind: "lock", filtered: true }],
    query: z.strictObject({ after: words("Continue after this name") }),
    response: z.object({ counters: z.array(counterOutput), after: z.string().nullable() }),
    async handle({ client, query, authorizer }) {
      const { value, revision } = await visiblePage<Counter>(
        query.after ?? null,
        (after) => client.query("counter.list", { after }),
        ({ name }) => authorizer.allows("read", "lock", name),
        ({ name }) => name,
      );
      return { value: { counters: value.items, after: value.after }, revision };
    },
  }),
  route({
    method: "get",
    path: "/counters/{name}",
    tag: "Counters",
    id: "getCounter",
    summary: "A counter; 0 when it was never written",
    permission: [{ verb: "read", kind: "lock", on: "name" }],
    query: z.strictObject({ consistency: z.enum(["strong"]).optional() }),
    response: counterOutput,
    handle: ({ client, params, query }) =>
      client.query("counter.get", { name: params["name"]! }, { strong: query.consistency === "strong" }),
  }),
  route({
    method: "put",
    path: "/counters/{name}",
    tag: "Counters",
    id: "setCounter",
    summary: "Set a counter",
    permission: [change],
    body: z
      .strictObject({
        value: number64,
        cas: z
          .number()
          .int()
          .min(0)
          .max(REVISION_MAX)
          .optional()
          .describe("Only if the counter's modRevision is this; 0 = only if it was never written"),
      })
      .openapi("CounterInput"),
    response: counterOutput,
    handle: ({ client, params, body, options }) =>
      client.execute("counter.set", { name: params["name"]!, value: String(body.value), cas: body.cas }, options),
  }),
  route({
    method: "delete",
    path: "/counters/{name}",
    tag: "Counters",
    id: "deleteCounter",
    summary: "Forget a counter: it is 0 again",
    permission: [{ verb: "delete", kind: "lock", on: "name" }],
    query: z.strictObject({ cas: whole(0, REVISION_MAX, "Only if the counter's modRevision is this") }),
    response: z.object({ existed: z.boolean() }),
    handle: ({ client, params, query, options }) =>
      client.execute("counter.delete", { name: params["name"]!, cas: query.cas }, options),
  }),
  route({
    method: "post",
    path: "/counters/{name}/add",
    tag: "Counters",
    id: "addToCounter",
    summary: "Add to a counter",
    permission: [change],
    body: z
      .strictObject({ delta: number64.optional().describe("Default 1; may be negative") })
      .openapi("CounterChange"),
    response: z.object({ ...counterFields, previous: decimal }),
    handle: ({ client, params, body, options }) =>
      client.execute("counter.add", { name: params["name"]!, delta: String(body.delta ?? 1) }, options),
  }),
  route({
    method: "post",
    path: "/counters/{name}/next",
    tag: "Counters",
    id: "nextInSequence",
    summary: "The next numbers of a sequence: nobody else gets them",
    permission: [change],
    body: z
      .strictObject({ count: z.number().int().optional().describe(`Default 1, at most ${SEQUENCE_MAX}`) })
      .openapi("SequenceInput"),
    response: z.object({ first: decimal, last: decimal }),
    handle: ({ client, params, body, options }) =>
      client.execute("counter.next", { name: params["name"]!, count: body.count ?? 1 }, options),
  }),
];
