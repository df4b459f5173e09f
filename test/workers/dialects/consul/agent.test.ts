/** The agent's endpoints of Consul's API: exact shapes, Consul's texts, and what a registration leaves behind. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Asked } from "../../../edge.ts";
import { Edge } from "../../../edge.ts";

let edge: Edge;
beforeAll(async () => {
  edge = await Edge.start(["--no-agent"]);
});
afterAll(() => edge[Symbol.asyncDispose]());

const get = (path: string, asked: Asked = {}) => edge.ask(`/v1${path}`, asked);
const put = (path: string, body?: unknown, asked: Asked = {}) =>
  edge.ask(`/v1${path}`, { method: "PUT", body, ...asked });
const register = async (body: unknown, asked: Asked = {}) => {
  expect(await put("/agent/service/register", body, asked)).toMatchObject({ status: 200, text: "" });
};
const on = (node: string): Asked => ({ headers: { "x-holdfast-node": node } });

describe("services", () => {
  test("a service is shown with exactly the fields of Consul", async () => {
    await register({
      ID: "web-1",
      Name: "web",
      Tags: ["v1", "primary"],
      Address: "10.0.0.1",
      Port: 8080,
      Meta: { version: "4" },
      Weights: { Passing: 5, Warning: 2 },
      EnableTagOverride: true,
      Check: { TTL: "30s", Status: "passing" },
    });
    const lan = { Address: "10.0.0.1", Port: 8080 };
    const service = {
      ID: "web-1",
      Service: "web",
      Tags: ["v1", "primary"],
      Meta: { version: "4" },
      Port: 8080,
      Address: "10.0.0.1",
      TaggedAddresses: { lan_ipv4: lan, wan_ipv4: lan },
      Weights: { Passing: 5, Warning: 2 },
      EnableTagOverride: true,
      Datacenter: "dc1",
    };
    expect((await get("/agent/services")).json).toEqual({ "web-1": service });
    const one = await get("/agent/service/web-1");
    expect(one.json).toEqual({ ...service, ContentHash: one.headers.get("x-consul-contenthash") });
    expect(await get("/agent/service/other")).toMatchObject({ status: 404, text: "unknown service ID: other" });
    expect((await get('/agent/services?filter=Service=="db"')).json).toEqual({});
    expect((await get("/agent/services?filter=Nonsense==1")).status).toBe(500);
  });

  test("its check has Consul's defaults; the node's liveness is none of the agent's", async () => {
    const checks = (await get("/agent/checks")).json;
    expect(Object.keys(checks).toSorted()).toEqual(["service:web-1"]);
    expect(checks["service:web-1"]).toMatchObject({
      Node: "holdfast",
      Name: "Service 'web' check",
      Status: "passing",
      ServiceID: "web-1",
      ServiceName: "web",
      ServiceTags: ["v1", "primary"],
      Type: "ttl",
      Definition: {},
    });
    expect((await get("/health/node/holdfast")).json[0]).toMatchObject({
      Name: "Serf Health Status",
      Status: "passing",
      Output: "Agent alive and reachable",
      ServiceID: "",
    });
  });

  test("registered again a check keeps its status; the same again moves no index", async () => {
    const definition = { Name: "again", Port: 1, Check: { CheckID: "again-ttl", TTL: "60s" } };
    await register(definition);
    await put("/agent/check/pass/again-ttl?note=fine");
    const before = await get("/health/service/again");
    await register(definition);
    const after = await get("/health/service/again");
    expect(after.headers.get("x-consul-index")).toBe(before.headers.get("x-consul-index"));
    await register({ ...definition, Port: 2, Check: { ...definition.Check, TTL: "90s", Status: "critical" } });
    const changed = (await get("/health/service/again")).json[0];
    expect(changed.Service.Port).toBe(2);
    expect(changed.Checks.at(-1)).toMatchObject({ Status: "passing", Output: "fine" });
  });

  test("checks that are not listed stay, unless they are to be replaced", async () => {
    await register({
      Name: "kept",
      Checks: [
        { CheckID: "one", TTL: "10s" },
        { CheckID: "two", TTL: "10s" },
      ],
    });
    const ids = async () => (await get("/health/checks/kept")).json.map((check: { CheckID: string }) => check.CheckID);
    await register({ Name: "kept", Check: { CheckID: "three", TTL: "10s" } });
    expect((await ids()).toSorted()).toEqual(["one", "three", "two"]);
    expect(
      await put("/agent/service/register?replace-existing-checks", {
        Name: "kept",
        Check: { CheckID: "two", TTL: "10s" },
      }),
    ).toMatchObject({ status: 200 });
    expect(await ids()).toEqual(["two"]);
  });

  test("the same id under another name takes the first one's place", async () => {
    await register({ ID: "moved", Name: "before" });
    await register({ ID: "moved", Name: "after" });
    expect((await get("/catalog/service/before")).json).toEqual([]);
    expect((await get("/catalog/service/after")).json).toHaveLength(1);
    expect((await get("/agent/service/moved")).json.Service).toBe("after");
  });

  test("two nodes may have a service of the same id", async () => {
    await register({ ID: "web-1", Name: "twice", Port: 1 }, on("alpha"));
    await register({ ID: "web-1", Name: "twice", Port: 2 }, on("beta"));
    const found = (await get("/catalog/service/twice")).json;
    expect(
      found.map((entry: { Node: string; ServiceID: string; ServicePort: number }) => [
        entry.Node,
        entry.ServiceID,
        entry.ServicePort,
      ]),
    ).toEqual([
      ["alpha", "web-1", 1],
      ["beta", "web-1", 2],
    ]);
    expect(Object.keys((await get("/agent/services", on("ALPHA"))).json)).toEqual(["web-1"]);
    expect(await put("/agent/service/deregister/web-1", undefined, on("alpha"))).toMatchObject({
      status: 200,
      text: "",
    });
    expect((await get("/catalog/service/twice")).json).toHaveLength(1);
  });

  test("without an address of its own it has its node's, and follows it", async () => {
    await register({ Name: "lodger", Port: 7 }, on("house"));
    const entry = async () => (await get("/catalog/service/lodger")).json[0];
    expect(await entry()).toMatchObject({ Address: "127.0.0.1", ServiceAddress: "" });
    await put("/catalog/register", { Node: "house", Address: "10.9.9.9" });
    expect(await entry()).toMatchObject({ Address: "10.9.9.9", ServiceAddress: "" });
    const native = await edge.api("/resolve/lodger");
    expect(native.json.instances[0].address).toBe("10.9.9.9");
  });

  test("deregistered it is gone, with its checks; an unknown one is told", async () => {
    await register({ Name: "leaver", Check: { TTL: "10s" } });
    expect(await put("/agent/service/deregister/leaver")).toMatchObject({ status: 200, text: "" });
    expect((await get("/agent/checks")).json).not.toHaveProperty("service:leaver");
    expect(await put("/agent/service/deregister/leaver")).toMatchObject({
      status: 404,
      text: 'Unknown service ID "leaver". Ensure that the service ID is passed, not the service name.',
    });
  });

  test("the content hash tells of a change, and a wait for it ends with it", async () => {
    await register({ Name: "hashed", Port: 1, Check: { CheckID: "hashed-ttl", TTL: "60s" } });
    const { ContentHash: hash } = (await get("/agent/service/hashed")).json;
    const waiting = get(`/agent/service/hashed?hash=${hash}&wait=30s`);
    // A check's result is no change of the service's definition.
    await put("/agent/check/pass/hashed-ttl");
    await register({ Name: "hashed", Port: 2, Check: { CheckID: "hashed-ttl", TTL: "60s" } });
    expect((await waiting).json).toMatchObject({ Port: 2 });
    expect((await get(`/agent/service/hashed?hash=${hash}`)).json.ContentHash).not.toBe(hash);
  });

  test("a sidecar gets a port and checks, and leaves with its service", async () => {
    await register({ Name: "app", Port: 9000, Tags: ["a"], Connect: { SidecarService: {} } });
    const proxy = (await get("/agent/service/app-sidecar-proxy")).json;
    expect(proxy).toMatchObject({
      Kind: "connect-proxy",
      Service: "app-sidecar-proxy",
      Port: 21000,
      Tags: ["a"],
      Proxy: {
        DestinationServiceName: "app",
        DestinationServiceID: "app",
        LocalServiceAddress: "127.0.0.1",
        LocalServicePort: 9000,
        MeshGateway: {},
        Expose: {},
      },
    });
    const checks = (await get("/health/checks/app-sidecar-proxy")).json;
    expect(checks.map((check: { Name: string; Type: string }) => [check.Name, check.Type])).toEqual([
      ["Connect Sidecar Listening", "tcp"],
      ["Connect Sidecar Aliasing app", "alias"],
    ]);
    await register({ Name: "app2", Port: 9001, connect: { sidecar_service: {} } });
    expect((await get("/agent/service/app2-sidecar-proxy")).json.Port).toBe(21001);
    await register({ Name: "app", Port: 9000, Connect: { SidecarService: {} } });
    expect((await get("/agent/service/app-sidecar-proxy")).json.Port).toBe(21000);

    const connect = (await get("/health/connect/app")).json;
    expect(connect.map((entry: { Service: { ID: string } }) => entry.Service.ID)).toEqual(["app-sidecar-proxy"]);
    expect((await get("/catalog/connect/app")).json[0]).toMatchObject({ ServiceKind: "connect-proxy" });
    await put("/agent/service/deregister/app");
    expect((await get("/agent/services")).json).not.toHaveProperty("app-sidecar-proxy");
  });

  test("registered elsewhere an instance shows in the catalog, not as the agent's", async () => {
    await edge.put("/services/native/instances/n1", { address: "192.0.2.7", port: 80, tags: ["x"] });
    expect((await get("/agent/services")).json).not.toHaveProperty("n1");
    expect((await get("/catalog/service/native")).json[0]).toMatchObject({
      Node: "holdfast",
      ServiceID: "n1",
      ServiceAddress: "192.0.2.7",
      ServicePort: 80,
      ServiceTags: ["x"],
      ServiceWeights: { Passing: 1, Warning: 1 },
      ServiceMeta: {},
      ServiceProxy: { Mode: "", MeshGateway: {}, Expose: {} },
      ServiceConnect: {},
      ServiceLocality: null,
    });
  });
});

describe("what is wrong with a registration", () => {
  test.each<[unknown, string]>([
    [{}, "Missing service name"],
    [{ Name: "a", Address: "0.0.0.0" }, "Invalid service address"],
    [{ Name: "a", Weights: { Passing: 0, Warning: 1 } }, "Invalid Weights: Passing must be greater than 0"],
    [{ Name: "a", Weights: { Passing: 1, Warning: -1 } }, "Invalid Weights: Warning must be greater or equal than 0"],
    [
      { Name: "a", Meta: { "consul-x": "1" } },
      "Invalid Service Meta: Couldn't load metadata pair ('consul-x', '1'): Key prefix 'consul-' is reserved for internal use",
    ],
    [
      { Name: "a", Meta: { "a b": "1" } },
      "Invalid Service Meta: Couldn't load metadata pair ('a b', '1'): Key contains invalid characters",
    ],
    [{ Name: "a", Check: { Status: "passing" } }, "Invalid check: TTL must be > 0 for TTL checks"],
    [{ Name: "a", Check: { TTL: "10s", Interval: "10s" } }, "Invalid check: Interval and TTL cannot both be specified"],
    [
      { Name: "a", Check: { HTTP: "http://a/" } },
      "Invalid check: Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService checks",
    ],
    [{ Name: "a", Check: { TTL: "10s", Status: "ill" } }, "Status for checks must 'passing', 'warning', 'critical'"],
    [
      { Name: "a", Check: { TTL: "10s", FailuresBeforeWarning: 3, FailuresBeforeCritical: 2 } },
      "Invalid check: FailuresBeforeWarning can't be higher than FailuresBeforeCritical",
    ],
    [{ Name: "a", Nonsense: 1 }, 'Request decode failed: json: unknown field "Nonsense"'],
    [{ Name: "a", Check: { TTL: "soon" } }, 'Request decode failed: time: invalid duration "soon"'],
    [{ Name: 1 }, "Request decode failed: json: cannot unmarshal number into Go struct field Name of type string"],
    [
      { Name: "a", Kind: "connect-proxy", Port: 1 },
      "Validation failed: 1 error occurred:\n\t* Proxy.DestinationServiceName must be non-empty for Connect proxy services\n\n",
    ],
    [
      { Name: "a", Kind: "connect-proxy" },
      "Validation failed: 2 errors occurred:\n\t* Port or SocketPath must be set for a connect-proxy\n\t* Proxy.DestinationServiceName must be non-empty for Connect proxy services\n\n",
    ],
    [
      { Name: "a", Connect: { Native: true } },
      "Validation failed: 1 error occurred:\n\t* Port or SocketPath must be set for a Connect native service.\n\n",
    ],
    [
      { Name: "a", Kind: "mesh-gateway" },
      "Validation failed: 1 error occurred:\n\t* Port must be non-zero for a mesh-gateway\n\n",
    ],
    ["{", "Request decode failed: unexpected EOF"],
    ["{b}", "Request decode failed: invalid character 'b' looking for beginning of object key string"],
    ["", "Request decode failed: EOF"],
  ])("%j", async (body, text) => {
    expect(await put("/agent/service/register", body)).toMatchObject({ status: 400, text });
  });
});

describe("checks", () => {
  test("every kind is registered as what it is", async () => {
    await register({ Name: "kinds", Address: "10.0.0.1", Port: 80 });
    const kinds: [string, Record<string, unknown>][] = [
      ["http", { HTTP: "http://10.0.0.1/", Interval: "10s", Header: { a: ["1", "2"] }, Method: "post" }],
      ["tcp", { TCP: "10.0.0.1:80", Interval: 10_000_000_000 }],
      ["udp", { UDP: "[::1]:53", Interval: "10s" }],
      ["grpc", { GRPC: "10.0.0.1:80/health", grpc_use_tls: true, Interval: "10s" }],
      ["h2ping", { H2PING: "10.0.0.1:80", Interval: "10s" }],
      ["alias", { AliasService: "kinds" }],
      ["ttl", { TTL: "10s" }],
    ];
    for (const [type, body] of kinds) {
      const reply = await put("/agent/check/register", { Name: type, ID: `k-${type}`, ServiceID: "kinds", ...body });
      expect(reply, type).toMatchObject({ status: 200, text: "" });
    }
    const checks = (await get("/agent/checks")).json;
    for (const [type] of kinds) expect(checks[`k-${type}`].Type).toBe(type);
    expect(checks["k-http"]).toMatchObject({ Interval: "10s", Timeout: "10s", Status: "critical" });
  });

  test.each([
    ["script", { args: ["true"], Interval: "10s" }],
    ["docker", { Args: ["true"], docker_container_id: "abc", Shell: "/bin/sh", Interval: "10s" }],
  ])("%s is refused where the operator has not allowed it", async (type, body) => {
    const refusal = { status: 500, text: expect.stringContaining("Scripts are disabled on this agent") };
    expect(await put("/agent/check/register", { Name: type, ...body })).toMatchObject(refusal);
    expect(await put("/agent/service/register", { Name: "scripted", Check: body })).toMatchObject(refusal);
    expect((await get("/agent/services")).json["scripted"]).toBeUndefined();
  });

  test("told to pass, warn and fail", async () => {
    await put("/agent/check/register", { Name: "pulse", TTL: "60s", Notes: "a node's own" });
    const pulse = async () => (await get("/agent/checks")).json["pulse"];
    expect(await pulse()).toMatchObject({ Status: "critical", ServiceID: "", Notes: "a node's own" });
    for (const [verb, status] of [
      ["pass", "passing"],
      ["warn", "warning"],
      ["fail", "critical"],
    ] as const) {
      expect(await put(`/agent/check/${verb}/pulse?note=${verb}`)).toMatchObject({ status: 200, text: "" });
      expect(await pulse()).toMatchObject({ Status: status, Output: verb });
    }
    await put("/agent/check/update/pulse", { Status: "passing", Output: "x".repeat(5000) });
    expect((await pulse()).Output).toMatch(/ \.\.\. \(captured 4096 of 5000 bytes\)$/);
    await put("/agent/check/deregister/pulse");
    expect(await pulse()).toBeUndefined();
  });

  test("the same status and note again is no commit", async () => {
    await put("/agent/check/register", { Name: "beat", TTL: "60s" });
    await put("/agent/check/pass/beat?note=ok");
    const index = async () => (await get("/health/node/holdfast")).headers.get("x-consul-index");
    const before = await index();
    await put("/agent/check/pass/beat?note=ok");
    expect(await index()).toBe(before);
  });

  test.each([
    [
      "/agent/check/pass/nobody",
      404,
      'Unknown check ID "nobody". Ensure that the check ID is passed, not the check name.',
    ],
    ["/agent/check/pass/serfHealth", 500, 'CheckID "serfHealth" does not have associated TTL'],
    [
      "/agent/check/deregister/nobody",
      404,
      'Unknown check ID "nobody". Ensure that the check ID is passed, not the check name.',
    ],
  ])("%s", async (path, status, text) => {
    await register({ Name: "anything" });
    expect(await put(path)).toMatchObject({ status, text });
  });

  test.each<[unknown, number, string]>([
    [{}, 400, "Missing check name"],
    [{ Name: "a", TTL: "1s", Status: "x" }, 400, "Bad check status"],
    [{ Name: "a" }, 400, "Invalid check: TTL must be > 0 for TTL checks"],
    [{ Name: "a", TTL: "10s", ServiceID: "none" }, 404, 'ServiceID "none" does not exist'],
    [{ Name: "a", AliasNode: "b", TTL: "1s" }, 400, "Invalid check: TTL must be not be set for Alias checks"],
  ])("refused: %j", async (body, status, text) => {
    expect(await put("/agent/check/register", body)).toMatchObject({ status, text });
  });

  test("a wrong status is named", async () => {
    expect(await put("/agent/check/update/x", { Status: "fine" })).toMatchObject({
      status: 400,
      text: "Invalid check status: 'fine'",
    });
  });

  test("an id moves with its check to another owner", async () => {
    await register({ Name: "owner" });
    await put("/agent/check/register", { ID: "wanderer", Name: "w", TTL: "60s" });
    await put("/agent/check/register", { ID: "wanderer", Name: "w", TTL: "60s", ServiceID: "owner" });
    const found = (await get("/health/node/holdfast")).json.filter(
      (check: { CheckID: string }) => check.CheckID === "wanderer",
    );
    expect(found).toMatchObject([{ ServiceID: "owner" }]);
  });
});

describe("aggregated health", () => {
  test("the status of the answer is the service's", async () => {
    await register({ ID: "ill-1", Name: "ill", Check: { CheckID: "ill", TTL: "60s", Status: "passing" } });
    const byId = () => get("/agent/health/service/id/ill-1");
    expect(await byId()).toMatchObject({
      status: 200,
      json: { AggregatedStatus: "passing", Service: { ID: "ill-1" } },
    });
    await put("/agent/check/warn/ill");
    expect(await byId()).toMatchObject({ status: 429, json: { AggregatedStatus: "warning" } });
    await put("/agent/check/fail/ill");
    expect(await byId()).toMatchObject({ status: 503, json: { AggregatedStatus: "critical" } });
    const byName = await get("/agent/health/service/name/ill");
    expect(byName).toMatchObject({ status: 503, json: [{ AggregatedStatus: "critical" }] });
    expect(byName.headers.get("x-consul-reason")).toBe("critical");
    expect(await get("/agent/health/service/name/ill?format=text")).toMatchObject({ status: 503, text: "critical" });
    expect(await get("/agent/health/service/id/ill-1", { headers: { accept: "text/plain" } })).toMatchObject({
      status: 503,
      text: "critical",
    });
  });

  test("unknown services", async () => {
    expect(await get("/agent/health/service/id/none?format=text")).toMatchObject({
      status: 404,
      text: "ServiceId none not found",
    });
    expect(await get("/agent/health/service/id/none")).toMatchObject({
      status: 404,
      json: { AggregatedStatus: "critical", Service: null, Checks: null },
    });
    expect(await get("/agent/health/service/name/none?format=text")).toMatchObject({
      status: 404,
      text: "ServiceName none Not Found",
    });
    expect(await get("/agent/health/service/name/none")).toMatchObject({ status: 404, json: [] });
  });
});

describe("maintenance", () => {
  test("of a service: a critical check until it ends; other dialects see it, too", async () => {
    await register({ Name: "tired", Port: 1 });
    expect(await put("/agent/service/maintenance/tired?enable=true&reason=upgrade")).toMatchObject({
      status: 200,
      text: "",
    });
    const checks = (await get("/agent/checks")).json;
    expect(checks["_service_maintenance:tired"]).toMatchObject({
      Name: "Service Maintenance Mode",
      Status: "critical",
      Notes: "upgrade",
      Type: "maintenance",
      ServiceName: "tired",
    });
    expect(await get("/agent/health/service/id/tired?format=text")).toMatchObject({ status: 503, text: "maintenance" });
    expect((await edge.api("/resolve/tired")).json.instances).toEqual([]);
    await put("/agent/service/maintenance/tired?enable=false");
    expect((await get("/health/service/tired?passing")).json).toHaveLength(1);
  });

  test("of an instance that was taken out elsewhere", async () => {
    await register({ Name: "resting", Port: 1 });
    await edge.api("/services/resting/instances/resting", { method: "PATCH", body: { adminState: "draining" } });
    const [entry] = (await get("/health/service/resting")).json;
    expect(entry.Checks.at(-1)).toMatchObject({ CheckID: "_service_maintenance:resting", Status: "critical" });
    await put("/agent/service/maintenance/resting?enable=false");
    expect((await get("/health/service/resting?passing")).json).toHaveLength(1);
  });

  test("of the node: everything on it is out", async () => {
    await register({ Name: "aboard", Port: 1 }, on("ship"));
    await put("/agent/maintenance?enable=1", undefined, on("ship"));
    expect((await get("/health/service/aboard?passing")).json).toEqual([]);
    expect((await get("/health/node/ship")).json).toMatchObject([
      { CheckID: "serfHealth" },
      { CheckID: "_node_maintenance", Name: "Node Maintenance Mode", Type: "maintenance" },
    ]);
    await put("/agent/maintenance?enable=f", undefined, on("ship"));
    expect((await get("/health/service/aboard?passing")).json).toHaveLength(1);
  });

  test.each([
    ["/agent/maintenance", 400, "Missing value for enable"],
    ["/agent/maintenance?enable=maybe", 400, 'Invalid value for enable: "maybe"'],
    ["/agent/service/maintenance/", 400, "Missing service ID"],
    ["/agent/service/maintenance/x", 400, "Missing value for enable"],
    ["/agent/service/maintenance/x?enable=", 400, 'Invalid value for enable: ""'],
    [
      "/agent/service/maintenance/x?enable=true",
      404,
      'Unknown service ID "x". Ensure that the service ID is passed, not the service name.',
    ],
  ])("%s", async (path, status, text) => {
    expect(await put(path)).toMatchObject({ status, text });
  });
});

describe("the agent itself", () => {
  test("self", async () => {
    const { json } = await get("/agent/self");
    expect(json).toMatchObject({
      Config: { Datacenter: "dc1", NodeName: "holdfast", Server: true, Version: "1.21.4" },
      Member: { Name: "holdfast", Status: 1, Tags: { role: "consul", dc: "dc1" } },
      Stats: { consul: { leader: "true" }, raft: { state: "Leader" } },
    });
    const { Node: node } = (await get("/catalog/node/holdfast")).json;
    expect(node.ID).toBe(json.Config.NodeID);
    expect(json.Member.Tags.id).toBe(json.Config.NodeID);
  });

  test("version, host, members", async () => {
    expect((await get("/agent/version")).json.HumanVersion).toBe("1.21.4");
    expect((await get("/agent/host")).json.Errors).toHaveLength(1);
    await register({ Name: "anything" }, on("member"));
    await put("/catalog/register", { Node: "external", Address: "10.0.0.9" });
    const names = (await get("/agent/members")).json.map((member: { Name: string }) => member.Name);
    expect(names).toContain("holdfast");
    expect(names).toContain("member");
    expect(names).not.toContain("external");
    expect((await get("/agent/members?wan=true")).json).toMatchObject([{ Name: "holdfast.dc1", Port: 8302 }]);
    expect((await get('/agent/members?filter=Name=="member"')).json).toHaveLength(1);
    expect(await get("/agent/members?wan=1&segment=a")).toMatchObject({
      status: 400,
      text: "Cannot provide a segment with wan=true",
    });
  });

  test("metrics are what the namespace counts", async () => {
    const { json } = await get("/agent/metrics");
    const applied = json.Gauges.find((gauge: { Name: string }) => gauge.Name === "consul.raft.applied_index");
    expect(applied.Value).toBeGreaterThan(1);
    const text = await get("/agent/metrics?format=prometheus");
    expect(text.headers.get("content-type")).toContain("text/plain");
    expect(text.text).toMatch(/^# TYPE consul_raft_applied_index gauge\nconsul_raft_applied_index \d+\n/);
  });

  test.each([
    ["/agent/monitor?loglevel=loud", 400, "Unknown log level: loud"],
    ["/agent/monitor", 403, "Endpoint is blocked by agent configuration"],
    ["/agent/metrics/stream", 403, "Endpoint is blocked by agent configuration"],
  ])("GET %s", async (path, status, text) => {
    expect(await get(path)).toMatchObject({ status, text });
  });

  test("joining, leaving, reloading", async () => {
    expect(await put("/agent/reload")).toMatchObject({ status: 200, text: "" });
    expect(await put("/agent/join/127.0.0.1")).toMatchObject({ status: 200, text: "" });
    expect((await put("/agent/join/10.0.0.1:8301")).status).toBe(500);
    await register({ Name: "passenger" }, on("leaver"));
    expect(await put("/agent/force-leave/leaver")).toMatchObject({ status: 200 });
    expect((await get("/catalog/service/passenger")).json).toHaveLength(1);
    expect(await put("/agent/leave", undefined, on("leaver"))).toMatchObject({ status: 200, text: "" });
    expect((await get("/catalog/service/passenger")).json).toEqual([]);
    expect((await put("/agent/leave")).status).toBe(500);
    expect(await put("/agent/force-leave/nobody")).toMatchObject({
      status: 500,
      text: "agent: No node found with name 'nobody'",
    });
  });

  test("tokens", async () => {
    expect(await put("/agent/token/nonsense", { Token: "x" })).toMatchObject({
      status: 404,
      text: 'Token "nonsense" is unknown',
    });
    expect((await put("/agent/token/default", { Token: "x" })).status).toBe(403);
  });
});
