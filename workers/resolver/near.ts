/** Nearest first: by network coordinates, or by locality where there are none. */
import type { Locality } from "../../objects/model.ts";
import type { NamespaceClient } from "../request/namespace-client.ts";

export interface Spot {
  /** A node's name. */
  node: string;
  locality?: Locality | undefined;
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
