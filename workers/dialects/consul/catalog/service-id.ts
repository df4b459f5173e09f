/**
 * Consul's service ids are unique on their node, a registry's instance ids within their service: the one as the other.
 *
 * On the default node they are the same; on any other the node's name is appended, so that two nodes may have a `web`.
 */
import type { Instance } from "../../../../objects/model.ts";
import { DEFAULT_NODE } from "../node-name.ts";
import { consulExtraOf } from "./extra.ts";

/** Node names are one in any case. */
export const nodeKeyOf = (node: string): string => node.toLowerCase();

export const isDefaultNode = (node: string): boolean => node === "" || nodeKeyOf(node) === DEFAULT_NODE;

export const instanceIdOf = (serviceId: string, node: string): string =>
  isDefaultNode(node) ? serviceId : `${serviceId}@${nodeKeyOf(node)}`;

/** Instances registered elsewhere go by their own id. */
export function serviceIdOf(instance: Pick<Instance, "id" | "node" | "extra">): string {
  return serviceIdFrom(instance.id, instance.node, consulExtraOf(instance) !== undefined);
}

export function serviceIdFrom(id: string, node: string, isConsuls: boolean): string {
  const suffix = `@${nodeKeyOf(node)}`;
  return isConsuls && !isDefaultNode(node) && id.endsWith(suffix) ? id.slice(0, -suffix.length) : id;
}
