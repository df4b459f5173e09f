/**
 * Whether all rules together still make sense after one of them changed: every graph that the change reaches must compile,
 * and whoever relies on a protocol, an issuer or an export must still find it as it was.
 *
 * The reach follows links backwards to their end, not one step: a change far down a chain can break its top.
 */
import { graphError } from "./errors.ts";
import type { Graph } from "./graph.ts";
import { compileGraph } from "./graph.ts";
import { servicesAround } from "./links.ts";
import type { AccessSpec, ExportsSpec, IngressSpec, Rule, RuleKind, RuleReader } from "./model.ts";
import { ANY, isHttp } from "./model.ts";
import { targetId, targetParts } from "./targets.ts";

/** What integrity asks of the store. */
export interface Rules extends RuleReader {
  all<K extends RuleKind>(kind: K): Rule<K>[];
  leadingTo(service: string): { kind: RuleKind; name: string }[];
}

/** Where a graph is compiled does not decide whether it can be. */
const SOMEWHERE = "dc1";
const REACH_MAX = 5000;
/** Of all graphs that one change may make us look at: a write must not hold up the others for long. */
const NODES_MAX = 50_000;

/** What exported services led to before the change. */
export type Past = ReadonlyMap<string, readonly string[]>;

export function before(rules: Rules, changed: Rule): Past {
  const past = new Map<string, readonly string[]>();
  const exported = exportedServices(rules);
  const graphs = new Graphs(rules);
  for (const service of reached(rules, changed)) {
    if (exported.has(service) || exported.has(ANY)) past.set(service, identities(graphs.of(service)));
  }
  return past;
}

/** `rule` null = it was deleted, and was `previous`. `rules` has the change already. */
export function assertIntegrity(rules: Rules, rule: Rule | null, previous: Rule | undefined, past: Past): void {
  const changed = rule ?? previous!;
  assertPermissive(rules, rule, previous);
  assertClash(rules, rule);
  if (changed.kind === "issuer") assertIssuerFree(rules, changed.name);
  if (rule?.kind === "access") assertIssuersKnown(rules, rule as Rule<"access">);
  if (rule?.kind === "exports") assertExports(rules, rule as Rule<"exports">);

  const graphs = new Graphs(rules);
  const exported = exportedServices(rules);
  for (const service of reached(rules, changed)) {
    const graph = graphs.of(service);
    if (!exported.has(service) && !exported.has(ANY)) continue;
    assertExportable(rules, service);
    if (!isHttp(graph.protocol)) assertNoNewTargets(service, graph, past.get(service) ?? []);
  }
  for (const ingress of ingressesOf(rules, rule, changed)) {
    assertListeners(ingress.spec, graphs, rule?.kind === "ingress");
  }
  for (const access of accessOf(rules, rule, changed)) assertPermissions(access, graphs);
}

/** Graphs as they are asked for, each compiled once. */
class Graphs {
  readonly #rules: Rules;
  readonly #known = new Map<string, Graph>();
  #nodes = 0;

  constructor(rules: Rules) {
    this.#rules = rules;
  }

  of(service: string): Graph {
    const known = this.#known.get(service);
    if (known) return known;
    const graph = compileGraph(this.#rules, { service, datacenter: SOMEWHERE });
    this.#nodes += Object.keys(graph.nodes).length;
    if (this.#nodes > NODES_MAX) throw graphError("graph_too_large", "the change reaches too many rules", { service });
    this.#known.set(service, graph);
    return graph;
  }
}

const GRAPH_KINDS: readonly RuleKind[] = ["router", "splitter", "resolver"];

/** Services whose graphs a change of this rule may change. */
function reached(rules: Rules, { kind, name }: Rule): Set<string> {
  if (kind === "defaults" && name === ANY) {
    return routedServices(rules);
  }
  if (kind !== "defaults" && !GRAPH_KINDS.includes(kind)) return new Set();
  const services = new Set([name]);
  for (const service of services) {
    if (services.size > REACH_MAX) {
      throw graphError("graph_too_large", `too many rules lead to service "${name}"`, { service: name });
    }
    for (const leading of rules.leadingTo(service)) if (GRAPH_KINDS.includes(leading.kind)) services.add(leading.name);
  }
  return services;
}

const routedServices = (rules: Rules): Set<string> =>
  new Set(GRAPH_KINDS.flatMap((kind) => rules.all(kind).map(({ name }) => name)));

function ingressesOf(rules: Rules, rule: Rule | null, changed: Rule): Rule<"ingress">[] {
  if (changed.kind === "ingress") return rule ? [rule as Rule<"ingress">] : [];
  if (changed.kind === "defaults" && changed.name === ANY) return rules.all("ingress");
  const found = new Map<string, Rule<"ingress">>();
  for (const service of reached(rules, changed)) {
    for (const { kind, name } of rules.leadingTo(service)) {
      const ingress = kind === "ingress" ? rules.find("ingress", name) : undefined;
      if (ingress) found.set(name, ingress);
    }
  }
  return [...found.values()];
}

function accessOf(rules: Rules, rule: Rule | null, changed: Rule): Rule<"access">[] {
  if (changed.kind === "access") return rule ? [rule as Rule<"access">] : [];
  if (changed.kind === "defaults" && changed.name === ANY) return rules.all("access");
  return [...reached(rules, changed)].flatMap((service) => rules.find("access", service) ?? []);
}

/**
 * A listener and its services must agree. Only a plain TCP listener may carry what is more than that, when nothing routes
 * it; and not even that when the listener itself is being written.
 */
function assertListeners({ listeners }: IngressSpec, graphs: Graphs, isWritten: boolean): void {
  for (const { protocol: expected, services } of listeners) {
    for (const { service } of services) {
      if (service === ANY) continue;
      const { protocol, nodes, start } = graphs.of(service);
      if (protocol === expected) continue;
      const carries = expected === "tcp" && nodes[start]!.type === "resolver" && !isWritten;
      if (carries) continue;
      const message = `service "${service}" is ${protocol}, but its listener is ${expected}`;
      throw graphError("listener_protocol", message, { service, protocol, expected });
    }
  }
}

function assertPermissions({ name, spec }: Rule<"access">, graphs: Graphs): void {
  if (name === ANY || spec.sources.every(({ permissions }) => permissions.length === 0)) return;
  const { protocol } = graphs.of(name);
  if (isHttp(protocol)) return;
  const message = `service "${name}" is ${protocol}, whose requests cannot be told apart`;
  throw graphError("access_protocol", message, { service: name, protocol });
}

function assertPermissive(rules: Rules, rule: Rule | null, previous: Rule | undefined): void {
  if (rule?.kind !== "defaults") return;
  const isNew = (rule as Rule<"defaults">).spec.permissiveTls && !(previous as Rule<"defaults">)?.spec.permissiveTls;
  if (!isNew || rules.all("mesh").some(({ spec }) => spec.permissiveTlsAllowed)) return;
  throw graphError("permissive_tls", "the mesh does not allow permissive TLS", { field: "permissiveTls" });
}

function assertClash(rules: Rules, rule: Rule | null): void {
  if (rule?.kind !== "ingress" && rule?.kind !== "egress") return;
  const other = rule.kind === "ingress" ? "egress" : "ingress";
  if (!rules.find(other, rule.name)) return;
  const message = `"${rule.name}" is the name of an ${other} gateway already`;
  throw graphError("gateway_clash", message, { kind: rule.kind, name: rule.name, other });
}

const issuersOf = ({ token, sources }: AccessSpec): string[] =>
  [token, ...sources.flatMap(({ permissions }) => permissions.map((permission) => permission.token))].flatMap(
    (requirement) => requirement?.issuers.map(({ name }) => name) ?? [],
  );

function assertIssuersKnown(rules: Rules, { spec }: Rule<"access">): void {
  const unknown = [...new Set(issuersOf(spec))].filter((name) => !rules.find("issuer", name));
  if (unknown.length === 0) return;
  const message = `there is no token issuer "${unknown.join('", "')}"`;
  throw graphError("unknown_issuer", message, { issuers: unknown.join("\0") });
}

function assertIssuerFree(rules: Rules, issuer: string): void {
  if (rules.find("issuer", issuer)) return;
  const user = rules.all("access").find(({ spec }) => issuersOf(spec).includes(issuer));
  if (!user) return;
  const message = `token issuer "${issuer}" is in use by the access rule "${user.name}"`;
  throw graphError("issuer_in_use", message, { issuer, name: user.name });
}

/** May hold `*`. */
const exportedServices = (rules: Rules): Set<string> =>
  new Set(rules.all("exports").flatMap(({ spec }) => exportedBy(spec)));

const exportedBy = ({ services }: ExportsSpec): string[] =>
  services.flatMap(({ service, peers }) => (peers.length > 0 ? [service] : []));

/** `*` stands for all services; graphs have those that rules were written for. */
function assertExports(rules: Rules, { spec }: Rule<"exports">): void {
  const services = new Set(exportedBy(spec));
  if (services.delete(ANY)) for (const name of routedServices(rules)) services.add(name);
  for (const service of services) assertExportable(rules, service);
}

/** Another cluster cannot follow where an exported service leads away from this datacenter. */
function assertExportable(rules: Rules, exported: string): void {
  const refuse = (what: "datacenter_redirect" | "peer_redirect" | "datacenter_failover"): Error =>
    graphError("export_crosses", `exported service "${exported}" leads out of its cluster: ${what}`, {
      service: exported,
      what,
    });
  for (const service of servicesAround(rules, exported)) {
    const resolver = rules.find("resolver", service)?.spec;
    if (!resolver) continue;
    if (resolver.redirect?.datacenter) throw refuse("datacenter_redirect");
    if (resolver.redirect?.peer) throw refuse("peer_redirect");
    for (const { targets } of Object.values(resolver.failover)) {
      if (targets.some(({ datacenter }) => datacenter !== "")) throw refuse("datacenter_failover");
    }
  }
}

/** Who calls an exported service over plain TCP knows the names of its certificates beforehand. */
function assertNoNewTargets(service: string, graph: Graph, past: readonly string[]): void {
  const target = identities(graph).find((id) => !past.includes(id));
  if (target === undefined) return;
  const message = `exported service "${service}" would lead to "${targetParts(target).service}" as well`;
  throw graphError("export_new_target", message, { service, protocol: graph.protocol, target });
}

/** Targets without their subsets and failovers: what has a certificate of its own. */
function identities({ nodes, targets }: Graph): string[] {
  const failovers = new Set(
    Object.values(nodes).flatMap((node) => (node.type === "resolver" ? (node.failover?.targets ?? []) : [])),
  );
  const direct = Object.values(targets).filter(({ id }) => !failovers.has(id));
  return [...new Set(direct.map((target) => targetId({ ...target, subset: "" })))];
}
