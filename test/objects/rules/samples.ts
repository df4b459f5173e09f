/** Rules with everything left out that a test does not speak of. */
import { NO_CHANGES } from "../../../objects/rules/headers.ts";
import type {
  AccessSource,
  DefaultsSpec,
  Redirection,
  ResolverSpec,
  Route,
  Rule,
  RuleKind,
  RuleSpecs,
  Split,
} from "../../../objects/rules/model.ts";

export function rule<K extends RuleKind>(kind: K, name: string, spec: RuleSpecs[K]): Rule<K> {
  return { kind, name, spec, meta: {}, extra: {} };
}

export const defaults = (name: string, spec: Partial<DefaultsSpec>): Rule<"defaults"> =>
  rule("defaults", name, {
    protocol: "",
    externalName: "",
    meshGateway: "",
    dialedDirectly: false,
    permissiveTls: false,
    connectionsMax: null,
    connectTimeoutMs: null,
    requestTimeoutMs: null,
    upstreams: { defaults: null, overrides: [] },
    destination: null,
    failoverPolicy: null,
    ...spec,
  });

export const resolver = (name: string, spec: Partial<ResolverSpec>): Rule<"resolver"> =>
  rule("resolver", name, {
    defaultSubset: "",
    subsets: {},
    redirect: null,
    failover: {},
    connectTimeoutMs: null,
    requestTimeoutMs: null,
    loadBalancer: null,
    ...spec,
  });

export const to = (target: Partial<Redirection>): Redirection => ({
  service: "",
  subset: "",
  datacenter: "",
  peer: "",
  ...target,
});

export const failover = (...targets: Partial<Redirection>[]) => ({ targets: targets.map(to), policy: null });

export const split = (weight: number, service = "", subset = ""): Split => ({
  weight,
  service,
  subset,
  requestHeaders: NO_CHANGES,
  responseHeaders: NO_CHANGES,
});

export const splitter = (name: string, ...splits: Split[]): Rule<"splitter"> => rule("splitter", name, { splits });

export const route = (prefix: string, service = "", subset = ""): Route => ({
  match: { path: { type: "prefix", value: prefix, ignoreCase: false }, headers: [], query: [], methods: [] },
  destination: {
    service,
    subset,
    rewritePrefix: null,
    timeoutMs: null,
    idleTimeoutMs: null,
    retry: null,
    requestHeaders: NO_CHANGES,
    responseHeaders: NO_CHANGES,
  },
});

export const router = (name: string, ...routes: Route[]): Rule<"router"> => rule("router", name, { routes });

export const source = (service: string, action: "allow" | "deny" | null, more: Partial<AccessSource> = {}) => ({
  service,
  peer: "",
  action,
  permissions: [],
  description: "",
  ...more,
});

export const access = (name: string, ...sources: AccessSource[]): Rule<"access"> =>
  rule("access", name, { sources, token: null });

/** All that a path below the prefix may do. */
export const permission = (action: "allow" | "deny", prefix: string) => ({
  action,
  match: { path: { type: "prefix" as const, value: prefix, ignoreCase: false }, headers: [], query: [], methods: [] },
  token: null,
});

export const all = { selector: null, onlyPassing: false };
