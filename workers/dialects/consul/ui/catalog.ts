/** Everything in the catalog, as the user interface's endpoints count it. */
import type { RegisteredNode } from "../../../../objects/model.ts";
import type { WatchRange } from "../../../../objects/store/store.ts";
import { consulService, nodeOf } from "../catalog/agent-node.ts";
import { ALL_NODES, ALL_SERVICES } from "../catalog/mesh-endpoints.ts";
import { allNodes, instancesFrom } from "../catalog/pages.ts";
import { withDefaultNode } from "../catalog/reads.ts";
import { nodeKeyOf } from "../catalog/service-id.ts";
import type { HealthEntry } from "../encode-health.ts";
import type { Exchange } from "../exchange.ts";
import type { Shown } from "../service-answer.ts";
import { HEALTH, present } from "../service-answer.ts";

export interface Catalog {
  /** By key. */
  nodes: Map<string, RegisteredNode>;
  /** Every instance, on the node it is shown on. */
  shown: Shown[];
}

/** `also` is what else the answer depends on. */
export async function readCatalog(exchange: Exchange, also: readonly WatchRange[] = []): Promise<Catalog> {
  const { value: first } = await exchange.read("registry.instances", {}, [ALL_NODES, ALL_SERVICES, ...also]);
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

const EVERYTHING = { tags: [], nodeMeta: [], passing: false, filter: "" };

/** Those that the caller may see and wants. */
export const entriesOf = (
  exchange: Exchange,
  shown: readonly Shown[],
  isWanted: (entry: unknown) => boolean = () => true,
): Promise<HealthEntry[]> => present(exchange, HEALTH, shown, EVERYTHING, isWanted);
