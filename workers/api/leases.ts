/** Leases: granted, renewed, revoked, with what hangs on them. */
import { z } from "@hono/zod-openapi";
import { assertLeaseId } from "../../objects/leases/leases.ts";
import type { Authorizer } from "../request/authorizer.ts";
import type { Attached } from "../request/lease-demands.ts";
import { demandsOfRevoking, resourceOf } from "../request/lease-demands.ts";
import { isoTime, keyOutput } from "./convert.ts";
import { route, words } from "./route.ts";
import * as schema from "./schemas.ts";
import { visiblePage } from "./visible.ts";

const granted = z.object({ id: z.string(), ttl: z.number() });

export const leaseRoutes = [
  route({
    method: "post",
    path: "/leases",
    tag: "Leases",
    id: "grantLease",
    summary: "Grant a lease",
    permission: [
      {
        verbs: ["create"],
        kinds: ["session"],
        parts: ({ body }) => [{ verb: "create", kind: "session", name: body.id ?? "" }],
      },
    ],
    body: schema.leaseInput,
    response: granted,
    async handle({ client, body, options }) {
      const { value, revision } = await client.execute(
        "leases.grant",
        { ttlMs: body.ttl * 1000, id: body.id },
        options,
      );
      return { value: { id: value.id, ttl: value.ttlMs / 1000 }, revision };
    },
  }),
  route({
    method: "get",
    path: "/leases",
    tag: "Leases",
    id: "listLeases",
    summary: "All leases",
    permission: [{ verb: "read", kind: "session", filtered: true }],
    query: z.strictObject({ after: words("Continue after this id") }),
    response: z.object({ ids: z.array(z.string()), after: z.string().nullable() }),
    async handle({ client, query, authorizer }) {
      const { value, revision } = await visiblePage(
        query.after ?? null,
        async (after) => {
          const page = await client.query("leases.list", { after });
          return { ...page, value: { items: page.value.ids, after: page.value.after } };
        },
        (id) => authorizer.allows("read", "session", id),
        (id) => id,
      );
      return { value: { ids: value.items, after: value.after }, revision };
    },
  }),
  route({
    method: "get",
    path: "/leases/{id}",
    tag: "Leases",
    id: "getLease",
    summary: "A lease: what is left of it, and what hangs on it",
    permission: [{ verb: "read", kind: "session", on: "id" }],
    response: granted.extend({
      remaining: z.number(),
      grantedAt: z.iso.datetime(),
      attached: z.array(z.object({ space: z.string(), key: z.string() })),
    }),
    async handle({ client, params, authorizer }) {
      const { value, revision } = await client.query("leases.get", { id: leaseOf(params) });
      const { id, ttlMs, remainingMs, grantedAt, attached } = value;
      return {
        value: {
          id,
          ttl: ttlMs / 1000,
          remaining: remainingMs / 1000,
          grantedAt: isoTime(grantedAt),
          attached: attached
            .filter((one) => mayRead(authorizer, one))
            .map(({ space, key }) => ({ space, ...keyOutput(key) })),
        },
        revision,
      };
    },
  }),
  route({
    method: "delete",
    path: "/leases/{id}",
    tag: "Leases",
    id: "revokeLease",
    summary: "Revoke a lease, and all that hangs on it",
    permission: [
      { verb: "delete", kind: "session", on: "id" },
      {
        verbs: ["delete"],
        kinds: ["session"],
        parts: ({ client, params }) => demandsOfRevoking(client, leaseOf(params)),
      },
    ],
    response: z.object({ detached: z.number().int() }),
    handle: ({ client, params, options }) => client.execute("leases.revoke", { id: leaseOf(params) }, options),
  }),
  route({
    method: "post",
    path: "/leases/{id}/renew",
    tag: "Leases",
    id: "renewLease",
    summary: "Renew a lease; no commit, no revision",
    permission: [{ verb: "update", kind: "session", on: "id" }],
    response: granted,
    async handle({ client, params }) {
      const { value, revision } = await client.renewLease(leaseOf(params));
      return { value: { id: value.id, ttl: value.ttlMs / 1000 }, revision };
    },
  }),
];

function mayRead(authorizer: Authorizer, attached: Attached): boolean {
  const { kind, name } = resourceOf(attached);
  return authorizer.allows("read", kind, name);
}

function leaseOf(params: Record<string, string>): string {
  assertLeaseId(params["id"]!);
  return params["id"]!;
}
