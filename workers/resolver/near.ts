/** Nearest first: by network coordinates, or by locality where there are none. */
import type { Locality, RegisteredInstance, ServiceView } from "../../objects/model.ts";
import { nodeKey } from "../../objects/registry/spaces.ts";
import type { NamespaceClient } from "../request/namespace-client.ts";

export interface Spot {
  /** A node's name. */
  node: string;
  locality?: Locality | undefined;
}

/** Where an instance is: its own locality where it tells one, else its node's. */
export function spotOf(
  { node, locality }: Pick<RegisteredInstance, "node" | "locality">,
  nodes: ServiceView["nodes"],
): Spot {
  return { node, locality: locality.region === "" ? nodes[nodeKey(node)]?.locality : locality };
}

/** Things equally near stay in their order; those on the node itself come first. */
export async function nearestFirst<T>(
  client: NamespaceClient,
  from: string,
  items: readonly T[],
  spotOf: (item: T) => Spot,
): Promise<T[]> {
  if (items.length < 2) return [...items];
  const spots = items.map(spotOf);
  const others = [...new Set(spots.map(({ node }) => node))];
  const { distances, locality } = (await client.query("coordinates.near", { node: from, others })).value;
  const byNode = new Map(others.map((node, at) => [node, distances?.[at] ?? Infinity]));
  const rank = ({ node, locality: other }: Spot): number => {
    if (node.toLowerCase() === from.toLowerCase()) return -1;
    return distances ? byNode.get(node)! : localityRank(locality, other);
  };
  const ranked = items.map((item, at) => ({ item, rank: rank(spots[at]!) }));
  // Two that are infinitely far are equally far.
  ranked.sort((a, b) => (a.rank === b.rank ? 0 : a.rank - b.rank));
  return ranked.map(({ item }) => item);
}

/** The same zone of the same region, then the same region. */
function localityRank(from: Locality | null, to: Locality | undefined): number {
  if (!from || !to || from.region === "" || from.region !== to.region) return 2;
  return from.zone !== "" && from.zone === to.zone ? 0 : 1;
}
