/** Gateways and what is behind them, as their config entries tell it. Source: Consul 1.21, `structs.GatewayService`. */
import type { RegisteredInstance, RegisteredNode } from "../../../../objects/model.ts";
import type { StoredRule } from "../../../../objects/rules/model.ts";
import { ANY } from "../../../../objects/rules/model.ts";
import { wholeView } from "../../../resolver/namespace-views.ts";
import { knownRules, rangeOfRules } from "../config/config.ts";
import { contentOf } from "../config/entry.ts";
import { badRequest } from "../errors.ts";
import type { Exchange } from "../exchange.ts";
import { route } from "../route.ts";
import type { Shown } from "../service-answer.ts";
import type { Selection } from "../service-select.ts";
import { hasMeta, hasTags } from "../service-select.ts";
import { nodeOf } from "./agent-node.ts";
import { ALL_SERVICES } from "./mesh-endpoints.ts";
import { servicesFrom } from "./pages.ts";

export const gatewayRoutes = [route("/catalog/gateway-services/", { GET: gatewayServices })];

export interface GatewayService {
  Gateway: { Name: string };
  Service: { Name: string };
  GatewayKind: "ingress-gateway" | "terminating-gateway";
  Port?: number;
  Protocol?: string;
  Hosts?: string[];
  CAFile?: string;
  CertFile?: string;
  KeyFile?: string;
  SNI?: string;
  FromWildcard?: boolean;
  CreateIndex: number;
  ModifyIndex: number;
}

interface IngressContent {
  Listeners?:
    | { Port: number; Protocol?: string; Services?: { Name: string; Hosts?: string[] | null }[] | null }[]
    | null;
}
interface EgressContent {
  Services?: { Name: string; CAFile?: string; CertFile?: string; KeyFile?: string; SNI?: string }[] | null;
}

/** `*` is every service there is, without those that are named beside it. */
export function servicesOf(gateway: StoredRule, allServices: readonly string[]): GatewayService[] {
  const common = {
    Gateway: { Name: gateway.name },
    CreateIndex: gateway.createRevision,
    ModifyIndex: gateway.modRevision,
  };
  if (gateway.kind === "ingress") {
    const { Listeners: listeners } = contentOf(gateway) as IngressContent;
    return (listeners ?? []).flatMap(({ Port: port, Protocol: protocol = "tcp", Services: services }) =>
      expanded(services ?? [], allServices).map(({ Name: name, Hosts: hosts, isExpanded }) => ({
        ...common,
        Service: { Name: name },
        GatewayKind: "ingress-gateway" as const,
        Port: port,
        Protocol: protocol,
        ...(hosts && hosts.length > 0 && { Hosts: hosts }),
        ...(isExpanded && { FromWildcard: true }),
      })),
    );
  }
  const { Services: services } = contentOf(gateway) as EgressContent;
  return expanded(services ?? [], allServices).map(({ Name: name, CAFile, CertFile, KeyFile, SNI, isExpanded }) => ({
    ...common,
    Service: { Name: name },
    GatewayKind: "terminating-gateway" as const,
    ...(CAFile && { CAFile }),
    ...(CertFile && { CertFile }),
    ...(KeyFile && { KeyFile }),
    ...(SNI && { SNI }),
    ...(isExpanded && { FromWildcard: true }),
  }));
}

function expanded<T extends { Name: string }>(services: readonly T[], all: readonly string[]): Expanded<T>[] {
  const named = new Set(services.map(({ Name: name }) => name));
  const others = all.filter((name) => !named.has(name));
  return services.flatMap((service): Expanded<T>[] =>
    service.Name === ANY
      ? others.map((name) => ({ ...service, Name: name, isExpanded: true }))
      : [{ ...service, isExpanded: false }],
  );
}

type Expanded<T> = T & { isExpanded: boolean };

async function gatewayServices(exchange: Exchange): Promise<Response> {
  const { rest: name } = exchange;
  if (name === "") throw badRequest("Missing gateway name");
  exchange.require("service", "read", name);
  await exchange.changed([rangeOfRules("ingress"), rangeOfRules("egress"), ALL_SERVICES]);
  const rules = await gatewaysNamed(exchange, name);
  exchange.tellConsistency();
  const found = rules.flatMap(({ rule, all }) => servicesOf(rule, all));
  return exchange.json(
    exchange.visible(found, ({ Service: { Name: service } }) => exchange.allows("service", "read", service)),
  );
}

/** A gateway's rules, with the services that a wildcard in them stands for. */
export async function gatewaysNamed(exchange: Exchange, name: string): Promise<{ rule: StoredRule; all: string[] }[]> {
  const { client } = exchange.primary;
  const { value: ingress } = await client.query("rule.get", { kind: "ingress", name });
  const { value: egress } = await client.query("rule.get", { kind: "egress", name });
  const rules = [ingress, egress].filter((rule) => rule !== null) as StoredRule[];
  const all = rules.some(hasWildcard) ? await serviceNames(exchange) : [];
  return rules.map((rule) => ({ rule, all }));
}

const hasWildcard = (rule: StoredRule): boolean => servicesOf(rule, ["any"]).some((service) => service.FromWildcard);

async function serviceNames(exchange: Exchange): Promise<string[]> {
  const { value: first } = await exchange.client.query("registry.services", {});
  return (await servicesFrom(exchange, first)).map(({ name }) => name);
}

/** Service → the gateways that lead to it. */
export async function gatewaysByService(
  exchange: Exchange,
  services: readonly string[],
): Promise<Map<string, string[]>> {
  const rules = [...(await knownRules(exchange, "ingress")), ...(await knownRules(exchange, "egress"))];
  const gateways = new Map<string, string[]>();
  for (const rule of rules) {
    for (const { Service: service } of servicesOf(rule, services)) {
      gateways.set(service.Name, [...(gateways.get(service.Name) ?? []), rule.name]);
    }
  }
  return gateways;
}

/** The instances of the gateways that let traffic in to a service. */
export async function ingressEndpoints(exchange: Exchange, selection: Selection): Promise<Shown[]> {
  const { rest: service, client } = exchange;
  if (service === "") throw badRequest("Missing service name");
  const ranges = [rangeOfRules("ingress"), ALL_SERVICES];
  await exchange.changed(ranges);
  const { value: names } = await exchange.primary.client.query("rule.ingresses", { service });
  exchange.tellConsistency();
  if (!exchange.allows("service", "read", service) || exchange.param("peer") !== "") return [];
  const instances: RegisteredInstance[] = [];
  const nodes = new Map<string, RegisteredNode>();
  for (const name of names) {
    const view = await wholeView(client, (await client.query("registry.view", { service: name })).value);
    instances.push(...(view?.instances ?? []));
    for (const [key, node] of Object.entries(view?.nodes ?? {})) nodes.set(key, node);
  }
  const known = Object.fromEntries(nodes);
  return instances
    .filter((instance) => hasTags(instance, selection.tags))
    .map((instance) => ({ instance, node: nodeOf(instance, known, exchange) }))
    .filter(({ node }) => hasMeta(node, selection.nodeMeta));
}
