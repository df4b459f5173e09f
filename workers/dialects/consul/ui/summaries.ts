/** The catalog as Consul's user interface reads it: summaries, counted from health entries. Source: Consul 1.21, `ui_endpoint.go`. */
import type { CheckEntry } from "../encode-check.ts";
import type { HealthEntry } from "../encode-health.ts";
import type { NodeEntry } from "../encode-node.ts";
import type { NodeServiceEntry } from "../encode-service.ts";

export interface NodeInfo {
  ID: string;
  Node: string;
  Address: string;
  TaggedAddresses: Record<string, string>;
  Meta: Record<string, string>;
  Services: NodeServiceEntry[];
  Checks: CheckEntry[];
}

export function nodeInfo(node: NodeEntry, services: NodeServiceEntry[], checks: CheckEntry[]): NodeInfo {
  const { ID, Node, Address, TaggedAddresses, Meta } = node;
  return { ID, Node, Address, TaggedAddresses, Meta, Services: services, Checks: checks };
}

export interface ServiceSummary {
  Kind?: string;
  Name: string;
  Datacenter: string;
  Tags: string[] | null;
  Nodes: string[] | null;
  ExternalSources: string[] | null;
  InstanceCount: number;
  ChecksPassing: number;
  ChecksWarning: number;
  ChecksCritical: number;
  GatewayConfig: { AssociatedServiceCount?: number; Addresses?: string[] };
  TransparentProxy: boolean;
  ConnectNative: boolean;
}

export interface ServiceListing extends ServiceSummary {
  ConnectedWithProxy: boolean;
  ConnectedWithGateway: boolean;
}

interface Tally {
  kind: string;
  datacenter: string;
  tags: Set<string>;
  nodes: Set<string>;
  sources: Set<string>;
  instances: number;
  /** By node and id, because a node's checks come with each instance on it. */
  checks: Map<string, string>;
  isNative: boolean;
  hasProxy: boolean;
  /** Of its proxies; undefined without any. */
  isTransparent: boolean | undefined;
}

const newTally = (): Tally => ({
  kind: "",
  datacenter: "",
  tags: new Set(),
  nodes: new Set(),
  sources: new Set(),
  instances: 0,
  checks: new Map(),
  isNative: false,
  hasProxy: false,
  isTransparent: undefined,
});

/** By service; a proxy counts for the one it stands before, too. */
function tallied(entries: readonly HealthEntry[]): [name: string, tally: Tally][] {
  const tallies = new Map<string, Tally>();
  const tallyOf = (name: string): Tally => {
    let tally = tallies.get(name);
    if (!tally) tallies.set(name, (tally = newTally()));
    return tally;
  };
  for (const { Node: node, Service: service, Checks: checks } of entries) {
    const tally = tallyOf(service.Service);
    tally.kind = service.Kind ?? "";
    tally.datacenter = node.Datacenter;
    tally.instances++;
    tally.nodes.add(node.Node);
    if (service.Connect.Native) tally.isNative = true;
    for (const tag of service.Tags) tally.tags.add(tag);
    const source = service.Meta["external-source"];
    if (source) tally.sources.add(source);
    const counted = [tally];
    if (service.Kind === "connect-proxy") {
      const proxy = service.Proxy as { DestinationServiceName?: string; Mode: string };
      const target = tallyOf(proxy.DestinationServiceName ?? "");
      target.hasProxy = true;
      target.isTransparent = (target.isTransparent ?? true) && proxy.Mode === "transparent";
      counted.push(target);
    }
    for (const check of checks) for (const to of counted) to.checks.set(`${node.Node}\0${check.CheckID}`, check.Status);
  }
  return [...tallies].toSorted(([a], [b]) => (a < b ? -1 : 1));
}

export const summarize = (entries: readonly HealthEntry[]): ServiceSummary[] =>
  tallied(entries).map(([name, tally]) => summary(name, tally));

/** Of a name that nothing is registered under. */
export const emptySummary = (name: string): ServiceSummary => summary(name, newTally());

/** `gateways` are those of each service. */
export function serviceListings(
  entries: readonly HealthEntry[],
  gateways: ReadonlyMap<string, readonly string[]>,
): ServiceListing[] {
  const linked = new Map<string, number>();
  for (const names of gateways.values()) for (const name of names) linked.set(name, (linked.get(name) ?? 0) + 1);
  const tallies = tallied(entries);
  const isThere = new Set(tallies.map(([name]) => name));
  return tallies.map(([name, tally]) => {
    const count = linked.get(name) ?? 0;
    return {
      ...summary(name, tally),
      GatewayConfig: count > 0 ? { AssociatedServiceCount: count } : {},
      ConnectedWithProxy: tally.hasProxy,
      ConnectedWithGateway: tally.instances > 0 && (gateways.get(name) ?? []).some((gateway) => isThere.has(gateway)),
    };
  });
}

function summary(name: string, tally: Tally): ServiceSummary {
  const statuses = [...tally.checks.values()];
  const count = (status: string): number => statuses.filter((of) => of === status).length;
  const listed = (names: Set<string>): string[] | null => (names.size > 0 ? [...names].toSorted() : null);
  return {
    ...(tally.kind !== "" && { Kind: tally.kind }),
    Name: name,
    Datacenter: tally.datacenter,
    Tags: listed(tally.tags),
    Nodes: listed(tally.nodes),
    ExternalSources: tally.sources.size > 0 ? [...tally.sources] : null,
    InstanceCount: tally.instances,
    ChecksPassing: count("passing"),
    ChecksWarning: count("warning"),
    ChecksCritical: count("critical"),
    GatewayConfig: {},
    TransparentProxy: tally.isTransparent ?? false,
    ConnectNative: tally.isNative,
  };
}

export interface HealthSummary {
  Name?: string;
  Total: number;
  Passing: number;
  Warning: number;
  Critical: number;
}

export interface CatalogOverview {
  Nodes: HealthSummary[];
  Services: HealthSummary[];
  Checks: HealthSummary[];
}

/** How many there are, and how well they are: nodes by their own checks, services by theirs. */
export function catalogOverview(
  nodes: readonly CheckEntry[][],
  services: readonly { name: string; checks: CheckEntry[] }[],
): CatalogOverview {
  const ofNodes = new Map<string, HealthSummary>();
  const ofServices = new Map<string, HealthSummary>();
  const ofChecks = new Map<string, HealthSummary>();
  for (const checks of nodes) add(ofNodes, "", worst(checks));
  for (const { name, checks } of services) add(ofServices, name, worst(checks));
  for (const check of [...nodes.flat(), ...services.flatMap(({ checks }) => checks)]) {
    add(ofChecks, check.Name, check.Status);
  }
  const sorted = (of: Map<string, HealthSummary>): HealthSummary[] =>
    [...of].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, counts]) => counts);
  return { Nodes: sorted(ofNodes), Services: sorted(ofServices), Checks: sorted(ofChecks) };
}

function worst(checks: readonly CheckEntry[]): string {
  const statuses = new Set(checks.map(({ Status: status }) => status));
  if (statuses.has("critical")) return "critical";
  return statuses.has("warning") ? "warning" : "passing";
}

function add(summaries: Map<string, HealthSummary>, name: string, status: string): void {
  const counts = summaries.get(name) ?? {
    ...(name !== "" && { Name: name }),
    Total: 0,
    Passing: 0,
    Warning: 0,
    Critical: 0,
  };
  counts.Total++;
  if (status === "passing") counts.Passing++;
  else if (status === "warning") counts.Warning++;
  else counts.Critical++;
  summaries.set(name, counts);
}
