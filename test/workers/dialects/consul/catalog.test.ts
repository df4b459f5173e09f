/** Catalog and health of Consul's API: exact shapes, indexes that tell of one service only, selection, and refusals. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Asked, Reply } from "../../../edge.ts";
import { Edge } from "../../../edge.ts";

let edge: Edge;
beforeAll(async () => {
  edge = await Edge.start(["--no-agent", "--datacenters", "dc1,dc2"]);
});
afterAll(() => edge[Symbol.asyncDispose]());

const get = (path: string, asked: Asked = {}) => edge.ask(`/v1${path}`, asked);
const put = (path: string, body?: unknown, asked: Asked = {}) =>
  edge.ask(`/v1${path}`, { method: "PUT", body, ...asked });
const catalog = async (body: unknown) => {
  expect(await put("/catalog/register", body)).toMatchObject({ status: 200, json: true });
};
const indexOf = (reply: Reply) => Number(reply.headers.get("x-consul-index"));
const ID = "40e4a748-2192-161a-0510-9bf59fe950b5";

describe("registering", () => {
  test("node, service and check in one step; all three are shown", async () => {
    await catalog({
      ID,
      Node: "Mach-1",
      Address: "192.168.10.10",
      TaggedAddresses: { lan: "192.168.10.10", wan: "10.0.10.10" },
      NodeMeta: { rack: "a1" },
      Service: {
        ID: "redis1",
        Service: "redis",
        Tags: ["primary", "V1"],
        Address: "127.0.0.1",
        TaggedAddresses: { lan: { Address: "127.0.0.1", Port: 8000 } },
        Meta: { redis_version: "4.0" },
        Port: 8000,
        Weights: { Passing: 10, Warning: 2 },
      },
      Check: {
        Node: "mach-1",
        CheckID: "service:redis1",
        Name: "Redis health check",
        Notes: "Script based",
        Status: "passing",
        ServiceID: "redis1",
        Definition: { TCP: "localhost:8888", Interval: "5s", Timeout: 1_000_000_000, Unknown: "passed over" },
      },
    });
    const node = {
      ID,
      Node: "Mach-1",
      Address: "192.168.10.10",
      Datacenter: "dc1",
      TaggedAddresses: { lan: "192.168.10.10", wan: "10.0.10.10" },
    };
    const indexes = { CreateIndex: expect.any(Number) as number, ModifyIndex: expect.any(Number) as number };
    expect((await get("/catalog/service/redis")).json).toEqual([
      {
        ...node,
        NodeMeta: { rack: "a1" },
        ServiceKind: "",
        ServiceID: "redis1",
        ServiceName: "redis",
        ServiceTags: ["primary", "V1"],
        ServiceAddress: "127.0.0.1",
        ServiceTaggedAddresses: { lan: { Address: "127.0.0.1", Port: 8000 } },
        ServiceWeights: { Passing: 10, Warning: 2 },
        ServiceMeta: { redis_version: "4.0" },
        ServicePort: 8000,
        ServiceSocketPath: "",
        ServiceEnableTagOverride: false,
        ServiceProxy: { Mode: "", MeshGateway: {}, Expose: {} },
        ServiceConnect: {},
        ServiceLocality: null,
        ...indexes,
      },
    ]);
    const service = {
      ID: "redis1",
      Service: "redis",
      Tags: ["primary", "V1"],
      Address: "127.0.0.1",
      TaggedAddresses: { lan: { Address: "127.0.0.1", Port: 8000 } },
      Meta: { redis_version: "4.0" },
      Port: 8000,
      Weights: { Passing: 10, Warning: 2 },
      EnableTagOverride: false,
      Proxy: { Mode: "", MeshGateway: {}, Expose: {} },
      Connect: {},
      PeerName: "",
      ...indexes,
    };
    const check = {
      Node: "Mach-1",
      CheckID: "service:redis1",
      Name: "Redis health check",
      Status: "passing",
      Notes: "Script based",
      Output: "",
      ServiceID: "redis1",
      ServiceName: "redis",
      ServiceTags: ["primary", "V1"],
      Type: "tcp",
      Interval: "",
      Timeout: "",
      ExposedPort: 0,
      Definition: { TCP: "localhost:8888", Interval: "5s", Timeout: "1s" },
      ...indexes,
    };
    const shown = { ...node, Meta: { rack: "a1" }, ...indexes };
    expect((await get("/health/service/redis")).json).toEqual([{ Node: shown, Service: service, Checks: [check] }]);
    expect((await get("/health/checks/redis")).json).toEqual([check]);
    expect((await get("/health/node/MACH-1")).json).toEqual([check]);
    expect((await get("/catalog/node/mach-1")).json).toEqual({ Node: shown, Services: { redis1: service } });
    expect((await get(`/catalog/node/${ID.slice(0, 8)}`)).json.Node).toEqual(shown);
    expect((await get("/catalog/node-services/mach-1")).json).toEqual({ Node: shown, Services: [service] });
  });

  test("the same registration moves no index; a change moves those of its services only", async () => {
    await catalog({ Node: "m2", Address: "10.0.0.2", Service: { Service: "two" } });
    await catalog({
      Node: "m3",
      Address: "10.0.0.3",
      Service: { Service: "three" },
      Check: { Name: "up", Status: "passing" },
    });
    const [two, three] = [indexOf(await get("/health/service/two")), indexOf(await get("/health/service/three"))];
    await catalog({
      Node: "m3",
      Address: "10.0.0.3",
      Service: { Service: "three" },
      Check: { Name: "up", Status: "passing" },
    });
    expect(indexOf(await get("/health/service/three"))).toBe(three);
    // A node's own check concerns what is on it.
    await catalog({ Node: "m3", Address: "10.0.0.3", Check: { Name: "up", Status: "critical", Output: "down" } });
    expect(indexOf(await get("/health/service/three"))).toBeGreaterThan(three);
    expect(indexOf(await get("/health/service/two"))).toBe(two);
    expect((await get("/health/service/three?passing")).json).toEqual([]);
  });

  test("SkipNodeUpdate leaves a node as it is, and still makes one that is missing", async () => {
    await catalog({ Node: "m4", Address: "10.0.0.4", NodeMeta: { a: "1" } });
    await catalog({ Node: "m4", SkipNodeUpdate: true, Service: { Service: "four" } });
    expect((await get("/catalog/service/four")).json[0]).toMatchObject({ Address: "10.0.0.4", NodeMeta: { a: "1" } });
    await catalog({ Node: "m5", Address: "10.0.0.5", SkipNodeUpdate: true });
    expect((await get("/catalog/node/m5")).json.Services).toEqual({});
  });

  test("the body may name another datacenter", async () => {
    await catalog({ Datacenter: "dc2", Node: "far", Address: "10.2.0.1", Service: { Service: "remote" } });
    expect((await get("/catalog/service/remote")).json).toEqual([]);
    expect((await get("/catalog/service/remote?dc=dc2")).json[0].Datacenter).toBe("dc2");
    expect(await put("/catalog/register", { Datacenter: "dc9", Node: "a", Address: "1.1.1.1" })).toMatchObject({
      status: 500,
      text: "No path to datacenter",
    });
  });

  test.each<[unknown, number, string]>([
    [{}, 500, "Must provide node"],
    [{ Node: "a" }, 500, "Must provide address if SkipNodeUpdate is not set"],
    [{ Node: "a", Address: "1.1.1.1", ID: "x" }, 500, "Bad node ID: uuid string is wrong length"],
    [{ Node: "a", Address: "1.1.1.1", Service: {} }, 500, "Must provide service name (Service.Service)"],
    [
      { Node: "a", Address: "1.1.1.1", Service: { ID: "b" } },
      500,
      "Must provide service name (Service.Service) when service ID is provided",
    ],
    [{ Node: "a", Address: "1.1.1.1", Service: { Service: "b", Address: "::" } }, 500, "Invalid service address"],
    [
      { Node: "a", Address: "1.1.1.1", Check: { Node: "b", CheckID: "c" } },
      500,
      "Node 'b' for check 'c' doesn't match register request node 'a'",
    ],
    [
      { Node: "a", Address: "1.1.1.1", Check: { CheckID: "c", ServiceID: "s" } },
      500,
      "Unknown service ID 's' for check ID 'c'",
    ],
    [
      { Node: "Mach-1", Address: "1.1.1.1", ID: "50e4a748-2192-161a-0510-9bf59fe950b5" },
      500,
      `failed inserting node: Error while renaming Node ID: "50e4a748-2192-161a-0510-9bf59fe950b5": Node name Mach-1 is reserved by node ${ID} with name Mach-1 (1.1.1.1)`,
    ],
    [
      { Node: "a", Address: "1.1.1.1", Namespace: "x" },
      400,
      'Request decode failed: json: unknown field "Namespace" - Namespaces are a Consul Enterprise feature',
    ],
    [{ Node: "a", Wrong: 1 }, 400, 'Request decode failed: json: unknown field "Wrong"'],
    [{ Node: "a", Address: "1.1.1.1", PeerName: "p" }, 500, "cannot register requests with PeerName in them"],
  ])("refused: %j", async (body, status, text) => {
    expect(await put("/catalog/register", body)).toMatchObject({ status, text });
  });

  test("deregistering a check, a service, a node; what is not there is no error", async () => {
    await catalog({
      Node: "gone",
      Address: "10.0.0.6",
      Service: { ID: "s1", Service: "going" },
      Checks: [
        { CheckID: "c1", Name: "own", ServiceID: "s1", Status: "passing" },
        { CheckID: "c2", Name: "node's", Status: "passing" },
      ],
    });
    const dereg = (body: object) => put("/catalog/deregister", { Node: "GONE", ...body });
    expect(await dereg({ CheckID: "c2" })).toMatchObject({ status: 200, json: true });
    expect((await get("/health/node/gone")).json).toMatchObject([{ CheckID: "c1" }]);
    expect(await dereg({ ServiceID: "s1", Address: "ignored" })).toMatchObject({ status: 200, json: true });
    expect((await get("/health/node/gone")).json).toEqual([]);
    expect(await dereg({})).toMatchObject({ status: 200, json: true });
    expect(await get("/catalog/node/gone")).toMatchObject({ status: 200, text: "null" });
    expect((await get("/catalog/node-services/gone")).json).toEqual({ Node: null, Services: null });
    for (const body of [{}, { ServiceID: "s1" }, { CheckID: "c1" }]) {
      expect(await dereg(body)).toMatchObject({ status: 200, json: true });
    }
    expect(await put("/catalog/deregister", {})).toMatchObject({ status: 500, text: "Must provide node" });
  });

  test("what somebody else registered without a node can be taken off the default one", async () => {
    await edge.put("/services/stray/instances/stray-1", { address: "192.0.2.1", port: 1 });
    await put("/catalog/deregister", { Node: "holdfast", ServiceID: "stray-1" });
    expect((await get("/catalog/service/stray")).json).toEqual([]);
  });
});

describe("lists", () => {
  test("services with their tags, consul among them", async () => {
    await catalog({ Node: "m2", Address: "10.0.0.2", Service: { ID: "t1", Service: "tagged", Tags: ["b", "a"] } });
    await catalog({ Node: "m2", Address: "10.0.0.2", Service: { ID: "t2", Service: "tagged", Tags: ["c"] } });
    const { json } = await get("/catalog/services");
    expect(json).toMatchObject({ consul: [], tagged: ["a", "b", "c"], two: [] });
    expect((await get("/catalog/services?node-meta=rack:a1")).json).toEqual({ redis: ["V1", "primary"] });
    expect((await get('/catalog/services?filter="c" in ServiceTags')).json).toEqual({ tagged: ["c"] });
  });

  test("nodes, the default one among them", async () => {
    const names = async (query: string) =>
      (await get(`/catalog/nodes${query}`)).json.map((node: { Node: string }) => node.Node);
    expect(await names("")).toEqual(expect.arrayContaining(["holdfast", "Mach-1", "m2", "m3"]));
    expect(await names("?node-meta=rack:a1")).toEqual(["Mach-1"]);
    expect(await names("?node-meta=rack:a1&node-meta=x:y")).toEqual([]);
    expect(await names('?filter=Address=="10.0.0.2"')).toEqual(["m2"]);
  });

  test("consul itself is a service of the default node, which is alive before anybody registered on it", async () => {
    expect((await get("/catalog/service/consul")).json).toMatchObject([
      { Node: "holdfast", ServiceID: "consul", ServicePort: 8300, ServiceAddress: "" },
    ]);
    expect((await get("/health/service/consul?passing")).json).toMatchObject([
      { Service: { ID: "consul" }, Checks: [{ CheckID: "serfHealth", Status: "passing" }] },
    ]);
    expect((await get("/health/node/holdfast")).json).toMatchObject([{ CheckID: "serfHealth" }]);
    expect((await get("/catalog/node/holdfast")).json.Services).toHaveProperty("consul");
  });

  test("checks by state", async () => {
    const ids = async (state: string, query = "") =>
      (await get(`/health/state/${state}${query}`)).json.map((check: { CheckID: string }) => check.CheckID);
    expect(await ids("any")).toEqual(expect.arrayContaining(["serfHealth", "service:redis1", "up"]));
    expect(await ids("critical")).toEqual(["up"]);
    expect(await ids("passing", "?node-meta=rack:a1")).toEqual(["service:redis1"]);
    expect(await ids("warning")).toEqual([]);
    expect(await ids("nonsense")).toEqual([]);
    expect(await ids("any", '?filter=Name=="up"')).toEqual(["up"]);
  });

  test.each([
    ["/health/state/", "Missing check state"],
    ["/health/service/", "Missing service name"],
    ["/health/connect/", "Missing service name"],
    ["/health/checks/", "Missing service name"],
    ["/health/node/", "Missing node name"],
    ["/catalog/service/", "Missing service name"],
    ["/catalog/connect/", "Missing service name"],
    ["/catalog/node/", "Missing node name"],
    ["/health/service/web?passing=perhaps", "Invalid value for ?passing"],
    ["/health/service/web?peer=a&sg=b", "peer-name and sameness-group are mutually exclusive"],
    ["/health/service/web?stale&consistent", "Cannot specify ?stale with ?consistent, conflicting semantics."],
    ["/health/service/web?stale&max_stale=x", 'Invalid max_stale value "x"'],
    ["/health/service/web?index=x", "Invalid index"],
  ])("400: %s", async (path, text) => {
    expect(await get(path)).toMatchObject({ status: 400, text });
  });
});

describe("selection", () => {
  test("by tag, in any case, all of them; by what passes; by filter", async () => {
    for (const [id, tags, status] of [
      ["p1", ["Blue", "x"], "passing"],
      ["p2", ["blue"], "warning"],
      ["p3", ["x"], "critical"],
    ] as const) {
      await catalog({
        Node: "sel",
        Address: "10.0.0.7",
        Service: { ID: id, Service: "picked", Tags: tags, Meta: { id } },
        Check: { CheckID: `c-${id}`, Name: id, ServiceID: id, Status: status },
      });
    }
    const picked = async (query: string) =>
      (await get(`/health/service/picked?${query}`)).json.map((entry: { Service: { ID: string } }) => entry.Service.ID);
    expect(await picked("")).toEqual(["p1", "p2", "p3"]);
    expect(await picked("tag=BLUE")).toEqual(["p1", "p2"]);
    expect(await picked("tag=blue&tag=X")).toEqual(["p1"]);
    expect(await picked("tag=")).toEqual([]);
    expect(await picked("passing")).toEqual(["p1"]);
    expect(await picked("passing=0")).toEqual(["p1", "p2", "p3"]);
    expect(await picked('filter=Service.Meta["id"] == "p2"')).toEqual(["p2"]);
    expect(await picked("filter=Checks.Status != critical")).toEqual(["p1", "p2"]);
    expect(await picked("peer=nobody")).toEqual([]);
    expect((await get("/health/service/picked?filter=Service.Nothing==1")).status).toBe(500);
    expect((await get("/catalog/service/picked?passing")).json).toHaveLength(3);
  });
});

describe("how fresh", () => {
  test("by default the leader's answer, with the service's index", async () => {
    await catalog({ Node: "f", Address: "10.0.0.8", Service: { Service: "fresh", Port: 1 } });
    const reply = await get("/health/service/fresh");
    expect(Object.fromEntries(reply.headers)).toMatchObject({
      "x-consul-effective-consistency": "leader",
      "x-consul-knownleader": "true",
      "x-consul-lastcontact": "0",
    });
    expect(indexOf(reply)).toBeGreaterThan(0);
    expect((await get("/health/service/fresh?consistent")).headers.get("x-consul-effective-consistency")).toBe(
      "consistent",
    );
  });

  test("a change is in the next answer, asked again and again", async () => {
    for (let port = 2; port < 12; port++) {
      await catalog({ Node: "f", Address: "10.0.0.8", Service: { Service: "fresh", Port: port } });
      expect((await get("/health/service/fresh")).json[0].Service.Port).toBe(port);
      expect((await get("/catalog/service/fresh")).json[0].ServicePort).toBe(port);
    }
  });

  test("stale and cached ones say so, and become current by themselves", async () => {
    await catalog({ Node: "f", Address: "10.0.0.8", Service: { Service: "kept", Port: 1 } });
    const stale = await get("/health/service/kept?stale");
    expect(stale.headers.get("x-consul-effective-consistency")).toBe("stale");
    expect(stale.headers.has("x-cache")).toBe(false);
    // The isolate's feed needs a moment to vouch for what is kept.
    const until = async (isWanted: (reply: Reply) => boolean, path: string): Promise<Reply> => {
      const deadline = performance.now() + 10_000;
      for (;;) {
        const reply = await get(path);
        if (isWanted(reply) || performance.now() > deadline) return reply;
      }
    };
    const hit = await until(({ headers }) => headers.get("x-cache") === "HIT", "/health/service/kept?cached");
    expect(hit.headers.get("age")).toBe("0");
    expect(hit.json).toEqual(stale.json);
    await catalog({ Node: "f", Address: "10.0.0.8", Service: { Service: "kept", Port: 2 } });
    const changed = await until(({ json }) => json[0].Service.Port === 2, "/health/service/kept?cached");
    expect(changed.json[0].Service.Port).toBe(2);
    expect(indexOf(changed)).toBeGreaterThan(indexOf(stale));
  });

  test("what is kept for one is not told to who may not see it", async () => {
    for (let times = 0; times < 5; times++) await get("/health/service/kept?stale");
    expect((await get("/health/service/kept?stale", { token: "no-such-token" })).status).toBe(403);
    const elsewhere = await get("/health/service/kept?stale", { headers: { "x-consul-namespace": "elsewhere" } });
    expect(elsewhere.json).toEqual([]);
  });
});

describe("waiting", () => {
  test("a change of the service ends it, a change of another one does not", async () => {
    await catalog({ Node: "w", Address: "10.0.0.9", Service: { Service: "awaited", Port: 1 } });
    const index = indexOf(await get("/health/service/awaited"));
    const waiting = get(`/health/service/awaited?index=${index}&wait=30s`);
    const other = get(`/health/service/other?index=1000000&wait=300ms`);
    await catalog({ Node: "w2", Address: "10.0.0.10", Service: { Service: "other" } });
    await catalog({ Node: "w", Address: "10.0.0.9", Service: { Service: "awaited", Port: 2 } });
    const reply = await waiting;
    expect(reply.json[0].Service.Port).toBe(2);
    expect(indexOf(reply)).toBeGreaterThan(index);
    expect(reply.headers.get("x-consul-query-backend")).toBe("blocking-query");
    // In its time the same answer comes back.
    expect((await other).status).toBe(200);
  });

  test("for a service that does not exist yet, and for its end", async () => {
    const missing = await get("/health/service/unborn");
    expect(missing).toMatchObject({ status: 200, json: [] });
    const waiting = get(`/health/service/unborn?index=${indexOf(missing)}&wait=30s`);
    await catalog({ Node: "w", Address: "10.0.0.9", Service: { Service: "unborn" } });
    const born = await waiting;
    expect(born.json).toHaveLength(1);
    const ending = get(`/health/service/unborn?index=${indexOf(born)}&wait=30s`);
    await put("/catalog/deregister", { Node: "w", ServiceID: "unborn" });
    expect((await ending).json).toEqual([]);
  });

  test.each([
    "/catalog/services",
    "/catalog/nodes",
    "/health/state/any",
    "/catalog/node/fresh-node",
    "/health/node/fresh-node",
  ])("%s", async (path) => {
    const index = indexOf(await get(path));
    const waiting = get(`${path}?index=${index}&wait=30s`);
    await catalog({
      Node: "fresh-node",
      Address: "10.1.0.1",
      Service: { Service: `s${index}` },
      Check: { Name: `c${index}`, Status: "passing" },
    });
    const reply = await waiting;
    expect(indexOf(reply)).toBeGreaterThan(index);
  });
});
