/** The stream: the same operations, rights and errors as over HTTP; what it keeps alive, what it gives up, what it bears. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Reply } from "../../edge.ts";
import { Edge, TOKEN } from "../../edge.ts";
import { StreamClient } from "./stream-client.ts";

let edge: Edge;
beforeAll(async () => {
  edge = await Edge.start(["--no-agent"]);
});
afterAll(() => edge[Symbol.asyncDispose]());

let names = 0;
/** A name that no other test knows. */
const fresh = (): string => `thing-${++names}`;

const ownersOf = (claims: { owner: string }[]): string[] => claims.map(({ owner }) => owner);
const waiting = (name: string, ...owners: string[]): Promise<Reply> =>
  edge.until(`/locks/${name}`, ({ json }) => String(ownersOf(json.waiters)) === String(owners));

const made = async (...statements: object[]): Promise<{ secret: string; accessor: string }> =>
  (await edge.api("/tokens", { method: "POST", body: { statements } })).json;

describe("who may open it", () => {
  test("nobody without a WebSocket, and no HEAD", async () => {
    expect(await edge.api("/stream")).toMatchObject({ status: 426, json: { code: "invalid_argument" } });
    const head = await edge.request("/api/v1/namespaces/default/stream", { method: "HEAD" });
    expect(head.status).toBe(426);
  });

  test.each([
    ["no token", null],
    ["a token that nobody has", "guessed"],
  ])("not with %s", async (_name, token) => {
    await expect(StreamClient.open(edge, token)).rejects.toThrow("not opened");
  });

  test("nor who has no right on anything that it carries", async () => {
    const { secret } = await made({ verbs: ["read"], kind: "service", match: "prefix", name: "" });
    await expect(StreamClient.open(edge, secret)).rejects.toThrow("not opened");
    expect((await edge.api("/stream", { token: secret })).json.code).toBe("permission_denied");
  });
});

describe("calls", () => {
  test("are the operations of the API, with their answers and revisions", async () => {
    using stream = await StreamClient.open(edge);
    const name = fresh();
    const held = await stream.call("acquireLock", { name }, { owner: "a" });
    expect(held).toMatchObject({ status: 200, value: { name, owner: "a", count: 1 }, revision: held.value.token });
    const { token } = held.value;
    expect((await edge.api(`/locks/${name}`)).json.holders).toMatchObject([{ owner: "a", token }]);
    expect((await stream.call("renewLock", { name }, { owner: "a", token })).value).toEqual({ ttl: 15 });
    const check = await stream.call("checkLock", { name }, undefined, { query: { token } });
    expect(check.value).toEqual({ held: true });
    const fenced = await stream.call("addToCounter", { name }, { delta: 2 }, { fence: `lock/${name} ${token}` });
    expect(fenced.value).toMatchObject({ value: "2" });
    expect((await stream.call("releaseLock", { name }, { owner: "a", token })).value).toEqual({ count: 0 });
    const late = await stream.call("addToCounter", { name }, {}, { fence: `lock/${name} ${token}` });
    expect(late).toMatchObject({ status: 409, error: { code: "fenced" } });
  });

  test("need no more than the operation does", async () => {
    using stream = await StreamClient.open(edge);
    const name = fresh();
    const held = await stream.call("acquireLock", { name });
    expect(held).toMatchObject({ status: 200, value: { name, count: 1 } });
    expect((await stream.call("nextInSequence", { name })).value).toEqual({ first: "1", last: "1" });
  });

  test("keys are texts, or base64 where they are none", async () => {
    using stream = await StreamClient.open(edge);
    const key = `${fresh()}/ä`;
    expect((await stream.call("putKey", { key }, "text")).value).toMatchObject({ key, version: 1 });
    const { revision } = await stream.call("putKey", { key }, undefined, { bodyBase64: "/w==", query: { cas: "1" } });
    expect(revision).toBeUndefined();
    const put = await stream.call("putKey", { key }, undefined, { bodyBase64: "/w==" });
    expect(await stream.call("getKey", { key })).toMatchObject({
      status: 200,
      valueBase64: "/w==",
      revision: put.revision,
    });
    const list = await stream.call("getKey", { key: key.slice(0, -1) }, undefined, { query: { prefix: true } });
    expect(list.value.items).toMatchObject([{ key, value: "/w==" }]);
    const then = [{ type: "put", key, value: "b" }];
    expect((await stream.call("transact", {}, { then })).value).toMatchObject({ succeeded: true });
    expect((await stream.call("getKey", { key })).value).toBe("b");
    expect((await stream.call("deleteKey", { key })).value).toEqual({ deleted: 1 });
    expect(await stream.call("getKey", { key })).toMatchObject({ status: 404, error: { code: "not_found" } });
  });

  test("queues: sent, received, given back, done with", async () => {
    using stream = await StreamClient.open(edge);
    const topic = fresh();
    const later = stream.call("receiveMessages", { topic }, { wait: 30, max: 10 });
    await stream.call("sendMessages", { topic }, { messages: [{ body: "one" }] });
    const [first] = (await later).value.messages;
    expect(first).toMatchObject({ body: "one", attempts: 1 });
    expect((await stream.call("nackMessages", { topic }, { receipts: [first.receipt] })).value.settled).toBe(1);
    const [again] = (await stream.call("receiveMessages", { topic }, {})).value.messages;
    expect(again.attempts).toBe(2);
    const receipts = [again.receipt];
    expect((await stream.call("extendMessages", { topic }, { receipts, visibility: 60 })).value.settled).toBe(1);
    expect((await stream.call("ackMessages", { topic }, { receipts })).value.settled).toBe(1);
    expect((await stream.call("getQueue", { topic })).value).toMatchObject({ waiting: 0, acked: 1 });
  });

  test("many at a time are answered in whatever order they are done", async () => {
    using stream = await StreamClient.open(edge);
    const name = fresh();
    const { value } = await stream.call("acquireLock", { name }, { owner: "a" });
    const later = stream.call("acquireLock", { name }, { owner: "b" });
    const sums = await Promise.all(Array.from({ length: 900 }, () => stream.call("addToCounter", { name }, {})));
    expect(new Set(sums.map((sum) => sum.value.value)).size).toBe(900);
    await stream.call("releaseLock", { name }, { owner: "a", token: value.token });
    expect((await later).value.owner).toBe("b");
  });

  test("asked again under the same key, a command is carried out once", async () => {
    using stream = await StreamClient.open(edge);
    const name = fresh();
    const more = { idempotencyKey: `key-${name}` };
    const first = await stream.call("addToCounter", { name }, {}, more);
    expect((await stream.call("addToCounter", { name }, {}, more)).value).toEqual(first.value);
  });

  test.each<[string, string, object]>([
    ["op", "restoreSnapshot", {}],
    ["op", "toString", {}],
    ["params.name", "acquireLock", {}],
    ["params.name", "acquireLock", { params: { name: "" } }],
    ["params.other", "acquireLock", { params: { name: "x", other: "y" } }],
    ["params.name", "acquireLock", { params: { name: 1 } }],
    ["wait", "acquireLock", { params: { name: "x" }, body: { wait: 3600 } }],
    ["ownr", "acquireLock", { params: { name: "x" }, body: { ownr: "a" } }],
    ["token", "checkLock", { params: { name: "x" }, query: { token: "first" } }],
    ["tok", "checkLock", { params: { name: "x" }, query: { tok: 1 } }],
    ["body", "putKey", { params: { key: "x" }, body: { a: 1 } }],
    ["body", "putKey", { params: { key: "x" } }],
    ["bodyBase64", "putKey", { params: { key: "x" }, bodyBase64: "%" }],
    ["bodyBase64", "acquireLock", { params: { name: "x" }, bodyBase64: "" }],
    ["extra", "acquireLock", { params: { name: "x" }, extra: 1 }],
    ["idempotencyKey", "acquireLock", { params: { name: "x" }, idempotencyKey: "a\nb" }],
    ["X-Holdfast-Fence", "acquireLock", { params: { name: "x" }, fence: "everything" }],
  ])("refused by the field %s: %s %j", async (field, op, more) => {
    using stream = await StreamClient.open(edge);
    expect(await stream.call(op, {}, undefined, more)).toMatchObject({
      status: 400,
      error: { code: "invalid_argument", field },
    });
  });
});

describe("rights", () => {
  test("are those of each call", async () => {
    const name = fresh();
    const { secret } = await made({ verbs: ["acquire"], kind: "lock", match: "exact", name });
    using stream = await StreamClient.open(edge, secret);
    expect((await stream.call("acquireLock", { name }, { owner: "a" })).status).toBe(200);
    const denied = { status: 403, error: { code: "permission_denied" } };
    expect(await stream.call("acquireLock", { name: "other" }, {})).toMatchObject(denied);
    expect(await stream.call("getKey", { key: "a" })).toMatchObject(denied);
  });

  test("a token that is revoked ends its calls, and what it kept alive", async () => {
    const name = fresh();
    const { secret, accessor } = await made({ verbs: ["acquire"], kind: "lock", match: "exact", name });
    using stream = await StreamClient.open(edge, secret);
    await stream.call("acquireLock", { name }, { owner: "a", ttl: 1 });
    await edge.api(`/tokens/${accessor}`, { method: "DELETE" });
    expect(await stream.call("acquireLock", { name }, {})).toMatchObject({ status: 401 });
    expect(await stream.closed).toMatchObject({ code: 1008, reason: expect.stringContaining("unauthenticated") });
  });
});

describe("leases", () => {
  test("granted over it live as long as it is open, and their time to live longer", async () => {
    const stream = await StreamClient.open(edge);
    const name = fresh();
    const { id } = (await stream.call("grantLease", {}, { ttl: 1 })).value;
    await stream.call("acquireLock", { name }, { owner: "a", lease: id });
    const own = (await stream.call("acquireLock", { name: `${name}-own` }, { owner: "a", ttl: 1 })).value;
    // Longer than either would have lasted by itself: another waits for it in vain.
    const other = await edge.api(`/locks/${name}/acquire`, { method: "POST", body: { owner: "b", wait: 3 } });
    expect(other.json.code).toBe("conflict");
    expect((await edge.api(`/locks/${name}-own/check?token=${own.token}`)).json).toEqual({ held: true });
    stream.socket.close();
    const next = await edge.api(`/locks/${name}/acquire`, { method: "POST", body: { owner: "b", wait: 30 } });
    expect(next.status).toBe(200);
  });

  test("one that has ended otherwise is told", async () => {
    using stream = await StreamClient.open(edge);
    const { id } = (await stream.call("grantLease", {}, { ttl: 2 })).value;
    await edge.api(`/leases/${id}`, { method: "DELETE" });
    expect(await stream.next()).toMatchObject({ lost: id, error: { code: "not_found", lease: id } });
  });

  test("a client that shows no sign of life loses them", async () => {
    using stream = await StreamClient.open(edge);
    stream.isReading = false;
    const name = fresh();
    await stream.call("acquireLock", { name }, { owner: "a", ttl: 1 });
    const next = await edge.api(`/locks/${name}/acquire`, { method: "POST", body: { owner: "b", wait: 30 } });
    expect(next.status).toBe(200);
  });
});

describe("waiting", () => {
  test("is withdrawn when the stream closes", async () => {
    using stream = await StreamClient.open(edge);
    const name = fresh();
    const { value } = await stream.call("acquireLock", { name }, { owner: "a" });
    const gone = await StreamClient.open(edge);
    void gone.call("acquireLock", { name }, { owner: "b" });
    await waiting(name, "b");
    const next = stream.call("acquireLock", { name }, { owner: "c" });
    await waiting(name, "b", "c");
    gone.socket.close();
    await waiting(name, "c");
    await stream.call("releaseLock", { name }, { owner: "a", token: value.token });
    expect((await next).value.owner).toBe("c");
  });

  test("and when it is cancelled", async () => {
    using stream = await StreamClient.open(edge);
    const [name, topic] = [fresh(), fresh()];
    await stream.call("acquireLock", { name }, { owner: "a" });
    const acquiring = stream.begin("acquireLock", { name }, { owner: "b" });
    const receiving = stream.begin("receiveMessages", { topic }, { wait: 60 });
    await waiting(name, "b");
    stream.send({ cancel: acquiring.id });
    stream.send({ cancel: receiving.id });
    expect(await acquiring.reply).toMatchObject({ status: 409, error: { code: "conflict" } });
    expect(await receiving.reply).toMatchObject({ status: 200, value: { messages: [] } });
    // Under a key too: it is not the connection that broke.
    const keyed = stream.begin("acquireLock", { name }, { owner: "b" }, { idempotencyKey: `cancel-${name}` });
    await waiting(name, "b");
    stream.send({ cancel: keyed.id });
    expect(await keyed.reply).toMatchObject({ status: 409, error: { code: "conflict" } });
    // What is not there can be cancelled as well.
    stream.send({ cancel: "nothing" });
    expect((await stream.call("getLock", { name })).value.waiterCount).toBe(0);
  });
});

describe("subscriptions", () => {
  test("observe an election until they are cancelled", async () => {
    using stream = await StreamClient.open(edge);
    const name = fresh();
    const observing = stream.begin("observeElection", { name });
    expect(await stream.next()).toMatchObject({ id: observing.id, event: "leader", data: { leader: null } });
    const { token } = (await stream.call("campaign", { name }, { owner: "a", value: "one" })).value;
    expect(await stream.next()).toMatchObject({ event: "leader", revision: token, data: { leader: { value: "one" } } });
    await stream.call("proclaim", { name }, { owner: "a", token, value: "two" });
    expect(await stream.next()).toMatchObject({ event: "leader", data: { leader: { value: "two" } } });
    await stream.call("resign", { name }, { owner: "a", token });
    expect(await stream.next()).toMatchObject({ event: "leader", data: { leader: null } });
    stream.send({ cancel: observing.id });
    expect(await observing.reply).toEqual({ id: observing.id, status: 200, value: null });
  });

  test("watch keys; what is wrong with one is its reply", async () => {
    using stream = await StreamClient.open(edge);
    const key = fresh();
    const wrong = await stream.call("watch", {}, undefined, { query: { since: 9_000_000_000 } });
    expect(wrong).toMatchObject({ status: 400, error: { code: "future_revision" } });
    const since = (await stream.call("putKey", { key }, "a")).revision - 1;
    stream.begin("watch", {}, undefined, { query: { key, since } });
    expect(await stream.next()).toMatchObject({ event: "put", revision: since + 1, data: { key, value: "YQ==" } });
    await stream.call("deleteKey", { key });
    expect(await stream.next()).toMatchObject({ event: "delete", data: { key } });
  });

  test("that break off are told so", async () => {
    using stream = await StreamClient.open(edge);
    const key = fresh();
    const watching = stream.begin("watch", {}, undefined, { query: { key } });
    expect(await stream.next()).toMatchObject({ event: "progress" });
    await edge.put(`/kv/${key}`, "x", { headers: { "x-holdfast-test-abort": "before_commit" } });
    expect(await watching.reply).toMatchObject({ status: 503, error: { code: "unavailable" } });
  });
});

describe("bounds", () => {
  test("more calls than may be in flight are told so, and the others go on", async () => {
    using stream = await StreamClient.open(edge);
    const name = fresh();
    await stream.call("closeGate", { name });
    const wait = () => stream.begin("getBarrier", { name }, undefined, { query: { wait: "60s" } });
    const calls = Array.from({ length: 1025 }, wait);
    expect(await calls.at(-1)!.reply).toMatchObject({
      status: 503,
      retryAfter: 1,
      error: { code: "unavailable", reason: "overload", calls: 1024 },
    });
    for (const { id } of calls.slice(0, -1)) stream.send({ cancel: id });
    for (const { reply } of calls.slice(0, -1)) expect((await reply).value.open).toBe(false);
  });

  test("who does not read is held up, and resumes with the pong", async () => {
    using stream = await StreamClient.open(edge);
    const key = fresh();
    await stream.call("putKey", { key }, "x".repeat(200_000));
    stream.isReading = false;
    const values: unknown[] = [];
    // A reply for each is kept; the next call waits for room.
    for (let n = 0; n < 6; n++) values.push((await stream.call("getKey", { key })).value);
    const held = stream.begin("getKey", { key });
    const answers = await edge.api(`/kv/${key}`);
    expect(answers.status).toBe(200);
    stream.send({ pong: 6 });
    values.push((await held.reply).value);
    expect(new Set(values).size).toBe(1);
  });

  test("who asks on without reading is cut off", async () => {
    using stream = await StreamClient.open(edge);
    const key = fresh();
    await stream.call("putKey", { key }, "x".repeat(900_000));
    stream.isReading = false;
    for (let n = 0; n < 40; n++) stream.begin("getKey", { key });
    expect(await stream.closed).toMatchObject({ code: 1008, reason: expect.stringContaining("slow_consumer") });
  });
});

describe("hostile frames end the connection", () => {
  test.each<[string, number, string | Uint8Array<ArrayBuffer>]>([
    ["bytes", 1003, new Uint8Array([1, 2, 3])],
    ["no JSON", 1007, "hello"],
    ["nothing", 1007, ""],
    ["JSON that is nested too deep", 1007, "[".repeat(1000)],
    ["a name twice", 1007, '{"id":1,"id":2}'],
    ["no object", 1002, "[]"],
    ["null", 1002, "null"],
    ["no id", 1002, '{"op":"getLock"}'],
    ["an id that is neither text nor number", 1002, '{"id":{},"op":"getLock"}'],
    ["an id that is a fraction", 1002, '{"id":1.5,"op":"getLock"}'],
    ["an id that is too long", 1002, JSON.stringify({ id: "x".repeat(65), op: "getLock" })],
    ["a pong that nobody asked for", 1002, '{"pong":1}'],
    ["a pong and more", 1002, '{"pong":1,"cancel":1}'],
  ])("%s", async (_name, code, data) => {
    using stream = await StreamClient.open(edge);
    stream.socket.send(data);
    expect(await stream.closed).toMatchObject({ code });
  });

  test("an id that is in flight", async () => {
    using stream = await StreamClient.open(edge);
    const { id } = stream.begin("receiveMessages", { topic: fresh() }, { wait: 60 });
    stream.send({ id, op: "listLocks" });
    expect(await stream.closed).toMatchObject({ code: 1002 });
  });

  test("a frame that is too large", async () => {
    using stream = await StreamClient.open(edge);
    stream.socket.send(JSON.stringify({ id: 1, op: "putKey", params: { key: "x" }, body: "x".repeat(1_600_000) }));
    expect((await stream.closed).code).toBeOneOf([1009, 1006]);
    expect((await edge.api("/locks", { token: TOKEN })).status).toBe(200);
  });
});
