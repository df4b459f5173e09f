/**
 * A check as Consul shows it. Definitions are shown of those that were registered in the catalog only: an agent's are
 * the agent's business, and hold what should not be read by everybody.
 *
 * Source: Consul 1.21, `structs.HealthCheck`.
 */
import type { Check, RegisteredInstance, RegisteredNode } from "../../../objects/model.ts";
import type { OwnedCheck } from "../../../objects/registry/views.ts";
import type { Place } from "./catalog/agent-node.ts";
import { checkExtraOf } from "./catalog/extra.ts";
import { serviceIdFrom, serviceIdOf } from "./catalog/service-id.ts";
import { formatDuration } from "./durations.ts";

export interface CheckEntry {
  Node: string;
  CheckID: string;
  Name: string;
  Status: string;
  Notes: string;
  Output: string;
  ServiceID: string;
  ServiceName: string;
  ServiceTags: string[];
  Type: string;
  Interval: string;
  Timeout: string;
  ExposedPort: number;
  Definition: Record<string, unknown>;
  CreateIndex: number;
  ModifyIndex: number;
}

/** Whose check it is; a node's own has no service. */
export interface CheckOwnerEntry {
  node: string;
  serviceId: string;
  service: string;
  tags: string[];
  createRevision: number;
  modRevision: number;
}

export function checkEntry(check: Check, owner: CheckOwnerEntry): CheckEntry {
  const extra = checkExtraOf(check);
  return {
    Node: owner.node,
    CheckID: check.id,
    Name: check.name,
    Status: statusWord(check.status),
    Notes: check.notes,
    Output: check.output,
    ServiceID: owner.serviceId,
    ServiceName: owner.service,
    ServiceTags: owner.tags,
    Type: extra.Type ?? (check.type === "status" ? "" : check.type),
    Interval: extra.Interval ?? ("intervalMs" in check ? formatDuration(check.intervalMs) : ""),
    Timeout: extra.Timeout ?? ("timeoutMs" in check ? formatDuration(check.timeoutMs) : ""),
    ExposedPort: extra.ExposedPort ?? 0,
    Definition: extra.Definition ?? {},
    CreateIndex: owner.createRevision,
    ModifyIndex: owner.modRevision,
  };
}

/** One that was found by itself. */
export function ownedCheckEntry(owned: OwnedCheck, { defaultNode }: Pick<Place, "defaultNode">): CheckEntry {
  const { service, id, node, tags, check, extra, createRevision, modRevision } = owned;
  const serviceId = service === "" ? "" : serviceIdFrom(id, node, extra["consul"] !== undefined);
  return checkEntry(check, { node: node || defaultNode, serviceId, service, tags, createRevision, modRevision });
}

/** Consul knows no unknown: until a result comes, a check is critical. */
const statusWord = (status: Check["status"]): string => (status === "unknown" ? "critical" : status);

export function nodeChecks(node: RegisteredNode): CheckEntry[] {
  if (node.checks.length === 0) return [];
  const { name, createRevision, modRevision } = node;
  const owner = { node: name, serviceId: "", service: "", tags: [], createRevision, modRevision };
  return node.checks.map((check) => checkEntry(check, owner));
}

/** An instance's own checks, on the node it is shown on. */
export function serviceChecks(instance: RegisteredInstance, node: string): CheckEntry[] {
  const isOut = instance.adminState !== "up";
  if (instance.checks.length === 0 && !isOut) return [];
  const { service, tags, createRevision, modRevision } = instance;
  const owner = { node, serviceId: serviceIdOf(instance), service, tags, createRevision, modRevision };
  const checks = instance.checks.map((check) => checkEntry(check, owner));
  return isOut ? [...checks, outOfService(instance, owner)] : checks;
}

export const serviceMaintenanceId = (serviceId: string): string => `_service_maintenance:${serviceId}`;
export const NODE_MAINTENANCE = "_node_maintenance";

/** Taken out of service by somebody who does not speak Consul: its readers see it as they know it. */
function outOfService(instance: RegisteredInstance, owner: CheckOwnerEntry): CheckEntry {
  return {
    Node: owner.node,
    CheckID: serviceMaintenanceId(owner.serviceId),
    Name: "Service Maintenance Mode",
    Status: "critical",
    Notes: `administrative state: ${instance.adminState.replaceAll("_", " ")}`,
    Output: "",
    ServiceID: owner.serviceId,
    ServiceName: owner.service,
    ServiceTags: owner.tags,
    Type: "maintenance",
    Interval: "",
    Timeout: "",
    ExposedPort: 0,
    Definition: {},
    CreateIndex: owner.createRevision,
    ModifyIndex: owner.modRevision,
  };
}
