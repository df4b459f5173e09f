/** `/v1/catalog`: nodes and services as lists. Source: developer.hashicorp.com/consul/api-docs/catalog. */
import type { RegisteredInstance, RegisteredNode } from "../../../../objects/model.ts";
import type { NodeEntry } from "../encode-node.ts";
import { nodeEntry } from "../encode-node.ts";
import type { NodeServiceEntry } from "../encode-service.ts";
import { nodeServiceEntry, serviceNodeEntry } from "../encode-service.ts";
import { badRequest } from "../errors.ts";
import type { Exchange } from "../exchange.ts";
import { compileFilter } from "../filter/compile.ts";
import { NODE, NODE_SERVICE, SERVICE_NODE } from "../filter/schemas.ts";
import { sortNear } from "../near.ts";
import { route } from "../route.ts";
import { answerService, CATALOG, present } from "../service-answer.ts";
import { hasMeta, nodeMetaOf, selectionOf } from "../service-select.ts";
import { withCentralConfig } from "./central-config.ts";
import { CONSUL_SERVICE, consulService, isDefaultNode, isUnregistered, nodeOf, virtualNode } from "./agent-node.ts";
import { ALL_NODES, ALL_SERVICES, meshEndpoints } from "./mesh-endpoints.ts";
import { instancesFrom, instancesOnNode, nodesFrom, servicesFrom } from "./pages.ts";

export const catalogReadRoutes = [
  route("/catalog/nodes", { GET: listNodes }),
  route("/catalog/services", { GET: listServices }),
  route("/catalog/service/", { GET: (exchange) => answerService(exchange, CATALOG) }),
  route("/catalog/connect/", { GET: connectNodes }),
  route("/catalog/node/", { GET: nodeServices }),
  route("/catalog/node-services/", { GET: nodeServiceList }),
];

/** The default node is always there. */
export function withDefaultNode(exchange: Exchange, nodes: RegisteredNode[]): RegisteredNode[] {
  const at = nodes.findIndex(({ name }) => isDefaultNode(name, exchange));
  if (at !== -1 && !isUnregistered(nodes[at]!, exchange)) return nodes;
  return [virtualNode(exchange), ...nodes.filter((_node, index) => index !== at)];
}

async function listNodes(exchange: Exchange): Promise<Response> {
  const wanted = nodeMetaOf(exchange.params);
  const isWanted = compileFilter(exchange.param("filter"), NODE);
  const { value: first } = await exchange.read("nodes.list", {}, [ALL_NODES]);
  exchange.tellConsistency();
  const nodes = withDefaultNode(exchange, await nodesFrom(exchange, first)).filter((node) => hasMeta(node, wanted));
  const visible = exchange.visible(nodes, ({ name }) => exchange.allows("node", "read", name));
  const found = visible
    .map((node) => ({ node, entry: nodeEntry(node, exchange) }))
    .filter(({ entry }) => isWanted(entry));
  const sorted = await sortNear(exchange, exchange.param("near"), found, ({ node }) => ({
    node: node.name,
    locality: node.locality,
  }));
  return exchange.json(sorted.map(({ entry }) => entry));
}

async function listServices(exchange: Exchange): Promise<Response> {
  if (exchange.query.cached) exchange.headers.set("x-cache", "MISS");
  const isPicky = exchange.params.has("node-meta") || exchange.param("filter") !== "";
  const tagsOf = isPicky ? await pickedServices(exchange) : await allServices(exchange);
  const names = exchange.visible([...tagsOf.keys()], (name) => exchange.allows("service", "read", name));
  // Entries, because a service may be called `__proto__`.
  return exchange.json(Object.fromEntries(names.map((name) => [name, tagsOf.get(name)!])));
}

async function allServices(exchange: Exchange): Promise<Map<string, string[]>> {
  const { value: first } = await exchange.read("registry.services", {}, [ALL_SERVICES]);
  exchange.tellConsistency();
  const services = await servicesFrom(exchange, first);
  return new Map([[CONSUL_SERVICE, [] as string[]], ...services.map(({ name, tags }) => [name, tags] as const)]);
}

/** The tags of those instances only that are asked for. */
async function pickedServices(exchange: Exchange): Promise<Map<string, string[]>> {
  const wanted = nodeMetaOf(exchange.params);
  const isWanted = compileFilter(exchange.param("filter"), SERVICE_NODE);
  const { value: first } = await exchange.read("registry.instances", {}, [ALL_SERVICES]);
  exchange.tellConsistency();
  const { instances, nodes } = await instancesFrom(exchange, first);
  const tags = new Map<string, Set<string>>();
  for (const instance of [consulService(exchange), ...instances]) {
    const node = nodeOf(instance, nodes, exchange);
    if (!hasMeta(node, wanted) || !isWanted(serviceNodeEntry(instance, node, exchange))) continue;
    const known = tags.get(instance.service) ?? new Set();
    for (const tag of instance.tags) known.add(tag);
    tags.set(instance.service, known);
  }
  return new Map([...tags].map(([name, known]) => [name, [...known].toSorted()]));
}

async function connectNodes(exchange: Exchange): Promise<Response> {
  const selection = selectionOf(exchange);
  const isWanted = compileFilter(selection.filter, SERVICE_NODE);
  return exchange.json(await present(exchange, CATALOG, await meshEndpoints(exchange, selection), selection, isWanted));
}

export interface NodeOnView {
  node: RegisteredNode;
  instances: RegisteredInstance[];
}

/** A node by name or the beginning of its id, with what is on it; null when there is none, or none that may be seen. */
export async function readNode(exchange: Exchange): Promise<NodeOnView | null> {
  const { rest: name } = exchange;
  if (name === "") throw badRequest("Missing node name");
  const { value: known } = await exchange.read("nodes.get", { name }, [ALL_NODES, ALL_SERVICES]);
  exchange.tellConsistency();
  const isDefault = isDefaultNode(known?.name ?? name, exchange);
  if (known === null && !isDefault) return null;
  const node = known === null || isUnregistered(known, exchange) ? virtualNode(exchange) : known;
  if (!exchange.allows("node", "read", node.name)) {
    exchange.tellFiltered();
    return null;
  }
  const on = await instancesOnNode(exchange, node.name, isDefault);
  const all = isDefault ? [consulService(exchange), ...on] : on;
  return { node, instances: exchange.visible(all, ({ service }) => exchange.allows("service", "read", service)) };
}

async function wantedServices(
  exchange: Exchange,
  isMerged = false,
): Promise<{ node: NodeEntry; services: NodeServiceEntry[] } | null> {
  const isWanted = compileFilter(exchange.param("filter"), NODE_SERVICE);
  const found = await readNode(exchange);
  if (!found) return null;
  return {
    node: nodeEntry(found.node, exchange),
    services: (isMerged ? await withCentralConfig(exchange, found.instances) : found.instances)
      .map(nodeServiceEntry)
      .filter(isWanted),
  };
}

async function nodeServices(exchange: Exchange): Promise<Response> {
  const found = await wantedServices(exchange);
  if (!found) return exchange.json(null);
  const services = Object.fromEntries(found.services.map((service) => [service.ID, service]));
  return exchange.json({ Node: found.node, Services: services });
}

async function nodeServiceList(exchange: Exchange): Promise<Response> {
  const found = await wantedServices(exchange, exchange.params.has("merge-central-config"));
  return exchange.json({ Node: found?.node ?? null, Services: found?.services ?? null });
}
