/** Compiled chains as Consul shows them. Cases and results are those of Consul's own compiler's tests. */
import { describe, expect, test } from "vitest";
import type { GraphOptions } from "../../../../../objects/rules/graph.ts";
import { compileGraph } from "../../../../../objects/rules/graph.ts";
import { RuleSet } from "../../../../../objects/rules/rules.ts";
import { decodeEntry, finishEntry, ruleOf } from "../../../../../workers/dialects/consul/config/entry.ts";
import { customizationHash } from "../../../../../workers/dialects/consul/discovery-chain/customization.ts";
import { encodeChain } from "../../../../../workers/dialects/consul/discovery-chain/encode-chain.ts";

type Json = Record<string, unknown>;

function chainOf(entries: Json[], options: Partial<GraphOptions> = {}): Json {
  const rules = entries.map((entry) => {
    const raw = decodeEntry(entry);
    finishEntry(raw);
    return ruleOf(raw);
  });
  const graph = compileGraph(new RuleSet(rules), { service: "main", datacenter: "dc1", ...options });
  return encodeChain({ graph, rules, trustDomain: "trustdomain.consul", virtualIp: null, customizationHash: null });
}

const protocol = (Name: string, Protocol = "http"): Json => ({ Kind: "service-defaults", Name, Protocol });
const globalProtocol = { Kind: "proxy-defaults", Config: { protocol: "http" } };

interface TargetFields {
  subset?: string;
  dc?: string;
  timeout?: string;
  more?: Json;
}

function target(service: string, { subset = "", dc = "dc1", timeout = "5s", more = {} }: TargetFields = {}): Json {
  const name = `${subset && `${subset}.`}${service}.default.${dc}.internal.trustdomain.consul`;
  return {
    ConnectTimeout: timeout,
    ID: `${subset && `${subset}.`}${service}.default.default.${dc}`,
    Service: service,
    ...(subset !== "" && { ServiceSubset: subset }),
    Namespace: "default",
    Partition: "default",
    Datacenter: dc,
    MeshGateway: {},
    Subset: {},
    TransparentProxy: {},
    SNI: name,
    Name: name,
    ...more,
  };
}

const resolver = (name: string, more: Json = {}, node: Json = {}): Json => ({
  Type: "resolver",
  Name: name,
  Resolver: { ConnectTimeout: "5s", Target: name, ...more },
  ...node,
});

const catchAll = (service: string, next: string): Json => ({
  Definition: {
    Match: { HTTP: { PathPrefix: "/" } },
    Destination: { Service: service, Namespace: "default", Partition: "default" },
  },
  NextNode: next,
});

const head = { ServiceName: "main", Namespace: "default", Partition: "default", Datacenter: "dc1" };
const tail = { AutoVirtualIPs: null, ManualVirtualIPs: null };

test("nothing written at all", () => {
  expect(chainOf([])).toEqual({
    ...head,
    Default: true,
    Protocol: "tcp",
    StartNode: "resolver:main.default.default.dc1",
    Nodes: { "resolver:main.default.default.dc1": resolver("main.default.default.dc1", { Default: true }) },
    Targets: { "main.default.default.dc1": target("main") },
    ...tail,
  });
});

test("router with defaults and resolver", () => {
  expect(
    chainOf([
      protocol("main"),
      { Kind: "service-router", Name: "main", Routes: [{ Match: { HTTP: { PathExact: "/x" } } }] },
      { Kind: "service-resolver", Name: "main", ConnectTimeout: "33s", RequestTimeout: "44s" },
    ]),
  ).toEqual({
    ...head,
    Protocol: "http",
    StartNode: "router:main.default.default",
    Nodes: {
      "router:main.default.default": {
        Type: "router",
        Name: "main.default.default",
        Routes: [
          { Definition: { Match: { HTTP: { PathExact: "/x" } } }, NextNode: "resolver:main.default.default.dc1" },
          catchAll("main", "resolver:main.default.default.dc1"),
        ],
      },
      "resolver:main.default.default.dc1": resolver("main.default.default.dc1", {
        ConnectTimeout: "33s",
        RequestTimeout: 44_000_000_000,
      }),
    },
    Targets: { "main.default.default.dc1": target("main", { timeout: "33s" }) },
    ...tail,
  });
});

test("all the bells and whistles", () => {
  const lb = { Policy: "ring_hash", RingHashConfig: { MaximumRingSize: 100 }, HashPolicies: [{ SourceIP: true }] };
  const simple = (Service: string): Json => ({
    Match: { HTTP: { PathPrefix: `/${Service}` } },
    Destination: { Service },
  });
  const services = ["main", "svc-redirect", "svc-redirect-again", "svc-split", "svc-split-again", "redirected"];
  const version = (number: number): Json => ({ Filter: `Service.Meta.version == ${number}` });
  const chain = chainOf([
    ...[...services, "svc-split-one-more-time"].map((name) => protocol(name)),
    { Kind: "service-router", Name: "main", Routes: [simple("svc-redirect"), simple("svc-split")] },
    {
      Kind: "service-splitter",
      Name: "svc-split",
      Splits: [
        { Weight: 60, Service: "svc-redirect" },
        { Weight: 40, Service: "svc-split-again" },
      ],
    },
    {
      Kind: "service-splitter",
      Name: "svc-split-again",
      Splits: [
        { Weight: 75, Service: "main", ServiceSubset: "v1" },
        {
          Weight: 25,
          Service: "svc-split-one-more-time",
          RequestHeaders: { Set: { parent: "1", shared: "from-parent" } },
          ResponseHeaders: { Set: { parent: "2", shared: "from-parent" } },
        },
      ],
    },
    {
      Kind: "service-splitter",
      Name: "svc-split-one-more-time",
      Splits: [
        { Weight: 80, Service: "main", ServiceSubset: "v2" },
        {
          Weight: 20,
          Service: "main",
          ServiceSubset: "v3",
          RequestHeaders: { Set: { child: "3", shared: "from-child" } },
          ResponseHeaders: { Set: { child: "4", shared: "from-parent" } },
        },
      ],
    },
    { Kind: "service-resolver", Name: "svc-redirect", Redirect: { Service: "svc-redirect-again" } },
    { Kind: "service-resolver", Name: "svc-redirect-again", Redirect: { Service: "redirected" } },
    {
      Kind: "service-resolver",
      Name: "redirected",
      DefaultSubset: "prod",
      Subsets: { prod: { Filter: "ServiceMeta.env == prod" }, qa: { Filter: "ServiceMeta.env == qa" } },
      LoadBalancer: lb,
    },
    {
      Kind: "service-resolver",
      Name: "main",
      DefaultSubset: "default-subset",
      Subsets: { v1: version(1), v2: version(2), v3: version(3), "default-subset": { OnlyPassing: true } },
    },
  ]);
  const subset = (name: string): string => `resolver:${name}.main.default.default.dc1`;
  const prod = "prod.redirected.default.default.dc1";
  expect(chain["StartNode"]).toBe("router:main.default.default");
  expect(chain["Nodes"]).toEqual({
    "router:main.default.default": {
      Type: "router",
      Name: "main.default.default",
      Routes: [
        { Definition: simple("svc-redirect"), NextNode: `resolver:${prod}` },
        { Definition: simple("svc-split"), NextNode: "splitter:svc-split.default.default" },
        catchAll("main", subset("default-subset")),
      ],
    },
    "splitter:svc-split.default.default": {
      Type: "splitter",
      Name: "svc-split.default.default",
      LoadBalancer: lb,
      Splits: [
        { Definition: { Weight: 60, Service: "svc-redirect" }, Weight: 60, NextNode: `resolver:${prod}` },
        { Definition: { Weight: 75, Service: "main", ServiceSubset: "v1" }, Weight: 30, NextNode: subset("v1") },
        {
          Definition: {
            Weight: 80,
            Service: "main",
            ServiceSubset: "v2",
            RequestHeaders: { Set: { parent: "1", shared: "from-parent" } },
            ResponseHeaders: { Set: { parent: "2", shared: "from-parent" } },
          },
          Weight: 8,
          NextNode: subset("v2"),
        },
        {
          Definition: {
            Weight: 20,
            Service: "main",
            ServiceSubset: "v3",
            RequestHeaders: { Set: { parent: "1", child: "3", shared: "from-child" } },
            ResponseHeaders: { Set: { parent: "2", child: "4", shared: "from-parent" } },
          },
          Weight: 2,
          NextNode: subset("v3"),
        },
      ],
    },
    [`resolver:${prod}`]: resolver(prod, {}, { LoadBalancer: lb }),
    ...Object.fromEntries(
      ["v1", "v2", "v3", "default-subset"].map((name) => [subset(name), resolver(`${name}.main.default.default.dc1`)]),
    ),
  });
  expect(chain["Targets"]).toEqual({
    [prod]: target("redirected", { subset: "prod", more: { Subset: { Filter: "ServiceMeta.env == prod" } } }),
    ...Object.fromEntries(
      [1, 2, 3].map((number) => [
        `v${number}.main.default.default.dc1`,
        target("main", { subset: `v${number}`, more: { Subset: version(number) } }),
      ]),
    ),
    "default-subset.main.default.default.dc1": target("main", {
      subset: "default-subset",
      more: { Subset: { OnlyPassing: true } },
    }),
  });
});

describe("targets", () => {
  test("datacenter failover with mesh gateways", () => {
    const chain = chainOf([
      { Kind: "proxy-defaults", MeshGateway: { Mode: "remote" } },
      { Kind: "service-resolver", Name: "main", Failover: { "*": { Datacenters: ["dc2", "dc4"] } } },
    ]);
    const more = { MeshGateway: { Mode: "remote" } };
    expect(chain["Nodes"]).toEqual({
      "resolver:main.default.default.dc1": resolver("main.default.default.dc1", {
        Failover: { Targets: ["main.default.default.dc2", "main.default.default.dc4"] },
      }),
    });
    expect(chain["Targets"]).toEqual({
      "main.default.default.dc1": target("main", { more }),
      "main.default.default.dc2": target("main", { dc: "dc2", more }),
      "main.default.default.dc4": target("main", { dc: "dc4", more }),
    });
  });

  test("target failover, another cluster among them", () => {
    const chain = chainOf([
      globalProtocol,
      {
        Kind: "service-resolver",
        Name: "main",
        Failover: { "*": { Targets: [{ Datacenter: "dc3" }, { Service: "new-main" }, { Peer: "cluster-01" }] } },
      },
    ]);
    const { SNI: _sni, Name: _name, Datacenter: _dc, ...peered } = target("main");
    expect(chain).toMatchObject({
      Protocol: "http",
      Nodes: {
        "resolver:main.default.default.dc1": {
          Resolver: {
            Failover: {
              Targets: [
                "main.default.default.dc3",
                "new-main.default.default.dc1",
                "main.default.default.external.cluster-01",
              ],
            },
          },
        },
      },
    });
    expect((chain["Targets"] as Json)["main.default.default.external.cluster-01"]).toEqual({
      ...peered,
      ID: "main.default.default.external.cluster-01",
      Peer: "cluster-01",
    });
  });

  test("external SNI, transparent proxy", () => {
    const chain = chainOf([
      { Kind: "service-defaults", Name: "main", ExternalSNI: "main.some.other.service.mesh" },
      { Kind: "proxy-defaults", TransparentProxy: { DialedDirectly: true, OutboundListenerPort: 1 } },
    ]);
    expect(chain["Targets"]).toEqual({
      "main.default.default.dc1": target("main", { more: { External: true, SNI: "main.some.other.service.mesh" } }),
    });
    expect(chainOf([{ Kind: "proxy-defaults", TransparentProxy: { DialedDirectly: true } }])["Targets"]).toEqual({
      "main.default.default.dc1": target("main", { more: { TransparentProxy: { DialedDirectly: true } } }),
    });
  });
});

test("meta and extensions are those of the chain's own service, and of all", () => {
  const extension = (Name: string): Json => ({
    Name,
    Required: false,
    Arguments: null,
    ConsulVersion: "",
    EnvoyVersion: "",
  });
  expect(
    chainOf([
      { Kind: "proxy-defaults", EnvoyExtensions: [{ Name: "builtin/lua" }] },
      {
        Kind: "service-defaults",
        Name: "main",
        Meta: { foo: "bar" },
        EnvoyExtensions: [{ Name: "builtin/wasm" }],
      },
      { Kind: "service-defaults", Name: "other", Meta: { not: "this" } },
      { Kind: "service-resolver", Name: "main", Redirect: { Service: "other" } },
    ]),
  ).toMatchObject({
    ServiceMeta: { foo: "bar" },
    EnvoyExtensions: [extension("builtin/lua"), extension("builtin/wasm")],
    StartNode: "resolver:other.default.default.dc1",
  });
});

test("the hash of a customized chain is Consul's", () => {
  // As in the names of its clusters: 78ebd528~db.default.dc1.internal.…
  expect(customizationHash({ meshGateway: "local", protocol: "grpc", connectTimeoutMs: 66_000 })).toBe("78ebd528");
});
