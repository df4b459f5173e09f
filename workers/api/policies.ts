/** Policies: named sets of statements, by name. */
import { z } from "@hono/zod-openapi";
import type { Policy } from "../../objects/policy/policies.ts";
import type { Stored } from "../../objects/policy/records.ts";
import {
  cas,
  DELETING,
  existed,
  getRoute,
  listRoute,
  orNull,
  primaryRoute,
  PUTTING,
  revisions,
  write,
} from "./grants.ts";
import { notFound } from "./route.ts";
import { statement, statementOutput, statementsOf } from "./statements.ts";

const path = "/policies/{name}";
const tag = "Policies";

const summary = z.object({ id: z.string(), name: z.string(), description: z.string(), ...revisions });
const output = summary
  .extend({ statements: z.array(statement), dialect: z.string().nullable().describe("Whose rules it was written in") })
  .openapi("Policy");

export const policyRoutes = [
  listRoute("policy.list", {
    plural: "policies",
    id: "listPolicies",
    summary: "All policies, without their statements",
    item: summary,
    itemOf: ({ extra: _extra, ...policy }) => policy,
  }),
  getRoute("policy.get", {
    plural: "policies",
    id: "getPolicy",
    summary: "A policy",
    item: output,
    itemOf: policyOutput,
  }),
  primaryRoute({
    method: "put",
    path,
    tag,
    id: "putPolicy",
    summary: "Write a policy, or replace what it says",
    permission: PUTTING,
    query: z.strictObject({ cas }),
    body: z.strictObject({ description: z.string().optional(), statements: z.array(statement) }).openapi("PolicyInput"),
    response: output,
    async handle(asked) {
      const { client, params, query, body } = asked;
      const name = params["name"]!;
      const before = await orNull(client.query("policy.get", { name }));
      const input = {
        id: before?.value.id,
        name,
        description: body.description,
        statements: statementsOf("statements", body.statements),
        cas: query.cas,
      };
      const { value, revision } = await write(asked, "policy.put", input);
      return { value: policyOutput(value), revision };
    },
  }),
  primaryRoute({
    method: "delete",
    path,
    tag,
    id: "deletePolicy",
    summary: "Delete a policy: who had it has its rights no more",
    permission: DELETING,
    query: z.strictObject({ cas }),
    response: existed,
    async handle(asked) {
      const { client, params, query } = asked;
      const { value: found } = await client.query("policy.get", { name: params["name"]! });
      const { value, revision } = await write(asked, "policy.delete", { id: found.id, cas: query.cas });
      if (!value.existed) throw notFound(`there is no policy named "${params["name"]}"`);
      return { value, revision };
    },
  }),
];

function policyOutput({ extra: _extra, source, statements, ...policy }: Stored<Policy>) {
  return { ...policy, statements: statements.map(statementOutput), dialect: source?.dialect ?? null };
}
