/** The mesh as Consul's user interface reads it: who calls whom and why, and what is behind gateways. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Asked } from "../../../../edge.ts";
import { Edge } from "../../../../edge.ts";

let edge: Edge;
beforeAll(async () => {
  edge = await Edge.start(["--no-agent"]);
  const sidecar = (proxy: object) => ({ SidecarService: { Proxy: proxy } });
  await register(
    "shop",
    80,
    sidecar({
      Upstreams: [
        { DestinationName: "pay", LocalBindPort: 9001 },
        { DestinationName: "virtual", LocalBindPort: 9002 },
        { DestinationName: "some-query", DestinationType: "prepared_query", LocalBindPort: 9003 },
      ],
    }),
  );
  await register("pay", 81, sidecar({}));
  await register("books", 82, sidecar({ Mode: "transparent" }));
  await register("mail", 83, { Native: true });
  await register("plain", 84, {});
  await put("/catalog/register", {
    Node: "edge-1",
    Address: "10.0.0.1",
    Service: { Kind: "ingress-gateway", Service: "door", Port: 8443 },
  });
  await put("/config", { Kind: "service-resolver", Name: "virtual", Redirect: { Service: "pay" } });
  await put("/config", { Kind: "service-defaults", Name: "shop", Protocol: "http" });
});
afterAll(() => edge[Symbol.asyncDispose]());

const get = (path: string, asked: Asked = {}) => edge.ask(`/v1${path}`, asked);
const put = async (path: string, body: unknown) => {
  const reply = await edge.ask(`/v1${path}`, { method: "PUT", body });
  expect(reply).toMatchObject({ status: 200 });
  return reply;
};
const register = (Name: string, Port: number, Connect: object) =>
  put("/agent/service/register", { Name, Port, Connect });
const intentions = (Name: string, Sources: object[], Meta = {}) =>
  put("/config", { Kind: "service-intentions", Name, Sources, Meta });

interface Summary {
  Name: string;
  Source: string;
  Intention: { Allowed: boolean };
}
const topology = async (service: string, kind = "") => {
  const { json } = await get(`/internal/ui/service-topology/${service}?kind=${kind}`);
  const told = (side: Summary[]) => side.map(({ Name, Source, Intention }) => [Name, Source, Intention.Allowed]);
  return { ...json, up: told(json.Upstreams), down: told(json.Downstreams) };
};

describe("service-topology", () => {
  test("what proxies are registered with, and who is registered with a name that leads here", async () => {
    const shop = await topology("shop");
    expect(shop).toMatchObject({ Protocol: "http", TransparentProxy: false, FilteredByACLs: false });
    expect(shop.Upstreams).toEqual([
      {
        Name: "pay",
        Datacenter: "dc1",
        Tags: null,
        Nodes: ["holdfast"],
        ExternalSources: null,
        InstanceCount: 1,
        // serfHealth, and that its proxy is an alias of it.
        ChecksPassing: 2,
        ChecksWarning: 0,
        ChecksCritical: 1,
        GatewayConfig: {},
        TransparentProxy: false,
        ConnectNative: false,
        Source: "proxy-registration",
        Intention: { Allowed: false, HasPermissions: false, ExternalSource: "", HasExact: false, DefaultAllow: false },
      },
      {
        Name: "virtual",
        Datacenter: "dc1",
        Tags: null,
        Nodes: null,
        ExternalSources: null,
        InstanceCount: 0,
        ChecksPassing: 0,
        ChecksWarning: 0,
        ChecksCritical: 0,
        GatewayConfig: {},
        TransparentProxy: false,
        ConnectNative: false,
        Source: "routing-config",
        Intention: { Allowed: false, HasPermissions: false, ExternalSource: "", HasExact: false, DefaultAllow: false },
      },
    ]);
    expect(shop.down).toEqual([]);
    expect((await topology("pay")).down).toEqual([["shop", "proxy-registration", false]]);
    // Only by the redirection does anybody call it.
    await register("shop", 80, {
      SidecarService: { Proxy: { Upstreams: [{ DestinationName: "virtual", LocalBindPort: 9000 }] } },
    });
    expect((await topology("pay")).down).toEqual([["shop", "proxy-registration", false]]);
  });

  test("intentions make calls of those that take all traffic, and decide about all", async () => {
    await intentions(
      "pay",
      [
        { Name: "books", Action: "allow" },
        { Name: "plain", Action: "allow" },
      ],
      {
        "external-source": "nomad",
      },
    );
    const books = await topology("books");
    expect(books.TransparentProxy).toBe(true);
    const pay = books.Upstreams.find(({ Name }: Summary) => Name === "pay");
    expect(pay.Source).toBe("specific-intention");
    expect(pay.Intention).toEqual({
      Allowed: true,
      HasPermissions: false,
      ExternalSource: "nomad",
      HasExact: true,
      DefaultAllow: false,
    });
    // A service without a proxy may call as it likes, and is not of the mesh.
    expect((await topology("pay")).down).toEqual([
      ["books", "specific-intention", true],
      ["shop", "proxy-registration", false],
    ]);
  });

  test("permissions make a call possible, not allowed; a wildcard is told as one", async () => {
    await put("/config", { Kind: "service-defaults", Name: "mail", Protocol: "http" });
    await intentions("mail", [
      { Name: "books", Permissions: [{ Action: "allow", HTTP: { PathPrefix: "/" } }] },
      { Name: "*", Action: "allow" },
    ]);
    const mail = await topology("mail");
    expect(mail.Downstreams.find(({ Name }: Summary) => Name === "books")).toMatchObject({
      Source: "specific-intention",
      Intention: { Allowed: false, HasPermissions: true },
    });
    // A native one may call what it may; here that is nothing.
    expect(mail.up).toEqual([]);
    await intentions("*", [{ Name: "mail", Action: "allow" }]);
    expect((await topology("mail")).up).toEqual([
      ["books", "wildcard-intention", true],
      ["pay", "wildcard-intention", true],
      ["plain", "wildcard-intention", true],
      ["shop", "wildcard-intention", true],
      ["virtual", "routing-config", true],
    ]);
  });

  test("a change of either, catalog or rules, wakes who waits", async () => {
    const index = (await get("/internal/ui/service-topology/pay?kind=")).headers.get("x-consul-index");
    const waiting = get(`/internal/ui/service-topology/pay?kind=&index=${index}&wait=60s`);
    await intentions("pay", [{ Name: "shop", Action: "allow" }]);
    const { json } = await waiting;
    expect(json.Downstreams.find(({ Name }: Summary) => Name === "shop").Intention.Allowed).toBe(true);
  });

  test("gateways call what they let in to, over HTTP if all their listeners speak it", async () => {
    expect(await topology("door", "ingress-gateway")).toMatchObject({ Protocol: "", up: [] });
    await put("/config", {
      Kind: "ingress-gateway",
      Name: "door",
      Listeners: [
        { Port: 8443, Protocol: "http", Services: [{ Name: "shop", Hosts: ["shop.example."] }] },
        { Port: 8444, Protocol: "tcp", Services: [{ Name: "pay" }] },
      ],
    });
    expect(await topology("door", "ingress-gateway")).toMatchObject({
      Protocol: "tcp",
      up: [
        ["pay", "proxy-registration", false],
        ["shop", "proxy-registration", false],
      ],
    });
    expect((await topology("shop")).Downstreams.map(({ Name }: Summary) => Name)).toContain("door");
  });

  test("what is asked wrongly", async () => {
    expect(await get("/internal/ui/service-topology/?kind=")).toMatchObject({
      status: 400,
      text: "Missing service name",
    });
    expect(await get("/internal/ui/service-topology/pay")).toMatchObject({ status: 400, text: "Missing service kind" });
    expect(await get("/internal/ui/service-topology/pay?kind=x")).toMatchObject({
      status: 400,
      text: 'Unsupported service kind "x"',
    });
  });
});

describe("gateways", () => {
  test("services behind them, with the addresses they have there", async () => {
    const { json } = await get("/internal/ui/gateway-services-nodes/door");
    expect(json).toMatchObject([
      { Name: "pay", InstanceCount: 1, GatewayConfig: { Addresses: ["pay.ingress.dc1.consul:8444"] } },
      { Name: "shop", Nodes: ["holdfast"], GatewayConfig: { Addresses: ["shop.example:8443"] } },
    ]);
    expect((await get("/internal/ui/gateway-services-nodes/none")).json).toEqual([]);
    await put("/config", { Kind: "terminating-gateway", Name: "exit", Services: [{ Name: "far" }] });
    expect((await get("/internal/ui/gateway-services-nodes/exit")).json).toMatchObject([
      { Name: "far", InstanceCount: 0, Nodes: null, GatewayConfig: {} },
    ]);
    expect(await get("/internal/ui/gateway-services-nodes/")).toMatchObject({
      status: 400,
      text: "Missing gateway name",
    });
  });

  test("intentions about what is behind them", async () => {
    const { json } = await get("/internal/ui/gateway-intentions/door");
    expect(
      json.map((intention: Record<string, string>) => [intention["SourceName"], intention["DestinationName"]]),
    ).toEqual([
      ["shop", "pay"],
      ["mail", "*"],
    ]);
    expect((await get("/internal/ui/gateway-intentions/none")).json).toEqual([]);
    expect(await get("/internal/ui/gateway-intentions/")).toMatchObject({ status: 400, text: "Missing gateway name" });
  });
});

test("whoever may not read a service is not told of it", async () => {
  const rules = 'service "pay" { policy = "read" } node_prefix "" { policy = "read" }';
  await put("/acl/policy", { Name: "pay-only", Rules: rules });
  const { json } = await put("/acl/token", { Policies: [{ Name: "pay-only" }] });
  const asked: Asked = { token: null, headers: { "x-consul-token": json.SecretID } };
  const pay = await get("/internal/ui/service-topology/pay?kind=", asked);
  expect(pay.json).toMatchObject({ Downstreams: [], FilteredByACLs: true });
  expect(pay.headers.get("x-consul-results-filtered-by-acls")).toBe("true");
  expect((await get("/internal/ui/service-topology/shop?kind=", asked)).status).toBe(403);
  expect((await get("/internal/ui/gateway-services-nodes/door", asked)).status).toBe(403);
  expect((await get("/internal/ui/gateway-intentions/door", asked)).status).toBe(403);
});

test("there are no peers to export to, and no metrics to hand on", async () => {
  expect(await get("/internal/ui/exported-services")).toMatchObject({ status: 500, text: "must provide PeerName" });
  expect((await get("/internal/ui/exported-services?peer=east")).json).toEqual([]);
  expect(await get("/internal/ui/metrics-proxy/api/v1/query")).toMatchObject({
    status: 404,
    text: "Metrics proxy is not enabled",
  });
});
