/**
 * `/v1/internal/ui`: what Consul's user interface reads, and nobody is promised. Everything is counted from the catalog as
 * it is.
 */
import type { RegisteredNode } from "../../../../objects/model.ts";
import { CONSUL_SERVICE } from "../catalog/agent-node.ts";
import { gatewaysByService } from "../catalog/gateways.ts";
import { readNode } from "../catalog/reads.ts";
import { nodeKeyOf } from "../catalog/service-id.ts";
import { rangeOfRules } from "../config/config.ts";
import { nodeChecks, serviceChecks } from "../encode-check.ts";
import { nodeEntry } from "../encode-node.ts";
import { nodeServiceEntry } from "../encode-service.ts";
import { emptyResponse } from "../encode.ts";
import type { Exchange } from "../exchange.ts";
import { compileFilter } from "../filter/compile.ts";
import { CHECK_SERVICE_NODE, NODE_INFO } from "../filter/schemas.ts";
import { route } from "../route.ts";
import type { Shown } from "../service-answer.ts";
import { entriesOf, readCatalog } from "./catalog.ts";
import { uiMeshRoutes } from "./mesh.ts";
import type { NodeInfo } from "./summaries.ts";
import { catalogOverview, nodeInfo, serviceListings } from "./summaries.ts";

export const uiRoutes = [
  route("/internal/ui/nodes", { GET: listNodes }),
  route("/internal/ui/node/", { GET: oneNode }),
  route("/internal/ui/services", { GET: listServices }),
  route("/internal/ui/catalog-overview", { GET: overview }),
  ...uiMeshRoutes,
];

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
  const { shown } = await readCatalog(exchange, [rangeOfRules("ingress"), rangeOfRules("egress")]);
  const entries = await entriesOf(exchange, exchange.param("peer") === "" ? shown : [], isWanted);
  const names = new Set(entries.map(({ Service: service }) => service.Service));
  names.delete(CONSUL_SERVICE);
  return exchange.json(serviceListings(entries, await gatewaysByService(exchange, [...names])));
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
