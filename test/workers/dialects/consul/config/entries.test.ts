/** Config entries as Consul decodes, normalises and refuses them. Texts are Consul's. */
import { describe, expect, test } from "vitest";
import { ConsulError } from "../../../../../workers/dialects/consul/errors.ts";
import { decodeEntry, encodeRule, finishEntry, ruleOf } from "../../../../../workers/dialects/consul/config/entry.ts";
import type { Rule } from "../../../../../objects/rules/model.ts";

type Body = Record<string, unknown>;

function rule(body: Body): Rule {
  const raw = decodeEntry(body);
  finishEntry(raw);
  return ruleOf(raw);
}

function written(body: Body): Body {
  const {
    CreateIndex: _create,
    ModifyIndex: _modify,
    ...entry
  } = encodeRule({
    ...rule(body),
    createRevision: 1,
    modRevision: 1,
  });
  return entry;
}

function refusal(body: unknown): string {
  try {
    rule(body as Body);
  } catch (error) {
    if (error instanceof ConsulError) return `${error.status} ${error.message}`;
    throw error;
  }
  return "accepted";
}

const lines = (...errors: string[]): string =>
  `${errors.length} error${errors.length === 1 ? "" : "s"} occurred:\n${errors.map((error) => `\t* ${error}\n`).join("")}\n`;

describe("decoding", () => {
  test("names in any case and in snake_case; loose types; one value for a list", () => {
    expect(
      written({
        kind: "service-router",
        NAME: 80,
        routes: {
          match: [{ http: { path_prefix: "/a", methods: "get", CASE_INSENSITIVE: "true" } }],
          Destination: {
            service_subset: "v1",
            request_timeout: "1500ms",
            num_retries: "3",
            retry_on_status_codes: 503,
          },
        },
      }),
    ).toEqual({
      Kind: "service-router",
      Name: "80",
      Routes: [
        {
          Match: { HTTP: { PathPrefix: "/a", CaseInsensitive: true, Methods: ["GET"] } },
          Destination: {
            RequestTimeout: "1.5s",
            ServiceSubset: "v1",
            NumRetries: 3,
            RetryOnStatusCodes: [503],
          },
        },
      ],
    });
  });

  test("what it was read with may be sent back", () => {
    const entry = { Kind: "service-defaults", Name: "web", Protocol: "http", CreateIndex: 7, ModifyIndex: 9, Hash: 1 };
    expect(written(entry)).toEqual({
      Kind: "service-defaults",
      Name: "web",
      Protocol: "http",
      TransparentProxy: {},
      MeshGateway: {},
      Expose: {},
    });
  });

  test.each<[string, unknown, string]>([
    ["no kind", { Name: "web" }, "Payload does not contain a kind/Kind key at the top level"],
    ["a kind that is no text", { Kind: 1 }, "Kind value in payload is not a string"],
    ["an unknown kind", { Kind: "web" }, "invalid config entry kind: web"],
    ["a list", [], "json: cannot unmarshal array into Go value of type map[string]interface {}"],
    ["an unknown name", { Kind: "service-defaults", Name: "web", Foo: 1 }, lines('invalid config key "Foo"')],
    [
      "several of them, however deep",
      { Kind: "service-splitter", Name: "web", x: 1, Splits: [{ Weight: 100 }, { y: {} }] },
      lines('invalid config key "x"', 'invalid config key "Splits[1].y"'),
    ],
    [
      "a namespace",
      { Kind: "service-defaults", Name: "web", Namespace: "a" },
      lines('invalid config key "Namespace", namespaces are a consul enterprise feature'),
    ],
    [
      "a field that has no other spelling",
      { Kind: "terminating-gateway", Name: "g", Services: [{ Name: "a", disable_auto_host_rewrite: true }] },
      lines('invalid config key "Services[0].disable_auto_host_rewrite"'),
    ],
    [
      "a map where a text belongs",
      { Kind: "service-defaults", Name: "web", Protocol: { a: [1, "b"] } },
      "1 error(s) decoding:\n\n* 'Protocol' expected type 'string', got unconvertible type 'map[string]interface {}', value: 'map[a:[1 b]]'",
    ],
    [
      "a text where a map belongs",
      { Kind: "service-resolver", Name: "web", Redirect: "b" },
      "1 error(s) decoding:\n\n* 'Redirect' expected a map, got 'string'",
    ],
    [
      "a duration that is none",
      { Kind: "service-resolver", Name: "web", ConnectTimeout: "soon" },
      "1 error(s) decoding:\n\n* error decoding 'ConnectTimeout': time: invalid duration \"soon\"",
    ],
    [
      "a number that is none",
      { Kind: "service-defaults", Name: "web", MaxInboundConnections: "many" },
      "1 error(s) decoding:\n\n* cannot parse 'MaxInboundConnections' as int: strconv.ParseInt: parsing \"many\": invalid syntax",
    ],
    ["a mesh with a name", { Kind: "mesh", Name: "mesh" }, lines('invalid config key "Name"')],
  ])("refused: %s", (_name, body, why) => {
    expect(refusal(body)).toBe(`400 Request decoding failed: ${why}`);
  });
});

describe("what Consul makes of an entry", () => {
  test.each<[string, Body, Body]>([
    [
      "protocols are lower case, timeouts not negative",
      {
        Kind: "service-defaults",
        Name: "web",
        Protocol: "GRPC",
        UpstreamConfig: { Defaults: { ConnectTimeoutMs: -1 } },
      },
      { Protocol: "grpc", UpstreamConfig: { Defaults: { Peer: "", MeshGateway: {} } } },
    ],
    [
      "proxy-defaults have a name",
      { Kind: "proxy-defaults", Config: { b: 1, a: [2] } },
      { Name: "global", Config: { a: 2, b: 1 } },
    ],
    [
      "weights have two decimals",
      { Kind: "service-splitter", Name: "web", Splits: [{ Weight: 99.999 }, { Weight: 0.001, ServiceSubset: "b" }] },
      { Splits: [{ Weight: 100 }, { Weight: 0, ServiceSubset: "b" }] },
    ],
    [
      "intentions are sorted, and told their precedence and type",
      {
        Kind: "service-intentions",
        Name: "db",
        Sources: [
          { Name: "*", Action: "deny", LegacyID: "1" },
          { Name: "api", Permissions: [{ Action: "allow", HTTP: { Methods: ["get"] } }] },
        ],
      },
      {
        Sources: [
          {
            Name: "api",
            Permissions: [{ Action: "allow", HTTP: { Methods: ["GET"] } }],
            Precedence: 9,
            Type: "consul",
          },
          { Name: "*", Action: "deny", Precedence: 8, Type: "consul" },
        ],
      },
    ],
    [
      "listeners are tcp",
      { Kind: "ingress-gateway", Name: "g", Listeners: [{ Port: 80, Services: [{ Name: "web" }] }] },
      { TLS: { Enabled: false }, Listeners: [{ Port: 80, Protocol: "tcp", Services: [{ Name: "web", Hosts: null }] }] },
    ],
    [
      "issuers forgive half a minute",
      { Kind: "jwt-provider", Name: "okta", JSONWebKeySet: { Remote: { URI: "https://a", CacheDuration: "1s" } } },
      {
        JSONWebKeySet: { Remote: { URI: "https://a", CacheDuration: 1_000_000_000 } },
        ClockSkewSeconds: 30,
      },
    ],
    [
      "a status is not the caller's to tell",
      {
        Kind: "api-gateway",
        Name: "g",
        Listeners: [{ Name: "l", Port: 80, Protocol: "HTTP", TLS: { Certificates: [{ Name: "c" }] } }],
        Status: { Conditions: [{ Type: "Accepted" }] },
      },
      {
        Listeners: [
          {
            Name: "l",
            Hostname: "",
            Port: 80,
            Protocol: "http",
            TLS: {
              Certificates: [{ Kind: "inline-certificate", Name: "c", SectionName: "" }],
              MaxVersion: "",
              MinVersion: "",
              CipherSuites: null,
            },
          },
        ],
        Status: { Conditions: null },
      },
    ],
    [
      "routes have parents and weights",
      {
        Kind: "http-route",
        Name: "r",
        Parents: [{ Name: "g" }],
        Rules: [{ Matches: [{ Method: "get" }], Services: [{ Name: "web" }] }],
      },
      { Parents: [{ Kind: "api-gateway", Name: "g", SectionName: "" }], Hostnames: null },
    ],
    ["the mesh has no name", { Kind: "mesh", tls: { incoming: { tls_min_version: "TLSv1_2" } } }, { Kind: "mesh" }],
  ])("%s", (_name, body, expected) => {
    expect(written(body)).toMatchObject(expected);
  });

  test("what was written stays the same when it is written again", () => {
    const body = {
      Kind: "service-resolver",
      Name: "web",
      ConnectTimeout: "1m30s",
      DefaultSubset: "v1",
      Subsets: { v2: { OnlyPassing: true }, v1: { Filter: "Service.Meta.v == 1" } },
      Failover: { "*": { Datacenters: ["dc2", "dc3"] }, v1: { Targets: [{ Peer: "east" }] } },
      LoadBalancer: {
        Policy: "ring_hash",
        HashPolicies: [{ Field: "cookie", FieldValue: "c", CookieConfig: { TTL: 1e9 } }],
      },
      Meta: { b: "1", a: "2" },
    };
    expect(written(written(body))).toEqual(written(body));
    expect(written(body)).toEqual({ ...body, Subsets: { v1: body.Subsets.v1, v2: body.Subsets.v2 } });
  });
});

const failover = (entry: Body): Body => ({
  Kind: "service-resolver",
  Name: "web",
  Subsets: { v1: {} },
  Failover: { "*": entry },
});
const balancer = (entry: Body): Body => ({ Kind: "service-resolver", Name: "web", LoadBalancer: entry });
const route = (entry: Body): Body => ({ Kind: "service-router", Name: "web", Routes: [entry] });
const http = (entry: Body): Body => route({ Match: { HTTP: entry } });
const source = (entry: Body, name = "db"): Body => ({
  Kind: "service-intentions",
  Name: name,
  Sources: [{ Name: "api", ...entry }],
});
const permitted = (entry: Body): Body => source({ Permissions: [{ Action: "allow", HTTP: entry }] });
const ingress = (...listeners: Body[]): Body => ({ Kind: "ingress-gateway", Name: "g", Listeners: listeners });

describe("refused", () => {
  test.each<[string, Body, string]>([
    ["no name", { Kind: "service-defaults" }, "Name is required"],
    [
      "any name",
      { Kind: "service-defaults", Name: "*" },
      "service-defaults name must be the name of a service, and not a wildcard",
    ],
    [
      "all that is wrong with defaults",
      {
        Kind: "service-defaults",
        Name: "web",
        Protocol: "smtp",
        BalanceInboundConnections: "fair",
        Destination: { Addresses: ["a", "a", "*.b"], Port: 0 },
        RateLimits: {},
      },
      lines(
        "invalid value for balance_inbound_connections: fair",
        "invalid value for protocol: smtp",
        "Duplicate address 'a' is not allowed",
        "Destination address '*.b' is invalid Could not validate address *.b as an IP or Hostname",
        "Invalid Port number 0",
        "invalid rate_limits config. Rate limiting is a consul enterprise feature",
      ),
    ],
    [
      "an unknown extension",
      { Kind: "service-defaults", Name: "web", EnvoyExtensions: [{ Name: "x" }, {}] },
      lines(
        'invalid EnvoyExtensions[0][x]: name "x" is not a built-in extension',
        "invalid EnvoyExtensions[1]: Name is required",
      ),
    ],
    [
      "an override without a name",
      { Kind: "service-defaults", Name: "web", UpstreamConfig: { Overrides: [{}], Defaults: { Name: "x" } } },
      lines("error in upstream override for : Name is required", "error in upstream defaults: Name must be empty"),
    ],
    [
      "a TLS mode",
      { Kind: "service-defaults", Name: "web", MutualTLSMode: "lax" },
      'Invalid MutualTLSMode "lax". Must be one of "", "strict", or "permissive".',
    ],
    ["another proxy-defaults", { Kind: "proxy-defaults", Name: "x" }, 'invalid name ("x"), only "global" is supported'],
    [
      "logs in a file nowhere",
      { Kind: "proxy-defaults", AccessLogs: { Type: "file" } },
      "path must be specified when using file type access logs",
    ],
    ["no splits", { Kind: "service-splitter", Name: "web" }, "no splits configured"],
    [
      "weights below the whole",
      { Kind: "service-splitter", Name: "web", Splits: [{ Weight: 50.5 }, { Weight: 49, Service: "b" }] },
      "the sum of all split weights must be 100, not 99.500000",
    ],
    [
      "one destination twice",
      { Kind: "service-splitter", Name: "web", Splits: [{ Weight: 50 }, { Weight: 50, Service: "web" }] },
      'split destination occurs more than once: service="web", subset="", namespace="", partition=""',
    ],
    ["a path without a slash", http({ PathExact: "a" }), "Route[0] PathExact doesn't start with '/': \"a\""],
    [
      "two paths",
      http({ PathExact: "/a", PathRegex: "b" }),
      "Route[0] should only contain at most one of PathExact, PathPrefix, or PathRegex",
    ],
    [
      "a header without a name",
      http({ Header: [{ Present: true }] }),
      "Route[0] Header[0] missing required Name field",
    ],
    [
      "a header matched twice",
      http({ Header: [{ Name: "a", Present: true, Exact: "b" }] }),
      "Route[0] Header[0] should only contain one of Present, Exact, Prefix, Suffix, or Regex",
    ],
    [
      "a parameter not matched",
      http({ QueryParam: [{ Name: "a" }] }),
      "Route[0] QueryParam[0] should only contain one of Present, Exact, or Regex",
    ],
    ["a method", http({ Methods: ["FETCH"] }), 'Route[0] Methods contains an invalid method "FETCH"'],
    ["a method twice", http({ Methods: ["get", "GET"] }), 'Route[0] Methods contains "GET" more than once'],
    [
      "a rewrite of nothing",
      route({ Destination: { PrefixRewrite: "/b" } }),
      "Route[0] cannot make use of PrefixRewrite without configuring either PathExact or PathPrefix",
    ],
    [
      "a retry condition",
      route({ Destination: { RetryOn: ["sunday"] } }),
      'Route[0] contains an invalid retry condition: "sunday"',
    ],
    [
      "a subset's name",
      { Kind: "service-resolver", Name: "web", Subsets: { V1: {} } },
      "Subset \"V1\" is invalid: must be 63 characters or fewer, begin or end with lower case alphanumeric characters, and contain lower case alphanumeric characters or '-' in between",
    ],
    [
      "a default subset",
      { Kind: "service-resolver", Name: "web", DefaultSubset: "v1" },
      'DefaultSubset "v1" is not a valid subset',
    ],
    [
      "redirect and failover",
      { Kind: "service-resolver", Name: "web", Redirect: { Service: "b" }, Failover: { "*": { Service: "c" } } },
      "Redirect and Failover cannot both be set",
    ],
    ["an empty redirect", { Kind: "service-resolver", Name: "web", Redirect: {} }, "Redirect is empty"],
    [
      "a redirect to a partition",
      { Kind: "service-resolver", Name: "web", Redirect: { Service: "b", Partition: "p" } },
      "Redirect: Setting Partition requires Consul Enterprise",
    ],
    [
      "a redirect to a subset of nothing",
      { Kind: "service-resolver", Name: "web", Redirect: { ServiceSubset: "v1" } },
      "Redirect.ServiceSubset defined without Redirect.Service",
    ],
    [
      "an empty failover",
      failover({}),
      'Bad Failover["*"]: one of Service, ServiceSubset, Namespace, Targets, SamenessGroup, or Datacenters is required',
    ],
    [
      "targets beside datacenters",
      failover({ Datacenters: ["dc2"], Targets: [{ Service: "b" }] }),
      'Bad Failover["*"]: Targets cannot be set with Datacenters',
    ],
    [
      "a subset of another cluster",
      failover({ Targets: [{ Peer: "p", ServiceSubset: "v1" }] }),
      'Bad Failover["*"].Targets[0]: Peer cannot be set with ServiceSubset',
    ],
    [
      "a datacenter without a name",
      failover({ Datacenters: [""] }),
      'Bad Failover["*"].Datacenters: found empty datacenter',
    ],
    [
      "a negative timeout",
      { Kind: "service-resolver", Name: "web", ConnectTimeout: "-5s" },
      "Bad ConnectTimeout '-5s', must be >= 0",
    ],
    ["a balancer", balancer({ Policy: "fair" }), 'Bad LoadBalancer policy: "fair" is not supported'],
    [
      "a ring without a hash",
      balancer({ Policy: "random", RingHashConfig: {} }),
      'Bad LoadBalancer configuration. RingHashConfig specified for incompatible load balancing policy "random"',
    ],
    [
      "a field without a value",
      balancer({ Policy: "maglev", HashPolicies: [{ Field: "header" }] }),
      'Bad LoadBalancer HashPolicy[0]: Field "header" was specified without a FieldValue',
    ],
    ["no sources", { Kind: "service-intentions", Name: "db" }, "At least one source is required"],
    [
      "a source twice",
      {
        Kind: "service-intentions",
        Name: "db",
        Sources: [
          { Name: "a", Action: "deny" },
          { Name: "a", Action: "allow" },
        ],
      },
      'Sources[1] defines "a" more than once',
    ],
    ["neither action nor permissions", source({}), "Sources[0].Action must be set to 'allow' or 'deny'"],
    [
      "both of them",
      source({ Action: "allow", Permissions: [{ Action: "allow", HTTP: { PathExact: "/" } }] }),
      "Sources[0].Action must be omitted if Permissions are specified",
    ],
    [
      "permissions towards any",
      source({ Permissions: [{ Action: "allow", HTTP: { PathExact: "/" } }] }, "*"),
      "Sources[0].Permissions cannot be specified on intentions with wildcarded destinations",
    ],
    [
      "half a wildcard",
      source({ Name: "a*", Action: "allow" }),
      "Sources[0].Name: wildcard character '*' cannot be used with partial values",
    ],
    ["an empty permission", permitted({}), "Sources[0].Permissions[0].HTTP should not be empty"],
    [
      "a path of a permission",
      permitted({ PathPrefix: "a" }),
      "Sources[0].Permissions[0].HTTP.PathPrefix doesn't start with '/': \"a\"",
    ],
    [
      "case ignored where there is none",
      permitted({ Header: [{ Name: "a", Regex: "b", IgnoreCase: true }] }),
      "Sources[0].Permissions[0].HTTP.Header[0] should set one of Exact, Prefix, Suffix, or Contains when using IgnoreCase",
    ],
    [
      "what only the old API may tell",
      source({ Action: "allow", LegacyMeta: { a: "b" } }),
      "Sources[0].LegacyMeta must be omitted",
    ],
    [
      "one port twice",
      ingress({ Port: 1, Services: [{ Name: "a" }] }, { Port: 1 }),
      "port 1 declared on two listeners",
    ],
    ["a listener for nobody", ingress({ Port: 1 }), "No service declared for listener with port 1"],
    [
      "two services on tcp",
      ingress({ Port: 1, Services: [{ Name: "a" }, { Name: "b" }] }),
      "Multiple services per listener are only supported for L7 protocols, 'http', 'grpc' and 'http2' (listener on port 1)",
    ],
    [
      "any service on tcp",
      ingress({ Port: 1, Services: [{ Name: "*" }] }),
      "Wildcard service name is only valid for protocol = 'http' (listener on port 1)",
    ],
    [
      "a certificate that nobody serves",
      { ...ingress({ Port: 1, Services: [{ Name: "a" }] }), TLS: { SDS: { CertResource: "c" } } },
      "TLS.SDS.ClusterName is required if CertResource is set",
    ],
    [
      "half a client certificate",
      { Kind: "terminating-gateway", Name: "g", Services: [{ Name: "a", CertFile: "c" }] },
      'Service "a" must have a CertFile, CAFile, and KeyFile specified for TLS origination',
    ],
    [
      "TLS below its least",
      { Kind: "mesh", TLS: { Incoming: { TLSMinVersion: "TLSv1_3", TLSMaxVersion: "TLSv1_2" } } },
      "error in incoming TLS configuration: configuring max version TLSv1_2 less than the configured min version TLSv1_3 is invalid",
    ],
    ["exports of another name", { Kind: "exported-services", Name: "x" }, 'exported-services Name must be "default"'],
    [
      "exports to nobody",
      { Kind: "exported-services", Name: "default", Services: [{ Name: "web" }] },
      "Services[0]: must have at least one consumer",
    ],
    ["an issuer without keys", { Kind: "jwt-provider", Name: "okta" }, "JSONWebKeySet is required"],
    [
      "keys in two places",
      { Kind: "jwt-provider", Name: "okta", JSONWebKeySet: { Local: { JWKS: "e30=" }, Remote: {} } },
      "must specify exactly one of Local or Remote JSON Web key set",
    ],
    ["a gateway without listeners", { Kind: "api-gateway", Name: "g" }, "api gateway must have at least one listener"],
    [
      "two routes of one tcp-route",
      { Kind: "tcp-route", Name: "r", Services: [{ Name: "a" }, { Name: "b" }] },
      "tcp-route currently only supports one service",
    ],
    ["a key that is none", { Kind: "inline-certificate", Name: "c" }, "failed to parse private key PEM"],
    [
      "what only Enterprise has",
      { Kind: "sameness-group", Name: "s" },
      "sameness-groups are an enterprise-only feature",
    ],
    [
      "too much meta",
      { Kind: "service-router", Name: "web", Meta: { a: "x".repeat(513) } },
      lines('Meta value for key "a" exceeds maximum length 512'),
    ],
  ])("%s", (_name, body, why) => {
    expect(refusal(body)).toBe(`500 ${why}`);
  });

  test("what only a controller writes", () => {
    expect(refusal({ Kind: "bound-api-gateway", Name: "g" })).toBe(
      "403 Permission denied: only writeable by controller",
    );
  });
});

describe("as rules", () => {
  test("routes are ready to be matched", () => {
    const { spec } = rule(
      route({
        Match: {
          HTTP: { PathRegex: "/v[12]", CaseInsensitive: true, Header: [{ Name: "x", Suffix: "y", Invert: true }] },
        },
        Destination: {
          Service: "api",
          NumRetries: 2,
          RetryOnConnectFailure: true,
          RequestHeaders: { Set: { a: "b" } },
        },
      }),
    );
    expect(spec).toMatchObject({
      routes: [
        {
          match: {
            path: { type: "regex", pattern: "/v[12]", ignoreCase: true },
            headers: [{ name: "x", invert: true, match: { type: "suffix", value: "y" } }],
            methods: [],
          },
          destination: {
            service: "api",
            retry: { retries: 2, on: ["connect-failure"], statusCodes: [] },
            requestHeaders: { set: { a: "b" } },
          },
        },
      ],
    });
  });

  test("a subset's filter is a question about instances", () => {
    const Filter = 'Service.Meta["v"] != "1" and (Checks.Status == passing or Node.Meta.rack is empty)';
    expect(rule({ Kind: "service-resolver", Name: "web", Subsets: { v1: { Filter } } }).spec).toMatchObject({
      subsets: {
        v1: {
          selector: {
            type: "all",
            of: [
              { type: "not", of: { type: "is", path: ["instance", "meta", "v"], test: "equals", value: "1" } },
              {
                type: "any",
                of: [
                  { type: "is", path: ["checks", "status"], test: "equals", value: "passing" },
                  { type: "empty", path: ["node", "meta", "rack"] },
                ],
              },
            ],
          },
        },
      },
    });
  });

  test("a filter on what there is not selects nothing", () => {
    const entry = rule({ Kind: "service-resolver", Name: "web", Subsets: { v1: { Filter: "ServiceMeta.v == 1" } } });
    expect(entry.spec).toMatchObject({ subsets: { v1: { selector: { type: "any", of: [] } } } });
  });

  test("defaults of all have a name of their own", () => {
    expect(rule({ Kind: "proxy-defaults", Config: { PROTOCOL: "HTTP2" } })).toMatchObject({
      kind: "defaults",
      name: "*",
      spec: { protocol: "http2" },
    });
  });
});
