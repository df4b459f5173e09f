/** `?near=`: a node, `_agent` for the one that the caller takes us for, `_ip` for the one that has the caller's address. */
import { datacenterOf } from "../../request/datacenter.ts";
import { nearestFirst } from "../../resolver/near.ts";
import type { Spot } from "../../resolver/near.ts";
import { nodesAt } from "../../resolver/reverse.ts";
import type { Exchange } from "./exchange.ts";

/** "" leaves the order as it is, and so does another datacenter, where the node is not known. */
export async function sortNear<T>(
  exchange: Exchange,
  near: string,
  items: readonly T[],
  spotOf: (item: T) => Spot,
): Promise<T[]> {
  if (near === "" || exchange.datacenter !== datacenterOf(exchange.env)) return [...items];
  const from = await nodeFrom(exchange, near);
  return from === undefined ? [...items] : nearestFirst(exchange.client, from, items, spotOf);
}

async function nodeFrom(
  { env, namespace, datacenter, node, caller }: Exchange,
  near: string,
): Promise<string | undefined> {
  if (near === "_agent") return node;
  return near === "_ip" ? (await nodesAt(env, namespace, datacenter, caller.source))[0] : near;
}
