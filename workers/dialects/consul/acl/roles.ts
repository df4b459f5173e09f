/** `/v1/acl/role` and `/v1/acl/roles`. Source: developer.hashicorp.com/consul/api-docs/acl/roles. */
import type { RoleView } from "../../../../objects/policy/roles.ts";
import { anything, list, object, text } from "../decode.ts";
import { badRequest, notFound, refused } from "../errors.ts";
import type { Exchange } from "../exchange.ts";
import { identitiesFrom, identitiesOf, identityFields } from "./identities.ts";
import { linkFields, linksOf, showLinks } from "./links.ts";
import {
  aclRoute,
  bodyOf,
  contentHash,
  isUuid,
  noSuch,
  noSuchLink,
  readAll,
  ROLE_RANGES,
  wording,
  write,
} from "./records.ts";

const body = object({
  ID: text,
  Name: text,
  Description: text,
  Policies: list(linkFields),
  ...identityFields,
  Hash: anything,
  CreateIndex: anything,
  ModifyIndex: anything,
});

export const roleRoutes = [
  aclRoute("/acl/roles", { GET: listRoles }),
  aclRoute("/acl/role", { PUT: putRole }),
  aclRoute("/acl/role/", {
    GET: (exchange) => readRole(exchange, { id: exchange.rest }),
    PUT: putRole,
    DELETE: deleteRole,
  }),
  aclRoute("/acl/role/name/", { GET: (exchange) => readRole(exchange, { name: exchange.rest }) }),
];

async function listRoles(exchange: Exchange): Promise<Response> {
  exchange.require("acl", "read");
  const policy = exchange.param("policy") || undefined;
  const roles = await readAll(exchange, "role.list", { policy }, ROLE_RANGES);
  return exchange.json(roles.map(roleOf));
}

async function readRole(exchange: Exchange, wanted: { id: string } | { name: string }): Promise<Response> {
  if (exchange.rest === "") throw badRequest("id" in wanted ? "Missing role ID" : "Missing role Name");
  exchange.require("acl", "read");
  const read = exchange.read("role.get", wanted, ROLE_RANGES);
  return exchange.json(roleOf((await wording(read, { not_found: noSuch("role") })).value));
}

async function putRole(exchange: Exchange): Promise<Response> {
  const given = await bodyOf(exchange, "Role decoding failed", body);
  if (given.ID !== "" && given.ID !== exchange.rest) throw badRequest("Role ID in URL and payload do not match");
  exchange.require("acl", "write");
  const id = exchange.rest || undefined;
  const { Name: name, Description: description } = given;
  if (name === "") throw refused("Invalid Role: no Name is set");
  if (!/^[A-Za-z0-9_-]{1,256}$/.test(name)) {
    throw refused("Invalid Role: invalid Name. Only alphanumeric characters, '-' and '_' are allowed");
  }
  if (id !== undefined && !isUuid(id)) throw refused("Role ID invalid UUID");
  const { datacenter } = exchange;
  const { statements, extra } = identitiesFrom(given, { kind: "role", isLocal: false, datacenter });
  const policies = linksOf(given.Policies);
  const written = write(exchange, "role.put", { id, name, description, policies, statements, extra });
  const role = await wording(written, {
    not_found: (error) => (error.details?.["field"] ? noSuchLink(error) : refused(`cannot find role ${id}`)),
    already_exists: () => refused(`Invalid Role: A Role with Name ${JSON.stringify(name)} already exists`),
  });
  return exchange.json(roleOf(role));
}

async function deleteRole(exchange: Exchange): Promise<Response> {
  if (exchange.rest === "") throw badRequest("Missing role ID");
  exchange.require("acl", "write");
  const { existed } = await write(exchange, "role.delete", { id: exchange.rest });
  if (!existed) throw notFound("Cannot find role to delete");
  return exchange.json(true);
}

export function roleOf(role: RoleView): Record<string, unknown> {
  const { id, name, description, policies, extra, createRevision, modRevision } = role;
  const identities = identitiesOf(extra);
  return {
    ID: id,
    Name: name,
    Description: description,
    ...showLinks("Policies", policies),
    ...identities,
    Hash: contentHash(name, description, policies, identities),
    CreateIndex: createRevision,
    ModifyIndex: modRevision,
  };
}
