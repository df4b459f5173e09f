/** `/v1/acl/policy` and `/v1/acl/policies`. Source: developer.hashicorp.com/consul/api-docs/acl/policies. */
import type { Policy, PolicySummary } from "../../../../objects/policy/policies.ts";
import { isBuiltin } from "../../../../objects/policy/policies.ts";
import type { Stored } from "../../../../objects/policy/records.ts";
import { anything, list, object, text } from "../decode.ts";
import { badRequest, notFound, refused } from "../errors.ts";
import type { Exchange } from "../exchange.ts";
import {
  aclRoute,
  bodyOf,
  contentHash,
  isUuid,
  noSuch,
  ownExtra,
  POLICY_RANGES,
  readAll,
  wording,
  write,
} from "./records.ts";
import { statementsOf } from "./rules.ts";
import { BUILTIN_RULES } from "./templates.ts";

const body = object({
  ID: text,
  Name: text,
  Description: text,
  Rules: text,
  Datacenters: list(text),
  Hash: anything,
  CreateIndex: anything,
  ModifyIndex: anything,
});

const NAME_CHARACTERS_MAX = 128;
const BUILTIN_PREFIX = "builtin/";

export const policyRoutes = [
  aclRoute("/acl/policies", { GET: listPolicies }),
  aclRoute("/acl/policy", { PUT: createPolicy }),
  aclRoute("/acl/policy/", {
    GET: (exchange) => readPolicy(exchange, { id: exchange.rest }),
    PUT: updatePolicy,
    DELETE: deletePolicy,
  }),
  aclRoute("/acl/policy/name/", { GET: (exchange) => readPolicy(exchange, { name: exchange.rest }) }),
];

async function listPolicies(exchange: Exchange): Promise<Response> {
  exchange.require("acl", "read");
  const policies = await readAll(exchange, "policy.list", {}, POLICY_RANGES);
  return exchange.json(policies.map(stubOf));
}

async function readPolicy(exchange: Exchange, wanted: { id: string } | { name: string }): Promise<Response> {
  if (exchange.rest === "") throw badRequest("id" in wanted ? "Missing policy ID" : "Missing policy Name");
  exchange.require("acl", "read");
  const read = exchange.read("policy.get", wanted, POLICY_RANGES);
  return exchange.json(policyOf((await wording(read, { not_found: noSuch("policy") })).value));
}

async function createPolicy(exchange: Exchange): Promise<Response> {
  const given = await bodyOf(exchange, "Policy decoding failed", body);
  if (given.ID !== "") throw badRequest("Cannot specify the ID when creating a new policy");
  exchange.require("acl", "write");
  return put(exchange, given, undefined);
}

async function updatePolicy(exchange: Exchange): Promise<Response> {
  const given = await bodyOf(exchange, "Policy decoding failed", body);
  const id = exchange.rest;
  if (given.ID !== "" && given.ID !== id) throw badRequest("Policy ID in URL and payload do not match");
  exchange.require("acl", "write");
  return put(exchange, given, id);
}

async function put(exchange: Exchange, given: Given, id: string | undefined): Promise<Response> {
  const { Name: name, Description: description, Rules, Datacenters: datacenters } = given;
  assertName(name, id !== undefined && isBuiltin(id));
  if (id !== undefined && !isUuid(id)) throw refused("Policy ID invalid UUID");
  const builtin = id === undefined ? undefined : BUILTIN_RULES[id];
  if (builtin !== undefined && datacenters.length > 0) {
    throw refused(`Changing the Datacenters of the builtin ${name} policy is not permitted`);
  }
  if (builtin !== undefined && Rules !== builtin) {
    throw refused(`Changing the Rules for the builtin ${name} policy is not permitted`);
  }
  const compiled = statementsOf(Rules);
  const isHere = datacenters.length === 0 || datacenters.includes(exchange.datacenter);
  const statements =
    builtin === undefined
      ? isHere
        ? compiled
        : []
      : (await exchange.client.query("policy.get", { id: id! })).value.statements;
  const source = builtin === undefined ? { dialect: "consul", text: Rules } : null;
  const extra = datacenters.length > 0 ? { consul: { Datacenters: datacenters } } : {};
  const written = write(exchange, "policy.put", { id, name, description, statements, source, extra });
  const policy = await wording(written, {
    not_found: () => refused(`cannot find policy ${id}`),
    already_exists: () => refused(`Invalid Policy: A Policy with Name ${JSON.stringify(name)} already exists`),
  });
  return exchange.json(policyOf(policy));
}

type Given = ReturnType<typeof body.zero>;

async function deletePolicy(exchange: Exchange): Promise<Response> {
  const id = exchange.rest;
  if (id === "") throw badRequest("Missing policy ID");
  exchange.require("acl", "write");
  const found = exchange.client.query("policy.get", { id });
  const { name } = (await wording(found, { not_found: () => notFound("Cannot find policy to delete") })).value;
  if (isBuiltin(id)) throw refused(`Delete operation not permitted on the builtin ${name} policy`);
  await write(exchange, "policy.delete", { id });
  return exchange.json(true);
}

function assertName(name: string, builtin: boolean): void {
  if (name === "") throw refused("Invalid Policy: no Name is set");
  if (name.length > NAME_CHARACTERS_MAX) {
    const limit = `Length must be greater than 0 and less than ${NAME_CHARACTERS_MAX}`;
    throw refused(`Invalid Policy: invalid Name. ${limit}`);
  }
  if (name.startsWith("/") || (name.startsWith(BUILTIN_PREFIX) && !builtin)) {
    throw refused(`Invalid Policy: invalid Name. Names cannot be prefixed with '/' or '${BUILTIN_PREFIX}'`);
  }
  if (!/^[A-Za-z0-9_-]+\/?[A-Za-z0-9_-]*$/.test(name)) {
    const alphabet = "Only alphanumeric characters, a single '/', '-' and '_' are allowed";
    throw refused(`Invalid Policy: invalid Name. ${alphabet}`);
  }
}

export function policyOf(policy: Stored<Policy>): Record<string, unknown> {
  const { Datacenters, ...stub } = stubOf(policy);
  return { ...stub, Rules: rulesOf(policy), ...(Datacenters && { Datacenters }) };
}

function stubOf(policy: PolicySummary) {
  const { id, name, description, extra, createRevision, modRevision } = policy;
  const Datacenters = (ownExtra(extra)["Datacenters"] as string[] | undefined) ?? null;
  return {
    ID: id,
    Name: name,
    Description: description,
    Datacenters,
    Hash: contentHash(id, name, description, Datacenters, modRevision),
    CreateIndex: createRevision,
    ModifyIndex: modRevision,
  };
}

/** What another dialect wrote has no text here; a comment says so, and is valid rules. */
function rulesOf({ id, source, statements }: Policy): string {
  const builtin = BUILTIN_RULES[id];
  if (builtin !== undefined) return builtin;
  if (source?.dialect === "consul") return source.text;
  return statements.length === 0 ? "" : `# ${statements.length} statements that were not written as Consul's rules\n`;
}
