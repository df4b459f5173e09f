/** An edge that was told which node its machine is: Consul's clients find themselves on it, and their checks run there. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { grpcServer, health } from "../../../scripts/agent/checks/servers.ts";
import type { Asked } from "../../../edge.ts";
import { Edge } from "../../../edge.ts";

let edge: Edge;
beforeAll(async () => {
  edge = await Edge.start(["--dns-port", "0", "--node", "Web01"]);
});
afterAll(() => edge[Symbol.asyncDispose]());

const get = (path: string, asked: Asked = {}) => edge.ask(`/v1${path}`, asked);
const put = (path: string, body?: unknown, asked: Asked = {}) =>
  edge.ask(`/v1${path}`, { method: "PUT", body, ...asked });
const nodesOf = async (path: string): Promise<string[]> =>
  (await get(path)).json.map(({ Node }: { Node: string }) => Node);

test("it is there before anybody registered, as the agent, the server, and the only node", async () => {
  expect((await get("/agent/self")).json).toMatchObject({
    Config: { NodeName: "Web01" },
    Member: { Name: "Web01", Tags: { role: "consul" } },
  });
  expect(await nodesOf("/catalog/nodes")).toEqual(["Web01"]);
  expect(await nodesOf("/catalog/service/consul")).toEqual(["Web01"]);
  expect(await nodesOf("/health/state/any")).toEqual(["Web01"]);
  expect((await get("/catalog/node/holdfast")).json).toBeNull();
  expect((await get("/operator/autopilot/health")).json.Servers[0].Name).toBe("Web01");
  expect((await get("/coordinate/datacenters")).json[0].Coordinates[0].Node).toBe("Web01.dc1");
  expect((await put("/agent/leave")).status).toBe(500);
});

test("what is registered there is run there, and shown there", async () => {
  await using server = await grpcServer(() => ({ message: health(1) }));
  const Check = { GRPC: `127.0.0.1:${server.port}`, Interval: "1s" };
  expect((await put("/agent/service/register", { Name: "pay", Port: 1, Check })).status).toBe(200);
  let reply = await get("/health/checks/pay");
  for (let asked = 0; reply.json[0].Status !== "passing" && asked < 5; asked++) {
    reply = await get(`/health/checks/pay?index=${reply.headers.get("x-consul-index")}&wait=10s`);
  }
  expect(reply.json[0]).toMatchObject({ Node: "Web01", ServiceID: "pay", Status: "passing" });
  expect(Object.keys((await get("/agent/services")).json)).toEqual(["pay"]);
  expect((await get("/health/service/pay")).json[0].Node.Node).toBe("Web01");
  expect(
    (await put("/txn", [{ Check: { Verb: "get", Check: { Node: "web01", CheckID: "service:pay" } } }])).json,
  ).toMatchObject({ Results: [{ Check: { Node: "Web01", ServiceID: "pay" } }] });
});

test("instances without a node are shown there, and ids do not depend on it", async () => {
  await edge.put("/services/loose/instances/one", { address: "192.0.2.1", port: 1 });
  expect(await nodesOf("/catalog/service/loose")).toEqual(["Web01"]);
  // The same id on the node that is the default elsewhere is another service.
  await put("/agent/service/register", { Name: "pay", Port: 2 }, { headers: { "x-holdfast-node": "holdfast" } });
  const instances = (await edge.api("/services/pay/instances")).json.instances as { id: string; node: string }[];
  expect(instances.map(({ id, node }) => [id, node])).toEqual([
    ["pay", "holdfast"],
    ["pay@web01", "Web01"],
  ]);
  const shown = (await get("/catalog/service/pay")).json as { Node: string; ServiceID: string }[];
  expect(shown.map(({ Node, ServiceID }) => [Node, ServiceID]).toSorted()).toEqual([
    ["Web01", "pay"],
    ["holdfast", "pay"],
  ]);
  expect((await put("/agent/service/deregister/pay")).status).toBe(200);
  expect(await nodesOf("/catalog/service/pay")).toEqual(["holdfast"]);
});
