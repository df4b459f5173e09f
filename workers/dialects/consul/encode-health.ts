/** An instance with its node and all checks that concern it. Source: Consul 1.21, `structs.CheckServiceNode`. */
import type { RegisteredInstance, RegisteredNode } from "../../../objects/model.ts";
import type { Place } from "./catalog/agent-node.ts";
import type { CheckEntry } from "./encode-check.ts";
import { nodeChecks, serviceChecks } from "./encode-check.ts";
import type { NodeEntry } from "./encode-node.ts";
import { nodeEntry } from "./encode-node.ts";
import type { NodeServiceEntry } from "./encode-service.ts";
import { nodeServiceEntry } from "./encode-service.ts";

export interface HealthEntry {
  Node: NodeEntry;
  Service: NodeServiceEntry;
  /** The node's, then its own. */
  Checks: CheckEntry[];
}

/** `node` is the one that the instance is shown on: see `nodeOf`. */
export function healthEntry(
  instance: RegisteredInstance,
  node: RegisteredNode,
  place: Pick<Place, "datacenter">,
): HealthEntry {
  return {
    Node: nodeEntry(node, place),
    Service: nodeServiceEntry(instance),
    Checks: [...nodeChecks(node), ...serviceChecks(instance, node.name)],
  };
}

/** What `?passing` asks for: no check, not even the node's, says otherwise. */
export const isPassing = ({ Checks: checks }: HealthEntry): boolean =>
  checks.every(({ Status: status }) => status === "passing");
