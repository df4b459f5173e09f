/** The endpoints of the mesh for a service, as the catalog and health endpoints list them. */
import type { WatchRange } from "../../../../objects/store/store.ts";
import { meshRange } from "../../../../objects/registry/views.ts";
import { wholeMesh } from "../../../resolver/mesh.ts";
import { badRequest } from "../errors.ts";
import type { Exchange } from "../exchange.ts";
import type { Shown } from "../service-answer.ts";
import type { Selection } from "../service-select.ts";
import { hasMeta, hasTags } from "../service-select.ts";
import { nodeOf } from "./agent-node.ts";

export const ALL_SERVICES: WatchRange = { space: "service", from: new Uint8Array(), to: null };
export const ALL_NODES: WatchRange = { space: "node", from: new Uint8Array(), to: null };

export async function meshEndpoints(exchange: Exchange, selection: Selection): Promise<Shown[]> {
  const { rest: service } = exchange;
  if (service === "") throw badRequest("Missing service name");
  const { value: first } = await exchange.read("registry.mesh", { service }, [meshRange(service)]);
  exchange.tellConsistency();
  // Who may not read the service does not learn of its proxies.
  if (!exchange.allows("service", "read", service) || exchange.param("peer") !== "") return [];
  const { instances, nodes } = await wholeMesh(exchange.client, service, first);
  return instances
    .filter((instance) => hasTags(instance, selection.tags))
    .map((instance) => ({ instance, node: nodeOf(instance, nodes, exchange) }))
    .filter(({ node }) => hasMeta(node, selection.nodeMeta));
}
