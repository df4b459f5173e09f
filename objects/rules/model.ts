/**
 * Rules of traffic: what an operator wrote about how services are reached, by whom, and where their requests go.
 *
 * Data only, ready to be executed: matchers are values, durations milliseconds, weights hundredths of a percent, patterns
 * RE2 that must match the whole text. A rule is known by its kind and its name, which for most kinds is a service's.
 */

/** What a value must be. `ignoreCase` folds ASCII. */
export type ValueMatch =
  | { type: "present" }
  | { type: "exact" | "prefix" | "suffix" | "contains"; value: string; ignoreCase: boolean }
  | { type: "regex"; pattern: string; ignoreCase: boolean };

/** Of one header or one query parameter. */
export interface NamedMatch {
  name: string;
  match: ValueMatch;
  invert: boolean;
}

/** All that is given must hold; a request without any of it matches. */
export interface RequestMatch {
  path: ValueMatch | null;
  headers: NamedMatch[];
  query: NamedMatch[];
  /** In upper case; empty = any. */
  methods: string[];
}

export interface HeaderChanges {
  set: Record<string, string>;
  add: Record<string, string>;
  remove: string[];
}

export interface RetryPolicy {
  /** Beyond the first attempt. */
  retries: number;
  /** Conditions as gateways name them: `5xx`, `connect-failure`, … */
  on: string[];
  statusCodes: number[];
}

/** `service` "" = the rule's own; `subset` "" = that service's default. */
export interface ServiceChoice {
  service: string;
  subset: string;
}

export interface RouteDestination extends ServiceChoice {
  /** What the matched prefix or path becomes. */
  rewritePrefix: string | null;
  timeoutMs: number | null;
  idleTimeoutMs: number | null;
  retry: RetryPolicy | null;
  requestHeaders: HeaderChanges;
  responseHeaders: HeaderChanges;
}

export interface Route {
  match: RequestMatch;
  destination: RouteDestination;
}

/** The first route that matches is taken; what none matches goes to the service itself. */
export interface RouterSpec {
  routes: Route[];
}

export interface Split extends ServiceChoice {
  /** Hundredths of a percent: 10,000 in all. */
  weight: number;
  requestHeaders: HeaderChanges;
  responseHeaders: HeaderChanges;
}

export interface SplitterSpec {
  splits: Split[];
}

/**
 * A question about an instance. Paths begin with `instance`, `node` (where it runs) or `checks` (its own and its node's) and
 * go on in the words of the model; one that leads through a list asks whether any of its elements fits.
 */
export type Selector =
  | { type: "all" | "any"; of: Selector[] }
  | { type: "not"; of: Selector }
  | { type: "is"; path: string[]; test: "equals" | "contains" | "matches"; value: string }
  | { type: "empty"; path: string[] };

export interface Subset {
  /** null = all of them. */
  selector: Selector | null;
  /** Warning is not good enough. */
  onlyPassing: boolean;
}

/** Where requests go instead; what is "" stays as it was, but `peer` is always as given. */
export interface Redirection extends ServiceChoice {
  datacenter: string;
  /** Another cluster, by the name it has here. */
  peer: string;
}

export interface FailoverPolicy {
  mode: "sequential" | "order-by-locality";
  regions: string[];
}

export interface Failover {
  /** In order. */
  targets: Redirection[];
  policy: FailoverPolicy | null;
}

export type HashKey =
  | { type: "header" | "query"; name: string; terminal: boolean }
  | {
      type: "cookie";
      name: string;
      terminal: boolean;
      /** Set by whoever balances when it is missing; null = never. `ttlMs` null = for the session. */
      issue: { ttlMs: number | null; path: string } | null;
    }
  | { type: "source"; terminal: boolean };

export interface LoadBalancer {
  policy: "random" | "round_robin" | "least_request" | "ring_hash" | "maglev" | null;
  ringSizeMin: number | null;
  ringSizeMax: number | null;
  /** Hosts looked at by `least_request`. */
  choices: number | null;
  hashKeys: HashKey[];
}

export interface ResolverSpec {
  defaultSubset: string;
  subsets: Record<string, Subset>;
  redirect: Redirection | null;
  /** By subset; "" = without one, "*" = any that has none of its own. */
  failover: Record<string, Failover>;
  connectTimeoutMs: number | null;
  requestTimeoutMs: number | null;
  loadBalancer: LoadBalancer | null;
}

/** How connections to another datacenter travel; "" = not said. */
export type MeshGateway = "" | "none" | "local" | "remote";

export interface OutlierPolicy {
  intervalMs: number | null;
  /** Failures in a row that eject a host. */
  failures: number | null;
  enforcingPercent: number | null;
  ejectionPercentMax: number | null;
  ejectionMs: number | null;
}

/** How a service reaches others. null = not limited here. */
export interface UpstreamPolicy {
  protocol: string;
  connectTimeoutMs: number | null;
  connectionsMax: number | null;
  pendingRequestsMax: number | null;
  concurrentRequestsMax: number | null;
  outlier: OutlierPolicy | null;
}

export interface UpstreamOverride extends UpstreamPolicy {
  service: string;
  peer: string;
}

/** Of one service, or of all that say nothing themselves (name `*`). */
export interface DefaultsSpec {
  /** `tcp`, `http`, `http2`, `grpc`, …; "" = not said. */
  protocol: string;
  /** It lives outside the mesh and is asked for by this TLS server name. */
  externalName: string;
  meshGateway: MeshGateway;
  dialedDirectly: boolean;
  /** Plain connections are taken as well. */
  permissiveTls: boolean;
  connectionsMax: number | null;
  connectTimeoutMs: number | null;
  requestTimeoutMs: number | null;
  upstreams: { defaults: UpstreamPolicy | null; overrides: UpstreamOverride[] };
  /** Addresses outside the registry that the name stands for. */
  destination: { addresses: string[]; port: number } | null;
  failoverPolicy: FailoverPolicy | null;
}

export type AccessAction = "allow" | "deny";

/** A bearer of a token by one of these issuers, with these claims. */
export interface TokenRequirement {
  issuers: { name: string; claims: { path: string[]; value: string }[] }[];
}

export interface Permission {
  action: AccessAction;
  match: RequestMatch;
  token: TokenRequirement | null;
}

export interface AccessSource {
  /** `*` = any. */
  service: string;
  /** "" = here. */
  peer: string;
  /** null when permissions decide, the first that matches. */
  action: AccessAction | null;
  permissions: Permission[];
  description: string;
}

/** Who may call the service that the rule is named for (`*` = any). */
export interface AccessSpec {
  sources: AccessSource[];
  token: TokenRequirement | null;
}

/** Listeners of a gateway that lets traffic in. */
export interface IngressSpec {
  listeners: { port: number; protocol: string; services: { service: string; hosts: string[] }[] }[];
}

/** Services that a gateway reaches outside the mesh; `*` = all. */
export interface EgressSpec {
  services: string[];
}

/** Services other clusters may use. */
export interface ExportsSpec {
  services: { service: string; peers: string[] }[];
}

export interface MeshSpec {
  permissiveTlsAllowed: boolean;
}

export interface IssuerSpec {
  issuer: string;
  audiences: string[];
}

/** Kept for the dialect that wrote it; nothing here acts on it. */
export type OpaqueSpec = Record<never, never>;

export interface RuleSpecs {
  defaults: DefaultsSpec;
  router: RouterSpec;
  splitter: SplitterSpec;
  resolver: ResolverSpec;
  access: AccessSpec;
  ingress: IngressSpec;
  egress: EgressSpec;
  exports: ExportsSpec;
  mesh: MeshSpec;
  issuer: IssuerSpec;
  gateway: OpaqueSpec;
  "http-route": OpaqueSpec;
  "tcp-route": OpaqueSpec;
  certificate: OpaqueSpec;
  "certificate-file": OpaqueSpec;
}

export type RuleKind = keyof RuleSpecs;

export const RULE_KINDS = [
  "defaults",
  "router",
  "splitter",
  "resolver",
  "access",
  "ingress",
  "egress",
  "exports",
  "mesh",
  "issuer",
  "gateway",
  "http-route",
  "tcp-route",
  "certificate",
  "certificate-file",
] as const satisfies RuleKind[];

export interface Rule<K extends RuleKind = RuleKind> {
  kind: K;
  name: string;
  spec: RuleSpecs[K];
  meta: Record<string, string>;
  /** Per dialect: what only that dialect knows, given back to it alone. */
  extra: Record<string, unknown>;
}

export interface StoredRule<K extends RuleKind = RuleKind> extends Rule<K> {
  createRevision: number;
  modRevision: number;
}

/** The name of defaults that hold for every service, and of sources and destinations that are any. */
export const ANY = "*";

export const isHttp = (protocol: string): boolean => protocol === "http" || protocol === "http2" || protocol === "grpc";

/** Where rules are looked up: the store, or a set of them that somebody fetched. */
export interface RuleReader {
  find<K extends RuleKind>(kind: K, name: string): Rule<K> | undefined;
}
