/** `/v1/discovery-chain`: the rules around one service, compiled into what a proxy walks for each request. */
import { compileGraph } from "../../../../objects/rules/graph.ts";
import type { GraphOptions } from "../../../../objects/rules/graph.ts";
import { RuleSet } from "../../../../objects/rules/rules.ts";
import { virtualIpRange } from "../../../../objects/virtual-ips/virtual-ip.ts";
import { trustDomainOf } from "../connect/authority.ts";
import { parseLoose, rangeOfRules } from "../config/config.ts";
import { meshGateway, meshGatewayMode } from "../config/parts.ts";
import { inConsulsWords } from "../config/refusals.ts";
import type { Issues } from "../config/schema.ts";
import { duration, struct, text } from "../config/schema.ts";
import { badRequest, refused } from "../errors.ts";
import type { Exchange } from "../exchange.ts";
import { route } from "../route.ts";
import { customizationHash } from "./customization.ts";
import { encodeChain } from "./encode-chain.ts";

export const discoveryChainRoutes = [route("/discovery-chain/", { GET: read, POST: read })];

const overrides = struct({
  OverrideMeshGateway: meshGateway,
  OverrideProtocol: text,
  OverrideConnectTimeout: duration,
});

type Wishes = Required<Pick<GraphOptions, "meshGateway" | "protocol" | "connectTimeoutMs">>;

async function read(exchange: Exchange): Promise<Response> {
  const service = exchange.rest;
  if (service === "") throw badRequest("Missing chain name");
  const wishes = exchange.method === "POST" ? await wishesOf(exchange) : NO_WISHES;
  exchange.require("service", "read", service);
  const { value: rules } = await exchange.primary.read("rule.around", { service }, [
    rangeOfRules(null),
    virtualIpRange(service),
  ]);
  exchange.tellConsistency();
  const datacenter = exchange.param("compile-dc") || exchange.datacenter;
  const graph = compiled(() => compileGraph(new RuleSet(rules), { service, datacenter, ...wishes }));
  const { customized } = graph;
  const isCustomized = customized.protocol || customized.meshGateway || customized.connectTimeout;
  const hash = customizationHash({
    meshGateway: customized.meshGateway ? wishes.meshGateway : "",
    protocol: customized.protocol ? wishes.protocol : "",
    connectTimeoutMs: customized.connectTimeout ? wishes.connectTimeoutMs : 0,
  });
  const trustDomain = await trustDomainOf(exchange);
  const { value: own } = await exchange.client.query("virtualIp.get", { service });
  // A name that only rules speak of has it where they are kept; it is the same everywhere.
  const virtualIp = own ?? (await exchange.primary.client.query("virtualIp.get", { service })).value;
  const input = { graph, rules, trustDomain, virtualIp, customizationHash: isCustomized ? hash : null };
  return exchange.json({ Chain: encodeChain(input) });
}

const NO_WISHES: Wishes = { meshGateway: "", protocol: "", connectTimeoutMs: 0 };

/** Names that mean nothing pass here. */
async function wishesOf(exchange: Exchange): Promise<Wishes> {
  const body = parseLoose(await exchange.bytes());
  const issues: Issues = { unused: [], errors: [] };
  const decoded = overrides.decode(body, "", issues);
  if (issues.errors.length > 0) {
    const lines = issues.errors.map((error) => `* ${error}`).join("\n");
    throw badRequest(`Request decoding failed: ${issues.errors.length} error(s) decoding:\n\n${lines}`);
  }
  const mode = meshGatewayMode(decoded.OverrideMeshGateway);
  if (mode !== decoded.OverrideMeshGateway.Mode) throw badRequest("Invalid OverrideMeshGateway.Mode parameter");
  return { meshGateway: mode, protocol: decoded.OverrideProtocol, connectTimeoutMs: decoded.OverrideConnectTimeout };
}

function compiled<T>(compile: () => T): T {
  try {
    return compile();
  } catch (error) {
    const told = inConsulsWords(error);
    throw told instanceof Error && told !== error
      ? refused(`failed to compile discovery chain: ${told.message}`)
      : error;
  }
}
