/** For operators: settings, the audit log, and how the namespace is doing. */
import { z } from "@hono/zod-openapi";
import type { NamespaceSettings } from "../../objects/settings/settings.ts";
import { forgetAuthorizers } from "../request/authorizer.ts";
import { isoTime, keyOutput, milliseconds } from "./convert.ts";
import { REVISION_MAX, route, whole } from "./route.ts";
import * as schema from "./schemas.ts";

const since = whole(0, REVISION_MAX, "After this revision");

export const operationRoutes = [
  route({
    method: "get",
    path: "/settings",
    tag: "Operations",
    id: "getSettings",
    summary: "The namespace's settings",
    permission: [{ verb: "read", kind: "settings" }],
    response: schema.settings.required(),
    async handle({ client }) {
      const { value, revision } = await client.query("settings.get", {});
      return { value: settingsOutput(value), revision };
    },
  }),
  route({
    method: "patch",
    path: "/settings",
    tag: "Operations",
    id: "updateSettings",
    summary: "Change some settings",
    permission: [
      { verb: "operate", kind: "settings" },
      // The default gives or takes rights, as a policy does.
      {
        verbs: ["operate"],
        kinds: ["settings"],
        parts: ({ body }) => (body.policy ? [{ verb: "update", kind: "acl" }] : []),
      },
    ],
    body: schema.settings,
    response: schema.settings.required(),
    async handle({ client, body, options }) {
      const { selfPreservation, history, audit, policy } = body;
      const patch = {
        selfPreservation: given({ ...selfPreservation }),
        history: given({ revisions: history?.revisions, ms: milliseconds(history?.seconds) }),
        audit: given({ entries: audit?.entries, ms: milliseconds(audit?.seconds) }),
        policy: given({ ...policy }),
      };
      const { value, revision } = await client.execute("settings.update", patch, options);
      forgetAuthorizers(client.namespace);
      return { value: settingsOutput(value), revision };
    },
  }),
  route({
    method: "get",
    path: "/audit",
    tag: "Operations",
    id: "listAudit",
    summary: "Who changed what: one entry for each revision",
    permission: [{ verb: "operate", kind: "audit" }],
    query: z.strictObject({ since, limit: whole(1, 1000, "At most this many; default 100") }),
    response: z.object({
      entries: z.array(z.looseObject({ revision: z.number().int() })),
      after: z.number().nullable(),
    }),
    async handle({ client, query }) {
      const input = { since: query.since ?? 0, limit: query.limit ?? 100 };
      const { value, revision } = await client.query("audit.list", input);
      const entries = value.entries.map(({ caller, at, changes, ...entry }) => ({
        ...entry,
        ...caller,
        at: isoTime(at),
        changes: changes.map(({ space, key, type }) => ({ space, type, ...keyOutput(key) })),
      }));
      return { value: { entries, after: value.after }, revision };
    },
  }),
  route({
    method: "get",
    path: "/audit/verify",
    tag: "Operations",
    id: "verifyAudit",
    summary: "Recompute a part of the hash chain; go on with since = through until nothing is checked",
    permission: [{ verb: "operate", kind: "audit" }],
    query: z.strictObject({ since }),
    response: z.object({
      checked: z.number().int(),
      through: z.number().int(),
      brokenAt: z.number().int().nullable().describe("The first revision that does not fit"),
    }),
    handle: ({ client, query }) => client.query("audit.verify", { since: query.since ?? 0 }),
  }),
  route({
    method: "get",
    path: "/status",
    tag: "Operations",
    id: "getStatus",
    summary: "How the namespace is doing",
    permission: [{ verb: "read", kind: "operator" }],
    response: z.looseObject({ namespace: z.string(), datacenter: z.string(), revision: z.number().int() }),
    async handle({ client }) {
      const { value, revision } = await client.status();
      return { value: { ...value, startedAt: isoTime(value.startedAt) }, revision };
    },
  }),
];

/** Without the members that were not given: they would overwrite what is set. */
function given<T extends object>(members: T): { [name in keyof T]?: Exclude<T[name], undefined> } {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as never;
}

function settingsOutput({ selfPreservation, history, audit, policy }: NamespaceSettings) {
  return {
    selfPreservation,
    history: { revisions: history.revisions, seconds: history.ms / 1000 },
    audit: { entries: audit.entries, seconds: audit.ms / 1000 },
    policy,
  };
}
