/** Roles: sets of policies, and statements of their own, that tokens link to; by name. */
import { z } from "@hono/zod-openapi";
import type { RoleView } from "../../objects/policy/roles.ts";
import type { Statement } from "../../objects/policy/statements.ts";
import {
  cas,
  DELETING,
  existed,
  getRoute,
  grants,
  linksOf,
  listRoute,
  names,
  namesOf,
  orNull,
  primaryRoute,
  PUTTING,
  revisions,
  write,
} from "./grants.ts";
import { notFound } from "./route.ts";
import { statement, statementOutput, statementsOf } from "./statements.ts";

const path = "/roles/{name}";
const tag = "Policies";

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
    policies: grants.policies,
    statements: grants.statements,
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
  getRoute("role.get", {
    plural: "roles",
    id: "getRole",
    summary: "A role",
    item: output,
    itemOf: (role) => roleOutput(role, role.statements),
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
