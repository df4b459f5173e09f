/**
 * Compiles the rules around one service into a graph that can be walked for each request: at most one router, splitters
 * without splitters behind them, resolvers that end in targets.
 *
 * Knows nothing of instances: a target says which to take. Protocols must agree along the whole graph. What is found wrong
 * is a `graphError`.
 * Source: Consul's discovery chain (developer.hashicorp.com/consul/docs/manage-traffic/discovery-chain), by its behaviour.
 */
import { graphError, PATH_SEPARATOR } from "./errors.ts";
import { mergedChanges, NO_CHANGES } from "./headers.ts";
import type {
  DefaultsSpec,
  FailoverPolicy,
  LoadBalancer,
  MeshGateway,
  Redirection,
  ResolverSpec,
  Route,
  RuleReader,
  Split,
  Subset,
} from "./model.ts";
import { ANY, isHttp } from "./model.ts";
import type { TargetParts } from "./targets.ts";
import { redirected, targetId } from "./targets.ts";

export interface GraphOptions {
  service: string;
  datacenter: string;
  /** Asked for by who compiles, in place of what the rules say; "" and 0 = not. */
  protocol?: string;
  meshGateway?: MeshGateway;
  connectTimeoutMs?: number;
}

export interface RouterNode {
  type: "router";
  service: string;
  /** In the order of the rule's routes, and at the end one that takes everything else. */
  routes: { route: Route; next: string }[];
}

export interface SplitterNode {
  type: "splitter";
  service: string;
  /** `split` is as written, with the header changes of those it came through; `weight` is what it has of the whole. */
  splits: { split: Split; weight: number; next: string }[];
  loadBalancer: LoadBalancer | null;
}

export interface ResolverNode {
  type: "resolver";
  /** A target's id. */
  target: string;
  /** Nothing was written about it. */
  isDefault: boolean;
  connectTimeoutMs: number;
  requestTimeoutMs: number | null;
  failover: { targets: string[]; policy: FailoverPolicy | null } | null;
  loadBalancer: LoadBalancer | null;
}

export type GraphNode = RouterNode | SplitterNode | ResolverNode;

export interface GraphTarget extends TargetParts {
  id: string;
  instances: Subset;
  connectTimeoutMs: number;
  meshGateway: MeshGateway;
  dialedDirectly: boolean;
  /** Outside the mesh, asked for by this TLS server name; null = inside. */
  externalName: string | null;
}

export interface Graph {
  service: string;
  datacenter: string;
  protocol: string;
  /** The service resolves to itself, and nothing was written about it. */
  isDefault: boolean;
  start: string;
  /** By key: `router:web`, `splitter:web`, `resolver:<target id>`. */
  nodes: Record<string, GraphNode>;
  targets: Record<string, GraphTarget>;
  /** Which of the options made a difference. */
  customized: { protocol: boolean; meshGateway: boolean; connectTimeout: boolean };
}

const CONNECT_TIMEOUT_MS = 5000;
/** Rules refer to one another, so a few of them can ask for a graph without end. */
const NODES_MAX = 1000;
const SPLITS_MAX = 10_000;
const DEPTH_MAX = 200;

const EMPTY_RESOLVER: ResolverSpec = {
  defaultSubset: "",
  subsets: {},
  redirect: null,
  failover: {},
  connectTimeoutMs: null,
  requestTimeoutMs: null,
  loadBalancer: null,
};
const ALL_INSTANCES: Subset = { selector: null, onlyPassing: false };

export const nodeKey = (node: GraphNode): string =>
  node.type === "resolver" ? `resolver:${node.target}` : `${node.type}:${encodeURIComponent(node.service)}`;

/** Codes: `invalid_argument` with a reason. */
export function compileGraph(reader: RuleReader, options: GraphOptions): Graph {
  return new Compiler(reader, options).compile();
}

class Compiler {
  readonly #reader: RuleReader;
  readonly #options: Required<GraphOptions>;
  readonly #nodes = new Map<string, GraphNode>();
  readonly #targets = new Map<string, GraphTarget>();
  readonly #kept = new Set<string>();
  readonly #routable: boolean;
  readonly #customized = { protocol: false, meshGateway: false, connectTimeout: false };
  #protocol = "";
  #isRouted = false;
  #depth = 0;

  constructor(reader: RuleReader, options: GraphOptions) {
    this.#reader = reader;
    this.#options = { protocol: "", meshGateway: "", connectTimeoutMs: 0, ...options };
    this.#routable = this.#options.protocol === "" || isHttp(this.#options.protocol);
  }

  compile(): Graph {
    const { service, datacenter } = this.#options;
    const start = this.#assemble();
    this.#refuseCircles(start);
    this.#flatten();
    this.#dropUnreached(start);
    if (this.#isRouted && !isHttp(this.#protocol)) {
      throw graphError("protocol_not_routable", `service "${service}" is ${this.#protocol}, which cannot be routed`, {
        service,
        protocol: this.#protocol,
      });
    }
    const wanted = this.#options.protocol;
    if (wanted !== "" && wanted !== this.#protocol) {
      this.#protocol = wanted;
      this.#customized.protocol = true;
    }
    const targets = [...this.#targets].filter(([id]) => this.#kept.has(id));
    return {
      service,
      datacenter,
      protocol: this.#protocol,
      isDefault: this.#isDefault(start),
      start,
      nodes: Object.fromEntries(this.#nodes),
      targets: Object.fromEntries(targets),
      customized: this.#customized,
    };
  }

  #assemble(): string {
    const { service } = this.#options;
    const router = this.#routed("router", service);
    if (!router) return this.#splitterOrResolver(service);
    this.#isRouted = true;
    this.#agree(service);
    const routes = router.routes.map((route) => {
      const to = route.destination;
      const next =
        to.subset === ""
          ? this.#splitterOrResolver(to.service || service)
          : this.#resolver(this.#target(to.service || service, to.subset));
      return { route, next };
    });
    routes.push({ route: catchAll(service), next: this.#splitterOrResolver(service) });
    return this.#add({ type: "router", service, routes });
  }

  #splitterOrResolver(service: string): string {
    return this.#splitter(service) ?? this.#resolver(this.#target(service));
  }

  #splitter(service: string): string | undefined {
    const key = `splitter:${encodeURIComponent(service)}`;
    if (this.#nodes.has(key)) return key;
    const rule = this.#routed("splitter", service);
    if (!rule) return undefined;
    const node: SplitterNode = { type: "splitter", service, splits: [], loadBalancer: null };
    // Known before its splits are, so that a circle ends here and is found later.
    this.#add(node);
    this.#deeper(() => {
      for (const split of rule.splits) {
        const to = split.service || service;
        const further = to !== service && split.subset === "" ? this.#splitter(to) : undefined;
        const next = further ?? this.#resolver(this.#target(to, split.subset));
        node.splits.push({ split, weight: split.weight, next });
        const resolver = this.#nodes.get(next);
        if (further === undefined && resolver?.type === "resolver" && isHashing(resolver.loadBalancer)) {
          // A route has one way to hash: that of the first that wants any.
          node.loadBalancer ??= resolver.loadBalancer;
        }
      }
    });
    this.#isRouted = true;
    return key;
  }

  #resolver(target: TargetParts): string {
    const { node, target: end } = this.#resolve(target);
    const key = nodeKey(node);
    if (this.#nodes.has(key)) return key;
    this.#add(node);
    const targets = this.#failoverTargets(end);
    if (targets) node.failover = targets;
    return key;
  }

  /** Follows redirects and default subsets to where they end. */
  #resolve(from: TargetParts): { node: ResolverNode; target: TargetParts } {
    const { datacenter } = this.#options;
    let target = from;
    const seen: string[] = [];
    for (;;) {
      const id = targetId(target);
      const known = this.#nodes.get(`resolver:${id}`);
      if (known?.type === "resolver") return { node: known, target };
      // What another cluster speaks is not known here.
      if (target.peer === "") this.#agree(target.service);
      const resolver = this.#resolverOf(target.service);
      if (seen.includes(id)) {
        const path = [...seen, id].join(PATH_SEPARATOR);
        throw graphError("circular_redirect", `redirects go in a circle: ${path}`, { path });
      }
      seen.push(id);
      if (resolver.redirect) {
        const next = redirected(target, resolver.redirect, datacenter);
        if (targetId(next) !== id) {
          target = next;
          continue;
        }
      }
      if (target.subset === "" && resolver.defaultSubset !== "") {
        const toDefault: Redirection = { service: "", subset: resolver.defaultSubset, datacenter: "", peer: "" };
        target = redirected(target, toDefault, datacenter);
        continue;
      }
      return { node: this.#finish(target, resolver), target };
    }
  }

  #finish(parts: TargetParts, resolver: ResolverSpec): ResolverNode {
    const { service, subset } = parts;
    const instances = Object.hasOwn(resolver.subsets, subset) ? resolver.subsets[subset]! : undefined;
    if (subset !== "" && !instances) {
      throw graphError("unknown_subset", `service "${service}" has no subset "${subset}"`, { service, subset });
    }
    const connectTimeoutMs = this.#connectTimeout(resolver.connectTimeoutMs ?? CONNECT_TIMEOUT_MS);
    const own = this.#defaults(service);
    const all = this.#defaults(ANY);
    const externalName = own?.externalName || null;
    if (externalName !== null) refuseExternal(service, resolver);
    const id = targetId(parts);
    this.#targets.set(id, {
      ...parts,
      id,
      instances: instances ?? ALL_INSTANCES,
      connectTimeoutMs,
      meshGateway: externalName === null ? this.#meshGateway(own?.meshGateway || all?.meshGateway || "") : "",
      dialedDirectly: externalName === null && (own?.dialedDirectly || all?.dialedDirectly || false),
      externalName,
    });
    this.#kept.add(id);
    return {
      type: "resolver",
      target: id,
      isDefault: resolver === EMPTY_RESOLVER || isEmpty(resolver),
      connectTimeoutMs,
      requestTimeoutMs: resolver.requestTimeoutMs,
      failover: null,
      loadBalancer: resolver.loadBalancer,
    };
  }

  #failoverTargets(target: TargetParts): ResolverNode["failover"] {
    const { failover } = this.#resolverOf(target.service);
    const entry = Object.hasOwn(failover, target.subset) ? failover[target.subset] : failover[ANY];
    if (!entry) return null;
    const id = targetId(target);
    const targets = entry.targets
      .map((to) => redirected(target, to, this.#options.datacenter))
      .filter((to) => targetId(to) !== id)
      // Redirects and default subsets hold for these too, but not their failovers.
      .map((to) => this.#resolve(to).node.target);
    if (targets.length === 0) return null;
    return { targets, policy: entry.policy ?? this.#defaults(ANY)?.failoverPolicy ?? null };
  }

  #target(service: string, subset = ""): TargetParts {
    return { service, subset, datacenter: this.#options.datacenter, peer: "" };
  }

  #connectTimeout(ms: number): number {
    const wanted = this.#options.connectTimeoutMs;
    if (wanted <= 0 || wanted === ms) return ms;
    this.#customized.connectTimeout = true;
    return wanted;
  }

  #meshGateway(mode: MeshGateway): MeshGateway {
    const wanted = this.#options.meshGateway;
    if (wanted === "" || wanted === mode) return mode;
    this.#customized.meshGateway = true;
    return wanted;
  }

  /** Routers and splitters are left aside when who asks wants a protocol that has none. */
  #routed<K extends "router" | "splitter">(kind: K, service: string) {
    const rule = this.#reader.find(kind, service);
    if (!rule) return undefined;
    if (this.#routable) return rule.spec;
    this.#customized.protocol = true;
    return undefined;
  }

  #resolverOf(service: string): ResolverSpec {
    return this.#reader.find("resolver", service)?.spec ?? EMPTY_RESOLVER;
  }

  #defaults(service: string): DefaultsSpec | undefined {
    return this.#reader.find("defaults", service)?.spec;
  }

  /** A service with defaults that say nothing is `tcp`, whatever all others are. */
  #agree(service: string): void {
    const said = (this.#defaults(service) ?? this.#defaults(ANY))?.protocol;
    const protocol = said ? said.toLowerCase() : "tcp";
    if (this.#protocol === "") this.#protocol = protocol;
    if (this.#protocol === protocol) return;
    throw graphError("protocol_mismatch", `service "${service}" is ${protocol}, not ${this.#protocol}`, {
      graph: this.#options.service,
      service,
      protocol,
      expected: this.#protocol,
    });
  }

  #add(node: GraphNode): string {
    const key = nodeKey(node);
    this.#nodes.set(key, node);
    if (this.#nodes.size > NODES_MAX) throw this.#tooLarge();
    return key;
  }

  #deeper(act: () => void): void {
    if (++this.#depth > DEPTH_MAX) throw this.#tooLarge();
    act();
    this.#depth--;
  }

  #tooLarge(): Error {
    const { service } = this.#options;
    return graphError("graph_too_large", `the rules around service "${service}" make too large a graph`, { service });
  }

  #nextOf(key: string): string[] {
    const node = this.#nodes.get(key)!;
    if (node.type === "router") return node.routes.map(({ next }) => next);
    return node.type === "splitter" ? node.splits.map(({ next }) => next) : [];
  }

  #refuseCircles(start: string): void {
    const done = new Set<string>();
    const path: string[] = [];
    const visit = (key: string): void => {
      if (path.includes(key)) {
        const circle = [...path, key].join(PATH_SEPARATOR);
        throw graphError("circular_reference", `rules go in a circle: ${circle}`, { path: circle });
      }
      if (done.has(key)) return;
      path.push(key);
      for (const next of this.#nextOf(key)) visit(next);
      path.pop();
      done.add(key);
    };
    visit(start);
  }

  /** Splits that lead to a splitter become its splits. */
  #flatten(): void {
    const flat = new Map<string, SplitterNode["splits"]>();
    let count = 0;
    const splitsOf = (key: string, node: SplitterNode): SplitterNode["splits"] => {
      const known = flat.get(key);
      if (known) return known;
      const splits = node.splits.flatMap((outer) => {
        const next = this.#nodes.get(outer.next)!;
        if (next.type !== "splitter") return [outer];
        const inners = splitsOf(outer.next, next);
        if ((count += inners.length) > SPLITS_MAX) throw this.#tooLarge();
        return inners.map((inner) => ({
          split: passedThrough(outer.split, inner.split),
          weight: Math.round((outer.weight * inner.weight) / 10_000),
          next: inner.next,
        }));
      });
      flat.set(key, splits);
      return splits;
    };
    for (const [key, node] of this.#nodes) if (node.type === "splitter") splitsOf(key, node);
    for (const [key, splits] of flat) (this.#nodes.get(key) as SplitterNode).splits = splits;
  }

  #dropUnreached(start: string): void {
    const reached = new Set<string>();
    const todo = [start];
    for (let key = todo.pop(); key !== undefined; key = todo.pop()) {
      if (reached.has(key)) continue;
      reached.add(key);
      todo.push(...this.#nextOf(key));
    }
    for (const key of this.#nodes.keys()) if (!reached.has(key)) this.#nodes.delete(key);
  }

  #isDefault(start: string): boolean {
    const node = this.#nodes.get(start)!;
    if (node.type !== "resolver" || !node.isDefault) return false;
    return this.#targets.get(node.target)!.service === this.#options.service;
  }
}

function catchAll(service: string): Route {
  return {
    match: { path: { type: "prefix", value: "/", ignoreCase: false }, headers: [], query: [], methods: [] },
    destination: {
      service,
      subset: "",
      rewritePrefix: null,
      timeoutMs: null,
      idleTimeoutMs: null,
      retry: null,
      requestHeaders: NO_CHANGES,
      responseHeaders: NO_CHANGES,
    },
  };
}

/** As if a request had passed the outer split and then the inner one, and its response the other way. */
const passedThrough = (outer: Split, inner: Split): Split => ({
  ...inner,
  requestHeaders: mergedChanges(outer.requestHeaders, inner.requestHeaders),
  responseHeaders: mergedChanges(inner.responseHeaders, outer.responseHeaders),
});

function refuseExternal(service: string, resolver: ResolverSpec): void {
  const refuse = (reason: "external_redirect" | "external_subsets" | "external_failover", what: string): Error =>
    graphError(reason, `service "${service}" is outside the mesh and cannot have ${what}`, { service });
  if (resolver.redirect) throw refuse("external_redirect", "a redirect");
  if (Object.keys(resolver.subsets).length > 0) throw refuse("external_subsets", "subsets");
  if (Object.keys(resolver.failover).length > 0) throw refuse("external_failover", "a failover");
}

const isHashing = (balancer: LoadBalancer | null): boolean =>
  balancer?.policy === "ring_hash" || balancer?.policy === "maglev";

const isEmpty = (resolver: ResolverSpec): boolean =>
  resolver.defaultSubset === "" &&
  Object.keys(resolver.subsets).length === 0 &&
  resolver.redirect === null &&
  Object.keys(resolver.failover).length === 0 &&
  resolver.connectTimeoutMs === null &&
  resolver.requestTimeoutMs === null &&
  resolver.loadBalancer === null;
