/** `service-resolver`: which instances a service's name stands for, here and elsewhere. */
import type { Failover, HashKey, LoadBalancer, Redirection, ResolverSpec } from "../../../../../objects/rules/model.ts";
import { ANY } from "../../../../../objects/rules/model.ts";
import { formatDuration } from "../../durations.ts";
import { refused } from "../../errors.ts";
import { FilterError } from "../../filter/filter-error.ts";
import { assertMeta, assertNamed, configKind, entryOf, serviceRead, serviceWrite } from "../kind.ts";
import { assertNoLocality, failoverPolicy, prioritizeByLocality, refuseEnterprise } from "../parts.ts";
import type { Typed } from "../schema.ts";
import { bool, duration, durationText, list, map, opt, pointer, struct, text, uint32, uint64 } from "../schema.ts";
import { selectorOf } from "../selector.ts";

const redirect = struct(
  {
    Service: opt(text),
    ServiceSubset: opt(text),
    Namespace: opt(text),
    Partition: opt(text),
    Datacenter: opt(text),
    Peer: opt(text),
    SamenessGroup: opt(text),
  },
  { bare: ["SamenessGroup"] },
);

const failoverTarget = struct({
  Service: opt(text),
  ServiceSubset: opt(text),
  Partition: opt(text),
  Namespace: opt(text),
  Datacenter: opt(text),
  Peer: opt(text),
});

const failover = struct(
  {
    Service: opt(text),
    ServiceSubset: opt(text),
    Namespace: opt(text),
    Datacenters: opt(list(text)),
    Targets: opt(list(failoverTarget)),
    Policy: opt(pointer(failoverPolicy)),
    SamenessGroup: opt(text),
  },
  { bare: ["SamenessGroup"] },
);
type FailoverEntry = Typed<typeof failover>;

const loadBalancer = struct({
  Policy: opt(text),
  RingHashConfig: opt(pointer(struct({ MinimumRingSize: opt(uint64), MaximumRingSize: opt(uint64) }))),
  LeastRequestConfig: opt(pointer(struct({ ChoiceCount: opt(uint32) }))),
  HashPolicies: opt(
    list(
      struct({
        Field: opt(text),
        FieldValue: opt(text),
        CookieConfig: opt(pointer(struct({ Session: opt(bool), TTL: opt(duration), Path: opt(text) }))),
        SourceIP: opt(bool),
        Terminal: opt(bool),
      }),
    ),
  ),
});
type LoadBalancerEntry = Typed<typeof loadBalancer>;

const resolverSchema = entryOf({
  ConnectTimeout: opt(durationText),
  RequestTimeout: opt(durationText),
  DefaultSubset: opt(text),
  Subsets: opt(map(struct({ Filter: opt(text), OnlyPassing: opt(bool) }))),
  Redirect: opt(pointer(redirect)),
  Failover: opt(map(failover)),
  PrioritizeByLocality: opt(pointer(prioritizeByLocality)),
  LoadBalancer: opt(pointer(loadBalancer)),
});
type ResolverEntry = Typed<typeof resolverSchema>;

export const serviceResolver = configKind({
  name: "service-resolver",
  ruleKind: "resolver",
  schema: resolverSchema,
  read: serviceRead,
  write: serviceWrite,
  related: ({ Redirect, Failover }) => [
    Redirect?.Service ?? "",
    ...Object.values(Failover ?? {}).flatMap(({ Service, Targets }) =>
      Targets?.length ? Targets.map((target) => (target.Peer === "" ? target.Service : "")) : [Service],
    ),
  ],
  validate(entry) {
    assertNamed(entry.Name);
    assertMeta(entry.Meta);
    assertSubsets(entry);
    assertNoLocality(entry.PrioritizeByLocality);
    if (entry.Redirect) assertRedirect(entry, entry.Redirect);
    for (const [subset, to] of Object.entries(entry.Failover ?? {})) assertFailover(entry, subset, to);
    for (const name of ["ConnectTimeout", "RequestTimeout"] as const) {
      if (entry[name] < 0) throw refused(`Bad ${name} '${formatDuration(entry[name])}', must be >= 0`);
    }
    if (entry.LoadBalancer) assertLoadBalancer(entry.LoadBalancer);
  },
  specOf: (entry): ResolverSpec => ({
    defaultSubset: entry.DefaultSubset,
    subsets: mapValues(entry.Subsets, ({ Filter, OnlyPassing }) => ({
      selector: selectorOf(Filter),
      onlyPassing: OnlyPassing,
    })),
    redirect: entry.Redirect && redirection(entry.Redirect),
    failover: mapValues(entry.Failover, failoverOf),
    connectTimeoutMs: entry.ConnectTimeout || null,
    requestTimeoutMs: entry.RequestTimeout || null,
    loadBalancer: entry.LoadBalancer && balancerOf(entry.LoadBalancer),
  }),
});

const mapValues = <T, U>(map: Record<string, T> | null, change: (value: T) => U): Record<string, U> =>
  Object.fromEntries(Object.entries(map ?? {}).map(([name, value]) => [name, change(value)]));

const isSubset = ({ Subsets }: ResolverEntry, name: string): boolean => Object.hasOwn(Subsets ?? {}, name);

const quoted = JSON.stringify;
const SUBSET = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/;
const SUBSET_LENGTH_MAX = 63;

function assertSubsets(entry: ResolverEntry): void {
  for (const [name, { Filter }] of Object.entries(entry.Subsets ?? {})) {
    if (name === "") throw refused("Subset defined with empty name");
    if (name.length > SUBSET_LENGTH_MAX) {
      throw refused(`Subset ${quoted(name)} is invalid: must be non-empty and 63 characters or fewer`);
    }
    if (!SUBSET.test(name)) {
      const rule =
        "must be 63 characters or fewer, begin or end with lower case alphanumeric characters, and contain lower case alphanumeric characters or '-' in between";
      throw refused(`Subset ${quoted(name)} is invalid: ${rule}`);
    }
    try {
      selectorOf(Filter);
    } catch (error) {
      if (!(error instanceof FilterError)) throw error;
      throw refused(`Filter for subset ${quoted(name)} is not a valid expression: ${error.reason}`);
    }
  }
  if (entry.DefaultSubset !== "" && !isSubset(entry, entry.DefaultSubset)) {
    throw refused(`DefaultSubset ${quoted(entry.DefaultSubset)} is not a valid subset`);
  }
}

function assertRedirect(entry: ResolverEntry, to: NonNullable<ResolverEntry["Redirect"]>): void {
  const { Service, ServiceSubset, Namespace, Partition, Datacenter, Peer, SamenessGroup } = to;
  refuseEnterprise("Redirect: ", { Partition, Namespace, SamenessGroup });
  if (Object.keys(entry.Failover ?? {}).length > 0) throw refused("Redirect and Failover cannot both be set");
  if ([Service, ServiceSubset, Datacenter, Peer].every((field) => field === "")) throw refused("Redirect is empty");
  if (Peer !== "" && ServiceSubset !== "") throw refused("Redirect.Peer cannot be set with Redirect.ServiceSubset");
  if (Peer !== "" && Datacenter !== "") throw refused("Redirect.Peer cannot be set with Redirect.Datacenter");
  if (Service === "") {
    if (ServiceSubset !== "") throw refused("Redirect.ServiceSubset defined without Redirect.Service");
    if (Peer !== "") throw refused("Redirect.Peer defined without Redirect.Service");
  } else if (ServiceSubset !== "" && Service === entry.Name && !isSubset(entry, ServiceSubset)) {
    throw refused(`Redirect.ServiceSubset ${quoted(ServiceSubset)} is not a valid subset of ${quoted(entry.Name)}`);
  }
}

function assertFailover(entry: ResolverEntry, subset: string, to: FailoverEntry): void {
  const at = `Bad Failover[${quoted(subset)}]`;
  const { Service, ServiceSubset, Namespace, SamenessGroup, Policy } = to;
  const Datacenters = to.Datacenters ?? [];
  const Targets = to.Targets ?? [];
  refuseEnterprise(`${at}: `, { Namespace, SamenessGroup });
  if (subset !== ANY && !isSubset(entry, subset)) throw refused(`${at}: not a valid subset subset`);
  if (Service === "" && ServiceSubset === "" && Datacenters.length === 0 && Targets.length === 0) {
    const fields = "Service, ServiceSubset, Namespace, Targets, SamenessGroup, or Datacenters";
    throw refused(`${at}: one of ${fields} is required`);
  }
  if (Policy && Policy.Mode !== "") throw refused(`${at}: Setting failover policies requires Consul Enterprise`);
  const isOwn = Service === "" || Service === entry.Name;
  if (ServiceSubset !== "" && isOwn && !isSubset(entry, ServiceSubset)) {
    throw refused(`${at}: ServiceSubset ${quoted(ServiceSubset)} is not a valid subset of ${quoted(Service)}`);
  }
  if (Targets.length > 0) {
    if (Datacenters.length > 0) throw refused(`${at}: Targets cannot be set with Datacenters`);
    if (ServiceSubset !== "") throw refused(`${at}: Targets cannot be set with ServiceSubset`);
    if (Service !== "") throw refused(`${at}: Targets cannot be set with Service`);
  }
  for (const [index, target] of Targets.entries()) assertTarget(entry, `${at}.Targets[${index}]: `, target);
  if (Datacenters.includes("")) throw refused(`${at}.Datacenters: found empty datacenter`);
}

function assertTarget(entry: ResolverEntry, at: string, target: Typed<typeof failoverTarget>): void {
  const { Service, ServiceSubset, Partition, Namespace, Datacenter, Peer } = target;
  refuseEnterprise(at, { Partition, Namespace });
  if (Peer !== "" && ServiceSubset !== "") throw refused(`${at}Peer cannot be set with ServiceSubset`);
  if (Peer !== "" && Datacenter !== "") throw refused(`${at}Peer cannot be set with Datacenter`);
  const isOwn = Service === "" || Service === entry.Name;
  if (ServiceSubset !== "" && isOwn && !isSubset(entry, ServiceSubset)) {
    throw refused(`${at}ServiceSubset ${quoted(ServiceSubset)} is not a valid subset of ${quoted(entry.Name)}`);
  }
}

const LB_POLICIES: readonly string[] = ["", "random", "round_robin", "least_request", "ring_hash", "maglev"];
const HASH_FIELDS: readonly string[] = ["header", "cookie", "query_parameter"];

function assertLoadBalancer(balancer: LoadBalancerEntry): void {
  const { Policy, RingHashConfig, LeastRequestConfig } = balancer;
  const policy = quoted(Policy);
  if (!LB_POLICIES.includes(Policy)) throw refused(`Bad LoadBalancer policy: ${policy} is not supported`);
  const misplaced = (what: string): Error =>
    refused(`Bad LoadBalancer configuration. ${what} specified for incompatible load balancing policy ${policy}`);
  if (Policy !== "ring_hash" && RingHashConfig) throw misplaced("RingHashConfig");
  if (Policy !== "least_request" && LeastRequestConfig) throw misplaced("LeastRequestConfig");
  const policies = balancer.HashPolicies ?? [];
  if (Policy !== "ring_hash" && Policy !== "maglev" && policies.length > 0) {
    throw refused(`Bad LoadBalancer configuration: HashPolicies specified for non-hash-based Policy: ${policy}`);
  }
  for (const [index, hash] of policies.entries()) {
    const at = `Bad LoadBalancer HashPolicy[${index}]: `;
    const field = quoted(hash.Field);
    if (hash.Field !== "" && !HASH_FIELDS.includes(hash.Field)) throw refused(`${at}${field} is not a supported field`);
    if (hash.SourceIP && hash.Field !== "") {
      throw refused(`${at}A single hash policy cannot hash both a source address and a ${field}`);
    }
    if (hash.SourceIP && hash.FieldValue !== "") {
      throw refused(`${at}A FieldValue cannot be specified when hashing SourceIP`);
    }
    if (hash.Field !== "" && hash.FieldValue === "") {
      throw refused(`${at}Field ${field} was specified without a FieldValue`);
    }
    if (hash.FieldValue !== "" && hash.Field === "") throw refused(`${at}FieldValue requires a Field to apply to`);
    if (!hash.CookieConfig) continue;
    if (hash.Field !== "cookie") throw refused(`${at}cookie_config provided for ${field}`);
    if (hash.CookieConfig.Session && hash.CookieConfig.TTL !== 0) {
      throw refused(`${at}a session cookie cannot have an associated TTL`);
    }
  }
}

const redirection = (to: {
  Service: string;
  ServiceSubset: string;
  Datacenter: string;
  Peer: string;
}): Redirection => ({
  service: to.Service,
  subset: to.ServiceSubset,
  datacenter: to.Datacenter,
  peer: to.Peer,
});

/** Consul tells targets in three ways: a list, one service in several datacenters, or one service. */
function failoverOf({ Service, ServiceSubset, Datacenters, Targets, Policy }: FailoverEntry): Failover {
  const one = { service: Service, subset: ServiceSubset, datacenter: "", peer: "" };
  const elsewhere = (Datacenters ?? []).map((datacenter) => ({ ...one, datacenter }));
  const targets = elsewhere.length > 0 ? elsewhere : (Targets ?? []).map(redirection);
  return {
    targets: targets.length > 0 ? targets : [one],
    policy: Policy && { mode: "sequential", regions: Policy.Regions ?? [] },
  };
}

const balancerOf = (balancer: LoadBalancerEntry): LoadBalancer => ({
  policy: (balancer.Policy || null) as LoadBalancer["policy"],
  ringSizeMin: balancer.RingHashConfig?.MinimumRingSize || null,
  ringSizeMax: balancer.RingHashConfig?.MaximumRingSize || null,
  choices: balancer.LeastRequestConfig?.ChoiceCount || null,
  hashKeys: (balancer.HashPolicies ?? []).flatMap((hash): HashKey[] => {
    const { Field, FieldValue: name, CookieConfig: cookie, SourceIP, Terminal: terminal } = hash;
    if (SourceIP) return [{ type: "source", terminal }];
    if (Field === "header") return [{ type: "header", name, terminal }];
    if (Field === "query_parameter") return [{ type: "query", name, terminal }];
    if (Field !== "cookie") return [];
    const issue =
      cookie && (cookie.Session || cookie.TTL > 0) ? { ttlMs: cookie.TTL || null, path: cookie.Path } : null;
    return [{ type: "cookie", name, terminal, issue }];
  }),
});
