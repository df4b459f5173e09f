/** `/v1/txn` with the npm client and without: all or nothing, and what is told of it. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { Edge } from "../../../edge.ts";
import { consulClient } from "./client.ts";
import { createSession } from "./recipes.ts";

let edge: Edge;
beforeAll(async () => {
  edge = await Edge.start(["--no-agent"]);
});
afterAll(() => edge[Symbol.asyncDispose]());
beforeEach(() => edge.ask("/v1/kv/?recurse", { method: "DELETE" }));

const get = (path: string) => edge.ask(`/v1${path}`);
const send = (body: unknown, search = "") => edge.ask(`/v1/txn${search}`, { method: "PUT", body });
const txn = (...operations: object[]) => send(operations);
const kv = (Verb: string, Key: string, more: object = {}) => ({ KV: { Verb, Key, ...more } });
const base64 = (text: string): string => Buffer.from(text).toString("base64");
const errors = async (...operations: object[]) => {
  const { status, json } = await txn(...operations);
  expect(status).toBe(409);
  expect(json.Results).toBeNull();
  return json.Errors.map(({ OpIndex, What }: { OpIndex: number; What: string }) => [OpIndex, What]);
};

test("with the npm client", async () => {
  const result = await consulClient(edge).transaction.create([
    { KV: { Verb: "set", Key: "a", Value: base64("1") } },
    { KV: { Verb: "get", Key: "a" } },
  ] as never);
  expect(result).toMatchObject({ Results: [{ KV: { Key: "a", Value: null } }, { KV: { Value: base64("1") } }] });
});

describe("keys", () => {
  test("every verb, and what it answers", async () => {
    const session = await createSession(edge);
    const done = await txn(
      kv("set", "t/a", { Value: base64("1"), Flags: 1 }),
      kv("lock", "t/c", { Value: base64("3"), Session: session }),
      kv("get-tree", "t/"),
      kv("get-or-empty", "none"),
      kv("check-session", "t/c", { Session: session }),
      kv("check-not-exists", "none"),
      kv("cas", "t/b", { Value: base64("2"), Index: 0 }),
      kv("delete", "t/a"),
      kv("delete-cas", "none", { Index: 7 }),
      kv("delete-tree", "t/b"),
      kv("unlock", "t/c", { Session: session }),
    );
    const { ModifyIndex: index } = done.json.Results[0].KV;
    const a = { LockIndex: 0, Key: "t/a", Flags: 1, CreateIndex: index, ModifyIndex: index };
    const c = { LockIndex: 1, Key: "t/c", Flags: 0, Session: session, CreateIndex: index, ModifyIndex: index };
    const { Session: _, ...free } = c;
    expect(done.json).toEqual({
      Results: [
        { KV: { ...a, Value: null } },
        { KV: { ...c, Value: null } },
        { KV: { ...a, Value: base64("1") } },
        { KV: { ...c, Value: base64("3") } },
        { KV: { LockIndex: 0, Key: "none", Flags: 0, Value: null, CreateIndex: 0, ModifyIndex: 0 } },
        { KV: { ...c, Value: null } },
        { KV: { ...a, Key: "t/b", Flags: 0, Value: null } },
        { KV: { ...free, Value: null } },
      ],
      Errors: null,
    });
    expect((await get("/kv/?keys")).json).toEqual(["t/c"]);
  });

  test("64 bits of flags", async () => {
    await send(`[{"KV":{"Verb":"set","Key":"f","Flags":18446744073709551615}}]`);
    expect((await get("/kv/f")).text).toContain('"Flags":18446744073709551615');
  });

  test("all failures are told, and nothing has happened", async () => {
    const [mine, other] = [await createSession(edge), await createSession(edge)];
    await txn(kv("lock", "held", { Session: mine }), kv("set", "x", { Value: base64("0") }));
    const { ModifyIndex: index } = (await get("/kv/x")).json[0];
    expect(
      await errors(
        kv("set", "x", { Value: base64("1") }),
        kv("cas", "x", { Index: 1 }),
        kv("delete-cas", "x", { Index: 1 }),
        kv("lock", "held", { Session: other }),
        kv("unlock", "held", { Session: other }),
        kv("lock", "y", { Session: "nobody" }),
        kv("get", "none"),
        kv("check-not-exists", "held"),
        kv("check-index", "none", { Index: 1 }),
        kv("check-session", "none", { Session: mine }),
        kv("check-session", "held", { Session: other }),
      ),
    ).toEqual([
      [1, 'failed to set key "x", index is stale'],
      [2, 'failed to delete key "x", index is stale'],
      [3, 'failed to lock key "held", lock is already held'],
      [4, `failed to unlock key "held", lock isn't held, or is held by another session`],
      [5, 'invalid session "nobody"'],
      [6, `key "none" doesn't exist`],
      [7, 'key "held" exists'],
      [8, `failed to check index, key "none" doesn't exist`],
      [9, `failed to check session, key "none" doesn't exist`],
      [10, `failed session check for key "held", current session "${mine}" != "${other}"`],
    ]);
    expect((await get("/kv/x")).json[0]).toMatchObject({ Value: base64("0"), ModifyIndex: index });
    expect(await errors(kv("check-index", "x", { Index: 5 }))).toEqual([
      [0, `failed index check for key "x", current modify index ${index} != 5`],
    ]);
  });

  test("what cannot be tried at all is told first, and alone", async () => {
    expect(
      await errors(kv("get", "none"), kv("set", ""), kv("vanish", "k"), kv("lock", "k"), kv("get-tree", "")),
    ).toEqual([
      [1, "Must provide key"],
      [2, "unknown KV operation: vanish"],
      [3, "missing session"],
      [4, "Must provide key"],
    ]);
  });

  test("reads alone answer as reads do", async () => {
    await txn(kv("set", "r", { Value: base64("v") }));
    const reply = await send([kv("get", "r"), kv("check-not-exists", "none")], "?consistent");
    expect(reply.json).toMatchObject({
      Results: [{ KV: { Key: "r", Value: base64("v") } }],
      Errors: null,
      Index: 0,
      LastContact: 0,
      KnownLeader: true,
      ConsistencyLevel: "leader",
      NotModified: false,
      Backend: 0,
      ResultsFilteredByACLs: false,
    });
    expect(reply.headers.get("x-consul-knownleader")).toBe("true");
    expect((await send([])).json).toMatchObject({ Results: [], Errors: null });
  });
});

describe("registry", () => {
  const node = (Verb: string, more: object = {}) => ({
    Node: { Verb, Node: { Node: "n1", Address: "192.0.2.7", ...more } },
  });
  const service = (Verb: string, more: object = {}) => ({
    Service: { Verb, Node: "n1", Service: { ID: "web-1", Service: "web", Port: 80, ...more } },
  });
  const check = (Verb: string, more: object = {}) => ({
    Check: { Verb, Check: { Node: "n1", CheckID: "c1", Name: "alive", Status: "passing", ...more } },
  });

  test("a node with service and checks comes and goes in one", async () => {
    const made = await txn(
      node("set", { Meta: { rack: "7" } }),
      service("set", { Tags: ["v1"] }),
      check("set"),
      check("set", { CheckID: "c2", ServiceID: "web-1", Status: "warning" }),
      node("get"),
      service("get"),
      check("get"),
      kv("set", "beside", { Value: base64("v") }),
    );
    expect(made.status).toBe(200);
    expect(made.json.Results).toMatchObject([
      { Node: { Node: "n1", Address: "192.0.2.7", Meta: { rack: "7" } } },
      { Service: { ID: "web-1", Service: "web", Tags: ["v1"], Port: 80 } },
      { Check: { Node: "n1", CheckID: "c1", Status: "passing", ServiceID: "" } },
      { Check: { CheckID: "c2", ServiceID: "web-1", ServiceName: "web", Status: "warning" } },
      { Node: { Node: "n1" } },
      { Service: { ID: "web-1" } },
      { Check: { CheckID: "c1" } },
      { KV: { Key: "beside" } },
    ]);
    expect((await get("/health/service/web")).json).toMatchObject([
      { Node: { Node: "n1" }, Service: { ID: "web-1" }, Checks: [{ CheckID: "c1" }, { CheckID: "c2" }] },
    ]);
    const { ModifyIndex: index } = (await get("/catalog/node/n1")).json.Node;
    expect((await txn(node("cas", { ModifyIndex: index, Address: "192.0.2.8" }))).status).toBe(200);
    expect(await errors(node("cas", { ModifyIndex: index }), node("delete-cas", { ModifyIndex: index }))).toEqual([
      [0, 'failed to set node "n1", index is stale'],
      [1, 'failed to delete node "n1", index is stale'],
    ]);
    expect((await txn(check("delete"), service("delete"), node("delete"))).json.Results).toEqual([]);
    expect((await get("/catalog/node/n1")).json).toBeNull();
  });

  test("what is missing is told", async () => {
    expect(
      await errors(
        node("get"),
        service("get"),
        check("get"),
        service("set"),
        check("set"),
        service("delete-cas", { ModifyIndex: 9 }),
      ),
    ).toEqual([
      [0, `node "n1" doesn't exist`],
      [1, `service "web-1" on node "n1" doesn't exist`],
      [2, `check "c1" on node "n1" doesn't exist`],
      [3, "Missing node registration"],
      [4, "Missing node registration"],
      [5, 'failed to delete service "web-1" on node "n1", index is stale'],
    ]);
    await txn(node("set"));
    expect(await errors(check("set", { ServiceID: "none" }))).toEqual([[0, "Missing service registration"]]);
    expect(await errors(node("vanish"), service("vanish"), check("vanish"), check("set", { Status: "ill" }))).toEqual([
      [0, "unknown Node operation: vanish"],
      [1, "unknown Service operation: vanish"],
      [2, "unknown Check operation: vanish"],
      [3, "Invalid check status: 'ill'"],
    ]);
    await txn(node("delete"));
  });
});

describe("what is wrong with the request", () => {
  test.each([
    ["{", 400, /^Failed to parse body: /],
    ["{}", 400, /^Failed to parse body: /],
    ['[{"KV":{"Verb":5}}]', 400, /^Failed to parse body: json: cannot unmarshal number/],
    ['[{"KV":{"Verb":"set","Key":"k","Value":"%%%"}}]', 400, /^Failed to parse body: illegal base64/],
    ['[{"KV":{"Verb":"set","Key":"k","Flags":18446744073709551616}}]', 400, /^Failed to parse body: /],
    ['[{"KV":{"Verb":"set","Key":"k","Flags":-1}}]', 400, /^Failed to parse body: /],
    ['[{"KV":{"Verb":"cas","Key":"k","Index":1.5}}]', 400, /^Failed to parse body: /],
    ['[{"Nonsense":{}}]', 400, /^Failed to parse body: json: unknown field/],
    ['[{"KV":{"Verb":"set","Key":"k","Unknown":1}}]', 400, /^Failed to parse body: json: unknown field/],
    ["", 400, /^Failed to parse body: EOF/],
    ["[null,{}]", 200, /"Results":\[\]/],
  ])("%s", async (body, status, text) => {
    const reply = await send(body);
    expect(reply.status).toBe(status);
    expect(reply.text).toMatch(text);
    expect((await get("/kv/?keys")).json).toEqual([]);
  });

  test("too many operations, or too large a body", async () => {
    const many = await send(Array.from({ length: 129 }, () => kv("set", "k")));
    expect(many).toMatchObject({ status: 413, text: "Transaction contains too many operations (129 > 128)" });
    const large = await send([kv("set", "k", { Value: "A".repeat(524_288) })]);
    expect(large.status).toBe(413);
    expect(large.text).toMatch(/^Request body\(\d+ bytes\) too large, max size: 524288 bytes\. See /);
  });

  test("keys that are hard to write down", async () => {
    const keys = ["a\u0000b", "../x", "日本", "\ud83d\udd11", " ", '"'];
    expect((await txn(...keys.map((key) => kv("set", key, { Value: base64(key) })))).status).toBe(200);
    const read = await txn(...keys.map((key) => kv("get", key)));
    expect(read.json.Results.map(({ KV }: { KV: { Key: string } }) => KV.Key)).toEqual(keys);
    expect((await txn(kv("set", "x".repeat(4097)))).status).toBe(409);
  });
});
