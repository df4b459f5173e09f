/**
 * Consul's service ids are unique on their node, a registry's instance ids within their service: the one as the other.
 *
 * On the node that an edge calls its own unless told otherwise they are the same; on any other the node's name is appended,
 * so that two nodes may have a `web`. What is stored does not depend on what an edge is told when it starts.
 */
import type { Instance } from "../../../../objects/model.ts";
import { consulExtraOf } from "./extra.ts";

const BARE_NODE = "holdfast";

/** Node names are one in any case. */
export const nodeKeyOf = (node: string): string => node.toLowerCase();

const hasBareIds = (node: string): boolean => node === "" || nodeKeyOf(node) === BARE_NODE;

export const instanceIdOf = (serviceId: string, node: string): string =>
  hasBareIds(node) ? serviceId : `${serviceId}@${nodeKeyOf(node)}`;

/** Instances registered elsewhere go by their own id. */
export function serviceIdOf(instance: Pick<Instance, "id" | "node" | "extra">): string {
  return serviceIdFrom(instance.id, instance.node, consulExtraOf(instance) !== undefined);
}

export function serviceIdFrom(id: string, node: string, isConsuls: boolean): string {
  const suffix = `@${nodeKeyOf(node)}`;
  return isConsuls && !hasBareIds(node) && id.endsWith(suffix) ? id.slice(0, -suffix.length) : id;
}
