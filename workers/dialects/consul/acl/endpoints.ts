/**
 * `/v1/acl/…` and what the console of Consul asks about rights. The groups of endpoints are in files of their own; here is
 * what reads nothing but constants, and the questions about one's own rights.
 *
 * Source: developer.hashicorp.com/consul/api-docs/acl.
 */
import type { Access, Resource } from "../authorizer.ts";
import { list, object, text } from "../decode.ts";
import { badRequest } from "../errors.ts";
import type { Exchange } from "../exchange.ts";
import type { Route } from "../route.ts";
import { authMethodRoutes } from "./auth-methods.ts";
import { problemOfVariable, syntheticPolicy } from "./identities.ts";
import { loginRoutes } from "./login.ts";
import { policyRoutes } from "./policies.ts";
import { aclRoute, bodyOf } from "./records.ts";
import { roleRoutes } from "./roles.ts";
import type { Template } from "./templates.ts";
import { templateNamed, TEMPLATES } from "./templates.ts";
import { tokenRoutes } from "./tokens.ts";

export const aclRoutes: Route[] = [
  ...tokenRoutes,
  ...policyRoutes,
  ...roleRoutes,
  ...authMethodRoutes,
  ...loginRoutes,
  aclRoute("/acl/replication", { GET: (exchange) => exchange.json(NO_REPLICATION) }),
  aclRoute("/acl/templated-policies", { GET: listTemplates }),
  aclRoute("/acl/templated-policy/name/", { GET: readTemplate }),
  aclRoute("/acl/templated-policy/preview/", { POST: previewTemplate }),
  aclRoute("/internal/acl/authorize", { POST: authorize }),
];

const NEVER = "0001-01-01T00:00:00Z";
/** There is one copy of policies and tokens, so none follows another. */
const NO_REPLICATION = {
  Enabled: false,
  Running: false,
  SourceDatacenter: "",
  ReplicationType: "",
  ReplicatedIndex: 0,
  ReplicatedRoleIndex: 0,
  ReplicatedTokenIndex: 0,
  LastSuccess: NEVER,
  LastError: NEVER,
  LastErrorMessage: "",
};

function listTemplates(exchange: Exchange): Response {
  exchange.require("acl", "read");
  return exchange.json(Object.fromEntries(TEMPLATES.map((template) => [template.name, templateOf(template)])));
}

function readTemplate(exchange: Exchange): Response {
  if (exchange.rest === "") throw badRequest("Missing templated policy Name");
  exchange.require("acl", "read");
  const template = templateNamed(exchange.rest);
  if (!template) throw badRequest(`Invalid templated policy Name: ${exchange.rest}`);
  return exchange.json(templateOf(template));
}

async function previewTemplate(exchange: Exchange): Promise<Response> {
  const name = exchange.rest;
  if (name === "") throw badRequest("Missing templated policy Name");
  exchange.require("acl", "read");
  const template = templateNamed(name);
  if (!template) throw badRequest(`templated policy ${JSON.stringify(name)} does not exist`);
  const { Name } = await bodyOf(exchange, "Failed to decode request body", object({ Name: text }));
  const problem = problemOfVariable(template, Name);
  if (problem !== null) throw badRequest(`validation error for templated policy: ${JSON.stringify(name)}: ${problem}`);
  return exchange.json({ ...syntheticPolicy(template, Name), CreateIndex: 0, ModifyIndex: 0 });
}

const templateOf = ({ name, schema, rules, description }: Template) => ({
  TemplateName: name,
  Schema: schema,
  Template: rules,
  Description: description,
});

const AUTHORIZATIONS_MAX = 64;
const question = object({ Resource: text, Access: text, Segment: text }, { lenient: true });

/** Anybody may ask what he himself may do. */
async function authorize(exchange: Exchange): Promise<Response> {
  const questions = await bodyOf(exchange, "Failed to decode request body", list(question));
  if (questions.length > AUTHORIZATIONS_MAX) {
    throw badRequest(`Refusing to process more than ${AUTHORIZATIONS_MAX} authorizations at once`);
  }
  const answers = questions.map(({ Resource, Access, Segment }) => ({
    Resource,
    ...(Segment !== "" && { Segment }),
    Access,
    Allow: isAllowed(exchange, Resource, Access, Segment),
  }));
  return exchange.json(answers);
}

const RESOURCES: readonly Resource[] = [
  ...(["acl", "agent", "event", "intention", "key", "keyring", "mesh"] as const),
  ...(["node", "operator", "peering", "query", "service", "session"] as const),
];

function isAllowed(exchange: Exchange, asked: string, level: string, segment: string): boolean {
  const resource = RESOURCES.find((one) => one === asked);
  if (!resource) throw badRequest(`Invalid ACL resource requested: ${JSON.stringify(asked)}`);
  const access = level.toLowerCase();
  if (resource === "key" && access === "write-prefix") return exchange.authorizer.allowsBelow("key", "write", segment);
  const isLevel = access === "read" || access === "write" || (resource === "key" && access === "list");
  if (!isLevel) throw badRequest(`Invalid access level for ${resource} resource: ${level}`);
  return exchange.authorizer.allows(resource, access as Access, segment);
}
