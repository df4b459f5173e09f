/** `/v1/acl/auth-method(s)` and `/v1/acl/binding-rule(s)`. Source: developer.hashicorp.com/consul/api-docs/acl/auth-methods. */
import type { AuthMethod, BindingRule } from "../../../../objects/policy/auth-methods.ts";
import type { Stored } from "../../../../objects/policy/records.ts";
import { anything, duration, map, object, optional, text } from "../decode.ts";
import { formatDuration } from "../durations.ts";
import { badRequest, notFound, refused } from "../errors.ts";
import type { Exchange } from "../exchange.ts";
import { assertBinding } from "./binding.ts";
import { readJwtConfig } from "./jwt-config.ts";
import { checkKeys } from "./jwt.ts";
import {
  aclRoute,
  AUTH_METHOD_RANGES,
  BINDING_RULE_RANGES,
  bodyOf,
  isUuid,
  noSuch,
  ownExtra,
  readAll,
  wording,
  write,
} from "./records.ts";
import { TTL_MAX_MS, TTL_MIN_MS } from "./tokens.ts";

const methodBody = object({
  Name: text,
  Type: text,
  DisplayName: text,
  Description: text,
  MaxTokenTTL: duration,
  TokenLocality: text,
  Config: map(anything),
  CreateIndex: anything,
  ModifyIndex: anything,
});

const ruleBody = object({
  ID: text,
  Description: text,
  AuthMethod: text,
  Selector: text,
  BindType: text,
  BindName: text,
  BindVars: optional(object({ Name: text })),
  CreateIndex: anything,
  ModifyIndex: anything,
});

/** What is left out of Consul's types: `kubernetes` and `aws-iam` ask other servers whether a credential is good. */
const TYPES = ["jwt"];

export const authMethodRoutes = [
  aclRoute("/acl/auth-methods", { GET: listMethods }),
  aclRoute("/acl/auth-method", { PUT: putMethod }),
  aclRoute("/acl/auth-method/", { GET: readMethod, PUT: putMethod, DELETE: deleteMethod }),
  aclRoute("/acl/binding-rules", { GET: listRules }),
  aclRoute("/acl/binding-rule", { PUT: putRule }),
  aclRoute("/acl/binding-rule/", { GET: readRule, PUT: putRule, DELETE: deleteRule }),
];

async function listMethods(exchange: Exchange): Promise<Response> {
  exchange.require("acl", "read");
  const methods = await readAll(exchange, "authMethod.list", {}, AUTH_METHOD_RANGES);
  return exchange.json(methods.map(methodStub));
}

async function readMethod(exchange: Exchange): Promise<Response> {
  if (exchange.rest === "") throw badRequest("Missing auth method name");
  exchange.require("acl", "read");
  const read = exchange.read("authMethod.get", { name: exchange.rest }, AUTH_METHOD_RANGES);
  return exchange.json(methodOf((await wording(read, { not_found: noSuch("auth method") })).value));
}

async function putMethod(exchange: Exchange): Promise<Response> {
  const given = await bodyOf(exchange, "AuthMethod decoding failed", methodBody);
  if (given.Name !== "" && exchange.rest !== "" && given.Name !== exchange.rest) {
    throw badRequest("AuthMethod Name in URL and payload do not match");
  }
  exchange.require("acl", "write");
  const name = given.Name || exchange.rest;
  if (name === "") throw refused("Invalid Auth Method: no Name is set");
  if (!/^[A-Za-z0-9_-]{1,128}$/.test(name)) {
    throw refused("Invalid Auth Method: invalid Name. Only alphanumeric characters, '-' and '_' are allowed");
  }
  const before = await findMethod(exchange, name);
  const type = given.Type || (before?.type ?? "");
  if (before && before.type !== type) throw refused("the Type field of an Auth Method is immutable");
  if (!TYPES.includes(type)) throw refused(`Invalid Auth Method: Type should be one of: [${TYPES.join(" ")}]`);
  const tokenTtlMs = given.MaxTokenTTL === 0 ? null : Math.ceil(given.MaxTokenTTL);
  if (tokenTtlMs !== null) assertTokenTtl(tokenTtlMs);
  if (!["", "local", "global"].includes(given.TokenLocality)) {
    throw refused("Invalid Auth Method: TokenLocality should be one of 'local' or 'global'");
  }
  await checkKeys(readJwtConfig(given.Config), exchange.env);
  const extra = { consul: { DisplayName: given.DisplayName, TokenLocality: given.TokenLocality } };
  const { Description: description, Config: config } = given;
  const method = await write(exchange, "authMethod.put", { name, type, description, tokenTtlMs, config, extra });
  return exchange.json(methodOf(method));
}

async function deleteMethod(exchange: Exchange): Promise<Response> {
  const name = exchange.rest;
  if (name === "") throw badRequest("Missing auth method name");
  exchange.require("acl", "write");
  const deleted = await write(exchange, "authMethod.delete", { name });
  if (!deleted.existed) throw notFound("Cannot find auth method to delete");
  // Its tokens are void already. Should the name be given again meanwhile, the rest goes with the later one.
  for (let { remaining } = deleted; remaining;) {
    ({ remaining } = await write(exchange, "authMethod.delete", { name, cas: 0 }));
  }
  return exchange.json(true);
}

async function findMethod(exchange: Exchange, name: string): Promise<Stored<AuthMethod> | null> {
  const found = exchange.client.query("authMethod.get", { name }).then(({ value }) => value);
  return found.catch((error: unknown) => {
    if ((error as { code?: string }).code === "not_found") return null;
    throw error;
  });
}

function assertTokenTtl(ttlMs: number): void {
  if (ttlMs > TTL_MAX_MS) {
    throw refused(`MaxTokenTTL ${formatDuration(ttlMs)} cannot be more than ${formatDuration(TTL_MAX_MS)}`);
  }
  if (ttlMs < TTL_MIN_MS) {
    throw refused(`MaxTokenTTL ${formatDuration(ttlMs)} cannot be less than ${formatDuration(TTL_MIN_MS)}`);
  }
}

async function listRules(exchange: Exchange): Promise<Response> {
  exchange.require("acl", "read");
  const method = exchange.param("authmethod") || undefined;
  const rules = await readAll(exchange, "bindingRule.list", { method }, BINDING_RULE_RANGES);
  return exchange.json(rules.map(ruleOf));
}

async function readRule(exchange: Exchange): Promise<Response> {
  if (exchange.rest === "") throw badRequest("Missing binding rule ID");
  exchange.require("acl", "read");
  const read = exchange.read("bindingRule.get", { id: exchange.rest }, BINDING_RULE_RANGES);
  return exchange.json(ruleOf((await wording(read, { not_found: noSuch("binding rule") })).value));
}

async function putRule(exchange: Exchange): Promise<Response> {
  const given = await bodyOf(exchange, "BindingRule decoding failed", ruleBody);
  if (given.ID !== "" && given.ID !== exchange.rest) {
    throw badRequest("BindingRule ID in URL and payload do not match");
  }
  exchange.require("acl", "write");
  const id = exchange.rest || undefined;
  if (id !== undefined && !isUuid(id)) throw refused("Binding Rule ID invalid UUID");
  let name = given.AuthMethod;
  if (id !== undefined) {
    const found = exchange.client.query("bindingRule.get", { id });
    const before = (await wording(found, { not_found: () => refused(`cannot find binding rule ${id}`) })).value;
    name ||= before.method;
    if (name !== before.method) throw refused("the AuthMethod field of an Binding Rule is immutable");
  }
  if (name === "") throw refused("Invalid Binding Rule: no AuthMethod is set");
  const method = await findMethod(exchange, name);
  if (!method) throw refused(`cannot find auth method with name ${JSON.stringify(name)}`);
  const { Selector: selector, BindType: type, BindName: bindName, BindVars: variables } = given;
  assertBinding({ selector, type, name: bindName, variable: variables?.Name }, readJwtConfig(method.config));
  const rule = await write(exchange, "bindingRule.put", {
    id,
    method: name,
    description: given.Description,
    selector,
    bind: { type, name: bindName, variables: variables ? { name: variables.Name } : {} },
  });
  return exchange.json(ruleOf(rule));
}

async function deleteRule(exchange: Exchange): Promise<Response> {
  if (exchange.rest === "") throw badRequest("Missing binding rule ID");
  exchange.require("acl", "write");
  const { existed } = await write(exchange, "bindingRule.delete", { id: exchange.rest });
  if (!existed) throw notFound("Cannot find binding rule to delete");
  return exchange.json(true);
}

function methodStub(method: Stored<AuthMethod>) {
  const { name, type, description, tokenTtlMs, extra } = method;
  const { DisplayName = "", TokenLocality = "" } = ownExtra(extra) as { DisplayName?: string; TokenLocality?: string };
  return {
    ...(tokenTtlMs !== null && { MaxTokenTTL: formatDuration(tokenTtlMs) }),
    Name: name,
    Type: type,
    ...(DisplayName !== "" && { DisplayName }),
    ...(description !== "" && { Description: description }),
    ...(TokenLocality !== "" && { TokenLocality }),
    CreateIndex: method.createRevision,
    ModifyIndex: method.modRevision,
  };
}

const methodOf = (method: Stored<AuthMethod>) => ({ ...methodStub(method), Config: method.config });

function ruleOf(rule: Stored<BindingRule>) {
  const { id, description, method, selector, bind } = rule;
  return {
    ID: id,
    Description: description,
    AuthMethod: method,
    Selector: selector,
    BindType: bind.type,
    BindName: bind.name,
    ...(Object.keys(bind.variables).length > 0 && { BindVars: bind.variables }),
    CreateIndex: rule.createRevision,
    ModifyIndex: rule.modRevision,
  };
}
