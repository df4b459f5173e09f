/** Queues over HTTP, on a server that runs. Rules Q1 to Q5, and how receivers wait. */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Reply } from "../../edge.ts";
import { Edge } from "../../edge.ts";

let edge: Edge;
beforeAll(async () => {
  edge = await Edge.start(["--no-agent"]);
});
afterAll(() => edge[Symbol.asyncDispose]());

const post = (path: string, body: unknown): Promise<Reply> => edge.api(`/queues/${path}`, { method: "POST", body });
const send = (topic: string, ...messages: object[]): Promise<Reply> => post(`${topic}/send`, { messages });
const receive = (topic: string, body: object = {}): Promise<Reply> => post(`${topic}/receive`, body);
const bodies = ({ json }: Reply): string[] => json.messages.map(({ body }: { body: string }) => body);
const waiters = async (): Promise<number> => (await edge.api("/status")).json.waiters as number;
const untilWaiting = (count: number): Promise<Reply> =>
  edge.until("/status", ({ json }) => (json.waiters as number) === count);

test("sent, received, acked; text and bytes come back as they were", async () => {
  const bytes = Buffer.from([0xff, 0x00, 0xfe]).toString("base64");
  const sent = await send("first", { body: "ü\u0000", headers: { a: "b" } }, { bodyBase64: bytes, priority: 1 });
  expect(sent.status).toBe(200);
  const { json } = await receive("first", { max: 10 });
  expect(json.messages).toMatchObject([
    { id: sent.json.messages[0].id, body: "ü\u0000", headers: { a: "b" }, priority: 4, attempts: 1, group: null },
    { id: sent.json.messages[1].id, bodyBase64: bytes, headers: {}, priority: 1, deadLetter: null },
  ]);
  const receipts = json.messages.map(({ receipt }: { receipt: string }) => receipt);
  expect((await post("first/ack", { receipts })).json).toEqual({ settled: 2, fenced: [] });
  const again = await post("first/ack", { receipts });
  expect([again.status, again.json.code]).toEqual([409, "fenced"]);
  expect((await edge.api("/queues/first")).json).toMatchObject({ sent: 2, acked: 2, waiting: 0 });
});

test("who waits is called by the send, by a nack, by the end of a delay and of a delivery", async () => {
  const [waiting] = await Promise.all([
    receive("calls", { wait: 30 }),
    untilWaiting(1).then(() => send("calls", { body: "x" })),
  ]);
  expect(bodies(waiting)).toEqual(["x"]);
  const receipts = [waiting.json.messages[0].receipt];
  const [nacked] = await Promise.all([
    receive("calls", { wait: 30, visibility: 1 }),
    untilWaiting(1).then(() => post("calls/nack", { receipts })),
  ]);
  expect(nacked.json.messages[0].attempts).toBe(2);
  const lapsed = await receive("calls", { wait: 30 });
  expect(lapsed.json.messages[0].attempts).toBe(3);
  await send("calls", { body: "later", delay: 1 });
  expect(bodies(await receive("calls", { wait: 30 }))).toEqual(["later"]);
});

test("who waits is called when a group goes on", async () => {
  await send("groups", { body: "1", group: "g" }, { body: "2", group: "g" });
  const first = await receive("groups");
  const [second] = await Promise.all([
    receive("groups", { wait: 30 }),
    untilWaiting(1).then(() => post("groups/ack", { receipts: [first.json.messages[0].receipt] })),
  ]);
  expect(bodies(second)).toEqual(["2"]);
});

test("first come, first served: each message calls one of those who wait, the one that came first", async () => {
  const order: number[] = [];
  const all: Promise<unknown>[] = [];
  for (let index = 0; index < 5; index++) {
    all.push(receive("fair", { wait: 30 }).then(() => order.push(index)));
    await untilWaiting(index + 1);
  }
  const commandsBefore = (await edge.api("/status")).json.commands as number;
  for (let index = 0; index < 5; index++) {
    await send("fair", { body: `${index}` });
    await untilWaiting(4 - index);
  }
  await Promise.all(all);
  expect(order).toEqual([0, 1, 2, 3, 4]);
  // Nobody else was woken: five sends and five receives.
  expect((await edge.api("/status")).json.commands).toBe(commandsBefore + 10);
});

test("a wait ends with nothing; who hangs up gives up the place and takes no message", async () => {
  expect(bodies(await receive("empty", { wait: 0.2 }))).toEqual([]);
  const socket = await edge.connect("/queues/left/receive", { wait: 60 });
  await untilWaiting(1);
  socket.resetAndDestroy();
  await untilWaiting(0);
  expect(await waiters()).toBe(0);
  await send("left", { body: "x" });
  expect((await edge.api("/queues/left")).json).toMatchObject({ ready: 1, inFlight: 0 });
});

test("topics are listed, configured, purged and deleted; dead letters say where they come from", async () => {
  const set = { visibility: 5, maxDeliveries: 1, deadLetter: "dead", retention: 3600, dedupeWindow: 60 };
  const configured = await edge.api("/queues/set", { method: "PATCH", body: set });
  expect(configured.json.settings).toMatchObject(set);
  await send("set", { body: "poison", dedupeId: "1" });
  const duplicate = await send("set", { body: "poison", dedupeId: "1" });
  expect(duplicate.json.messages[0].duplicate).toBe(true);
  const { json } = await receive("set");
  await post("set/nack", { receipts: [json.messages[0].receipt] });
  const dead = await receive("dead");
  expect(dead.json.messages[0]).toMatchObject({ body: "poison", deadLetter: { topic: "set", deliveries: 1 } });
  expect((await post("dead/purge", {})).json).toEqual({ purged: 1 });
  const { json: list } = await edge.api("/queues");
  expect(list.topics.map(({ topic }: { topic: string }) => topic)).toEqual(expect.arrayContaining(["dead", "set"]));
  expect((await edge.api("/queues/set", { method: "DELETE" })).json).toEqual({ purged: 0 });
  expect((await edge.api("/queues/set")).status).toBe(404);
});

test("what is wrong is refused by name", async () => {
  const cases: [string, unknown, string][] = [
    ["bad/send", { messages: [] }, "messages"],
    ["bad/send", { messages: [{}] }, "messages[0].body"],
    ["bad/send", { messages: [{ body: "x", bodyBase64: "eA==" }] }, "messages[0].body"],
    ["bad/send", { messages: [{ bodyBase64: "e" }] }, "messages[0].bodyBase64"],
    ["bad/send", { messages: [{ body: "x", priority: 10 }] }, "messages[0].priority"],
    ["bad/send", { messages: [{ body: "x", color: 1 }] }, "messages[0].color"],
    ["bad/receive", { max: 0 }, "max"],
    ["bad/receive", { wait: 61 }, "wait"],
    ["bad/ack", { receipts: ["x"] }, "receipts[0]"],
    ["bad/extend", { receipts: ["1-0"] }, "visibility"],
    ["bad/extend", { receipts: ["1-0"], visibility: 0.1 }, "visibility"],
  ];
  for (const [path, body, field] of cases) {
    const { status, json } = await post(path, body);
    expect([path, status, json.field]).toEqual([path, 400, field]);
  }
  const tooLarge = await send("bad", { body: "x".repeat(256 * 1024 + 1) });
  expect([tooLarge.status, tooLarge.json.field]).toEqual([413, "messages[0].payload"]);
});
