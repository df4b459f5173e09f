/** Nodes, single checks, and what agents ask and tell, over HTTP. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Edge } from "../../edge.ts";

let edge: Edge;
beforeAll(async () => {
  edge = await Edge.start();
});
afterAll(() => edge[Symbol.asyncDispose]());

const remove = (path: string) => edge.api(path, { method: "DELETE" });
const post = (path: string, body: unknown) => edge.api(path, { method: "POST", body });
const register = (id: string, change: object = {}) =>
  edge.put(`/services/web/instances/${id}`, { address: "192.0.2.1", port: 80, ...change });

describe("nodes", () => {
  test("register, look, list, deregister with what is on it", async () => {
    const put = await edge.put("/nodes/N1", {
      id: "0a0a0a0a-0000-4000-8000-000000000001",
      address: "192.0.2.7",
      addresses: { wan: "198.51.100.7" },
      meta: { rack: "7" },
      checks: [{ type: "status", id: "alive", status: "passing" }],
    });
    expect(put.json).toMatchObject({ name: "N1", status: "passing", implicit: false, checks: [{ id: "alive" }] });
    expect(put.json).not.toHaveProperty("extra");
    expect((await edge.api("/nodes/n1")).json).toEqual(put.json);
    expect((await edge.api("/nodes/0a0a0a0a")).json).toEqual(put.json);
    await register("a", { node: "n1" });
    await register("b", { node: "n2" });
    expect((await edge.api("/nodes")).json).toMatchObject({
      nodes: [{ name: "N1" }, { name: "n2", implicit: true }],
      after: null,
    });
    expect((await edge.api("/nodes/n1/instances")).json).toMatchObject({
      instances: [{ service: "web", id: "a" }],
      after: null,
    });
    expect((await edge.api("/nodes/n1/instances?after=web/a")).json.instances).toEqual([]);
    expect((await edge.api("/nodes/n1/instances?after=web")).json).toMatchObject({ status: 400, field: "after" });
    expect((await remove("/nodes/n1")).json).toEqual({ existed: true });
    expect((await edge.api("/services/web/instances/a")).status).toBe(404);
    for (const path of ["/nodes/n1", "/nodes/n1/instances"]) {
      expect((await edge.api(path)).json).toMatchObject({ status: 404, code: "not_found" });
    }
    expect((await remove("/nodes/n1")).status).toBe(404);
  });

  test("a wrong one is refused by name, and changes nothing", async () => {
    for (const [body, field] of [
      [{}, "address"],
      [{ address: "a b" }, /address$/],
      [{ address: "192.0.2.7", id: "no uuid" }, /id$/],
      [{ address: "192.0.2.7", checks: [{ type: "ttl", ttl: 0 }] }, /checks\[0\]\.ttl$/],
      [{ address: "192.0.2.7", colour: "red" }, "colour"],
    ] as const) {
      const { json } = await edge.put("/nodes/bad", body);
      expect(json).toMatchObject({ status: 400, field: expect.stringMatching(field) as string });
    }
    expect((await edge.api("/nodes/bad")).status).toBe(404);
  });
});

describe("single checks", () => {
  test.each([
    ["/nodes/c1", { address: "192.0.2.7" }],
    ["/services/checked/instances/a", { address: "192.0.2.1", port: 80 }],
  ])("of %s: define, report, replace, remove", async (owner, body) => {
    await edge.put(owner, body);
    const path = `${owner}/checks/alive`;
    expect((await edge.put(path, { type: "status", notes: "by hand" })).json).toMatchObject({
      id: "alive",
      status: "critical",
      notes: "by hand",
    });
    expect((await edge.api(owner)).json).toMatchObject({ status: "critical" });
    const told = await post(`${path}/report`, { status: "passing", output: "fine" });
    expect(told.json).toMatchObject({ status: "passing", output: "fine" });
    expect((await edge.api(owner)).json).toMatchObject({ status: "passing", checks: [told.json] });
    expect((await edge.put(path, { type: "tcp", port: 80, tls: true })).json).toMatchObject({ type: "tcp", tls: true });
    expect((await remove(path)).json).toEqual({ existed: true });
    expect((await edge.api(owner)).json.checks).toEqual([]);
    for (const gone of [await remove(path), await post(`${path}/report`, { status: "passing" })]) {
      expect(gone.json).toMatchObject({ status: 404, code: "not_found" });
    }
  });

  test("of an owner that does not exist there are none", async () => {
    for (const owner of ["/nodes/nobody", "/services/web/instances/nobody"]) {
      expect((await edge.put(`${owner}/checks/c`, { type: "status" })).status).toBe(404);
      expect((await post(`${owner}/checks/c/report`, { status: "passing" })).status).toBe(404);
    }
  });

  test("a report that says the same again is no change, but renews a check of type ttl", async () => {
    await edge.put("/nodes/beating", { address: "192.0.2.7", checks: [{ type: "ttl", id: "beat", ttl: 3600 }] });
    const beat = () => post("/nodes/beating/checks/beat/report", { status: "passing", output: "here" });
    const first = (await beat()).json;
    const { revision, renewals } = (await edge.api("/status")).json;
    expect((await beat()).json).toEqual(first);
    expect((await edge.api("/status")).json).toMatchObject({ revision, renewals: renewals + 1 });
  });
});

describe("agents", () => {
  const grpc = { type: "grpc", port: 50_051, grpcService: "pay", tls: true, tlsServerName: "pay.example" };

  test("are given their node's checks, wait for others, and tell what they found", async () => {
    await register("x", { node: "agent-1", checks: [grpc, { type: "ttl", ttl: 60 }] });
    const first = (await edge.api("/agents/Agent-1/checks")).json;
    expect(first).toMatchObject({
      truncated: false,
      checks: [
        {
          service: "web",
          id: "x",
          address: "192.0.2.1",
          check: { ...grpc, host: "192.0.2.1", interval: 10, output: "no agent has run this check yet" },
        },
      ],
    });

    const waiting = edge.api(`/agents/agent-1/checks?revision=${first.revision}&wait=20s`);
    await edge.until("/status", ({ json }) => json.waiters > 0);
    await register("elsewhere", { node: "agent-2", checks: [grpc] });
    const results = [
      { service: "web", id: "x", check: "grpc", status: "passing", output: "told" },
      { service: "web", id: "elsewhere", check: "grpc", status: "passing" },
      { service: "web", id: "gone", check: "grpc", status: "passing" },
    ];
    expect((await post("/agents/agent-1/checks", { results })).json).toEqual({ applied: 1, ignored: 2 });
    expect((await edge.api("/services/web/instances/x")).json.checks[0]).toMatchObject({ output: "told" });
    await register("x", { node: "agent-1", checks: [{ ...grpc, interval: 5 }] });
    const second = (await waiting).json;
    expect(second.checks).toMatchObject([{ id: "x", check: { interval: 5 } }]);
    expect(second.revision).toBeGreaterThan(first.revision);
  });

  test("that answer for instances without a node are given those too", async () => {
    await register("loose", { checks: [{ type: "script", args: ["true"] }] });
    expect((await edge.api("/agents/agent-3/checks")).json.checks).toEqual([]);
    expect((await edge.api("/agents/agent-3/checks?nodeless=true")).json.checks).toMatchObject([
      { id: "loose", check: { type: "script", args: ["true"] } },
    ]);
  });

  test("a wrong question or report is named", async () => {
    expect((await edge.api("/agents/a/checks?revision=1&wait=2h")).json).toMatchObject({ status: 400, field: "wait" });
    const wrong = await post("/agents/a/checks", {
      results: [{ service: "web", id: "x", check: "c", status: "unknown" }],
    });
    expect(wrong.json).toMatchObject({ status: 400, field: "results[0].status" });
  });
});

test("all of it is in the OpenAPI document", async () => {
  const document = (await edge.ask("/api/openapi.json", { token: null })).json;
  const ids = Object.values<Record<string, { operationId: string }>>(document.paths).flatMap((operations) =>
    Object.values(operations).map(({ operationId }) => operationId),
  );
  expect(ids).toEqual(
    expect.arrayContaining(["listNodes", "registerNode", "putNodeCheck", "reportInstanceCheck", "listAgentChecks"]),
  );
  expect(new Set(ids).size).toBe(ids.length);
});
