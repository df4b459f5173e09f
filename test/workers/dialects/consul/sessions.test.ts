/** `/v1/session` with the npm client and without; locks and semaphores built on it. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Edge } from "../../../edge.ts";
import { consulClient } from "./client.ts";
import { createSession, Lock, Semaphore } from "./recipes.ts";

let edge: Edge;
let consul: ReturnType<typeof consulClient>;
beforeAll(async () => {
  edge = await Edge.start(["--no-agent"]);
  consul = consulClient(edge);
});
afterAll(() => edge[Symbol.asyncDispose]());

const get = (path: string) => edge.ask(`/v1${path}`);
const put = (path: string, body?: unknown, headers: Record<string, string> = {}) =>
  edge.ask(`/v1${path}`, { method: "PUT", body, headers });
const info = async (id: string) => (await get(`/session/info/${id}`)).json[0];

test("with the npm client: create, info, list, node, renew, destroy", async () => {
  const { ID: id } = await consul.session.create({ name: "mine", ttl: "15s", behavior: "delete", lockdelay: "5s" });
  expect(await consul.session.get(id)).toMatchObject({ ID: id, Name: "mine", TTL: "15s", Behavior: "delete" });
  expect(await consul.session.list()).toMatchObject([{ ID: id }]);
  expect(await consul.session.node("holdfast")).toMatchObject([{ ID: id }]);
  expect(await consul.session.renew(id)).toMatchObject([{ ID: id }]);
  await consul.session.destroy(id);
  expect(await consul.session.get(id)).toBeUndefined();
  await expect(consul.session.renew(id)).rejects.toThrow(`Session id '${id}' not found`);
});

describe("a session", () => {
  test("has these fields; without a body, the defaults", async () => {
    const created = await put("/session/create");
    expect(created).toMatchObject({ status: 200 });
    const { ID: id } = created.json;
    expect(id).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    const reply = await get(`/session/info/${id}`);
    const { CreateIndex: index } = reply.json[0];
    expect(reply.text).toBe(
      `[{"ID":"${id}","Name":"","Node":"holdfast","LockDelay":15000000000,"Behavior":"release","TTL":"",` +
        `"NodeChecks":["serfHealth"],"ServiceChecks":null,"CreateIndex":${index},"ModifyIndex":${index}}]`,
    );
    expect(reply.headers.get("x-consul-index")).toBe(String(index));
  });

  test.each([
    [{ LockDelay: "500ms" }, { LockDelay: 500_000_000 }],
    [{ LockDelay: 7 }, { LockDelay: 7_000_000_000 }],
    [{ LockDelay: 3_000_000_000 }, { LockDelay: 3_000_000_000 }],
    [{ LockDelay: "0s" }, { LockDelay: 0 }],
    [{ Checks: [] }, { NodeChecks: [] }],
    [{ Checks: null }, { NodeChecks: [] }],
    [{ NodeChecks: [] }, { NodeChecks: [] }],
    [{ NodeChecks: ["serfHealth"], Unknown: { Field: 1 } }, { NodeChecks: ["serfHealth"] }],
    [
      { name: "lower", ttl: "1m30s" },
      { Name: "lower", TTL: "1m30s" },
    ],
    [{ TTL: "0s" }, { TTL: "0s" }],
    [{ Node: "HOLDFAST" }, { Node: "holdfast" }],
  ])("made of %j", async (body, shown) => {
    expect(await info((await put("/session/create", body)).json.ID)).toMatchObject(shown);
  });

  test("may be bound to checks of services, old and new form", async () => {
    const check = { Name: "up", CheckID: "svc:up", TTL: "60s", Status: "passing" };
    await put("/agent/service/register", { Name: "web", Check: check });
    const body = { Checks: ["svc:up"], ServiceChecks: [{ ID: "svc:up" }] };
    const { ID: id } = (await put("/session/create", body)).json;
    expect(await info(id)).toMatchObject({
      Checks: ["svc:up"],
      NodeChecks: ["serfHealth"],
      ServiceChecks: [{ ID: "svc:up", Namespace: "" }],
    });
    await put(`/kv/bound?acquire=${id}`, "v");
    await put("/agent/check/fail/svc:up");
    expect(await info(id)).toBeUndefined();
    expect((await get("/kv/bound")).json[0]).not.toHaveProperty("Session");
    expect(await put("/session/create", body)).toMatchObject({
      status: 500,
      text: "apply failed: Check 'svc:up' is in critical state",
    });
    await put("/agent/service/deregister/web");
  });

  test("lives on its agent's node, and goes with it", async () => {
    const on = { "x-holdfast-node": "worker-1" };
    const { ID: id } = (await put("/session/create", { Name: "w" }, on)).json;
    expect((await get("/session/node/worker-1")).json).toMatchObject([{ ID: id, Node: "worker-1" }]);
    await put("/catalog/deregister", { Node: "worker-1" });
    expect((await get("/session/node/worker-1")).json).toEqual([]);
  });
});

describe("what is wrong is told in Consul's words", () => {
  test.each([
    [{ TTL: "9s" }, 500, "Invalid Session TTL '9000000000', must be between [10s=24h0m0s]"],
    [{ TTL: "25h" }, 500, "Invalid Session TTL '90000000000000', must be between [10s=24h0m0s]"],
    [{ TTL: "-10s" }, 500, "Invalid Session TTL '-10000000000', must be between [10s=24h0m0s]"],
    [{ TTL: "soon" }, 500, `Session TTL 'soon' invalid: time: invalid duration "soon"`],
    [{ Behavior: "keep" }, 500, "Invalid Behavior setting 'keep'"],
    [{ Node: "elsewhere" }, 500, "apply failed: Missing node registration"],
    [{ Checks: ["none"] }, 500, "apply failed: Missing check 'none' registration"],
    [{ NodeChecks: ["none"] }, 500, "apply failed: Missing check 'none' registration"],
    [{ LockDelay: "soon" }, 400, `Request decode failed: time: invalid duration "soon"`],
    [{ Name: 5 }, 400, "Request decode failed: json: cannot unmarshal number into Go struct field Name of type string"],
  ])("%j", async (body, status, text) => {
    const before = (await get("/session/list")).json.length;
    expect(await put("/session/create", body)).toMatchObject({ status, text });
    expect((await get("/session/list")).json).toHaveLength(before);
  });

  test.each(["{", "[]", "nothing", '{"Name":"\\u0000"}', '{"Checks":["a\\u0000b"]}'])("body %s", async (body) => {
    expect((await put("/session/create", body)).status).toBe(400);
  });

  test.each([
    ["PUT", "/session/renew/", 400, "Missing session"],
    ["PUT", "/session/destroy/", 400, "Missing session"],
    ["GET", "/session/info/", 400, "Missing session"],
    ["GET", "/session/node/", 400, "Missing node name"],
    ["PUT", "/session/renew/nobody", 404, "Session id 'nobody' not found"],
    ["PUT", "/session/destroy/nobody", 200, "true"],
    ["GET", "/session/info/nobody", 200, "[]"],
    ["GET", "/session/node/nowhere", 200, "[]"],
    ["GET", "/session/create", 405, "method GET not allowed"],
    ["PUT", "/session/list", 405, "method PUT not allowed"],
  ])("%s %s", async (method, path, status, text) => {
    expect(await edge.ask(`/v1${path}`, { method })).toMatchObject({ status, text });
  });
});

test("a read waits for the end of a session", async () => {
  const id = await createSession(edge);
  const index = (await get(`/session/info/${id}`)).headers.get("x-consul-index");
  const waiting = get(`/session/info/${id}?index=${index}&wait=30s`);
  await put(`/session/destroy/${id}`);
  expect((await waiting).json).toEqual([]);
});

test("destroying starts the lock delay, for anybody and only for what it held", async () => {
  const [first, second] = [await createSession(edge, { LockDelay: "30s" }), await createSession(edge)];
  await put(`/kv/delayed?acquire=${first}`, "v");
  await put(`/session/destroy/${first}`);
  expect((await put(`/kv/delayed?acquire=${second}`, "v")).text).toBe("false");
  expect((await get("/kv/delayed")).json[0]).not.toHaveProperty("Session");
  const txn = [{ KV: { Verb: "lock", Key: "delayed", Session: second } }];
  expect((await put("/txn", txn)).json.Errors).toEqual([
    { OpIndex: 0, What: 'failed to lock key "delayed" due to lock delay' },
  ]);
  expect((await put(`/kv/free?acquire=${second}`, "v")).text).toBe("true");
});

test("renewals are no changes", async () => {
  const id = await createSession(edge);
  const before = (await get("/session/list")).headers.get("x-consul-index");
  await put(`/session/renew/${id}`);
  expect((await get("/session/list")).headers.get("x-consul-index")).toBe(before);
});

describe("recipes", () => {
  test("lock: one at a time, handed on by release, by destruction, and noticed when lost", async () => {
    const locks = await Promise.all([1, 2, 3].map(() => Lock.open(edge, "leader")));
    const order: number[] = [];
    let holders = 0;
    const work = locks.map(async (lock, n) => {
      await lock.lock(`holder ${n}`);
      expect(++holders).toBe(1);
      order.push(n);
      const { text, json } = await get("/kv/leader");
      expect(text).toContain('"Flags":3304740253564472344,');
      expect(json[0]).toMatchObject({ Session: lock.session, LockIndex: order.length });
      holders--;
      if (order.length === 2) {
        const lost = lock.lost();
        await put(`/session/destroy/${lock.session}`);
        await lost;
        expect(await lock.unlock()).toBe("false");
      } else expect(await lock.unlock()).toBe("true");
    });
    await Promise.all(work);
    expect(order.toSorted()).toEqual([0, 1, 2]);
  });

  test("semaphore: never more than the limit, and the place of the dead is free", async () => {
    const limit = 2;
    const all = await Promise.all([1, 2, 3, 4, 5].map(() => Semaphore.open(edge, "pool", limit)));
    let inside = 0;
    let died = false;
    await Promise.all(
      all.map(async (semaphore) => {
        await semaphore.acquire();
        expect(++inside).toBeLessThanOrEqual(limit);
        await get("/status/leader");
        inside--;
        if (!died) {
          died = true;
          await semaphore.die();
        } else await semaphore.release();
      }),
    );
    const left = (await get("/kv/pool/?keys")).json;
    expect(left).toEqual(["pool/.lock"]);
  });
});

test("sessions, what they hold, and lock delays outlive the server", async () => {
  const [held, delayed] = [
    await createSession(edge, { LockDelay: "60s" }),
    await createSession(edge, { LockDelay: 60 }),
  ];
  await put(`/kv/survives?acquire=${held}&flags=16210313421097356768`, "v");
  await put(`/kv/paused?acquire=${delayed}`, "v");
  await put(`/session/destroy/${delayed}`);
  await edge.kill();
  await edge.boot();
  expect((await get("/kv/survives")).text).toContain('"Flags":16210313421097356768,');
  expect((await get("/kv/survives")).json[0]).toMatchObject({ Session: held, LockIndex: 1 });
  expect((await put(`/session/renew/${held}`)).status).toBe(200);
  expect((await put(`/kv/paused?acquire=${held}`, "v")).text).toBe("false");
}, 30_000);
