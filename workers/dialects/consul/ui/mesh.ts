/** `/v1/internal/ui/service-topology`, `…/gateway-…`, `…/exported-services`: the mesh as Consul's user interface draws it. */
import type { RuleKind } from "../../../../objects/rules/model.ts";
import { gatewaysNamed, servicesOf } from "../catalog/gateways.ts";
import type { GatewayService } from "../catalog/gateways.ts";
import { ALL_SERVICES } from "../catalog/mesh-endpoints.ts";
import { knownRules, rangeOfRules } from "../config/config.ts";
import { badRequest, notFound, refused } from "../errors.ts";
import type { Exchange } from "../exchange.ts";
import { quote } from "../../../request/go-strconv.ts";
import type { AccessRule } from "../intentions/intention.ts";
import { encodeIntention, intentionsOf, mayRead, sorted } from "../intentions/intention.ts";
import { route } from "../route.ts";
import { entriesOf, readCatalog } from "./catalog.ts";
import { emptySummary, summarize } from "./summaries.ts";
import type { ServiceSummary } from "./summaries.ts";
import type { Decision, Side, Source } from "./topology.ts";
import { topologyOf } from "./topology.ts";

export const uiMeshRoutes = [
  route("/internal/ui/service-topology/", { GET: serviceTopology }),
  route("/internal/ui/gateway-services-nodes/", { GET: gatewayServices }),
  route("/internal/ui/gateway-intentions/", { GET: gatewayIntentions }),
  route("/internal/ui/exported-services", { GET: exportedServices }),
  route("/internal/ui/metrics-proxy/", { GET: metricsProxy }),
];

interface TopologySummary extends ServiceSummary {
  Source: Source;
  Intention: Decision;
}

async function serviceTopology(exchange: Exchange): Promise<Response> {
  const { rest: service, datacenter, params } = exchange;
  if (service === "") throw badRequest("Missing service name");
  const kind = params.get("kind");
  if (kind === null) throw badRequest("Missing service kind");
  if (!["", "ingress-gateway", "api-gateway"].includes(kind)) {
    throw badRequest(`Unsupported service kind ${quote(kind)}`);
  }
  exchange.require("service", "read", service);
  // Nothing binds them.
  if (kind === "api-gateway") throw refused("not an APIGateway");
  const { shown } = await readCatalog(exchange, [rangeOfRules(null)]);
  const topology = topologyOf({
    service,
    kind: kind === "" ? "" : "ingress-gateway",
    shown,
    rules: await knownRules(exchange, null),
    datacenter,
    isDefaultAllow: exchange.authorizer.defaultPolicy === "allow",
  });
  const upstreams = await summariesOf(exchange, topology.upstreams);
  const downstreams = await summariesOf(exchange, topology.downstreams);
  return exchange.json({
    Protocol: topology.protocol,
    TransparentProxy: topology.isTransparent,
    Upstreams: upstreams.summaries,
    Downstreams: downstreams.summaries,
    FilteredByACLs: upstreams.isFiltered || downstreams.isFiltered,
  });
}

const DRAWN: ReadonlySet<string> = new Set(["", "ingress-gateway", "api-gateway"]);

/** Services, not their proxies; at the end those that are no more than names of rules. */
async function summariesOf(
  exchange: Exchange,
  { services, shown }: Side,
): Promise<{ summaries: TopologySummary[]; isFiltered: boolean }> {
  const entries = await entriesOf(exchange, shown);
  const there = summarize(entries).filter(({ Kind: kind = "" }) => DRAWN.has(kind));
  const listed = new Set(there.map(({ Name: name }) => name));
  const routed = [...services]
    .filter(([name, { source }]) => source === "routing-config" && !listed.has(name))
    .map(([name]) => ({ ...emptySummary(name), Datacenter: exchange.datacenter }));
  const visible = exchange.visible(routed, ({ Name: name }) => exchange.allows("service", "read", name));
  const summaries = [...there, ...visible].flatMap((summary): TopologySummary[] => {
    const linked = services.get(summary.Name);
    return linked ? [{ ...summary, Source: linked.source, Intention: linked.decision }] : [];
  });
  return { summaries, isFiltered: entries.length < shown.length };
}

const GATEWAY_KINDS: readonly RuleKind[] = ["ingress", "egress"];

/** What may be read of what a gateway leads to. */
async function servicesBehind(exchange: Exchange): Promise<GatewayService[]> {
  const rules = await gatewaysNamed(exchange, exchange.rest);
  const found = rules.flatMap(({ rule, all }) => servicesOf(rule, all));
  return exchange.visible(found, ({ Service: { Name: name } }) => exchange.allows("service", "read", name));
}

function requireGateway(exchange: Exchange): void {
  if (exchange.rest === "") throw badRequest("Missing gateway name");
  exchange.require("service", "read", exchange.rest);
}

/** Where they are reached through the gateway, too; those without instances as well. */
async function gatewayServices(exchange: Exchange): Promise<Response> {
  requireGateway(exchange);
  const { shown } = await readCatalog(exchange, GATEWAY_KINDS.map(rangeOfRules));
  const addresses = new Map<string, Set<string>>();
  for (const service of await servicesBehind(exchange)) {
    const known = addresses.get(service.Service.Name) ?? new Set();
    for (const address of addressesOf(service, exchange.datacenter)) known.add(address);
    addresses.set(service.Service.Name, known);
  }
  const entries = await entriesOf(
    exchange,
    shown.filter(({ instance }) => addresses.has(instance.service)),
  );
  const summaries = new Map(summarize(entries).map((summary) => [summary.Name, summary]));
  return exchange.json(
    [...addresses]
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, known]) => ({
        ...(summaries.get(name) ?? emptySummary(name)),
        GatewayConfig: known.size > 0 ? { Addresses: [...known] } : {},
      })),
  );
}

/** Without hosts of its own a service has the name that DNS answers for it. */
function addressesOf(
  { Port: port, Hosts: hosts, Service: { Name: name } }: GatewayService,
  datacenter: string,
): string[] {
  if (!port) return [];
  const names = hosts ?? [`${name}.ingress.${datacenter}.consul`];
  return names.map((host) => `${host.replace(/\.+$/, "")}:${port}`);
}

/** Who may call what is behind a gateway; each once, also where it speaks of several. */
async function gatewayIntentions(exchange: Exchange): Promise<Response> {
  requireGateway(exchange);
  await exchange.changed([...[...GATEWAY_KINDS, "access" as const].map(rangeOfRules), ALL_SERVICES]);
  const services = await servicesBehind(exchange);
  const destinations = new Set([...services.map(({ Service: { Name: name } }) => name), "*"]);
  const rules = (await knownRules(exchange, "access")) as AccessRule[];
  const about = services.length === 0 ? [] : rules.filter(({ name }) => destinations.has(name));
  const intentions = exchange.visible(sorted(about.flatMap(intentionsOf)), (intention) => mayRead(exchange, intention));
  return exchange.json(intentions.map(encodeIntention));
}

/** There are no peers, so nothing is exported to any. */
async function exportedServices(exchange: Exchange): Promise<Response> {
  if (exchange.param("peer") === "") throw refused("must provide PeerName");
  await exchange.changed([rangeOfRules("exports")]);
  return exchange.json([]);
}

function metricsProxy(): never {
  throw notFound("Metrics proxy is not enabled");
}
