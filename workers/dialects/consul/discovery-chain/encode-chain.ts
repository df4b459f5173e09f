/**
 * A graph of rules as Consul's compiled discovery chain. Definitions are shown as they were written, so they come from what
 * Consul keeps with the rules.
 */
import type { Graph, GraphNode, GraphTarget, SplitterNode } from "../../../../objects/rules/graph.ts";
import type { HeaderChanges, LoadBalancer, Rule, RuleReader } from "../../../../objects/rules/model.ts";
import { ANY } from "../../../../objects/rules/model.ts";
import { RuleSet } from "../../../../objects/rules/rules.ts";
import type { VirtualIp } from "../../../../objects/virtual-ips/virtual-ip.ts";
import { contentOf } from "../config/entry.ts";
import { formatDuration, toNanoseconds } from "../durations.ts";
import { nodeName, targetName, targetNameOf } from "./names.ts";

type Json = Record<string, unknown>;

export interface ChainInput {
  graph: Graph;
  /** That the graph was compiled from. */
  rules: readonly Rule[];
  trustDomain: string;
  /** Of the service; null = it has none. */
  virtualIp: VirtualIp | null;
  /** Of the chain's options that made a difference; null = none did. */
  customizationHash: string | null;
}

/** Where what was written is found. */
interface Sources {
  rules: RuleReader;
  /** The balancer of a resolver's rule → as it was written. */
  balancers: ReadonlyMap<LoadBalancer, unknown>;
  trustDomain: string;
}

export function encodeChain({ graph, rules: written, trustDomain, virtualIp, customizationHash }: ChainInput): Json {
  const rules = new RuleSet(written);
  const sources: Sources = { rules, balancers: balancersOf(written), trustDomain };
  const defaults = rules.find("defaults", graph.service);
  const extensions = [rules.find("defaults", ANY), defaults].flatMap(extensionsOf);
  const meta = defaults?.meta ?? {};
  return {
    ServiceName: graph.service,
    Namespace: "default",
    Partition: "default",
    Datacenter: graph.datacenter,
    ...(customizationHash !== null && { CustomizationHash: customizationHash }),
    ...(graph.isDefault && { Default: true }),
    Protocol: graph.protocol,
    ...(Object.keys(meta).length > 0 && { ServiceMeta: meta }),
    ...(extensions.length > 0 && { EnvoyExtensions: extensions }),
    StartNode: nodeName(graph.start),
    Nodes: sortedBy(Object.entries(graph.nodes), ([key, node]) => [nodeName(key), encodeNode(key, node, sources)]),
    Targets: sortedBy(Object.values(graph.targets), (target) => [targetNameOf(target), encodeTarget(target, sources)]),
    AutoVirtualIPs: virtualIp && [virtualIp.address],
    ManualVirtualIPs: virtualIp && virtualIp.manual,
  };
}

const sortedBy = <T>(items: T[], encode: (item: T) => [string, Json]): Json =>
  Object.fromEntries(items.map(encode).toSorted(([a], [b]) => (a < b ? -1 : 1)));

const extensionsOf = (rule: Rule | undefined): unknown[] =>
  rule ? ((contentOf(rule)["EnvoyExtensions"] as unknown[] | undefined) ?? []) : [];

function encodeNode(key: string, node: GraphNode, sources: Sources): Json {
  const name = nodeName(key);
  const head = { Type: node.type, Name: name.slice(name.indexOf(":") + 1) };
  switch (node.type) {
    case "router":
      return { ...head, Routes: encodeRoutes(node.service, node.routes, sources) };
    case "splitter":
      return { ...head, Splits: node.splits.map(encodeSplit), ...loadBalancer(node, sources) };
    case "resolver":
      return {
        ...head,
        Resolver: {
          ConnectTimeout: formatDuration(node.connectTimeoutMs),
          ...(node.isDefault && { Default: true }),
          ...(node.requestTimeoutMs !== null && { RequestTimeout: toNanoseconds(node.requestTimeoutMs) }),
          Target: targetName(node.target),
          ...(node.failover && {
            Failover: {
              Targets: node.failover.targets.map(targetName),
              ...(node.failover.policy && { Policy: policyOf(node.failover.policy) }),
            },
          }),
        },
        ...loadBalancer(node, sources),
      };
  }
}

/** The catch-all at the end is nobody's writing. */
function encodeRoutes(service: string, routes: { next: string }[], { rules }: Sources): Json[] {
  const router = rules.find("router", service);
  const written = (router && (contentOf(router)["Routes"] as Json[] | null | undefined)) ?? [];
  const catchAll = {
    Match: { HTTP: { PathPrefix: "/" } },
    Destination: { Service: service, Namespace: "default", Partition: "default" },
  };
  return routes.map(({ next }, index) => ({
    Definition: index === routes.length - 1 ? catchAll : (written[index] ?? {}),
    NextNode: nodeName(next),
  }));
}

const encodeSplit = ({ split, weight, next }: SplitterNode["splits"][number]): Json => ({
  Definition: {
    Weight: split.weight / 100,
    ...(split.service !== "" && { Service: split.service }),
    ...(split.subset !== "" && { ServiceSubset: split.subset }),
    ...headers("RequestHeaders", split.requestHeaders),
    ...headers("ResponseHeaders", split.responseHeaders),
  },
  ...(weight > 0 && { Weight: weight / 100 }),
  NextNode: nodeName(next),
});

function headers(name: string, { add, set, remove }: HeaderChanges): Json {
  const written = {
    ...(Object.keys(add).length > 0 && { Add: add }),
    ...(Object.keys(set).length > 0 && { Set: set }),
    ...(remove.length > 0 && { Remove: remove }),
  };
  return Object.keys(written).length > 0 ? { [name]: written } : {};
}

const policyOf = ({ mode, regions }: { mode: string; regions: string[] }): Json => ({
  ...(mode !== "sequential" && { Mode: mode }),
  ...(regions.length > 0 && { Regions: regions }),
});

function balancersOf(rules: readonly Rule[]): Map<LoadBalancer, unknown> {
  const balancers = new Map<LoadBalancer, unknown>();
  for (const rule of rules) {
    if (rule.kind !== "resolver") continue;
    const { loadBalancer: balancer } = (rule as Rule<"resolver">).spec;
    if (balancer) balancers.set(balancer, contentOf(rule)["LoadBalancer"]);
  }
  return balancers;
}

/** A node has its balancer from a resolver. */
const loadBalancer = (node: { loadBalancer: LoadBalancer | null }, { balancers }: Sources): Json =>
  node.loadBalancer === null ? {} : { LoadBalancer: balancers.get(node.loadBalancer) };

function encodeTarget(target: GraphTarget, { rules, trustDomain }: Sources): Json {
  const { service, subset, datacenter, peer } = target;
  const resolver = subset === "" ? undefined : rules.find("resolver", service);
  const subsets = (resolver && (contentOf(resolver)["Subsets"] as Record<string, Json> | undefined)) ?? {};
  const prefix = subset === "" ? "" : `${subset}.`;
  const name = peer === "" ? `${prefix}${service}.default.${datacenter}.internal.${trustDomain}` : "";
  const serverName = target.externalName ?? name;
  return {
    ConnectTimeout: formatDuration(target.connectTimeoutMs),
    ID: targetNameOf(target),
    Service: service,
    ...(subset !== "" && { ServiceSubset: subset }),
    Namespace: "default",
    Partition: "default",
    ...(datacenter !== "" && { Datacenter: datacenter }),
    ...(peer !== "" && { Peer: peer }),
    MeshGateway: target.meshGateway === "" ? {} : { Mode: target.meshGateway },
    Subset: subsets[subset] ?? {},
    TransparentProxy: target.dialedDirectly ? { DialedDirectly: true } : {},
    ...(target.externalName !== null && { External: true }),
    ...(serverName !== "" && { SNI: serverName }),
    ...(name !== "" && { Name: name }),
  };
}
