/**
 * Tokens, by accessor, which is no secret. The secret is shown once, when the token is made.
 *
 * `anonymous` stands for the accessor of who asks without a token.
 */
import { z } from "@hono/zod-openapi";
import { toBase64 } from "../../objects/bytes.ts";
import { invalid } from "../../objects/errors.ts";
import type { Statement } from "../../objects/policy/statements.ts";
import type { TokenView } from "../../objects/policy/tokens.ts";
import { ANONYMOUS_ACCESSOR } from "../../objects/policy/tokens.ts";
import { open, seal } from "../request/secrets.ts";
import { isoTime } from "./convert.ts";
import {
  DELETING,
  existed,
  grants,
  linksOf,
  listRoute,
  names,
  namesOf,
  primaryRoute,
  PUTTING,
  READING,
  revisions,
  write,
} from "./grants.ts";
import { notFound, route } from "./route.ts";
import { statement, statementOutput, statementsOf } from "./statements.ts";

const path = "/tokens/{accessor}";
const tag = "Policies";
/** A multiple of three: base64 without padding. */
const SECRET_BYTES = 24;
const TTL_MAX_SECONDS = 366 * 86_400;

const summary = z.object({
  accessor: z.string(),
  description: z.string(),
  policies: names.describe("By name"),
  roles: names.describe("By name"),
  local: z.boolean().describe("Valid in this datacenter only"),
  method: z.string().nullable().describe("The auth method of the login that gave it"),
  createdAt: z.iso.datetime(),
  expiresAt: z.iso.datetime().nullable(),
  ...revisions,
});
const output = summary.extend({ statements: z.array(statement) }).openapi("Token");
const given = { description: z.string().optional(), ...grants };

export const tokenRoutes = [
  listRoute("token.list", {
    plural: "tokens",
    id: "listTokens",
    summary: "All tokens, without secrets and statements of their own",
    item: summary,
    itemOf: summaryOutput,
  }),
  route({
    method: "post",
    path: "/tokens",
    tag,
    id: "createToken",
    summary: "Make a token; only this answer tells its secret",
    permission: PUTTING,
    body: z
      .strictObject({
        ...given,
        ttl: z.number().min(1).max(TTL_MAX_SECONDS).optional().describe("In seconds; default: it does not expire"),
        local: z.boolean().optional().describe("Valid in this datacenter only"),
      })
      .openapi("TokenInput"),
    response: output.extend({ secret: z.string() }),
    async handle(asked) {
      const { body, env } = asked;
      const accessor = crypto.randomUUID();
      const statements = statementsOf("statements", body.statements ?? []);
      const input = {
        ...grantsOf(body, statements),
        accessor,
        secret: await seal(newSecret(), accessor, env.platform),
        local: body.local,
        datacenter: asked.client.datacenter,
        expiresAt: body.ttl === undefined ? null : Date.now() + Math.round(body.ttl * 1000),
      };
      const { value, revision } = await write(asked, "token.create", input);
      // Of the token as it was made: the call may be the repetition of one whose answer was lost.
      const secret = await open(value.sealedSecret, value.accessor, env.platform);
      return { value: { secret, ...tokenOutput(value, statements) }, revision };
    },
  }),
  primaryRoute({
    method: "get",
    path: "/tokens/self",
    tag,
    id: "getOwnToken",
    summary: "The caller's own token, and all that holds for who has none",
    permission: [],
    response: z.object({ principal: z.string(), token: output.nullable().describe("Null: the root token") }),
    async handle({ client, authorizer }) {
      const { principal, accessor } = authorizer;
      if (accessor === null) return { value: { principal, token: null }, revision: (await client.status()).revision };
      const { value, revision } = await client.query("token.get", { accessor });
      return { value: { principal, token: tokenOutput(value, value.statements) }, revision };
    },
  }),
  primaryRoute({
    method: "get",
    path,
    tag,
    id: "getToken",
    summary: "A token, without its secret",
    permission: READING,
    response: output,
    async handle({ client, params }) {
      const { value, revision } = await client.query("token.get", { accessor: accessorOf(params) });
      return { value: tokenOutput(value, value.statements), revision };
    },
  }),
  primaryRoute({
    method: "put",
    path,
    tag,
    id: "updateToken",
    summary: "Replace what a token grants; its secret stays",
    permission: PUTTING,
    body: z.strictObject(given).openapi("TokenUpdate"),
    response: output,
    async handle(asked) {
      const { params, body } = asked;
      const statements = statementsOf("statements", body.statements ?? []);
      const input = { accessor: accessorOf(params), ...grantsOf(body, statements) };
      const { value, revision } = await write(asked, "token.update", input);
      return { value: tokenOutput(value, statements), revision };
    },
  }),
  primaryRoute({
    method: "delete",
    path,
    tag,
    id: "deleteToken",
    summary: "Revoke a token: at once here, elsewhere within 30 seconds",
    permission: DELETING,
    response: existed,
    async handle(asked) {
      const accessor = accessorOf(asked.params);
      if (accessor === ANONYMOUS_ACCESSOR) throw invalid("accessor", "the anonymous token cannot be deleted");
      const { value, revision } = await write(asked, "token.delete", { accessor });
      if (!value.existed) throw notFound(`there is no token with accessor "${accessor}"`);
      return { value, revision };
    },
  }),
];

interface Grants {
  description?: string | undefined;
  policies?: string[] | undefined;
  roles?: string[] | undefined;
}

const grantsOf = ({ description, policies, roles }: Grants, statements: Statement[]) => ({
  description,
  policies: linksOf(policies),
  roles: linksOf(roles),
  statements,
});

const accessorOf = (params: Record<string, string>): string =>
  params["accessor"] === "anonymous" ? ANONYMOUS_ACCESSOR : params["accessor"]!;

/** Recognizable to who looks for leaked secrets. */
function newSecret(): string {
  const random = toBase64(crypto.getRandomValues(new Uint8Array(SECRET_BYTES)));
  return `hf_${random.replaceAll("+", "-").replaceAll("/", "_")}`;
}

function summaryOutput({ createdAt, expiresAt, policies, roles, ...token }: TokenView) {
  return {
    accessor: token.accessor,
    description: token.description,
    policies: namesOf(policies),
    roles: namesOf(roles),
    local: token.local,
    method: token.method,
    createdAt: isoTime(createdAt),
    expiresAt: expiresAt === null ? null : isoTime(expiresAt),
    createRevision: token.createRevision,
    modRevision: token.modRevision,
  };
}

const tokenOutput = (token: TokenView, statements: readonly Statement[]) => ({
  ...summaryOutput(token),
  statements: statements.map(statementOutput),
});
