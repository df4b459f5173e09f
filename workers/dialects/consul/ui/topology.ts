/**
 * Whom a service of the mesh calls, and who calls it: from what its proxies were registered with, from rules that lead on,
 * and, where proxies take all traffic or there are none, from who may call whom.
 *
 * Pure: the catalog and the rules are handed in.
 * Source: Consul 1.21, `state.Store.ServiceTopology`, by its behaviour.
 */
import { comparePairs, pairsOf } from "../../../../objects/rules/access.ts";
import type { AccessPair } from "../../../../objects/rules/access.ts";
import { compileGraph } from "../../../../objects/rules/graph.ts";
import { linkedServices } from "../../../../objects/rules/links.ts";
import type { RuleKind, StoredRule } from "../../../../objects/rules/model.ts";
import { ANY, isHttp } from "../../../../objects/rules/model.ts";
import { RuleSet } from "../../../../objects/rules/rules.ts";
import { CONSUL_SERVICE } from "../catalog/agent-node.ts";
import { consulExtraOf } from "../catalog/extra.ts";
import type { ProxyConfig } from "../catalog/extra.ts";
import { servicesOf } from "../catalog/gateways.ts";
import type { Shown } from "../service-answer.ts";

export type Source =
  | "proxy-registration"
  | "specific-intention"
  | "wildcard-intention"
  | "default-allow"
  /** There is no such service, but rules lead on from its name. */
  | "routing-config";

/** What the rules say of a call, before anything is known of its requests. */
export interface Decision {
  Allowed: boolean;
  HasPermissions: boolean;
  ExternalSource: string;
  HasExact: boolean;
  DefaultAllow: boolean;
}

export interface Linked {
  source: Source;
  decision: Decision;
}

export interface Side {
  /** By name. */
  services: Map<string, Linked>;
  /** Their instances and proxies. */
  shown: Shown[];
}

export interface Topology {
  protocol: string;
  /** All its proxies take all its traffic. */
  isTransparent: boolean;
  upstreams: Side;
  downstreams: Side;
}

export interface TopologyInput {
  service: string;
  kind: "" | "ingress-gateway";
  /** The whole catalog. */
  shown: readonly Shown[];
  /** All of them. */
  rules: readonly StoredRule[];
  datacenter: string;
  /** What goes where no rule says anything. */
  isDefaultAllow: boolean;
}

const INGRESS = "ingress-gateway";
const PROXY = "connect-proxy";
const GRAPH_KINDS: ReadonlySet<RuleKind> = new Set(["router", "splitter", "resolver"]);

export function topologyOf(input: TopologyInput): Topology {
  const { service, kind, shown, rules } = input;
  const endpoints = kind === "" ? shown.filter(({ instance }) => instance.meshFor === service) : [];
  const links = registeredLinks(shown, rules);
  return {
    protocol: protocolOf(input),
    isTransparent: endpoints.length > 0 && endpoints.every(isTransparent),
    upstreams: upstreamsOf(input, links, endpoints.some(dialsByName)),
    downstreams: downstreamsOf(input, links),
  };
}

const kindOf = ({ instance }: Shown): string => consulExtraOf(instance)?.Kind ?? "";
const proxyOf = ({ instance }: Shown): ProxyConfig => consulExtraOf(instance)?.Proxy ?? {};
const isTransparent = (item: Shown): boolean => proxyOf(item).Mode === "transparent";
/** It may call whatever it is allowed to, without having been registered with it. */
const dialsByName = (item: Shown): boolean =>
  isTransparent(item) || consulExtraOf(item.instance)?.Connect?.Native === true;
/** The service that an instance is, or stands before. */
const ownerOf = (item: Shown): string =>
  kindOf(item) === PROXY ? (proxyOf(item).DestinationServiceName ?? "") : item.instance.service;

/** Listeners that all speak HTTP are counted in requests, any others in connections. */
function protocolOf({ service, kind, rules, datacenter }: TopologyInput): string {
  if (kind === "") {
    const defaults = rules.filter((rule) => rule.kind === "defaults" && (rule.name === ANY || rule.name === service));
    return compileGraph(new RuleSet(defaults), { service, datacenter }).protocol;
  }
  const gateway = rules.find((rule) => rule.kind === "ingress" && rule.name === service);
  if (!gateway) return "";
  const { listeners } = (gateway as StoredRule<"ingress">).spec;
  return listeners.length > 0 && listeners.every(({ protocol }) => isHttp(protocol)) ? "http" : "tcp";
}

interface Links {
  /** Service → those it calls. */
  upstreams: Map<string, Set<string>>;
  /** Service → those that call it. */
  downstreams: Map<string, Set<string>>;
}

/** Of proxies with their upstreams, and of gateways with what they let in to. */
function registeredLinks(shown: readonly Shown[], rules: readonly StoredRule[]): Links {
  const links: Links = { upstreams: new Map(), downstreams: new Map() };
  const link = (downstream: string, upstream: string): void => {
    add(links.upstreams, downstream, upstream);
    add(links.downstreams, upstream, downstream);
  };
  for (const item of shown) {
    if (kindOf(item) !== PROXY) continue;
    for (const { DestinationType: type, DestinationName: name } of proxyOf(item).Upstreams ?? []) {
      if (type !== "prepared_query") link(ownerOf(item), name);
    }
  }
  const meshed = new Set(shown.flatMap(({ instance: { meshFor } }) => (meshFor === undefined ? [] : [meshFor])));
  for (const rule of rules) {
    if (rule.kind !== "ingress") continue;
    for (const { Service: service } of servicesOf(rule, [...meshed])) link(rule.name, service.Name);
  }
  return links;
}

function add(to: Map<string, Set<string>>, key: string, name: string): void {
  const known = to.get(key);
  if (known) known.add(name);
  else to.set(key, new Set([name]));
}

function upstreamsOf(input: TopologyInput, { upstreams }: Links, dials: boolean): Side {
  const { service, shown, rules } = input;
  const decisions = new Decisions(input, "destination");
  const registered = upstreams.get(service) ?? [];
  const routed = new Set(rules.filter(({ kind }) => GRAPH_KINDS.has(kind)).map(({ name }) => name));
  const callable = dials ? [...namesOf(shown, [""]), ...routed] : [];
  const sources = sourcesOf(registered, callable, decisions, service);
  const found = instancesOf(shown, sources);
  const isThere = new Set(found.map(({ instance }) => instance.service));
  for (const name of sources.keys()) if (!isThere.has(name) && routed.has(name)) sources.set(name, "routing-config");
  return sideOf(sources, decisions, found);
}

function downstreamsOf(input: TopologyInput, { downstreams }: Links): Side {
  const { service, shown } = input;
  const decisions = new Decisions(input, "source");
  const registered = sourcesLeadingTo(input).flatMap((name) => [...(downstreams.get(name) ?? [])]);
  const sources = sourcesOf(registered, namesOf(shown, ["", INGRESS]), decisions, service);
  const found = instancesOf(shown, sources);
  const dialing = new Set(found.filter(dialsByName).map(ownerOf));
  // Who is no more than allowed to call has to have something that could.
  for (const [name, source] of sources) {
    if (source !== "proxy-registration" && !dialing.has(name)) sources.delete(name);
  }
  return sideOf(
    sources,
    decisions,
    found.filter((item) => sources.has(ownerOf(item))),
  );
}

/** Names of services of these kinds. */
function namesOf(shown: readonly Shown[], kinds: readonly string[]): string[] {
  const names = shown.filter((item) => kinds.includes(kindOf(item))).map(({ instance }) => instance.service);
  return [...new Set(names)].filter((name) => name !== CONSUL_SERVICE);
}

/** What is registered goes before what is allowed. */
function sourcesOf(
  registered: Iterable<string>,
  callable: Iterable<string>,
  decisions: Decisions,
  service: string,
): Map<string, Source> {
  const sources = new Map<string, Source>();
  for (const name of registered) sources.set(name, "proxy-registration");
  for (const name of callable) {
    const { Allowed, HasPermissions, HasExact, DefaultAllow } = decisions.of(name);
    // Permissions may allow some requests.
    if (sources.has(name) || name === service || !(Allowed || HasPermissions)) continue;
    sources.set(name, HasExact ? "specific-intention" : DefaultAllow ? "default-allow" : "wildcard-intention");
  }
  return sources;
}

const instancesOf = (shown: readonly Shown[], services: ReadonlyMap<string, Source>): Shown[] =>
  shown.filter(({ instance: { service, meshFor } }) => services.has(service) || services.has(meshFor ?? ""));

const sideOf = (sources: Map<string, Source>, decisions: Decisions, shown: Shown[]): Side => ({
  services: new Map([...sources].map(([name, source]) => [name, { source, decision: decisions.of(name) }])),
  shown,
});

/** The service, and those whose rules may lead on to it. */
function sourcesLeadingTo({ service, rules, datacenter }: TopologyInput): string[] {
  const leading = new Map<string, Set<string>>();
  for (const rule of rules) {
    if (GRAPH_KINDS.has(rule.kind)) for (const to of linkedServices(rule)) add(leading, to, rule.name);
  }
  const candidates = new Set([service]);
  for (const name of candidates) for (const from of leading.get(name) ?? []) candidates.add(from);
  const set = new RuleSet(rules);
  return [...candidates].filter((name) => {
    const { targets } = compileGraph(set, { service: name, datacenter });
    return Object.values(targets).some((target) => target.peer === "" && target.service === service);
  });
}

/** What the rules say of calls between one service and each of the others. */
class Decisions {
  readonly #pairs = new Map<string, { pair: AccessPair; rule: StoredRule }[]>();
  readonly #isDefaultAllow: boolean;

  /** `other`: which end of a call the others are. */
  constructor({ service, rules, isDefaultAllow }: TopologyInput, other: "source" | "destination") {
    this.#isDefaultAllow = isDefaultAllow;
    for (const rule of rules) {
      if (rule.kind !== "access") continue;
      for (const pair of pairsOf(rule as StoredRule<"access">)) {
        const { source, destination } = pair;
        const [own, name] = other === "source" ? [destination, source.service] : [source.service, destination];
        if (source.peer !== "" || (own !== service && own !== ANY)) continue;
        const known = this.#pairs.get(name);
        if (known) known.push({ pair, rule });
        else this.#pairs.set(name, [{ pair, rule }]);
      }
    }
  }

  of(name: string): Decision {
    const fitting = [...(this.#pairs.get(name) ?? []), ...(this.#pairs.get(ANY) ?? [])];
    const deciding = fitting.toSorted((a, b) => comparePairs(a.pair, b.pair))[0];
    const DefaultAllow = this.#isDefaultAllow;
    if (!deciding) {
      return { Allowed: DefaultAllow, HasPermissions: false, ExternalSource: "", HasExact: false, DefaultAllow };
    }
    const { pair, rule } = deciding;
    return {
      Allowed: pair.source.action === "allow",
      HasPermissions: pair.source.permissions.length > 0,
      ExternalSource: rule.meta["external-source"] ?? "",
      HasExact: pair.source.service !== ANY && pair.destination !== ANY,
      DefaultAllow,
    };
  }
}
