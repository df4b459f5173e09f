/**
 * `/v1/acl/token`, `/v1/acl/tokens` and the first token.
 *
 * Of a secret the namespace keeps a hash, and the secret sealed for the edge. Who may write tokens is shown it again, as in
 * Consul, others see `<hidden>`. The root token is none of these: it comes with the deployment, and shows as itself.
 * Source: developer.hashicorp.com/consul/api-docs/acl/tokens and /acl.
 */
import { MANAGEMENT_ID } from "../../../../objects/policy/policies.ts";
import type { TokenView } from "../../../../objects/policy/tokens.ts";
import { ANONYMOUS_ACCESSOR } from "../../../../objects/policy/tokens.ts";
import { hashOf } from "../../../request/authorizer.ts";
import { open, seal } from "../../../request/secrets.ts";
import { anything, bool, duration, list, object, optional, text } from "../decode.ts";
import { formatDuration } from "../durations.ts";
import { timeOf } from "../encode.ts";
import { badRequest, ConsulError, notFound, refused } from "../errors.ts";
import type { Exchange } from "../exchange.ts";
import { ANONYMOUS_SECRET, credentialOf } from "./credential.ts";
import type { Identities } from "./identities.ts";
import { identitiesFrom, identitiesOf, identityFields, syntheticPolicies } from "./identities.ts";
import { linkFields, linksOf, showLinks } from "./links.ts";
import { policyOf } from "./policies.ts";
import {
  aclRoute,
  bodyOf,
  contentHash,
  isReserved,
  isUuid,
  noSuchLink,
  readAll,
  TOKEN_RANGES,
  wording,
  write,
} from "./records.ts";
import { roleOf } from "./roles.ts";
import { SERVICE_TEMPLATE } from "./templates.ts";

const body = object({
  AccessorID: text,
  SecretID: text,
  Description: text,
  Policies: list(linkFields),
  Roles: list(linkFields),
  ...identityFields,
  Local: bool,
  AuthMethod: text,
  ExpirationTime: optional(text),
  ExpirationTTL: duration,
  CreateTime: anything,
  Hash: anything,
  CreateIndex: anything,
  ModifyIndex: anything,
});
const bootstrapBody = object({ BootstrapSecret: text });
type Given = ReturnType<typeof body.zero>;

const HIDDEN = "<hidden>";
/** Consul's defaults: what a token may be given to live, at least and at most. */
export const TTL_MIN_MS = 60_000;
export const TTL_MAX_MS = 86_400_000;
const CLONE = "/clone";

export const tokenRoutes = [
  aclRoute("/acl/bootstrap", { PUT: bootstrap }),
  aclRoute("/acl/tokens", { GET: listTokens }),
  aclRoute("/acl/token", { PUT: createToken }),
  aclRoute("/acl/token/self", { GET: readSelf }),
  aclRoute("/acl/token/", {
    GET: readToken,
    PUT: (exchange) => (exchange.rest.endsWith(CLONE) ? cloneToken(exchange) : updateToken(exchange)),
    DELETE: deleteToken,
  }),
];

/**
 * Only for the holder of the root token: Consul gives the first token to whoever asks first, which on a public address is
 * anybody.
 */
async function bootstrap(exchange: Exchange): Promise<Response> {
  const asked = await bodyOf(exchange, "Request decoding failed", bootstrapBody, { mayBeEmpty: true });
  const wanted = asked.BootstrapSecret;
  if (exchange.caller.principal !== "root") {
    throw new ConsulError(403, "Permission denied: the first token is given to the holder of the root token");
  }
  if (wanted !== "" && !isUuid(wanted.toLowerCase())) throw refused("BootstrapSecret is not a valid UUID");
  const secret = wanted || crypto.randomUUID();
  const accessor = crypto.randomUUID();
  const description = "Bootstrap Token (Global Management)";
  const sealed = await seal(secret, accessor, exchange.env);
  const given = write(exchange, "token.bootstrap", { accessor, secret: sealed, description });
  const token = await wording(given, {
    conflict: ({ details }) => {
      const reason = `ACL bootstrap no longer allowed (reset index: ${String(details?.["revision"])})`;
      return new ConsulError(403, `Permission denied: ${reason}`);
    },
    already_exists: () => refused("Provided token cannot be used because a token with that secret already exists."),
  });
  return exchange.json({ ID: secret, ...tokenOf(token, secret) });
}

async function listTokens(exchange: Exchange): Promise<Response> {
  exchange.require("acl", "read");
  const [policy, role, method, service] = ["policy", "role", "authmethod", "servicename"].map(
    (name) => exchange.param(name) || undefined,
  );
  if ([policy, role, method, service].filter((one) => one !== undefined).length > 1) {
    throw refused("can only filter by one of policy, role, serviceName, or methodName at a time");
  }
  const tokens = await readAll(exchange, "token.list", { policy, role, method }, TOKEN_RANGES);
  const wanted = tokens.filter(
    (token) =>
      isHere(token, exchange.datacenter) && (service === undefined || isOfService(identitiesOf(token.extra), service)),
  );
  const shown = await Promise.all(wanted.map(async (token) => tokenOf(token, await shownSecret(exchange, token))));
  return exchange.json(shown);
}

/** Consul has local tokens in their own datacenter only. */
const isHere = ({ datacenter }: TokenView, asked: string): boolean => datacenter === "" || datacenter === asked;

function isOfService({ ServiceIdentities = [], TemplatedPolicies = [] }: Identities, service: string): boolean {
  return (
    ServiceIdentities.some(({ ServiceName }) => ServiceName === service) ||
    TemplatedPolicies.some((one) => one.TemplateName === SERVICE_TEMPLATE && one.TemplateVariables?.name === service)
  );
}

async function readToken(exchange: Exchange): Promise<Response> {
  if (exchange.rest === "") throw badRequest("Missing token AccessorID");
  exchange.require("acl", "read");
  if (!isUuid(exchange.rest)) throw noToken();
  const read = exchange.read("token.get", { accessor: exchange.rest }, TOKEN_RANGES);
  const token = (await wording(read, { not_found: noToken })).value;
  const shown = tokenOf(token, await shownSecret(exchange, token));
  return exchange.json(exchange.params.has("expanded") ? { ...shown, ...(await expanded(exchange, token)) } : shown);
}

async function readSelf(exchange: Exchange): Promise<Response> {
  const secret = credentialOf(exchange.request.headers, exchange.params);
  if (exchange.caller.principal === "root") return exchange.json(rootToken(secret!));
  if (secret === null) throw noToken();
  const read = exchange.read("token.get", { secretHash: hashOf(secret) }, TOKEN_RANGES);
  return exchange.json(tokenOf((await wording(read, { not_found: noToken })).value, secret));
}

async function createToken(exchange: Exchange): Promise<Response> {
  return create(exchange, await bodyOf(exchange, "Token decoding failed", body));
}

async function create(exchange: Exchange, given: Given): Promise<Response> {
  exchange.require("acl", "write");
  if (given.AccessorID !== "") assertTokenId("AccessorID", given.AccessorID);
  if (given.SecretID !== "") assertTokenId("SecretID", given.SecretID);
  if (given.AuthMethod !== "") throw refused("AuthMethod field is disallowed outside of login");
  const accessor = given.AccessorID || crypto.randomUUID();
  const secret = given.SecretID || crypto.randomUUID();
  const input = {
    ...grantsOf(exchange, given, given.Local),
    accessor,
    secret: await seal(secret, accessor, exchange.env),
    local: given.Local,
    datacenter: exchange.datacenter,
    expiresAt: expiryOf(given, Date.now()),
  };
  const token = await wording(write(exchange, "token.create", input), {
    not_found: noSuchLink,
    already_exists: ({ details }) =>
      refused(`Invalid Token: ${details?.["field"] === "secret" ? "SecretID" : "AccessorID"} is already in use`),
  });
  return exchange.json(tokenOf(token, secret));
}

async function updateToken(exchange: Exchange): Promise<Response> {
  const given = await bodyOf(exchange, "Token decoding failed", body);
  const accessor = exchange.rest;
  if (given.AccessorID !== "" && given.AccessorID !== accessor) {
    throw badRequest("Token Accessor ID in URL and payload do not match");
  }
  exchange.require("acl", "write");
  if (accessor === "") return create(exchange, given);
  if (!isUuid(accessor)) throw refused("AccessorID is not a valid UUID");
  const found = exchange.client.query("token.get", { accessor });
  const none = () => refused(`Cannot find token ${JSON.stringify(accessor)}`);
  const before = (await wording(found, { not_found: none })).value;
  const secret = await shownSecret(exchange, before);
  if (given.SecretID !== "" && given.SecretID !== secret && given.SecretID !== HIDDEN) {
    throw refused("Changing a token's SecretID is not permitted");
  }
  if (given.Local !== before.local) throw refused(`Cannot toggle local mode of ${accessor}`);
  if (given.AuthMethod !== "" && given.AuthMethod !== before.method) {
    throw refused(`Cannot change AuthMethod of ${accessor}`);
  }
  const isSameExpiry = !given.ExpirationTime || Date.parse(given.ExpirationTime) === before.expiresAt;
  if (given.ExpirationTTL !== 0 || !isSameExpiry) throw refused(`Cannot change expiration time of ${accessor}`);
  const updated = write(exchange, "token.update", { accessor, ...grantsOf(exchange, given, before.local) });
  return exchange.json(tokenOf(await wording(updated, { not_found: noSuchLink }), secret));
}

async function cloneToken(exchange: Exchange): Promise<Response> {
  const given = await bodyOf(exchange, "Token decoding failed", body);
  const accessor = exchange.rest.slice(0, -CLONE.length);
  exchange.require("acl", "write");
  if (!isUuid(accessor)) throw noToken();
  const newAccessor = crypto.randomUUID();
  const secret = crypto.randomUUID();
  const sealed = await seal(secret, newAccessor, exchange.env);
  const description = given.Description || undefined;
  const cloned = write(exchange, "token.clone", { accessor, newAccessor, secret: sealed, description });
  const token = await wording(cloned, {
    not_found: noToken,
    unsupported: () => refused("Cannot clone a token created from an auth method"),
  });
  return exchange.json(tokenOf(token, secret));
}

async function deleteToken(exchange: Exchange): Promise<Response> {
  const accessor = exchange.rest;
  if (accessor === "") throw badRequest("Missing token AccessorID");
  exchange.require("acl", "write");
  if (!isUuid(accessor)) throw refused("Token ID is missing or an invalid UUID");
  if (accessor === ANONYMOUS_ACCESSOR) throw refused("Delete operation not permitted on the anonymous token");
  if (exchange.caller.principal === `token:${accessor}`) {
    throw refused("Deletion of the request's authorization token is not permitted");
  }
  const { existed } = await write(exchange, "token.delete", { accessor });
  if (!existed) throw notFound("Cannot find token to delete");
  return exchange.json(true);
}

function grantsOf(exchange: Exchange, given: Given, isLocal: boolean) {
  const { statements, extra } = identitiesFrom(given, { kind: "token", isLocal, datacenter: exchange.datacenter });
  return {
    description: given.Description,
    policies: linksOf(given.Policies),
    roles: linksOf(given.Roles),
    statements,
    extra,
  };
}

function assertTokenId(field: "AccessorID" | "SecretID", id: string): void {
  if (isReserved(id)) {
    throw refused(`Invalid Token: ${field} - UUIDs with the prefix "00000000-0000-0000-0000-0000000000" are reserved`);
  }
  // An accessor is a name, of which there is one spelling; a secret is what the caller will send.
  const spelling = field === "SecretID" ? id.toLowerCase() : id;
  if (!isUuid(spelling)) throw refused(`Invalid Token: ${field} - not a valid UUID`);
}

function expiryOf({ ExpirationTTL: ttlMs, ExpirationTime: time }: Given, now: number): number | null {
  if (ttlMs < 0) throw refused(`Token Expiration TTL '${formatDuration(ttlMs)}' should be > 0`);
  if (ttlMs > 0 && time) throw refused("Token Expiration TTL and Expiration Time cannot both be set");
  if (ttlMs === 0 && !time) return null;
  const expiresAt = time ? Date.parse(time) : now + Math.ceil(ttlMs);
  if (Number.isNaN(expiresAt)) throw badRequest("Token decoding failed: ExpirationTime is not a time in RFC 3339");
  if (expiresAt < now) throw refused("ExpirationTime cannot be before CreateTime");
  const lifeMs = expiresAt - now;
  const bound =
    lifeMs > TTL_MAX_MS ? `more than ${formatDuration(TTL_MAX_MS)}` : `less than ${formatDuration(TTL_MIN_MS)}`;
  if (lifeMs > TTL_MAX_MS || lifeMs < TTL_MIN_MS) {
    throw refused(`ExpirationTime cannot be ${bound} in the future (was ${formatDuration(lifeMs)})`);
  }
  return expiresAt;
}

/** Consul answers so, with 403, though a token is only missing. */
const noToken = (): ConsulError => new ConsulError(403, "token does not exist: ACL not found");

/** The secret, for who could write himself such a token. */
async function shownSecret(exchange: Exchange, { accessor, sealedSecret }: TokenView): Promise<string> {
  if (accessor === ANONYMOUS_ACCESSOR) return ANONYMOUS_SECRET;
  if (!exchange.allows("acl", "write")) return HIDDEN;
  return (await open(sealedSecret, accessor, exchange.env)) ?? HIDDEN;
}

export function tokenOf(token: TokenView, secret: string): Record<string, unknown> {
  const { accessor, description, policies, roles, local, method, extra, expiresAt } = token;
  const identities = identitiesOf(extra);
  return {
    AccessorID: accessor,
    SecretID: secret,
    Description: description,
    ...showLinks("Policies", policies),
    ...showLinks("Roles", roles),
    ...identities,
    Local: local,
    ...(method !== null && { AuthMethod: method }),
    ...(expiresAt !== null && { ExpirationTime: timeOf(expiresAt) }),
    CreateTime: timeOf(token.createdAt),
    Hash: contentHash(description, policies, roles, identities, local),
    CreateIndex: token.createRevision,
    ModifyIndex: token.modRevision,
  };
}

/** It has no record; clients that ask who they are get an answer all the same. */
function rootToken(secret: string): Record<string, unknown> {
  return {
    AccessorID: MANAGEMENT_ID,
    SecretID: secret,
    Description: "Root token of the deployment",
    Policies: [{ ID: MANAGEMENT_ID, Name: "global-management" }],
    Local: false,
    CreateTime: timeOf(0),
    Hash: contentHash("root"),
    CreateIndex: 1,
    ModifyIndex: 1,
  };
}

/** Everything that adds up to the token's rights. */
async function expanded(exchange: Exchange, token: TokenView): Promise<Record<string, unknown>> {
  const { client, datacenter } = exchange;
  const roles = await Promise.all(token.roles.map(async ({ id }) => (await client.query("role.get", { id })).value));
  const ids = new Set([...token.policies, ...roles.flatMap(({ policies }) => policies)].map(({ id }) => id));
  const policies = await Promise.all([...ids].map(async (id) => (await client.query("policy.get", { id })).value));
  const synthetic = [token, ...roles].flatMap(({ extra }) => syntheticPolicies(identitiesOf(extra), datacenter));
  return {
    ExpandedPolicies: [...policies.map(policyOf), ...synthetic],
    ExpandedRoles: roles.map(roleOf),
    NamespaceDefaultPolicyIDs: null,
    NamespaceDefaultRoleIDs: null,
    AgentACLDefaultPolicy: exchange.authorizer.defaultPolicy,
    AgentACLDownPolicy: "extend-cache",
    ResolvedByAgent: exchange.node,
  };
}
