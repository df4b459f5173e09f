/** Coordinates, operators' endpoints, peering and snapshots of Consul's API. */
import { createHash } from "node:crypto";
import { gunzipSync, gzipSync } from "node:zlib";
import { packTar, unpackTar } from "modern-tar";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Edge } from "../../../edge.ts";

let edge: Edge;
beforeAll(async () => {
  edge = await Edge.start(["--no-agent", "--datacenters", "dc1,dc2"]);
});
afterAll(() => edge[Symbol.asyncDispose]());

const get = (path: string) => edge.ask(`/v1${path}`);
const put = (path: string, body: unknown) => edge.ask(`/v1${path}`, { method: "PUT", body });

describe("coordinates", () => {
  const coordinate = (x: number) => ({ Vec: [x, 0, 0, 0, 0, 0, 0, 0], Error: 0.5, Adjustment: 0, Height: 0.001 });

  test("told by an agent, read by node and as a list; the list waits for changes", async () => {
    // A node is known by its instances.
    await edge.put("/services/web/instances/a", { address: "192.0.2.1", port: 80, node: "alpha" });
    const empty = await get("/coordinate/nodes");
    expect(empty.json).toEqual([]);
    expect(await get("/coordinate/node/alpha")).toMatchObject({ status: 404, text: "" });
    const waiting = get(`/coordinate/nodes?index=${empty.headers.get("x-consul-index")}&wait=10s`);
    expect(await put("/coordinate/update", { Node: "alpha", Coord: coordinate(0.1) })).toMatchObject({
      status: 200,
      text: "",
    });
    const entry = { Node: "alpha", Segment: "", Coord: coordinate(0.1) };
    expect((await waiting).json).toEqual([entry]);
    expect((await get("/coordinate/node/ALPHA")).json).toEqual([entry]);
    expect((await get("/coordinate/nodes?segment=other")).json).toEqual([]);
  });

  test("what no coordinate is", async () => {
    const short = { ...coordinate(0), Vec: [1] };
    expect(await put("/coordinate/update", { Node: "alpha", Coord: short })).toMatchObject({
      status: 500,
      text: "incompatible coordinate",
    });
    expect(await put("/coordinate/update", { Node: "alpha", Coord: { Vec: "x" } })).toMatchObject({ status: 400 });
  });

  test("each datacenter has a server", async () => {
    const { json } = await get("/coordinate/datacenters");
    expect(json).toMatchObject([
      { Datacenter: "dc1", AreaID: "WAN", Coordinates: [{ Node: "holdfast.dc1" }] },
      { Datacenter: "dc2" },
    ]);
    expect(json[0].Coordinates[0].Coord.Vec).toHaveLength(8);
  });

  test("a prepared query is answered nearest first", async () => {
    for (const [node, x] of Object.entries({ one: 3, two: 1, three: 2, alpha: 0 })) {
      await edge.put(`/services/near/instances/${node}`, { address: "192.0.2.1", port: 80, node });
      await put("/coordinate/update", { Node: node, Coord: coordinate(x) });
    }
    await edge.ask("/v1/query", {
      method: "POST",
      body: { Name: "near", Service: { Service: "near", Near: "alpha" } },
    });
    const namesOf = async (search: string): Promise<string[]> =>
      (await get(`/query/near/execute${search}`)).json.Nodes.map(
        (entry: { Node: { Node: string } }) => entry.Node.Node,
      );
    expect(await namesOf("")).toEqual(["alpha", "two", "three", "one"]);
    expect(await namesOf("?near=one&limit=2")).toEqual(["one", "three"]);
  });
});

test("without coordinates the nearest is in the same zone, then in the same region", async () => {
  const places = { home: ["eu", "a"], next: ["eu", "b"], far: ["us", "a"], same: ["eu", "a"] };
  for (const [node, [region, zone]] of Object.entries(places)) {
    const body = {
      Node: node,
      Address: "192.0.2.1",
      Locality: { Region: region, Zone: zone },
      Service: { Service: "loc" },
    };
    expect((await put("/catalog/register", body)).json).toBe(true);
  }
  await edge.ask("/v1/query", { method: "POST", body: { Name: "loc", Service: { Service: "loc" } } });
  const { json } = await get("/query/loc/execute?near=HOME");
  const names = json.Nodes.map((entry: { Node: { Node: string } }) => entry.Node.Node);
  expect(names).toEqual(["home", "same", "next", "far"]);
});

describe("operator", () => {
  test("one server, leader and voter, by the same id everywhere", async () => {
    const raft = (await get("/operator/raft/configuration")).json;
    expect(raft.Servers).toMatchObject([{ Node: "holdfast", Leader: true, Voter: true, Address: "127.0.0.1:8300" }]);
    const id = raft.Servers[0].ID;
    const health = await get("/operator/autopilot/health");
    expect(health).toMatchObject({ status: 200, json: { Healthy: true, Servers: [{ ID: id, SerfStatus: "alive" }] } });
    expect((await get("/operator/autopilot/state")).json).toMatchObject({
      Leader: id,
      Voters: [id],
      Servers: { [id]: {} },
    });
  });

  test("settings of autopilot are kept; a stale one is refused", async () => {
    const path = "/operator/autopilot/configuration";
    const before = (await get(path)).json;
    expect(before).toMatchObject({ CleanupDeadServers: true, LastContactThreshold: "200ms", MaxTrailingLogs: 250 });
    const changed = { ...before, MaxTrailingLogs: 7, ServerStabilizationTime: "1m" };
    expect((await put(`${path}?cas=${before.ModifyIndex}`, changed)).json).toBe(true);
    expect((await put(`${path}?cas=${before.ModifyIndex}`, before)).json).toBe(false);
    const after = (await get(path)).json;
    expect(after).toMatchObject({ MaxTrailingLogs: 7, ServerStabilizationTime: "1m0s" });
    expect(after.ModifyIndex).toBeGreaterThan(before.ModifyIndex);
    expect((await put(path, before)).json).toBe(true);
    expect(await put(`${path}?cas=x`, before)).toMatchObject({ status: 400 });
  });

  test.each([
    ["/operator/raft/peer", "DELETE", 400, "Must specify either ?id"],
    ["/operator/raft/peer?id=a&address=b", "DELETE", 400, "Must specify only one of ?id or ?address"],
    ["/operator/raft/peer?id=a", "DELETE", 500, 'id "a" was not found in the Raft configuration'],
    ["/operator/raft/transfer-leader", "POST", 500, "cannot find peer"],
    ["/operator/keyring", "GET", 500, "2 errors occurred:\n\t* dc1 (LAN) error: 1/1 nodes reported failure\n"],
    ["/operator/keyring?relay-factor=9", "GET", 400, "Invalid relay-factor: value must be in range: [0, 5]"],
    ["/peering/token", "POST", 500, "peering must be enabled to use this endpoint"],
    ["/peering/establish", "POST", 500, "peering must be enabled to use this endpoint"],
    ["/peering/x", "GET", 404, 'Peering not found for "x"'],
    ["/internal/federation-state/dc1", "GET", 404, ""],
  ])("%s %s", async (path, method, status, text) => {
    const reply = await edge.ask(`/v1${path}`, { method });
    expect(reply.status).toBe(status);
    expect(reply.text).toContain(text);
  });

  test("lists that are empty", async () => {
    expect((await get("/peerings")).json).toEqual([]);
    expect((await get("/internal/federation-states")).json).toEqual([]);
    expect((await get("/internal/federation-states/mesh-gateways")).json).toEqual({});
  });

  test("usage counts", async () => {
    const services = (await edge.api("/services?datacenter=dc2")).json.services.length;
    expect((await get("/operator/usage?dc=dc2")).json.Usage.dc2).toMatchObject({ Services: services, Nodes: 0 });
    await edge.put("/services/web/instances/a?datacenter=dc2", { address: "192.0.2.1", port: 80, node: "alpha" });
    expect((await get("/operator/usage?dc=dc2")).json.Usage.dc2).toMatchObject({
      Services: services + 1,
      ServiceInstances: 1,
      Nodes: 1,
    });
  });
});

describe("snapshot", () => {
  const hex = (data: Uint8Array): string => createHash("sha256").update(data).digest("hex");
  const files = async (archive: Uint8Array): Promise<Map<string, Uint8Array>> =>
    new Map((await unpackTar(gunzipSync(archive))).map(({ header, data }) => [header.name, data!]));
  const save = async (search = ""): Promise<Uint8Array> => {
    const response = await edge.request(`/v1/snapshot${search}`);
    expect(response.headers.get("content-type")).toBe("application/x-gzip");
    expect(Number(response.headers.get("x-consul-index"))).toBeGreaterThan(1);
    return new Uint8Array(await response.arrayBuffer());
  };
  const archiveOf = async (contents: Map<string, Uint8Array>): Promise<Uint8Array> =>
    gzipSync(
      await packTar(
        [...contents].map(([name, body]) => ({ header: { name, size: body.length, type: "file" as const }, body })),
      ),
    );
  const restore = (body: Uint8Array, search = "") => edge.ask(`/v1/snapshot${search}`, { method: "PUT", body });

  test("an archive that Consul's tools can verify", async () => {
    const contents = await files(await save());
    expect([...contents.keys()]).toEqual(["meta.json", "state.bin", "SHA256SUMS"]);
    const [meta, state, sums] = [...contents.values()];
    expect(Buffer.from(sums!).toString()).toBe(`${hex(meta!)}  meta.json\n${hex(state!)}  state.bin\n`);
    expect(JSON.parse(Buffer.from(meta!).toString())).toMatchObject({ Version: 1, Term: 1, Size: state!.length });
  });

  test("restored into another namespace's datacenter it brings everything back", async () => {
    await edge.put("/kv/config", { value: Buffer.from("kept").toString("base64") });
    const archive = await save();
    await edge.api("/kv/config", { method: "DELETE" });
    expect(await restore(archive)).toMatchObject({ status: 200, text: "" });
    expect((await edge.api("/kv/config")).status).toBe(200);
    expect((await get("/coordinate/node/alpha")).status).toBe(200);
    // Revisions go on: whoever waits by index is not led back.
    expect((await put("/coordinate/update", { Node: "alpha", Coord: { Vec: [0, 0, 0, 0, 0, 0, 0, 0] } })).status).toBe(
      200,
    );
  });

  test("what has been tampered with replaces nothing", async () => {
    const contents = await files(await save());
    const before = (await edge.api("/status")).json.revision;
    const state = contents.get("state.bin")!;
    const other = new Map(contents).set("state.bin", Buffer.concat([state, Buffer.from("{}\n")]));
    const meta = new Map(contents).set("meta.json", Buffer.from("{}"));
    const odd = new Map([...contents, ["passwd", Buffer.from("x")] as const]);
    const missing = new Map([...contents].filter(([name]) => name !== "SHA256SUMS"));
    const cases: [Uint8Array, string][] = [
      [await archiveOf(other), "damaged"],
      [await archiveOf(meta), 'hash check failed for "meta.json"'],
      [await archiveOf(odd), 'unexpected file "passwd" in snapshot'],
      [await archiveOf(missing), "file missing"],
      [Buffer.from("not an archive"), "failed to read snapshot file"],
      [(await save()).subarray(0, 200), "failed to read snapshot file"],
    ];
    for (const [archive, text] of cases) {
      const reply = await restore(archive);
      expect(reply.status).toBe(500);
      expect(reply.text).toContain(text);
    }
    expect((await edge.api("/status")).json.revision).toBe(before);
  });
});
