/** `/v1/acl/login` and `/v1/acl/logout`: a token for an identity that somebody else vouches for. */
import type { LinkInput } from "../../../../objects/policy/grants.ts";
import { forgetAuthorizers, hashOf } from "../../../request/authorizer.ts";
import { seal } from "../../../request/secrets.ts";
import { map, object, text } from "../decode.ts";
import { ConsulError, refused } from "../errors.ts";
import type { Exchange } from "../exchange.ts";
import type { Bindings } from "./binding.ts";
import { bindingsOf } from "./binding.ts";
import { credentialOf } from "./credential.ts";
import { identitiesFrom } from "./identities.ts";
import { readJwtConfig } from "./jwt-config.ts";
import { verifyLogin } from "./jwt.ts";
import { aclRoute, bodyOf, ownExtra, wording, write } from "./records.ts";
import { tokenOf } from "./tokens.ts";

const body = object({ AuthMethod: text, BearerToken: text, Meta: map(text) });

export const loginRoutes = [aclRoute("/acl/login", { POST: login }), aclRoute("/acl/logout", { POST: logout })];

async function login(exchange: Exchange): Promise<Response> {
  const { AuthMethod: name, BearerToken, Meta } = await bodyOf(exchange, "Failed to decode request body", body);
  const { client, env } = exchange;
  const unknown = () => new ConsulError(403, `ACL not found: auth method ${JSON.stringify(name)} not found`);
  if (name === "") throw unknown();
  const method = (await wording(client.query("authMethod.get", { name }), { not_found: unknown })).value;
  const claims = await verifyLogin(BearerToken, readJwtConfig(method.config), env, Date.now());
  const rules = (await client.query("bindingRule.list", { method: name })).value.items;
  const grants = grantsOf(bindingsOf(rules, claims), exchange);
  const accessor = crypto.randomUUID();
  const secret = crypto.randomUUID();
  const meta = Object.keys(Meta).length === 0 ? "" : `: ${JSON.stringify(Meta)}`;
  const input = {
    ...grants,
    accessor,
    secret: await seal(secret, accessor, env),
    description: `token created via login${meta}`,
    local: ownExtra(method.extra)["TokenLocality"] !== "global",
    datacenter: exchange.datacenter,
    expiresAt: method.tokenTtlMs === null ? null : Date.now() + method.tokenTtlMs,
    method: name,
  };
  const caller = { ...exchange.caller, principal: `login:${name}` };
  const created = client.execute("token.create", input, { caller });
  const denied = () => new ConsulError(403, "Permission denied");
  const { value: token } = await wording(created, { permission_denied: denied, not_found: denied });
  forgetAuthorizers(exchange.namespace);
  return exchange.json(tokenOf(token, secret));
}

function grantsOf({ roles, policies, services, nodes, templates }: Bindings, { datacenter }: Exchange) {
  const named = (name: string): LinkInput => ({ name });
  const given = {
    ServiceIdentities: services.map((ServiceName) => ({ ServiceName, Datacenters: [] })),
    NodeIdentities: nodes.map((NodeName) => ({ NodeName, Datacenter: datacenter })),
    TemplatedPolicies: templates.map(({ name, variable }) => ({
      TemplateID: "",
      TemplateName: name,
      TemplateVariables: variable === undefined ? undefined : { Name: variable },
      Datacenters: [],
    })),
  };
  const identities = identitiesFrom(given, { kind: "token", isLocal: false, datacenter });
  return { ...identities, roles: roles.map(named), policies: policies.map(named) };
}

async function logout(exchange: Exchange): Promise<Response> {
  const secret = credentialOf(exchange.request.headers, exchange.params);
  if (secret === null) throw new ConsulError(401, "Supplied token does not exist");
  if (exchange.caller.principal === "root") throw notFromLogin();
  const found = exchange.client.query("token.get", { secretHash: hashOf(secret) });
  const { accessor, method } = (await wording(found, { not_found: () => refused("ACL not found") })).value;
  if (method === null) throw notFromLogin();
  await write(exchange, "token.delete", { accessor });
  return exchange.json(true);
}

const notFromLogin = (): ConsulError => new ConsulError(403, "Permission denied: token wasn't created via login");
