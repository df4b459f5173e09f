/** Elections, barriers and counters over HTTP. Rules E1 to E4. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Reply, Sse } from "../../edge.ts";
import { Edge, events } from "../../edge.ts";

let edge: Edge;
beforeAll(async () => {
  edge = await Edge.start(["--no-agent"]);
});
afterAll(() => edge[Symbol.asyncDispose]());

const post = (path: string, body: unknown): Promise<Reply> => edge.api(path, { method: "POST", body });
const campaign = (name: string, owner: string, more: object = {}): Promise<Reply> =>
  post(`/elections/${name}/campaign`, { owner, value: `${owner}-value`, ...more });
const queued = (name: string, count: number): Promise<Reply> =>
  edge.until(`/elections/${name}`, ({ json }) => json.candidateCount === count);

/** What an observer is told from now on, one by one. */
async function observe(name: string, headers: Record<string, string> = {}): Promise<() => Promise<Sse>> {
  const path = `/api/v1/namespaces/default/elections/${name}/observe`;
  const told = events(await edge.request(path, { headers }));
  return async () => {
    for (;;) {
      const { value } = await told.next();
      if (value!.event !== "progress") return value!;
    }
  };
}

describe("an election", () => {
  test("is led by one candidate after the other; who resigns is followed in the same commit", async () => {
    const first = await campaign("e1", "a");
    expect(first.json).toMatchObject({ owner: "a", value: "a-value", ttl: 15 });
    expect((await campaign("e1", "b", { wait: 0 })).json).toMatchObject({ code: "conflict", reason: "held" });
    const second = campaign("e1", "b");
    await queued("e1", 1);
    const third = campaign("e1", "c", { wait: 0.1 });
    expect((await third).status).toBe(409);
    const { token } = first.json;
    const resigned = await post("/elections/e1/resign", { owner: "a", token });
    expect(resigned.json.successor).toMatchObject({ owner: "b", value: "b-value" });
    const { status, json } = await second;
    expect([status, json.token]).toEqual([200, resigned.json.successor.token]);
    expect(json.token).toBeGreaterThan(token);
    expect((await post("/elections/e1/resign", { owner: "a", token })).json.code).toBe("fenced");
    expect((await post("/elections/e1/proclaim", { owner: "a", token, value: "x" })).json.code).toBe("fenced");
    expect((await post("/elections/e1/renew", { owner: "b", token: json.token })).json).toEqual({ ttl: 15 });
    expect((await edge.api("/elections")).json.elections).toContainEqual(
      expect.objectContaining({ name: "e1", leader: expect.objectContaining({ owner: "b" }) }),
    );
  });

  test("is observed: the present leader, then each one in order, and from where the reader was", async () => {
    const next = await observe("e2");
    expect((await next()).data.leader).toBeNull();
    const a = (await campaign("e2", "a")).json;
    const told = await next();
    expect(told).toMatchObject({ event: "leader", id: String(a.token), data: { leader: { owner: "a" } } });
    const b = campaign("e2", "b");
    await queued("e2", 1);
    await post("/elections/e2/proclaim", { owner: "a", token: a.token, value: "news" });
    expect((await next()).data.leader).toMatchObject({ owner: "a", token: a.token, value: "news" });
    await post("/elections/e2/resign", { owner: "a", token: a.token });
    const { token } = (await b).json;
    expect((await next()).data).toEqual({ revision: token, leader: expect.objectContaining({ owner: "b", token }) });
    await post("/elections/e2/resign", { owner: "b", token });
    expect((await next()).data.leader).toBeNull();

    const again = await observe("e2", { "last-event-id": told.id! });
    const owners = [await again(), await again(), await again()].map(({ data }) => data.leader?.owner ?? null);
    expect(owners).toEqual(["a", "b", null]);
    const late = await observe("e2");
    expect((await late()).data.leader).toBeNull();
  });

  test("refuses what is no revision, and what is too long", async () => {
    const path = "/api/v1/namespaces/default/elections/e3/observe";
    expect((await edge.ask(path, { headers: { "last-event-id": "x" } })).json.field).toBe("Last-Event-ID");
    expect((await edge.ask(`${path}?since=999999999`)).json.code).toBe("future_revision");
    const value = "x".repeat(70_000);
    expect((await campaign("e3", "a", { value })).json).toMatchObject({ code: "too_large", field: "value" });
  });
});

describe("a barrier", () => {
  const enter = (name: string, owner: string, more: object = {}): Promise<Reply> =>
    post(`/barriers/${name}/enter`, { owner, parties: 3, ...more });
  const present = (name: string, count: number): Promise<Reply> =>
    edge.until(`/barriers/${name}`, ({ json }) => json.present === count);

  test("lets all in when the last comes, and all go when the last leaves", async () => {
    const [a, b] = [enter("b1", "a"), enter("b1", "b")];
    await present("b1", 2);
    const answers = [await enter("b1", "c"), await a, await b];
    expect(answers.map(({ status, json }) => [status, json.open])).toEqual([
      [200, true],
      [200, true],
      [200, true],
    ]);
    const leaving = ["a", "b"].map((owner) => post("/barriers/b1/leave", { owner, wait: 30 }));
    await present("b1", 1);
    expect((await post("/barriers/b1/leave", { owner: "c" })).json).toEqual({ left: true, ended: true });
    for (const one of leaving) expect((await one).json).toEqual({ left: true, ended: true });
    expect((await edge.api("/barriers/b1")).json).toMatchObject({ kind: null, present: 0 });
  });

  test("gives up the place of who comes too early, and keeps that of who is to stay", async () => {
    expect((await enter("b2", "a", { wait: 0.1 })).json.code).toBe("conflict");
    expect((await edge.api("/barriers/b2")).json.present).toBe(0);
    expect((await enter("b2", "a", { wait: 0, stay: true })).status).toBe(202);
    expect((await edge.api("/barriers/b2")).json).toMatchObject({ present: 1, owners: ["a"] });
    expect((await post("/barriers/b2/renew", { owner: "a" })).json).toEqual({ ttl: 15 });
    expect((await post("/barriers/b2/renew", { owner: "b" })).status).toBe(404);
    expect((await enter("b2", "b", { parties: 2 })).json).toMatchObject({ code: "conflict", field: "parties" });
    expect((await enter("b2", "b", { parties: 0 })).json.field).toBe("parties");
  });

  test("a gate holds everybody until it is opened", async () => {
    expect((await edge.put("/barriers/g1", undefined)).json).toMatchObject({ kind: "gate", open: false });
    expect((await enter("g1", "a")).json.code).toBe("conflict");
    const through = edge.api("/barriers/g1?wait=30s");
    expect((await edge.api("/barriers/g1?wait=50ms")).json.open).toBe(false);
    expect((await edge.api("/barriers/g1", { method: "DELETE" })).json).toEqual({ existed: true });
    expect((await through).json.open).toBe(true);
  });
});

describe("a counter", () => {
  test("adds, draws sequences and compares, in 64 bits", async () => {
    expect((await edge.api("/counters/c1")).json).toMatchObject({ value: "0", modRevision: 0 });
    const added = await Promise.all(Array.from({ length: 20 }, () => post("/counters/c1/add", { delta: 2 })));
    expect(new Set(added.map(({ json }) => json.value)).size).toBe(20);
    const { json } = await edge.api("/counters/c1");
    expect(json.value).toBe("40");
    expect((await post("/counters/c1/next", { count: 3 })).json).toEqual({ first: "41", last: "43" });
    const stale = await edge.put("/counters/c1", { value: "1", cas: json.modRevision });
    expect(stale.json.code).toBe("conflict");
    const large = "9223372036854775807";
    expect((await edge.put("/counters/c1", { value: large })).json.value).toBe(large);
    expect((await post("/counters/c1/add", {})).json).toMatchObject({ status: 400, field: "delta" });
    expect((await post("/counters/c1/add", { delta: `-${large}` })).json).toMatchObject({
      value: "0",
      previous: large,
    });
    for (const delta of ["1.5", "x", "9223372036854775808", 1e300, "-0"])
      expect((await post("/counters/c1/add", { delta })).json.field).toBe("delta");
    expect((await post("/counters/c1/next", { count: 0 })).json.field).toBe("count");
    expect((await edge.api("/counters/c1", { method: "DELETE" })).json).toEqual({ existed: true });
  });
});
