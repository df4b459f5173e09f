/**
 * How the registry's records are written, and what follows from it in the same commit.
 *
 * An instance's change writes its service's record too, so the service's mod revision is the index of everything below
 * it: a watcher of one service looks at one key. A node's change moves the services on it for the same reason, and its
 * status is part of its instances'. Indexes are kept here and nowhere else.
 *
 * Refuses to know: what callers may ask for, and how checks are run.
 */
import { HoldfastError } from "../errors.ts";
import type { AdminState, Check, HealthStatus, Instance, Node, RegisteredInstance, ServiceRecord } from "../model.ts";
import { isAgents, isHealthy, isPulled } from "../model.ts";
import type { Reader, Txn } from "../store/txn.ts";
import { statusOf, worstOf } from "./check-spec.ts";
import { SERVICE_TAGS_MAX } from "./limits.ts";
import { findVirtualIp } from "../virtual-ips/virtual-ip.ts";
import type { CheckSubject } from "./spaces.ts";
import {
  agentCheckSpace,
  aliasSpace,
  checkIdSpace,
  instanceSpace,
  memberSpace,
  meshSpace,
  nodeKey,
  nodeSpace,
  nodeSubject,
  pulledSpace,
  serviceSpace,
} from "./spaces.ts";

/** An alias of an alias of … so deep; a circle ends by itself, because what does not change is not written. */
const ALIAS_DEPTH_MAX = 8;

/** Writes an instance, and answers it as it is written; its status is derived here. `before` is the record it replaces. */
export function putInstance(
  txn: Txn,
  now: number,
  before: Instance | undefined,
  instance: Instance,
  lease: string | null,
  depth = 0,
): RegisteredInstance {
  if (before && nodeKey(before.node) !== nodeKey(instance.node)) leaveNode(txn, before);
  const nodeStatus = instance.node === "" ? "passing" : joinNode(txn, instance);
  const written: Instance = { ...instance, nodeStatus };
  if (written.meshFor !== undefined) deriveVirtualIp(txn, written, written.meshFor);
  written.status = statusOf(written);
  const { createRevision, modRevision } = instanceSpace.put(txn, [instance.service, instance.id], written, lease);
  indexChecks(txn, { service: instance.service, id: instance.id }, before, instance);
  indexMesh(txn, before, instance);
  updateService(txn, instance.service, before ?? null, written);
  if (before?.status !== written.status) tellAliases(txn, now, instance.node, instance.id, depth);
  return { ...written, createRevision, modRevision };
}

export function removeInstance(txn: Txn, now: number, before: Instance): void {
  const { service, id, node } = before;
  instanceSpace.delete(txn, service, id);
  indexChecks(txn, { service, id }, before, undefined);
  indexMesh(txn, before, undefined);
  leaveNode(txn, before);
  updateService(txn, service, before, null);
  tellAliases(txn, now, node, id, 0);
}

/** Writes a node; its status is derived here, and its instances follow. */
export function putNodeRecord(txn: Txn, now: number, before: Node | undefined, node: Node, depth = 0): void {
  const written: Node = { ...node, status: worstOf(node.checks) ?? "passing" };
  nodeSpace.put(txn, [nodeKey(node.name)], written);
  indexChecks(txn, nodeSubject(node.name), before && onItself(before), onItself(node));
  const touched = new Set<string>();
  for (const member of membersOf(txn, node.name)) {
    const found = instanceSpace.record(txn, member.service, member.id);
    if (!found) continue;
    const instance = instanceSpace.decode(found);
    const address = instance.inheritsAddress ? node.address : instance.address;
    if (instance.nodeStatus !== written.status || instance.address !== address) {
      putInstance(txn, now, instance, { ...instance, address }, found.lease, depth);
    } else {
      // What is told of the service changes all the same.
      if (!touched.has(member.service)) {
        serviceSpace.put(txn, [member.service], serviceSpace.get(txn, member.service)!);
      }
      indexMesh(txn, instance, instance);
    }
    touched.add(member.service);
  }
  if (before?.status !== written.status) tellAliases(txn, now, node.name, "", depth);
}

/** The node alone: its instances have to be gone. */
export function removeNodeRecord(txn: Txn, now: number, node: Node): void {
  nodeSpace.delete(txn, nodeKey(node.name));
  indexChecks(txn, nodeSubject(node.name), onItself(node), undefined);
  tellAliases(txn, now, node.name, "", 0);
}

export function membersOf(reader: Reader, node: string): CheckSubject[] {
  return memberSpace.under(reader, [nodeKey(node)]).map(({ key }) => {
    const [, id = "", service = ""] = memberSpace.parts(key);
    return { service, id };
  });
}

/** The checks of an instance, or of a node. */
export function checksOf(reader: Reader, { service, id }: CheckSubject): Check[] | undefined {
  return (service === "" ? nodeSpace.get(reader, id) : instanceSpace.get(reader, service, id))?.checks;
}

/** Puts other checks in the place of a subject's. False when there is no such subject. */
export function putChecks(
  txn: Txn,
  now: number,
  { service, id }: CheckSubject,
  change: (checks: Check[]) => Check[],
  depth = 0,
): boolean {
  if (service === "") {
    const node = nodeSpace.get(txn, id);
    if (node) putNodeRecord(txn, now, node, { ...node, checks: change(node.checks) }, depth);
    return node !== undefined;
  }
  const found = instanceSpace.record(txn, service, id);
  if (!found) return false;
  const instance = instanceSpace.decode(found);
  putInstance(txn, now, instance, { ...instance, checks: change(instance.checks) }, found.lease, depth);
  return true;
}

/** The result of one check. False when there is no such subject or check. */
export function setCheck(
  txn: Txn,
  now: number,
  subject: CheckSubject,
  checkId: string,
  status: HealthStatus,
  output: string,
  depth = 0,
): boolean {
  const current = checksOf(txn, subject)?.find((check) => check.id === checkId);
  if (!current) return false;
  if (current.status === status && current.output === output) return true;
  const sinceAt = current.status === status ? current.sinceAt : now;
  const changed = { ...current, status, output, sinceAt };
  const change = (checks: Check[]): Check[] => checks.map((check) => (check.id === checkId ? changed : check));
  return putChecks(txn, now, subject, change, depth);
}

/** What an alias check of this target says now. */
export function aliasState(reader: Reader, node: string, instance: string): { status: HealthStatus; output: string } {
  const statuses = new Set<HealthStatus>();
  const found = nodeSpace.get(reader, nodeKey(node));
  if (found) statuses.add(found.status);
  if (instance !== "") {
    const members = memberSpace.under(reader, [nodeKey(node), instance]);
    if (members.length === 0) return { status: "critical", output: `No instance ${instance} on node ${node}.` };
    for (const { key } of members) {
      const [, id = "", service = ""] = memberSpace.parts(key);
      statuses.add(instanceSpace.get(reader, service, id)?.status ?? "critical");
    }
  } else if (!found) return { status: "critical", output: `No node ${node}.` };
  if (statuses.has("critical")) return { status: "critical", output: `${instance || node} is critical.` };
  if (statuses.has("warning")) return { status: "warning", output: `${instance || node} is in warning.` };
  return { status: "passing", output: "All checks passing." };
}

function tellAliases(txn: Txn, now: number, node: string, instance: string, depth: number): void {
  // Nobody can point to an instance without a node.
  if (node === "" || depth >= ALIAS_DEPTH_MAX) return;
  const aliases = aliasSpace.under(txn, [nodeKey(node), instance]);
  if (aliases.length === 0) return;
  const { status, output } = aliasState(txn, node, instance);
  for (const { key } of aliases) {
    const [, , service = "", id = "", check = ""] = aliasSpace.parts(key);
    setCheck(txn, now, { service, id }, check, status, output, depth + 1);
  }
}

/** A node nobody has registered comes to be known by its instances. Answers the node's status. */
function joinNode(txn: Txn, { node, id, service, address, locality }: Instance): HealthStatus {
  const key = nodeKey(node);
  const known = nodeSpace.get(txn, key);
  if (!known) {
    const fresh: Node = {
      name: node,
      id: "",
      address,
      addresses: {},
      meta: {},
      locality,
      status: "passing",
      checks: [],
      implicit: true,
      extra: {},
    };
    nodeSpace.put(txn, [key], fresh);
  }
  if (!memberSpace.record(txn, key, id, service)) memberSpace.put(txn, [key, id, service], {});
  return known?.status ?? "passing";
}

function leaveNode(txn: Txn, { node, id, service }: Instance): void {
  if (node === "") return;
  const key = nodeKey(node);
  memberSpace.delete(txn, key, id, service);
  const isLast = memberSpace.under(txn, [key], { limit: 1 }).length === 0;
  if (isLast && nodeSpace.get(txn, key)?.implicit) nodeSpace.delete(txn, key);
}

/** Kept as the last field: registrations are compared as they are written. */
function deriveVirtualIp(reader: Reader, instance: Instance, service: string): void {
  delete instance.virtualIp;
  const found = findVirtualIp(reader, { service });
  if (found) instance.virtualIp = found.address;
}

/** The mark is written with every change of the instance: its revision is the index for who watches the mesh. */
function indexMesh(txn: Txn, before: Instance | undefined, after: Instance | undefined): void {
  if (before?.meshFor !== undefined && before.meshFor !== after?.meshFor) {
    meshSpace.delete(txn, before.meshFor, before.service, before.id);
  }
  if (after?.meshFor !== undefined) meshSpace.put(txn, [after.meshFor, after.service, after.id], {});
}

/** Who has checks: an instance, or a node. */
export type Checked = Pick<Instance, "address" | "checks"> & { adminState?: AdminState };

/** All that whoever runs these checks has to know; "" when there is nothing to run. */
export function tasksOf(subject: Checked | null | undefined, isOwn: (check: Check) => boolean): string {
  const checks = subject?.checks.filter(isOwn) ?? [];
  if (checks.length === 0) return "";
  return JSON.stringify([
    subject!.address,
    subject!.adminState === "out_of_service",
    checks.map(({ status: _status, output: _output, sinceAt: _sinceAt, ...definition }) => definition),
  ]);
}

type Placed = Checked & { node: string };

const onItself = (node: Node): Placed => ({ address: node.address, checks: node.checks, node: node.name });

function indexChecks(
  txn: Txn,
  { service, id }: CheckSubject,
  placedBefore: Placed | undefined,
  placed: Placed | undefined,
): void {
  const [before, after] = [placedBefore?.checks ?? [], placed?.checks ?? []];
  if (before.length === 0 && after.length === 0) return;
  const [was, is] = [before.some(isPulled), after.some(isPulled)];
  if (is && !was) pulledSpace.put(txn, [service, id], {});
  if (was && !is) pulledSpace.delete(txn, service, id);
  const node = placed?.node ?? placedBefore!.node;
  const nodeBefore = placedBefore?.node ?? node;
  const moved = nodeKey(nodeBefore) !== nodeKey(node);
  const [tasksBefore, tasks] = [tasksOf(placedBefore, isAgents), tasksOf(placed, isAgents)];
  if (tasksBefore !== "" && (moved || tasks === "")) agentCheckSpace.delete(txn, nodeKey(nodeBefore), service, id);
  // Written anew when something to be known changes: its revision is the index that agents wait by.
  if (tasks !== "" && (moved || tasks !== tasksBefore)) agentCheckSpace.put(txn, [nodeKey(node), service, id], {});
  const ids = (checks: Check[], of: string): Set<string> => new Set(of === "" ? [] : checks.map((check) => check.id));
  const [idsBefore, idsAfter] = [ids(before, nodeBefore), ids(after, node)];
  for (const check of idsBefore) {
    if (moved || !idsAfter.has(check)) checkIdSpace.delete(txn, nodeKey(nodeBefore), check, service, id);
  }
  for (const check of idsAfter) {
    if (moved || !idsBefore.has(check)) checkIdSpace.put(txn, [nodeKey(node), check, service, id], {});
  }
  const kept = new Set(aliasesIn(after).map((parts) => parts.join("\0")));
  for (const target of aliasesIn(before)) {
    if (!kept.has(target.join("\0"))) aliasSpace.delete(txn, target[0], target[1], service, id, target[2]);
  }
  const known = new Set(aliasesIn(before).map((parts) => parts.join("\0")));
  for (const target of aliasesIn(after)) {
    if (!known.has(target.join("\0"))) aliasSpace.put(txn, [target[0], target[1], service, id, target[2]], {});
  }
}

const aliasesIn = (checks: Check[]): [string, string, string][] =>
  checks.flatMap((check): [string, string, string][] =>
    check.type === "alias" ? [[nodeKey(check.node), check.instance, check.id]] : [],
  );

function updateService(txn: Txn, service: string, before: Instance | null, after: Instance | null): void {
  const found = serviceSpace.record(txn, service);
  const known = found ? serviceSpace.peek(found) : newService(service);
  const instanceCount = known.instanceCount + Number(after !== null) - Number(before !== null);
  const healthy = Number(after !== null && isHealthy(after)) - Number(before !== null && isHealthy(before));
  // A map, because a tag may be called `constructor`.
  const tags = new Map(Object.entries(known.tags));
  for (const tag of before?.tags ?? []) {
    const left = (tags.get(tag) ?? 1) - 1;
    if (left > 0) tags.set(tag, left);
    else tags.delete(tag);
  }
  for (const tag of after?.tags ?? []) tags.set(tag, (tags.get(tag) ?? 0) + 1);
  if (after !== null && tags.size > SERVICE_TAGS_MAX) {
    throw new HoldfastError(
      "quota_exceeded",
      `service "${service}" would have more than ${SERVICE_TAGS_MAX} distinct tags`,
      {
        limit: SERVICE_TAGS_MAX,
      },
    );
  }
  if (instanceCount === 0) {
    serviceSpace.delete(txn, service);
    return;
  }
  const healthyCount = known.healthyCount + healthy;
  serviceSpace.put(txn, [service], { ...known, instanceCount, healthyCount, tags: Object.fromEntries(tags) });
}

function newService(name: string): ServiceRecord {
  return { name, class: "balanced", instanceCount: 0, healthyCount: 0, tags: {} };
}
