/**
 * `/v1/internal/ui`: what Consul's user interface reads, and nobody is promised. Everything is counted from the catalog as
 * it is.
 */
import type { RegisteredNode } from "../../../objects/model.ts";
import { CONSUL_SERVICE, consulService, nodeOf } from "./catalog/agent-node.ts";
import { gatewaysByService } from "./catalog/gateways.ts";
import { ALL_NODES, ALL_SERVICES } from "./catalog/mesh-endpoints.ts";
import { allNodes, instancesFrom } from "./catalog/pages.ts";
import { readNode, withDefaultNode } from "./catalog/reads.ts";
import { nodeKeyOf } from "./catalog/service-id.ts";
import { nodeChecks, serviceChecks } from "./encode-check.ts";
import { nodeEntry } from "./encode-node.ts";
import { nodeServiceEntry } from "./encode-service.ts";
import type { NodeInfo } from "./encode-ui.ts";
import { catalogOverview, nodeInfo, serviceSummaries } from "./encode-ui.ts";
import { emptyResponse } from "./encode.ts";
import type { Exchange } from "./exchange.ts";
import { compileFilter } from "./filter/compile.ts";
import { CHECK_SERVICE_NODE, NODE_INFO } from "./filter/schemas.ts";
import { route } from "./route.ts";
import type { Shown } from "./service-answer.ts";
import { HEALTH, present } from "./service-answer.ts";

export const uiRoutes = [
  route("/internal/ui/nodes", { GET: listNodes }),
  route("/internal/ui/node/", { GET: oneNode }),
  route("/internal/ui/services", { GET: listServices }),
  route("/internal/ui/catalog-overview", { GET: overview }),
];

/** Everything in the catalog: nodes by key, and every instance on the one it is shown on. */
interface Catalog {
  nodes: Map<string, RegisteredNode>;
  shown: Shown[];
}

async function readCatalog(exchange: Exchange): Promise<Catalog> {
  const { value: first } = await exchange.read("registry.instances", {}, [ALL_NODES, ALL_SERVICES]);
  exchange.tellConsistency();
  const { instances } = await instancesFrom(exchange, first);
  const all = withDefaultNode(exchange, await allNodes(exchange));
  const nodes = new Map(all.map((node) => [nodeKeyOf(node.name), node]));
  const known = Object.fromEntries(nodes);
  const shown = [consulService(exchange), ...instances].map((instance) => ({
    instance,
    node: nodeOf(instance, known, exchange),
  }));
  return { nodes, shown };
}

async function listNodes(exchange: Exchange): Promise<Response> {
  const isWanted = compileFilter(exchange.param("filter"), NODE_INFO);
  const { nodes, shown } = await readCatalog(exchange);
  const visible = exchange.visible([...nodes.values()], ({ name }) => exchange.allows("node", "read", name));
  const on = new Map<string, Shown[]>();
  for (const item of shown) {
    const key = nodeKeyOf(item.node.name);
    const known = on.get(key);
    if (known) known.push(item);
    else on.set(key, [item]);
  }
  return exchange.json(
    visible.map((node) => infoOf(exchange, node, on.get(nodeKeyOf(node.name)) ?? [])).filter(isWanted),
  );
}

function infoOf(exchange: Exchange, node: RegisteredNode, on: readonly Shown[]): NodeInfo {
  const visible = exchange.visible(on, ({ instance }) => exchange.allows("service", "read", instance.service));
  return nodeInfo(
    nodeEntry(node, exchange),
    visible.map(({ instance }) => nodeServiceEntry(instance)),
    [...nodeChecks(node), ...visible.flatMap(({ instance }) => serviceChecks(instance, node.name))],
  );
}

async function oneNode(exchange: Exchange): Promise<Response> {
  const found = await readNode(exchange);
  if (!found) return new Response(null, { status: 404, headers: emptyResponse().headers });
  const { node, instances } = found;
  return exchange.json(
    infoOf(
      exchange,
      node,
      instances.map((instance) => ({ instance, node })),
    ),
  );
}

async function listServices(exchange: Exchange): Promise<Response> {
  const isWanted = compileFilter(exchange.param("filter"), CHECK_SERVICE_NODE);
  const { shown } = await readCatalog(exchange);
  const everything = { tags: [], nodeMeta: [], passing: false, filter: "" };
  const of = exchange.param("peer") === "" ? shown : [];
  const entries = await present(exchange, HEALTH, of, everything, isWanted);
  const names = new Set(entries.map(({ Service: service }) => service.Service));
  names.delete(CONSUL_SERVICE);
  return exchange.json(serviceSummaries(entries, await gatewaysByService(exchange, [...names])));
}

async function overview(exchange: Exchange): Promise<Response> {
  exchange.require("operator", "read");
  const { nodes, shown } = await readCatalog(exchange);
  const ofNodes = [...nodes.values()].map(nodeChecks);
  const ofServices = shown.map(({ instance, node }) => ({
    name: instance.service,
    checks: serviceChecks(instance, node.name),
  }));
  return exchange.json(catalogOverview(ofNodes, ofServices));
}
