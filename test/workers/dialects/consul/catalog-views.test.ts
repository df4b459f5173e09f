/** Views of the catalog that config entries take part in, and those of Consul's user interface. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Edge } from "../../../edge.ts";

let edge: Edge;
beforeAll(async () => {
  edge = await Edge.start(["--no-agent"]);
  await put("/agent/service/register", {
    Name: "web",
    Port: 80,
    Tags: ["v2", "v1"],
    Meta: { "external-source": "nomad" },
    Check: { TTL: "60s", Status: "warning" },
    Connect: { SidecarService: { Port: 21_500, Checks: [{ CheckID: "proxy", TTL: "60s", Status: "passing" }] } },
  });
  await put("/catalog/register", {
    Node: "edge-1",
    Address: "10.0.0.1",
    Service: { Kind: "ingress-gateway", Service: "door", Port: 8443 },
  });
  await put("/catalog/register", {
    Node: "edge-1",
    Address: "10.0.0.1",
    Service: { Kind: "terminating-gateway", Service: "exit", Port: 8444 },
  });
});
afterAll(() => edge[Symbol.asyncDispose]());

const get = (path: string) => edge.ask(`/v1${path}`);
const put = async (path: string, body: unknown) => {
  const reply = await edge.ask(`/v1${path}`, { method: "PUT", body });
  expect(reply).toMatchObject({ status: 200 });
  return reply;
};

describe("gateways", () => {
  test("what is behind them, and who leads to a service", async () => {
    expect((await get("/catalog/gateway-services/door")).json).toEqual([]);
    expect((await get("/health/ingress/web")).json).toEqual([]);
    const index = (await get("/health/ingress/web")).headers.get("x-consul-index");
    const waiting = get(`/health/ingress/web?index=${index}&wait=30s`);
    await put("/config", { Kind: "service-defaults", Name: "web", Protocol: "http" });
    await put("/config", {
      Kind: "ingress-gateway",
      Name: "door",
      Listeners: [{ Port: 8443, Protocol: "http", Services: [{ Name: "web", Hosts: ["web.example"] }] }],
    });
    await put("/config", { Kind: "terminating-gateway", Name: "exit", Services: [{ Name: "*", SNI: "s" }] });
    expect((await get("/catalog/gateway-services/door")).json).toEqual([
      {
        Gateway: { Name: "door" },
        Service: { Name: "web" },
        GatewayKind: "ingress-gateway",
        Port: 8443,
        Protocol: "http",
        Hosts: ["web.example"],
        CreateIndex: expect.any(Number) as number,
        ModifyIndex: expect.any(Number) as number,
      },
    ]);
    const exits = (await get("/catalog/gateway-services/exit")).json;
    expect(exits.find((entry: { Service: { Name: string } }) => entry.Service.Name === "web")).toMatchObject({
      GatewayKind: "terminating-gateway",
      SNI: "s",
      FromWildcard: true,
    });
    await waiting;
    expect((await get("/health/ingress/web")).json).toMatchObject([
      { Node: { Node: "edge-1" }, Service: { Service: "door", Kind: "ingress-gateway", Port: 8443 } },
    ]);
    expect(await get("/catalog/gateway-services/")).toMatchObject({ status: 400, text: "Missing gateway name" });
  });
});

describe("?merge-central-config", () => {
  test("folds the defaults into proxies; what they say themselves stays; others are as they are", async () => {
    await put("/config", {
      Kind: "proxy-defaults",
      Name: "global",
      Config: { envoy_stats: "on", protocol: "tcp" },
      MeshGateway: { Mode: "local" },
    });
    const proxyOf = async (query: string) =>
      (await get(`/health/service/web-sidecar-proxy${query}`)).json[0].Service.Proxy;
    expect(await proxyOf("")).toMatchObject({ DestinationServiceName: "web", MeshGateway: {} });
    expect(await proxyOf("?merge-central-config")).toMatchObject({
      DestinationServiceName: "web",
      MeshGateway: { Mode: "local" },
      // The service's protocol goes before the one for all.
      Config: { envoy_stats: "on", protocol: "http" },
    });
    expect(await proxyOf("")).toMatchObject({ MeshGateway: {} });
    expect((await get("/catalog/service/web?merge-central-config")).json[0].ServiceProxy).toEqual({
      Mode: "",
      MeshGateway: {},
      Expose: {},
    });
  });
});

describe("the user interface", () => {
  test("services, summed up", async () => {
    const { json } = await get("/internal/ui/services");
    const named = (name: string) => json.find((entry: { Name: string }) => entry.Name === name);
    expect(named("web")).toEqual({
      Name: "web",
      Datacenter: "dc1",
      Tags: ["v1", "v2"],
      Nodes: ["holdfast"],
      ExternalSources: ["nomad"],
      InstanceCount: 1,
      // Its own, serfHealth, and its proxy's.
      ChecksPassing: 2,
      ChecksWarning: 1,
      ChecksCritical: 0,
      GatewayConfig: {},
      TransparentProxy: false,
      ConnectNative: false,
      ConnectedWithProxy: true,
      ConnectedWithGateway: true,
    });
    expect(named("door")).toMatchObject({ Kind: "ingress-gateway", GatewayConfig: { AssociatedServiceCount: 1 } });
    expect(named("consul")).toMatchObject({ InstanceCount: 1 });
    expect((await get('/internal/ui/services?filter=Service.Service=="door"')).json).toHaveLength(1);
  });

  test("nodes with what is on them", async () => {
    const { json } = await get("/internal/ui/nodes");
    const [holdfast, edgeNode] = ["holdfast", "edge-1"].map((name) =>
      json.find((node: { Node: string }) => node.Node === name),
    );
    expect(edgeNode.Services.map((service: { Service: string }) => service.Service)).toEqual(["door", "exit"]);
    expect(holdfast.Services.map((service: { ID: string }) => service.ID)).toEqual([
      "consul",
      "web",
      "web-sidecar-proxy",
    ]);
    expect(holdfast.Checks.map((check: { CheckID: string }) => check.CheckID)).toEqual([
      "serfHealth",
      "service:web",
      "proxy",
    ]);
    expect((await get("/internal/ui/node/edge-1")).json).toEqual(edgeNode);
    expect(await get("/internal/ui/node/nobody")).toMatchObject({ status: 404, text: "" });
    expect((await get('/internal/ui/nodes?filter=Node=="edge-1"')).json).toHaveLength(1);
  });

  test("an overview", async () => {
    const { json } = await get("/internal/ui/catalog-overview");
    expect(json.Nodes).toEqual([{ Total: 2, Passing: 2, Warning: 0, Critical: 0 }]);
    expect(json.Services).toContainEqual({ Name: "web", Total: 1, Passing: 0, Warning: 1, Critical: 0 });
    expect(json.Checks).toContainEqual({ Name: "Serf Health Status", Total: 1, Passing: 1, Warning: 0, Critical: 0 });
  });
});

test("a change of the catalog alone wakes who waits for the list of services", async () => {
  const index = (await get("/internal/ui/services")).headers.get("x-consul-index");
  const waiting = get(`/internal/ui/services?index=${index}&wait=10m`);
  await put("/agent/service/register", { Name: "late", Port: 1 });
  expect((await waiting).json.map(({ Name }: { Name: string }) => Name)).toContain("late");
});

test("?merge-central-config tells upstreams what central configuration says of them", async () => {
  await put("/config", { Kind: "service-defaults", Name: "db", Protocol: "http2" });
  await put("/config", {
    Kind: "service-defaults",
    Name: "front",
    UpstreamConfig: { Defaults: { ConnectTimeoutMs: 50 }, Overrides: [{ Name: "db", Limits: { MaxConnections: 3 } }] },
  });
  await put("/agent/service/register", {
    Name: "front",
    Port: 80,
    Connect: { SidecarService: { Proxy: { Upstreams: [{ DestinationName: "db", LocalBindPort: 9191 }] } } },
  });
  const [plain, merged] = await Promise.all(
    ["", "?merge-central-config"].map(
      async (query) => (await get(`/health/connect/front${query}`)).json[0].Service.Proxy.Upstreams,
    ),
  );
  expect(plain).toEqual([
    { DestinationType: "service", DestinationName: "db", Datacenter: "", LocalBindPort: 9191, MeshGateway: {} },
  ]);
  expect(merged).toEqual([
    {
      ...plain[0],
      Config: { protocol: "http2", connect_timeout_ms: 50, limits: { MaxConnections: 3 } },
      // Of all proxies.
      MeshGateway: { Mode: "local" },
    },
  ]);
});
