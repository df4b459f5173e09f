/** `/v1/event` with the npm client and without. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Edge } from "../../../edge.ts";
import { Changes, consulClient } from "./client.ts";

let edge: Edge;
let consul: ReturnType<typeof consulClient>;
beforeAll(async () => {
  edge = await Edge.start(["--no-agent"]);
  consul = consulClient(edge);
});
afterAll(() => edge[Symbol.asyncDispose]());

interface Fired {
  ID: string;
  Name: string;
  Payload: string | null;
}

const fire = (path: string, body: unknown = "", headers: Record<string, string> = {}) =>
  edge.ask(`/v1/event/fire/${path}`, { method: "PUT", body, headers });
const list = (search = "", headers: Record<string, string> = {}) => edge.ask(`/v1/event/list${search}`, { headers });
const indexOf = (id: string): bigint => {
  const hex = id.replaceAll("-", "");
  return BigInt(`0x${hex.slice(0, 16)}`) ^ BigInt(`0x${hex.slice(16)}`);
};

test("none: an empty list, whose index is 1", async () => {
  const reply = await list();
  expect(reply).toMatchObject({ status: 200, text: "[]" });
  expect(reply.headers.get("x-consul-index")).toBe("1");
});

test("with the npm client: fire, list, watch", async () => {
  const fired = await consul.event.fire("deploy", "v1");
  expect(fired).toMatchObject({ Name: "deploy", Payload: "v1" });
  expect(await consul.event.list("deploy")).toMatchObject([{ ID: fired.ID, Payload: "v1" }]);
  expect(await consul.event.list("other")).toEqual([]);
  // The client binds it itself.
  // oxlint-disable-next-line typescript/unbound-method
  using seen = new Changes<Fired[]>(consul.watch({ method: consul.event.list, options: { name: "watched" } }));
  expect(await seen.next()).toEqual([]);
  await consul.event.fire("watched", "now");
  // In a watch the client leaves payloads as they came.
  expect(await seen.next()).toMatchObject([{ Name: "watched", Payload: "bm93" }]);
});

test("an event has these fields", async () => {
  const { text, json } = await fire("shape?node=.*&service=web&tag=v1");
  expect(text).toBe(
    `{"ID":"${json.ID}","Name":"shape","Payload":null,"NodeFilter":".*","ServiceFilter":"web","TagFilter":"v1",` +
      `"Version":1,"LTime":0}`,
  );
});

describe("waiting", () => {
  test("a call with the last index waits for another event; any other is answered at once", async () => {
    const { ID } = (await fire("w", "1")).json;
    const known = (await list("?name=w")).headers.get("x-consul-index")!;
    expect(BigInt(known)).toBe(indexOf(ID));
    expect((await list(`?name=w&index=${BigInt(known) - 1n}&wait=30s`)).json).toHaveLength(1);
    const waiting = list(`?name=w&index=${known}&wait=30s`);
    await fire("not-w");
    const { ID: next } = (await fire("w", "2")).json;
    const reply = await waiting;
    expect(reply.json).toHaveLength(2);
    expect(BigInt(reply.headers.get("x-consul-index")!)).toBe(indexOf(next));
  });

  test("when there is none, the same again", async () => {
    expect((await list("?name=never&index=1&wait=20ms")).text).toBe("[]");
  });
});

test("an event is for the agents that its filters mean", async () => {
  await edge.ask("/v1/agent/service/register", { method: "PUT", body: { Name: "web", Tags: ["v1"] } });
  await fire("to-node?node=^worker-[0-9]%2B$");
  await fire("to-service?service=^web$");
  await fire("to-tag?service=web&tag=v2");
  const names = async (headers: Record<string, string> = {}): Promise<string[]> =>
    (await list("", headers)).json.map(({ Name }: Fired) => Name).filter((name: string) => name.startsWith("to-"));
  expect(await names()).toEqual(["to-service"]);
  expect(await names({ "x-holdfast-node": "worker-12" })).toEqual(["to-node"]);
});

describe("what is wrong is told in Consul's words", () => {
  test.each([
    ["", 400, "Missing name"],
    ["x?tag=v1", 500, "Cannot provide tag filter without service filter"],
    ["x?node=(", 500, "Invalid node filter: error parsing regexp: missing closing ): `(`"],
    ["x?service=[", 500, "Invalid service filter: error parsing regexp: missing closing ]: `[`"],
    [`x?node=${"(a{1000}){1000}"}`, 500, /^Invalid node filter: error parsing regexp: /],
    ["a%00b", 400, ""],
  ])("fire %s", async (path, status, text) => {
    const before = (await list()).json.length;
    const reply = await fire(path);
    expect(reply.status).toBe(status);
    if (typeof text === "string") expect(reply.text).toBe(text);
    else expect(reply.text).toMatch(text);
    expect((await list()).json).toHaveLength(before);
  });

  test("a payload has its limit", async () => {
    expect((await fire("large", "x".repeat(8193))).text).toBe(
      "user event exceeds configured limit of 8192 bytes before encoding",
    );
    expect((await fire("large", "x".repeat(8192))).status).toBe(200);
  });

  test.each(["?index=x", "?index=-1", "?index=18446744073709551616", "?index=1&wait=x"])("list%s", async (search) => {
    expect((await list(search)).status).toBe(400);
  });
});
