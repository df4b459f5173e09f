/** Nodes and targets of a graph by the names Consul has for them, which spell out namespace and partition. */
import type { TargetParts } from "../../../../objects/rules/targets.ts";
import { targetParts } from "../../../../objects/rules/targets.ts";

const TENANCY = "default.default";

/** `[subset.]service.default.default.dc`, and of another cluster `service.default.default.external.peer`. */
export function targetNameOf({ service, subset, datacenter, peer }: TargetParts): string {
  if (peer !== "") return `${service}.${TENANCY}.external.${peer}`;
  return `${subset === "" ? "" : `${subset}.`}${service}.${TENANCY}.${datacenter}`;
}

export const targetName = (id: string): string => targetNameOf(targetParts(id));

/** Of the node with this key. */
export function nodeName(key: string): string {
  const colon = key.indexOf(":");
  const type = key.slice(0, colon);
  const rest = key.slice(colon + 1);
  return type === "resolver" ? `${type}:${targetName(rest)}` : `${type}:${decodeURIComponent(rest)}.${TENANCY}`;
}
