import { describe, expect, test } from "vitest";
import { compileFilter } from "../../../../../workers/dialects/consul/filter/compile.ts";
import type { FilterSchema } from "../../../../../workers/dialects/consul/filter/schema.ts";
import * as schemas from "../../../../../workers/dialects/consul/filter/schemas.ts";

const NODE = {
  ID: "40e4a748-2192-161a-0510-9bf59fe950b5",
  Node: "vm-1",
  Address: "10.0.0.1",
  Datacenter: "dc1",
  TaggedAddresses: { lan: "10.0.0.1", wan: "198.51.100.1" },
  Meta: { "os-version": "12" },
  CreateIndex: 1,
  ModifyIndex: 1,
};

const CHECK = {
  Node: "vm-1",
  CheckID: "service:web-1",
  Name: "Service 'web' check",
  Status: "passing",
  Notes: "",
  Output: "HTTP GET http://127.0.0.1: 200 OK",
  ServiceID: "web-1",
  ServiceName: "web",
  ServiceTags: ["v2", "eu"],
  Type: "http",
  Interval: "10s",
  Timeout: "1s",
  ExposedPort: 0,
  Definition: {},
  CreateIndex: 9,
  ModifyIndex: 9,
};

const SERVICE = {
  ID: "web-1",
  Service: "web",
  Tags: ["v2", "eu"],
  Address: "",
  TaggedAddresses: { lan_ipv4: { Address: "10.0.0.1", Port: 8080 } },
  Meta: { version: "2", "external-source": "nomad" },
  Port: 8080,
  Weights: { Passing: 10, Warning: 1 },
  EnableTagOverride: false,
  Connect: { Native: true },
  CreateIndex: 9,
  ModifyIndex: 9,
};

const PROXY = {
  ...SERVICE,
  Kind: "connect-proxy",
  Service: "web-sidecar-proxy",
  Proxy: {
    DestinationServiceName: "web",
    LocalServicePort: 8080,
    Mode: "transparent",
    Upstreams: [{ DestinationType: "service", DestinationName: "db", LocalBindPort: 5432 }],
    Expose: { Checks: true },
    Config: { protocol: "http" },
  },
};

const passes = (schema: FilterSchema, value: unknown) => (expression: string) =>
  compileFilter(expression, schema)(value);

describe("filters as they are written", () => {
  const critical = { ...CHECK, Status: "critical" };
  const entry = { Node: NODE, Service: SERVICE, Checks: [CHECK, { ...CHECK, CheckID: "serfHealth", ServiceTags: [] }] };
  const rows: [FilterSchema, unknown, string][] = [
    [schemas.CHECK_SERVICE_NODE, entry, 'Service.Meta["version"] == "2" and "eu" in Service.Tags'],
    [schemas.CHECK_SERVICE_NODE, entry, 'not Checks.Status == critical and Node.Meta["os-version"] == `12`'],
    [schemas.CHECK_SERVICE_NODE, entry, "Service.Weights.Passing != 1 and Service.Connect.Native == true"],
    [schemas.CHECK_SERVICE_NODE, { ...entry, Checks: [CHECK, critical] }, "Checks.Status != passing"],
    [schemas.HEALTH_CHECK, CHECK, 'Status == passing and ServiceName matches "^web" and v2 in ServiceTags'],
    [schemas.HEALTH_CHECK, CHECK, 'Type != ttl and PeerName == "" and CheckID == "service:web-1"'],
    [schemas.NODE, NODE, 'Meta["os-version"] == 12 and TaggedAddresses.wan != TaggedAddresses.lan'],
    [schemas.NODE_SERVICE, SERVICE, 'Kind == "" and Service == web and Proxy.Upstreams is empty'],
    [schemas.NODE_SERVICE, SERVICE, "TaggedAddresses.lan_ipv4.Port == 8080 and Port != 80"],
    [schemas.NODE_SERVICE, PROXY, "Proxy.Upstreams.DestinationName == db and Proxy.Expose.Checks == true"],
    [
      schemas.SERVICE_NODE,
      {
        ...NODE,
        NodeMeta: NODE.Meta,
        ServiceName: "web",
        ServiceTags: ["v2"],
        ServiceMeta: { version: "2" },
        ServiceProxy: {},
      },
      'ServiceMeta.version == 2 and v1 not in ServiceTags and NodeMeta contains `os-version` and ServiceProxy.Mode == ""',
    ],
    [
      schemas.NODE_INFO,
      { ...NODE, Services: [SERVICE, PROXY], Checks: [critical] },
      'Services.Kind == "connect-proxy" and Checks.Status == critical',
    ],
    [
      schemas.MEMBER,
      { Name: "vm-1", Addr: "10.0.0.1", Port: 8301, Tags: { role: "consul", dc: "dc1" }, Status: 1, ProtocolCur: 2 },
      "Tags.role == consul and Status == 1 and Port == 8301 and ProtocolCur == 2",
    ],
    [
      schemas.INTENTION,
      {
        ID: "1",
        SourceNS: "default",
        SourceName: "web",
        DestinationName: "db",
        Action: "allow",
        Precedence: 9,
        Meta: {},
      },
      'DestinationName == "db" and Action != deny and Precedence == 9 and Meta is empty and SourcePartition == ""',
    ],
    [
      schemas.SERVICE_DEFAULTS,
      {
        Kind: "service-defaults",
        Name: "web",
        Protocol: "http",
        Meta: { team: "a" },
        UpstreamConfig: { Overrides: [{ Name: "db" }] },
      },
      "Protocol == http and Meta.team == a and UpstreamConfig.Overrides.Name == db and MutualTLSMode != strict",
    ],
    [
      schemas.KUBERNETES_IDENTITY,
      { serviceaccount: { namespace: "default", name: "web" } },
      "serviceaccount.name == web",
    ],
    [
      schemas.JWT_IDENTITY,
      { value: { org: "x" }, list: { groups: ["dev", "ops"] } },
      "value.org == x and ops in list.groups",
    ],
    [
      schemas.AWS_IDENTITY,
      { entity_name: "r", entity_tags: { a: "b" } },
      "entity_tags.a == b and entity_name matches `^r$`",
    ],
  ];
  test.each(rows.map(([schema, value, expression]) => [expression, schema, value] as const))(
    "%s",
    (expression, schema, value) => {
      expect(passes(schema, value)(expression)).toBe(true);
      expect(passes(schema, value)(`not (${expression})`)).toBe(false);
    },
  );
});

describe("what cannot be selected", () => {
  test.each([
    ["Definition.HTTP == x", schemas.HEALTH_CHECK, "Definition"],
    ["CreateIndex == 1", schemas.HEALTH_CHECK, "CreateIndex"],
    ["Namespace == default", schemas.HEALTH_CHECK, "Namespace"],
    ["ModifyIndex == 1", schemas.NODE_SERVICE, "ModifyIndex"],
    ["Locality.Zone == a", schemas.NODE_SERVICE, "Locality"],
    ["Proxy.Config.protocol == http", schemas.NODE_SERVICE, "Proxy.Config"],
    ["Connect.SidecarService is empty", schemas.NODE_SERVICE, "Connect.SidecarService"],
    ["ServiceName == web", schemas.NODE_SERVICE, "ServiceName"],
    ["Service == web", schemas.SERVICE_NODE, "Service"],
    ["Status == passing", schemas.CHECK_SERVICE_NODE, "Status"],
    ["Service.Proxy.Upstreams.Config.a == b", schemas.CHECK_SERVICE_NODE, "Service.Proxy.Upstreams.Config"],
    ["Permissions is empty", schemas.INTENTION, "Permissions"],
    ["ID == x", schemas.MEMBER, "ID"],
  ])("%s", (expression, schema, selector) => {
    expect(() => compileFilter(expression, schema)).toThrow(
      `Failed to create boolean expression evaluator: Selector "${selector}" is not valid`,
    );
  });
});
