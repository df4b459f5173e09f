/** `?near=`: nearest first, by network coordinates; where there are none, by locality. */
import type { Locality } from "../../../objects/model.ts";
import { datacenterOf } from "../../request/datacenter.ts";
import type { Exchange } from "./exchange.ts";

export interface Place {
  /** A node's name. */
  node: string;
  locality?: Locality | undefined;
}

/**
 * `near` is a node, or `_agent` for the caller's; "" leaves the order as it is, and so does another datacenter, where the
 * node is not known. Things equally near stay in their order; those on the node itself come first.
 */
export async function sortNear<T>(
  exchange: Exchange,
  near: string,
  items: readonly T[],
  placeOf: (item: T) => Place,
): Promise<T[]> {
  if (near === "" || items.length < 2 || exchange.datacenter !== datacenterOf(exchange.env)) return [...items];
  const from = near === "_agent" ? exchange.node : near;
  const places = items.map(placeOf);
  const others = [...new Set(places.map(({ node }) => node))];
  const { value } = await exchange.client.query("coordinates.near", { node: from, others });
  const { distances, locality } = value;
  const byNode = new Map(others.map((node, at) => [node, distances?.[at] ?? Infinity]));
  const rank = ({ node, locality: other }: Place): number => {
    if (node.toLowerCase() === from.toLowerCase()) return -1;
    return distances ? byNode.get(node)! : localityRank(locality, other);
  };
  const ranked = items.map((item, at) => ({ item, rank: rank(places[at]!) }));
  // Two that are infinitely far are equally far.
  ranked.sort((a, b) => (a.rank === b.rank ? 0 : a.rank - b.rank));
  return ranked.map(({ item }) => item);
}

/** The same zone of the same region, then the same region. */
function localityRank(from: Locality | null, to: Locality | undefined): number {
  if (!from || !to || from.region === "" || from.region !== to.region) return 2;
  return from.zone !== "" && from.zone === to.zone ? 0 : 1;
}
