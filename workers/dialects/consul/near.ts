/** `?near=`: a node, or `_agent` for the one that the caller takes us for. */
import { datacenterOf } from "../../request/datacenter.ts";
import { nearestFirst } from "../../resolver/near.ts";
import type { Spot } from "../../resolver/near.ts";
import type { Exchange } from "./exchange.ts";

/** "" leaves the order as it is, and so does another datacenter, where the node is not known. */
export async function sortNear<T>(
  exchange: Exchange,
  near: string,
  items: readonly T[],
  spotOf: (item: T) => Spot,
): Promise<T[]> {
  if (near === "" || exchange.datacenter !== datacenterOf(exchange.env)) return [...items];
  return nearestFirst(exchange.client, near === "_agent" ? exchange.node : near, items, spotOf);
}
