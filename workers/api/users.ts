/**
 * Users, by name: who logs in with a password, at the doors that know logins (etcd's). Of a password only a hash is kept, and
 * nobody is told it.
 */
import { z } from "@hono/zod-openapi";
import type { Statement } from "../../objects/policy/statements.ts";
import type { UserView } from "../../objects/policy/users.ts";
import { hashPassword } from "../request/passwords.ts";
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
  primaryRoute,
  PUTTING,
  revisions,
  write,
} from "./grants.ts";
import { statement, statementOutput, statementsOf } from "./statements.ts";

const path = "/users/{name}";
const tag = "Policies";
const PASSWORD_CHARACTERS_MAX = 1024;

const summary = z.object({
  id: z.string(),
  name: z.string(),
  hasPassword: z.boolean().describe("False: nobody logs in as this user"),
  policies: names.describe("By name"),
  roles: names.describe("By name"),
  ...revisions,
});
const output = summary.extend({ statements: z.array(statement) }).openapi("User");
const body = z
  .strictObject({
    password: z
      .string()
      .min(1)
      .max(PASSWORD_CHARACTERS_MAX)
      .nullable()
      .optional()
      .describe("Absent: it stays as it is; null: none. Another one, or none, ends all logins of the user"),
    ...grants,
  })
  .openapi("UserInput");

export const userRoutes = [
  listRoute("user.list", {
    plural: "users",
    id: "listUsers",
    summary: "All users, without statements of their own",
    item: summary,
    itemOf: summaryOutput,
  }),
  getRoute("user.get", {
    plural: "users",
    id: "getUser",
    summary: "A user",
    item: output,
    itemOf: (user) => userOutput(user, user.statements),
  }),
  primaryRoute({
    method: "put",
    path,
    tag,
    id: "putUser",
    summary: "Write a user, or replace what it grants and its password",
    permission: PUTTING,
    query: z.strictObject({ cas }),
    body,
    response: output,
    async handle(asked) {
      const { params, query, body: given } = asked;
      const { password } = given;
      const { value, revision } = await write(asked, "user.put", {
        name: params["name"]!,
        password: typeof password === "string" ? await hashPassword(password) : password,
        policies: linksOf(given.policies),
        roles: linksOf(given.roles),
        statements: statementsOf("statements", given.statements ?? []),
        cas: query.cas,
      });
      return { value: userOutput(value, value.statements), revision };
    },
  }),
  primaryRoute({
    method: "delete",
    path,
    tag,
    id: "deleteUser",
    summary: "Delete a user: all its logins end",
    permission: DELETING,
    query: z.strictObject({ cas }),
    response: existed,
    async handle(asked) {
      const { revision } = await write(asked, "user.delete", { name: asked.params["name"]!, cas: asked.query.cas });
      return { value: { existed: true }, revision };
    },
  }),
];

function summaryOutput({ id, name, hasPassword, policies, roles, createRevision, modRevision }: UserView) {
  return {
    id,
    name,
    hasPassword,
    policies: namesOf(policies),
    roles: namesOf(roles),
    createRevision,
    modRevision,
  };
}

const userOutput = (user: UserView, statements: readonly Statement[]) => ({
  ...summaryOutput(user),
  statements: statements.map(statementOutput),
});
