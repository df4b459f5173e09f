/** Locks over HTTP: waiting requests, what becomes of them, and the fencing of who comes back too late. Rules M1 to M7. */
import { once } from "node:events";
import type { Socket } from "node:net";
import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Reply } from "../../edge.ts";
import { Edge, TOKEN } from "../../edge.ts";

let edge: Edge;
beforeAll(async () => {
  edge = await Edge.start(["--no-agent"]);
});
afterAll(() => edge[Symbol.asyncDispose]());

let names = 0;
/** A lock that no other test knows. */
const fresh = (): string => `lock-${++names}`;

const post = (path: string, body: unknown): Promise<Reply> => edge.api(path, { method: "POST", body });
const acquire = (name: string, owner: string, more: object = {}): Promise<Reply> =>
  post(`/locks/${name}/acquire`, { owner, ...more });
const release = (name: string, owner: string, token: number): Promise<Reply> =>
  post(`/locks/${name}/release`, { owner, token });
const ownersOf = (claims: { owner: string }[]): string[] => claims.map(({ owner }) => owner);
const waiting = (name: string, ...owners: string[]): Promise<Reply> =>
  edge.until(`/locks/${name}`, ({ json }) => String(ownersOf(json.waiters)) === String(owners));

/** A request on a connection that the test can break. */
async function asking(path: string, body: object, key?: string): Promise<Socket> {
  const { hostname, port } = new URL(edge.address);
  const socket = connect(Number(port), hostname);
  await once(socket, "connect");
  const text = JSON.stringify(body);
  const head = [`POST /api/v1/namespaces/default${path} HTTP/1.1`, "host: x", `authorization: Bearer ${TOKEN}`];
  if (key !== undefined) head.push(`idempotency-key: ${key}`);
  socket.write([...head, `content-length: ${text.length}`, "", text].join("\r\n"));
  return socket;
}

describe("acquire, renew, release", () => {
  test("answers a token, and refuses who only tries", async () => {
    const name = fresh();
    const held = await acquire(name, "a", { wait: 0 });
    expect(held.status).toBe(200);
    expect(held.json).toMatchObject({ name, owner: "a", kind: "mutex", count: 1, ttl: 15 });
    expect(held.json.token).toBe(Number(held.headers.get("x-holdfast-revision")));
    const refused = await acquire(name, "b", { wait: 0 });
    expect(refused.status).toBe(409);
    expect(refused.json).toMatchObject({ code: "conflict", reason: "held" });
    const { owner, token } = held.json;
    expect((await post(`/locks/${name}/renew`, { owner, token })).json).toEqual({ ttl: 15 });
    expect((await edge.api("/locks")).json.locks).toContainEqual(
      expect.objectContaining({ name, holderCount: 1, waiterCount: 0 }),
    );
    expect((await release(name, owner, token)).json).toEqual({ count: 0 });
    expect((await post(`/locks/${name}/renew`, { owner, token })).json).toMatchObject({ code: "fenced", token });
    expect((await release(name, owner, token)).status).toBe(409);
  });

  test("whoever waits is answered by the release, in the order of arrival, under rising tokens", async () => {
    const name = fresh();
    let token: number = (await acquire(name, "a")).json.token;
    const order = ["c", "b", "d"];
    const answers: Promise<Reply>[] = [];
    for (const [index, owner] of order.entries()) {
      answers.push(acquire(name, owner));
      await waiting(name, ...order.slice(0, index + 1));
    }
    let holder = "a";
    for (const [index, owner] of order.entries()) {
      await release(name, holder, token);
      const { status, json } = await answers[index]!;
      expect([status, json.owner]).toEqual([200, owner]);
      expect(json.token).toBeGreaterThan(token);
      [holder, token] = [owner, json.token];
    }
  });

  test("a place is given up when its time is over", async () => {
    const name = fresh();
    await acquire(name, "a");
    expect((await acquire(name, "b", { wait: 0.2 })).json).toMatchObject({ code: "conflict", reason: "held" });
    expect((await edge.api(`/locks/${name}`)).json.waiterCount).toBe(0);
  });

  test("and when its client goes away", async () => {
    const name = fresh();
    const { json } = await acquire(name, "a");
    const socket = await asking(`/locks/${name}/acquire`, { owner: "b" });
    await waiting(name, "b");
    const next = acquire(name, "c");
    await waiting(name, "b", "c");
    socket.resetAndDestroy();
    expect(ownersOf((await waiting(name, "c")).json.waiters)).toEqual(["c"]);
    await release(name, "a", json.token);
    expect((await next).json.owner).toBe("c");
  });

  test("a waiting request keeps its own lease alive", async () => {
    const name = fresh();
    const { json } = await acquire(name, "a", { ttl: 30 });
    const later = acquire(name, "b", { ttl: 1, wait: 30 });
    await waiting(name, "b");
    // As long as the lease of b would have lasted by itself, and again.
    await acquire(name, "z", { wait: 2.2 });
    await release(name, "a", json.token);
    expect((await later).json).toMatchObject({ owner: "b", ttl: 1 });
  });

  test("with stay it lasts: over a broken connection, and over a restart of everything", async () => {
    const name = fresh();
    const { json } = await acquire(name, "a", { ttl: 60 });
    expect((await acquire(name, "b", { ttl: 60, wait: 0.1, stay: true })).status).toBe(202);
    const socket = await asking(`/locks/${name}/acquire`, { owner: "b", ttl: 60, stay: true });
    await acquire(name, "c", { ttl: 60, wait: 0, stay: true });
    socket.resetAndDestroy();
    await edge.kill();
    await edge.boot();
    expect(ownersOf((await waiting(name, "b", "c")).json.waiters)).toEqual(["b", "c"]);
    await release(name, "a", json.token);
    const held = await acquire(name, "b", { ttl: 60, stay: true });
    // Asked for three times, held once.
    expect([held.status, held.json.count]).toEqual([200, 1]);
    expect(held.json.token).toBeGreaterThan(json.token);
  });

  test("the same owner asking again takes the place over from the earlier request", async () => {
    const name = fresh();
    const { json } = await acquire(name, "a");
    const first = acquire(name, "b");
    await waiting(name, "b");
    const second = acquire(name, "b");
    expect((await first).json).toMatchObject({ code: "conflict", reason: "taken_up" });
    await release(name, "a", json.token);
    expect((await second).json).toMatchObject({ owner: "b", count: 1 });
  });

  test("a claim that is withdrawn by another request ends the waiting one", async () => {
    const name = fresh();
    await acquire(name, "a");
    const later = acquire(name, "b");
    await waiting(name, "b");
    expect((await post(`/locks/${name}/withdraw`, { owner: "b" })).json).toEqual({ claim: null });
    expect((await later).json).toMatchObject({ status: 410, code: "expired" });
    expect((await post(`/locks/${name}/withdraw`, { owner: "a" })).json.claim.owner).toBe("a");
  });

  describe("a wait that breaks off because the object ends, again and again", () => {
    /** The object ends whenever it is about to commit, until the request has its answer. */
    const brokenOff = async (asked: Promise<Reply>): Promise<Reply> => {
      let isAnswered = false;
      const answer = asked.finally(() => (isAnswered = true));
      const headers = { "x-holdfast-test-abort": "before_commit" };
      while (!isAnswered) await edge.put("/kv/kill", "x", { headers });
      return answer;
    };
    const UNKNOWN = { status: 503, code: "unavailable", outcome: "unknown" };

    test("with stay: whether it has been granted is unknown, the place stays, and the same owner takes it up", async () => {
      const name = fresh();
      const { token } = (await acquire(name, "a", { ttl: 60 })).json;
      const asking = acquire(name, "b", { ttl: 60, stay: true });
      await waiting(name, "b");
      expect((await brokenOff(asking)).json).toMatchObject(UNKNOWN);
      expect(ownersOf((await waiting(name, "b")).json.waiters)).toEqual(["b"]);
      await release(name, "a", token);
      expect((await acquire(name, "b", { ttl: 60, stay: true })).json).toMatchObject({ owner: "b", count: 1 });
    });

    test("so is leadership", async () => {
      const name = fresh();
      const path = `/elections/${name}`;
      const campaign = (owner: string): Promise<Reply> => post(`${path}/campaign`, { owner, ttl: 60, stay: true });
      const { token } = (await campaign("a")).json;
      const asking = campaign("b");
      await edge.until(path, ({ json }) => json.candidateCount === 1);
      expect((await brokenOff(asking)).json).toMatchObject(UNKNOWN);
      await edge.until(path, ({ json }) => json.candidateCount === 1);
      await post(`${path}/resign`, { owner: "a", token });
      expect((await campaign("b")).json).toMatchObject({ owner: "b" });
    });

    test("without it: unknown too, unless the place could be given up", async () => {
      const name = fresh();
      await acquire(name, "a", { ttl: 60 });
      const asking = acquire(name, "b", { ttl: 60 });
      await waiting(name, "b");
      const { json } = await brokenOff(asking);
      expect(json).toMatchObject({ status: 503, code: "unavailable" });
      const { waiters } = (await edge.until(`/locks/${name}`, ({ status }) => status === 200)).json;
      if (json.outcome !== "unknown") expect(waiters).toEqual([]);
    });
  });

  describe("repeated under its Idempotency-Key (K6)", () => {
    const again = (path: string, body: object, key: string): Promise<Reply> =>
      edge.api(path, { method: "POST", body, headers: { "idempotency-key": key } });

    /** Asked for on a connection that breaks while it waits. */
    const brokenOff = async (path: string, body: object, key: string, isWaiting: () => Promise<unknown>) => {
      const socket = await asking(path, body, key);
      await isWaiting();
      socket.resetAndDestroy();
      // The edge has heard of it by the time it hears of the next reset.
      const other = await asking("/locks/unrelated/acquire", { owner: `other-${key}` });
      await waiting("unrelated", `other-${key}`);
      other.resetAndDestroy();
      await waiting("unrelated");
    };
    beforeAll(() => acquire("unrelated", "holder", { ttl: 600 }));

    test("an acquisition goes on in the place of the first, whose connection broke", async () => {
      const name = fresh();
      const path = `/locks/${name}/acquire`;
      const { token } = (await acquire(name, "a")).json;
      await brokenOff(path, { owner: "b", ttl: 60 }, name, () => waiting(name, "b"));
      const later = acquire(name, "c");
      expect(ownersOf((await waiting(name, "b", "c")).json.waiters)).toEqual(["b", "c"]);
      const second = again(path, { owner: "b", ttl: 60 }, name);
      await release(name, "a", token);
      const held = (await second).json;
      expect(held).toMatchObject({ owner: "b", count: 1 });
      expect((await again(path, { owner: "b", ttl: 60 }, name)).json).toEqual(held);
      expect((await release(name, "b", held.token)).status).toBe(200);
      expect((await later).json.owner).toBe("c");
    });

    test("so does a candidacy", async () => {
      const name = fresh();
      const path = `/elections/${name}`;
      const { token } = (await post(`${path}/campaign`, { owner: "a" })).json;
      const queued = (): Promise<Reply> => edge.until(path, ({ json }) => json.candidateCount === 1);
      const body = { owner: "b", ttl: 60 };
      await brokenOff(`${path}/campaign`, body, name, queued);
      await post(`${path}/resign`, { owner: "a", token });
      const led = (await again(`${path}/campaign`, body, name)).json;
      expect((await post(`${path}/proclaim`, { owner: "b", token: led.token, value: "x" })).status).toBe(200);
    });

    test("and a party at a barrier", async () => {
      const name = fresh();
      const path = `/barriers/${name}`;
      const body = { owner: "b", parties: 2, ttl: 60 };
      await brokenOff(`${path}/enter`, body, name, () => edge.until(path, ({ json }) => json.present === 1));
      expect((await post(`${path}/enter`, { ...body, owner: "c" })).json.open).toBe(true);
      expect((await again(`${path}/enter`, body, name)).json).toMatchObject({ open: true, owner: "b" });
      expect((await post(`${path}/leave`, { owner: "b" })).json.left).toBe(true);
      expect((await again(`${path}/enter`, body, name)).status).toBe(410);
      expect((await post(`${path}/leave`, { owner: "c" })).json.left).toBe(true);
      // Of a later round the repeat of an earlier one is no party.
      expect((await post(`${path}/enter`, { ...body, wait: 0, stay: true })).status).toBe(202);
      expect((await again(`${path}/enter`, body, name)).status).toBe(410);
      expect((await edge.api(path)).json.present).toBe(1);
    });

    test("says that it is gone when what was granted then is held no longer", async () => {
      const name = fresh();
      const path = `/locks/${name}/acquire`;
      const held = (await again(path, { owner: "a" }, name)).json;
      expect((await again(path, { owner: "a" }, name)).json).toEqual(held);
      await release(name, "a", held.token);
      expect((await again(path, { owner: "a" }, name)).json).toMatchObject({ status: 410, code: "expired" });
      await acquire(name, "a");
      expect((await again(path, { owner: "a" }, name)).json).toMatchObject({ status: 409, reason: "taken_up" });
      expect((await edge.api(`/locks/${name}`)).json.holders).toMatchObject([{ owner: "a", count: 1 }]);
    });
  });

  test("a token that is revoked while it waits ends the waiting", async () => {
    const name = fresh();
    await acquire(name, "a");
    const statements = [{ verbs: ["acquire"], kind: "lock", match: "prefix", name: "lock-" }];
    const made = (await post("/tokens", { statements })).json;
    const body = { owner: "b", ttl: 1, wait: 30 };
    const later = edge.api(`/locks/${name}/acquire`, { method: "POST", body, token: made.secret });
    await waiting(name, "b");
    await edge.api(`/tokens/${made.accessor}`, { method: "DELETE" });
    expect((await later).status).toBe(401);
    expect((await edge.api(`/locks/${name}`)).json.waiterCount).toBe(0);
  });
});

describe("a fence", () => {
  const put = (fence: string, body: string, token = TOKEN): Promise<Reply> =>
    edge.api("/kv/guarded", { method: "PUT", body, headers: { "x-holdfast-fence": fence }, token });

  test("a holder that was paused while its lease ended changes nothing when it wakes (M4)", async () => {
    const name = `${fresh()} ä`;
    const path = encodeURIComponent(name);
    const paused = (await acquire(path, "paused", { ttl: 1 })).json;
    expect((await put(`lock/${path} ${paused.token}`, "first")).status).toBe(200);
    const next = (await acquire(path, "next", { wait: 30 })).json;
    expect(next.token).toBeGreaterThan(paused.token);
    const late = await put(`lock/${path} ${paused.token}`, "late");
    expect(late.json).toMatchObject({ status: 409, code: "fenced", lock: name, token: paused.token });
    expect((await edge.api("/kv/guarded")).text).toBe("first");
    expect((await put(`lock/${path} ${next.token}`, "second")).status).toBe(200);
    expect((await edge.api(`/locks/${path}/check?token=${paused.token}`)).json).toEqual({ held: false });
    expect((await edge.api(`/locks/${path}/check?token=${next.token}&owner=next`)).json).toEqual({ held: true });
    await release(path, "next", next.token);
    expect((await put(`lock/${path} ${next.token}`, "third")).json.code).toBe("fenced");
  });

  test("of a shared lock names the owner: others who were granted it together have the same token (M5)", async () => {
    const name = fresh();
    const semaphore = { kind: "semaphore", limit: 2 };
    const whole = (await acquire(name, "w", { ...semaphore, permits: 2 })).json.token;
    expect((await put(`lock/${name} ${whole}`, "alone")).status).toBe(200);
    const owners = ["ä b", "b"] as const;
    const answers = owners.map((owner) => acquire(name, owner, semaphore));
    await edge.until(`/locks/${name}`, ({ json }) => json.waiterCount === 2);
    await release(name, "w", whole);
    const [{ token }, { token: same }] = (await Promise.all(answers)).map(({ json }) => json) as [
      Reply["json"],
      Reply["json"],
    ];
    expect(same).toBe(token);
    const [first, second] = owners.map((owner) => `lock/${name} ${token} ${encodeURIComponent(owner)}`) as [
      string,
      string,
    ];
    expect([(await put(first, "first")).status, (await put(second, "second")).status]).toEqual([200, 200]);
    await release(name, owners[0], token);
    expect((await put(first, "late")).json).toMatchObject({ code: "fenced", lock: name, token });
    expect((await put(second, "third")).status).toBe(200);
    expect((await put(`lock/${name} ${token}`, "whose")).json).toMatchObject({ status: 400, field: "fence.owner" });
    expect((await edge.api("/kv/guarded")).text).toBe("third");
    const check = async (owner: string): Promise<unknown> =>
      (await edge.api(`/locks/${name}/check?token=${token}${owner}`)).json;
    expect(await check(`&owner=${encodeURIComponent(owners[0])}`)).toEqual({ held: false });
    expect(await check(`&owner=${owners[1]}`)).toEqual({ held: true });
    expect(await check("")).toMatchObject({ status: 400, field: "owner" });
  });

  test("holds for whatever is changed, and by leadership as well", async () => {
    const { token } = (await post("/elections/fence/campaign", { owner: "a" })).json;
    const operations = { then: [{ type: "put", key: "guarded", value: "txn" }] };
    const transact = (owner = ""): Promise<Reply> => {
      const headers = { "x-holdfast-fence": `election/fence ${token}${owner}` };
      return edge.api("/txn", { method: "POST", body: operations, headers });
    };
    expect((await transact()).status).toBe(200);
    expect((await transact(" a")).status).toBe(200);
    expect((await transact(" b")).json.code).toBe("fenced");
    await post("/elections/fence/resign", { owner: "a", token });
    expect((await transact()).json).toMatchObject({ code: "fenced", election: "fence" });
  });

  test("a lease with a lock on it is revoked by who may acquire that", async () => {
    const statements = [
      { verbs: ["create", "update", "delete", "read"], kind: "session", match: "prefix", name: "" },
      { verbs: ["acquire", "read"], kind: "lock", match: "exact", name: "mine" },
    ];
    const { secret } = (await post("/tokens", { statements })).json;
    const { id } = (await edge.api("/leases", { method: "POST", body: { ttl: 60 }, token: secret })).json;
    const revoke = (): Promise<Reply> => edge.api(`/leases/${id}`, { method: "DELETE", token: secret });
    await acquire("others", "a", { lease: id });
    await acquire("mine", "a", { lease: id });
    expect((await edge.api(`/leases/${id}`, { token: secret })).json.attached).toEqual([
      expect.objectContaining({ space: "lock_claim" }),
    ]);
    expect((await revoke()).json).toMatchObject({ status: 403, verb: "acquire", kind: "lock", name: "others" });
    const { token } = (await edge.api("/locks/others")).json.holders[0];
    await release("others", "a", token);
    expect((await revoke()).status).toBe(200);
    expect((await edge.api("/locks/mine")).json.kind).toBeNull();
  });

  test("takes the right to read the lock, and a form", async () => {
    const statements = [{ verbs: ["create", "update"], kind: "kv", match: "prefix", name: "" }];
    const { secret } = (await post("/tokens", { statements })).json;
    expect((await put("lock/l 5", "x", secret)).json).toMatchObject({ status: 403, kind: "lock", name: "l" });
    const malformed = ["", "lock/l", "lock/l 0", "lock/l 1.5", "lock/ 5", "queue/l 5", "lock/%ff 5", "lock/a%00b 5"];
    const ownerless = ["lock/l 5 a b", "lock/l 5 %ff", "lock/l 5 a%00b"];
    for (const fence of [...malformed, ...ownerless]) expect((await put(fence, "x")).status).toBe(400);
  });
});

describe("bad input", () => {
  const fieldOf = async (body: object): Promise<unknown> => (await post("/locks/bad/acquire", body)).json.field;

  test("names the field", async () => {
    expect(await fieldOf({ ttl: 0.5 })).toBe("ttl");
    expect(await fieldOf({ ttl: 5, lease: "7" })).toBe("ttl");
    expect(await fieldOf({ lease: "x" })).toBe("lease");
    expect(await fieldOf({ wait: -1 })).toBe("wait");
    expect(await fieldOf({ wait: 1e9 })).toBe("wait");
    expect(await fieldOf({ owner: "" })).toBe("owner");
    expect(await fieldOf({ owner: "a\0b" })).toBe("owner");
    expect(await fieldOf({ kind: "spin" })).toBe("kind");
    expect(await fieldOf({ kind: "semaphore" })).toBe("limit");
    expect(await fieldOf({ kind: "semaphore", limit: 3, permits: 4 })).toBe("permits");
    expect(await fieldOf({ mode: "read" })).toBe("mode");
    expect(await fieldOf({ limit: 3 })).toBe("limit");
    expect(await fieldOf({ permit: 3 })).toBe("permit");
    expect((await acquire("%00", "a")).json).toMatchObject({ status: 400, field: "name" });
    expect((await edge.api("/locks/bad/check")).json.field).toBe("token");
    expect((await edge.api("/locks/bad/check?token=x")).json.field).toBe("token");
    expect((await post("/locks/bad/release", { owner: "a", token: 1.5 })).json.field).toBe("token");
    expect((await post("/locks/bad/acquire", { lease: "77" })).json).toMatchObject({ code: "not_found", lease: "77" });
    expect((await edge.api("/locks/bad")).json).toMatchObject({ kind: null, holders: [], waiters: [] });
  });
});
