/** What resolvers and lists read of the registry. Pages, because one service may have more instances than one RPC carries. */
import { keyAfter } from "../bytes.ts";
import { HoldfastError } from "../errors.ts";
import type { Probe } from "../probing/plan.ts";
import type {
  AgentCheck,
  Check,
  HealthStatus,
  RegisteredInstance,
  RegisteredNode,
  ServiceClass,
  ServiceView,
} from "../model.ts";
import { isAgents, isPulled } from "../model.ts";
import type { WatchRange } from "../store/store.ts";
import type { Reader, StoredRecord } from "../store/txn.ts";
import { findVirtualIp } from "../virtual-ips/virtual-ip.ts";
import { nodeNamed } from "./nodes.ts";
import { registered } from "./registry.ts";
import {
  agentCheckSpace,
  checkIdSpace,
  instanceSpace,
  meshSpace,
  nodeKey,
  nodeSpace,
  pulledSpace,
  serviceSpace,
} from "./spaces.ts";

export interface ServiceSummary {
  name: string;
  class: ServiceClass;
  instanceCount: number;
  healthyCount: number;
  tags: string[];
  modRevision: number;
}

export interface ServiceDescription extends ServiceSummary {
  /** Null: it has none. */
  virtualIp: string | null;
}

/** A part of a view; `after` continues it, and is null in the last part. */
export interface ViewPage extends ServiceView {
  after: string | null;
}

export interface ViewInput {
  service: string;
  /** The id after which to continue. */
  after?: string | null;
}

const VIEW_PAGE_INSTANCES = 2500;
const SERVICES_PAGE = 5000;

export function viewOf(
  reader: Reader,
  { service, after = null }: ViewInput,
  state: { revision: number; selfPreservation: boolean },
): ViewPage {
  const record = serviceSpace.record(reader, service);
  const summary = record && serviceSpace.decode(record);
  const records = record
    ? instanceSpace.under(reader, [service], {
        limit: VIEW_PAGE_INSTANCES + 1,
        ...(after !== null && { after: instanceSpace.key(service, after) }),
      })
    : [];
  const page = records.slice(0, VIEW_PAGE_INSTANCES);
  const instances = page.map((found) => registered(instanceSpace.decode(found), found));
  return {
    service,
    class: summary?.class ?? "balanced",
    modRevision: record?.modRevision ?? 0,
    revision: state.revision,
    instances,
    nodes: nodesOf(reader, instances),
    selfPreservation: state.selfPreservation,
    after: records.length > page.length ? instances.at(-1)!.id : null,
  };
}

/** What a service's index is the index of. */
export function serviceRange(service: string): WatchRange {
  const from = serviceSpace.key(service);
  return { space: serviceSpace.name, from, to: keyAfter(from) };
}

export interface KnownView {
  service: string;
  /** Its mod revision. */
  known: number;
  /** The namespace's revision at which it was read. */
  asOf: number;
}

/**
 * The first part of a view, or null when it is as it is known: then there is nothing to carry. What was read before the
 * compaction mark may be of a history that a restore has ended, whatever its mod revision.
 */
export function viewSince(
  reader: Reader,
  { service, known, asOf }: KnownView,
  state: { revision: number; compacted: number; selfPreservation: boolean },
): ViewPage | null {
  const modRevision = serviceSpace.record(reader, service)?.modRevision ?? 0;
  return modRevision === known && asOf >= state.compacted ? null : viewOf(reader, { service }, state);
}

export interface InstancePage {
  instances: RegisteredInstance[];
  /** Their nodes, by name in lower case. */
  nodes: Record<string, RegisteredNode>;
  /** Continue with it; null at the end. */
  after: { service: string; id: string } | null;
}

/** The instances of all services, page by page. */
export function listInstances(reader: Reader, { after = null }: { after?: InstancePage["after"] }): InstancePage {
  const { instances, after: next } = listed(reader, after);
  return { instances, nodes: nodesOf(reader, instances), after: next };
}

function listed(reader: Reader, after: InstancePage["after"]): Omit<InstancePage, "nodes"> {
  const records = instanceSpace.under(reader, [], {
    limit: VIEW_PAGE_INSTANCES + 1,
    ...(after && { after: instanceSpace.key(after.service, after.id) }),
  });
  const instances = records
    .slice(0, VIEW_PAGE_INSTANCES)
    .map((record) => registered(instanceSpace.decode(record), record));
  const last = instances.at(-1);
  return {
    instances,
    after: last && records.length > instances.length ? { service: last.service, id: last.id } : null,
  };
}

export interface AddressPage {
  addresses: { service: string; address: string; isPrivate: boolean }[];
  /** Continue with it; null at the end. */
  after: InstancePage["after"];
}

/** Where the instances are that have an address of their own, page by page; those that have their node's are passed over. */
export function listAddresses(reader: Reader, { after = null }: { after?: InstancePage["after"] }): AddressPage {
  const { instances, after: next } = listed(reader, after);
  const addresses = instances.flatMap(({ service, address, inheritsAddress, private: isPrivate }) =>
    inheritsAddress ? [] : [{ service, address, isPrivate }],
  );
  return { addresses, after: next };
}

export interface MeshInput {
  service: string;
  after?: InstancePage["after"];
}

/** The instances that the mesh reaches a service by, page by page. */
export function meshInstances(reader: Reader, { service, after = null }: MeshInput): InstancePage {
  const marks = meshSpace.under(reader, [service], {
    limit: VIEW_PAGE_INSTANCES + 1,
    ...(after && { after: meshSpace.key(service, after.service, after.id) }),
  });
  const page = marks.slice(0, VIEW_PAGE_INSTANCES).map(({ key }) => {
    const [, of = "", id = ""] = meshSpace.parts(key);
    return { service: of, id };
  });
  const instances = page.flatMap((name) => {
    const record = instanceSpace.record(reader, name.service, name.id);
    return record ? [registered(instanceSpace.decode(record), record)] : [];
  });
  return { instances, nodes: nodesOf(reader, instances), after: marks.length > page.length ? page.at(-1)! : null };
}

/** What `meshInstances` depends on, besides the nodes: those move it, too. */
export const meshRange = (service: string): WatchRange => ({
  space: meshSpace.name,
  ...meshSpace.rangeUnder([service]),
});

export const isInMesh = (reader: Reader, service: string): boolean =>
  meshSpace.under(reader, [service], { limit: 1 }).length > 0;

function nodesOf(reader: Reader, instances: RegisteredInstance[]): Record<string, RegisteredNode> {
  const names = new Set(instances.map(({ node }) => nodeKey(node)));
  names.delete("");
  // Entries, because a node may be called `__proto__`.
  return Object.fromEntries(
    [...names].flatMap((name) => {
      const node = nodeNamed(reader, name);
      return node ? [[name, node] as const] : [];
    }),
  );
}

/** Codes: `not_found`. */
export function describeService(reader: Reader, { service }: { service: string }): ServiceDescription {
  const record = serviceSpace.record(reader, service);
  if (!record) throw new HoldfastError("not_found", `there is no service "${service}"`, { service });
  return { ...summaryOf(record), virtualIp: findVirtualIp(reader, { service })?.address ?? null };
}

function summaryOf(record: StoredRecord): ServiceSummary {
  const { tags, ...summary } = serviceSpace.decode(record);
  return { ...summary, tags: Object.keys(tags).toSorted(), modRevision: record.modRevision };
}

export interface ServiceList {
  services: ServiceSummary[];
  /** The name after which to continue; null at the end. */
  after: string | null;
}

export function listServices(reader: Reader, { after = null }: { after?: string | null }): ServiceList {
  const records = serviceSpace.under(reader, [], {
    limit: SERVICES_PAGE + 1,
    ...(after !== null && { after: serviceSpace.key(after) }),
  });
  const services = records.slice(0, SERVICES_PAGE).map(summaryOf);
  return { services, after: records.length > services.length ? services.at(-1)!.name : null };
}

/** A check, and whose it is. */
export interface OwnedCheck {
  /** Empty for a node's own. */
  service: string;
  /** The instance's id; the node's key. */
  id: string;
  node: string;
  tags: string[];
  check: Check;
  extra: Record<string, unknown>;
  createRevision: number;
  modRevision: number;
}

export interface CheckPage {
  checks: OwnedCheck[];
  /** Continue with it; null at the end. */
  after: { service: string; id: string } | null;
}

/** All checks of nodes and instances, page by page; `status` leaves out the others. */
export function listChecks(
  reader: Reader,
  { after = null, status }: { after?: CheckPage["after"]; status?: HealthStatus | undefined },
): CheckPage {
  const checks: OwnedCheck[] = [];
  const take = (owner: Omit<OwnedCheck, "check">, of: Check[]): void => {
    for (const check of of) if (status === undefined || check.status === status) checks.push({ ...owner, check });
  };
  if (after === null) {
    for (const record of nodeSpace.under(reader, [])) {
      const { name, checks: own, extra } = nodeSpace.decode(record);
      const { createRevision, modRevision } = record;
      take({ service: "", id: nodeKey(name), node: name, tags: [], extra, createRevision, modRevision }, own);
    }
  }
  const records = instanceSpace.under(reader, [], {
    limit: VIEW_PAGE_INSTANCES + 1,
    ...(after && { after: instanceSpace.key(after.service, after.id) }),
  });
  const page = records.slice(0, VIEW_PAGE_INSTANCES);
  for (const record of page) {
    const { service, id, node, tags, checks: own, extra } = instanceSpace.decode(record);
    const { createRevision, modRevision } = record;
    take({ service, id, node, tags, extra, createRevision, modRevision }, own);
  }
  const last = page.at(-1);
  const [service = "", id = ""] = last ? instanceSpace.parts(last.key) : [];
  return { checks, after: records.length > page.length ? { service, id } : null };
}

/** A check by its id on a node: its instances' and its own. More than one where they were registered without regard to it. */
export function checksNamed(reader: Reader, { node, check }: { node: string; check: string }): OwnedCheck[] {
  return checkIdSpace.under(reader, [nodeKey(node), check]).flatMap(({ key }) => {
    const [, , service = "", id = ""] = checkIdSpace.parts(key);
    const record = service === "" ? nodeSpace.record(reader, id) : instanceSpace.record(reader, service, id);
    if (!record) return [];
    const owner = service === "" ? nodeSpace.decode(record) : instanceSpace.decode(record);
    const found = owner.checks.find((candidate) => candidate.id === check);
    if (!found) return [];
    const { createRevision, modRevision } = record;
    const [name, tags] = "tags" in owner ? [owner.node, owner.tags] : [owner.name, []];
    return [{ service, id, node: name, tags, check: found, extra: owner.extra, createRevision, modRevision }];
  });
}

export interface AgentInput {
  node: string;
  /** Also the checks of instances that name no node. */
  nodeless?: boolean | undefined;
}

export interface AgentTasks {
  checks: Probe<AgentCheck>[];
  /** There are more than one agent is given. */
  truncated: boolean;
}

/** With their outputs they have to fit into one answer. */
export const AGENT_CHECKS_MAX = 2000;

/** The checks that the agent of a node runs: its instances' and its own. */
export function agentChecks(reader: Reader, input: AgentInput): AgentTasks {
  const checks: Probe<AgentCheck>[] = [];
  for (const node of nodesOfAgent(input)) {
    for (const { key } of agentCheckSpace.under(reader, [node], { limit: AGENT_CHECKS_MAX + 1 })) {
      const [, service = "", instance = ""] = agentCheckSpace.parts(key);
      const { address, checks: all } = subjectNamed(reader, service, instance);
      for (const check of all) if (isAgents(check)) checks.push({ service, instance, address, check });
      if (checks.length > AGENT_CHECKS_MAX) return { checks: checks.slice(0, AGENT_CHECKS_MAX), truncated: true };
    }
  }
  return { checks, truncated: false };
}

/** What `agentChecks` depends on. */
export const agentRanges = (input: AgentInput): WatchRange[] =>
  nodesOfAgent(input).map((node) => ({ space: agentCheckSpace.name, ...agentCheckSpace.rangeUnder([node]) }));

const nodesOfAgent = ({ node, nodeless }: AgentInput): string[] => [nodeKey(node), ...(nodeless ? [""] : [])];

function subjectNamed(reader: Reader, service: string, id: string): { address: string; checks: Check[] } {
  if (service === "") return nodeSpace.get(reader, id) ?? NOTHING;
  const instance = instanceSpace.get(reader, service, id);
  return instance && instance.adminState !== "out_of_service" ? instance : NOTHING;
}

const NOTHING = { address: "", checks: [] };

/** The checks that the prober runs: up to `limit`, and one more if there are more. */
export function pulledChecks(reader: Reader, limit: number): Probe[] {
  const probes: Probe[] = [];
  for (const { key } of pulledSpace.under(reader, [], { limit: limit + 1 })) {
    const [service = "", instance = ""] = pulledSpace.parts(key);
    const { address, checks } = subjectNamed(reader, service, instance);
    for (const check of checks) if (isPulled(check)) probes.push({ service, instance, address, check });
    if (probes.length > limit) break;
  }
  return probes;
}
