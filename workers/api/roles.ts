/** Roles: sets of policies, and statements of their own, that tokens link to; by name. */
import { z } from "@hono/zod-openapi";
import type { RoleView } from "../../objects/policy/roles.ts";
import type { Statement } from "../../objects/policy/statements.ts";
import {
  DELETING,
  existed,
  linksOf,
  listRoute,
  names,
  namesOf,
  orNull,
  primaryRoute,
  PUTTING,
  READING,
  revisions,
  write,
} from "./grants.ts";
import { notFound, REVISION_MAX, whole } from "./route.ts";
import { statement, statementOutput, statementsOf } from "./statements.ts";

const path = "/roles/{name}";
const tag = "Policies";
const cas = whole(0, REVISION_MAX, "Only if its modRevision is this; 0 = only if there is none");

const summary = z.object({
  id: z.string(),
  name: z.string(),
  description: z.string(),
  policies: names.describe("By name"),
  ...revisions,
});
const output = summary.extend({ statements: z.array(statement) }).openapi("Role");
const body = z
  .strictObject({
    description: z.string().optional(),
    policies: names.optional().describe("By name"),
    statements: z.array(statement).optional().describe("Of its own"),
  })
  .openapi("RoleInput");

export const roleRoutes = [
  listRoute("role.list", {
    plural: "roles",
    id: "listRoles",
    summary: "All roles, without statements of their own",
    item: summary,
    itemOf: summaryOutput,
  }),
  primaryRoute({
    method: "get",
    path,
    tag,
    id: "getRole",
    summary: "A role",
    permission: READING,
    response: output,
    async handle({ client, params }) {
      const { value, revision } = await client.query("role.get", { name: params["name"]! });
      return { value: roleOutput(value, value.statements), revision };
    },
  }),
  primaryRoute({
    method: "put",
    path,
    tag,
    id: "putRole",
    summary: "Write a role, or replace what it grants",
    permission: PUTTING,
    query: z.strictObject({ cas }),
    body,
    response: output,
    async handle(asked) {
      const { client, params, query, body: given } = asked;
      const name = params["name"]!;
      const before = await orNull(client.query("role.get", { name }));
      const statements = statementsOf("statements", given.statements ?? []);
      const { description } = given;
      const input = { id: before?.value.id, name, description, policies: linksOf(given.policies), statements };
      const { value, revision } = await write(asked, "role.put", { ...input, cas: query.cas });
      return { value: roleOutput(value, statements), revision };
    },
  }),
  primaryRoute({
    method: "delete",
    path,
    tag,
    id: "deleteRole",
    summary: "Delete a role: who had it has its rights no more",
    permission: DELETING,
    query: z.strictObject({ cas }),
    response: existed,
    async handle(asked) {
      const { client, params, query } = asked;
      const { value: found } = await client.query("role.get", { name: params["name"]! });
      const { value, revision } = await write(asked, "role.delete", { id: found.id, cas: query.cas });
      if (!value.existed) throw notFound(`there is no role named "${params["name"]}"`);
      return { value, revision };
    },
  }),
];

function summaryOutput({ id, name, description, policies, createRevision, modRevision }: RoleView) {
  return { id, name, description, policies: namesOf(policies), createRevision, modRevision };
}

const roleOutput = (role: RoleView, statements: readonly Statement[]) => ({
  ...summaryOutput(role),
  statements: statements.map(statementOutput),
});
