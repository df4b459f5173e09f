/**
 * The endpoints of the mesh for a service: the proxies that stand for it, and its instances that speak the mesh's protocol
 * themselves. Which proxies those are only their definitions tell, so all instances are looked through.
 */
import type { RegisteredInstance } from "../../../../objects/model.ts";
import type { WatchRange } from "../../../../objects/store/store.ts";
import { badRequest } from "../errors.ts";
import type { Exchange } from "../exchange.ts";
import type { Shown } from "../service-answer.ts";
import type { Selection } from "../service-select.ts";
import { hasMeta, hasTags } from "../service-select.ts";
import { nodeOf } from "./agent-node.ts";
import { consulExtraOf } from "./extra.ts";
import { instancesFrom } from "./pages.ts";

export const ALL_SERVICES: WatchRange = { space: "service", from: new Uint8Array(), to: null };
export const ALL_NODES: WatchRange = { space: "node", from: new Uint8Array(), to: null };

export async function meshEndpoints(exchange: Exchange, selection: Selection): Promise<Shown[]> {
  const { rest: service } = exchange;
  if (service === "") throw badRequest("Missing service name");
  const { value: first } = await exchange.read("registry.instances", {}, [ALL_SERVICES]);
  exchange.tellConsistency();
  // Who may not read the service does not learn of its proxies.
  if (!exchange.allows("service", "read", service) || exchange.param("peer") !== "") return [];
  const { instances, nodes } = await instancesFrom(exchange, first);
  return instances
    .filter((instance) => isMeshEndpoint(instance, service))
    .filter((instance) => hasTags(instance, selection.tags))
    .map((instance) => ({ instance, node: nodeOf(instance, nodes, exchange) }))
    .filter(({ node }) => hasMeta(node, selection.nodeMeta));
}

export function isMeshEndpoint(instance: RegisteredInstance, service: string): boolean {
  const extra = consulExtraOf(instance);
  const isProxy = extra?.Kind === "connect-proxy" && extra.Proxy?.DestinationServiceName === service;
  return isProxy || (instance.service === service && extra?.Connect?.Native === true);
}
