/** Bodies as nobody sends them by accident, with the words of etcd 3.4.23 about each. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Edge } from "../../../edge.ts";
import { TOKEN } from "../../../edge.ts";
import { ask, b64, invalid, notFound, outOfRange, precondition, refusal, told, startGateway } from "./gateway.ts";

let edge: Edge;
beforeAll(async () => {
  edge = await startGateway();
});
afterAll(() => edge[Symbol.asyncDispose]());

const unmarshal = (what: string, type: string) =>
  invalid(`json: cannot unmarshal ${what} into Go value of type ${type}`);
const [RAW, LIST, ORDER] = ["map[string]json.RawMessage", "[]json.RawMessage", "etcdserverpb.RangeRequest_SortOrder"];

describe("bodies that are no request", () => {
  test.each([
    ["/kv/put", '{"key":"Zm9', invalid("unexpected EOF")],
    ["/kv/put", "xyz", invalid("invalid character 'x' looking for beginning of value")],
    ["/kv/put", '{"key" "a"}', invalid("invalid character '\"' after object key")],
    ["/kv/put", "[]", unmarshal("array", RAW)],
    ["/kv/put", "5", unmarshal("number", RAW)],
    ["/kv/put", '"x"', unmarshal("string", RAW)],
    ["/kv/put", "null", invalid("etcdserver: key is not provided")],
    ["/kv/put", "", invalid("etcdserver: key is not provided")],
    ["/kv/put", " \n", invalid("etcdserver: key is not provided")],
    ["/kv/put", '{"key":5}', unmarshal("number", "[]uint8")],
    ["/kv/put", '{"key":["a"]}', invalid("invalid character 'a' looking for beginning of value")],
    ["/kv/put", '{"key":"Zm9v","lease":"x"}', invalid("invalid character 'x' looking for beginning of value")],
    ["/kv/put", '{"key":"Zm9v","lease":1.5}', unmarshal("number 1.5", "int64")],
    ["/kv/put", '{"key":"Zm9v","lease":1e2}', unmarshal("number 1e2", "int64")],
    ["/kv/put", '{"key":"Zm9v","lease":"9223372036854775808"}', unmarshal("number 9223372036854775808", "int64")],
    ["/kv/put", '{"key":"Zm9v","lease":99999999999999999999}', unmarshal("number 99999999999999999999", "int64")],
    ["/kv/put", '{"key":"Zm9v","lease":true}', unmarshal("bool", "int64")],
    ["/kv/put", '{"key":"Zm9v","lease":[]}', unmarshal("array", "int64")],
    ["/kv/put", '{"key":"Zm9v","prev_kv":"true"}', unmarshal("string", "bool")],
    ["/kv/put", '{"key":"Zm9v","prev_kv":1}', unmarshal("number", "bool")],
    [
      "/kv/range",
      '{"key":"Zm9v","sort_order":"UP"}',
      invalid('unknown value "UP" for enum etcdserverpb.RangeRequest_SortOrder'),
    ],
    ["/kv/range", '{"key":"Zm9v","sort_order":1.5}', unmarshal("number 1.5", ORDER)],
    ["/kv/range", '{"key":"Zm9v","sort_order":true}', unmarshal("bool", ORDER)],
    ["/kv/txn", '{"success":5}', unmarshal("number", LIST)],
    ["/kv/txn", '{"success":{}}', unmarshal("object", LIST)],
    ["/kv/txn", '{"success":[5]}', unmarshal("number", RAW)],
    ["/kv/txn", '{"success":[null]}', invalid("etcdserver: key not found")],
    ["/kv/txn", '{"success":[{"request_put":null}]}', invalid("etcdserver: key not found")],
    ["/maintenance/alarm", '{"memberID":-1}', unmarshal("number -1", "uint64")],
  ])("%s %s", async (path, body, expected) => {
    expect(await refusal(edge, path, body)).toEqual(expected);
  });

  test.each(["Zm9!", "Z", "Zm9v=", "=", "Zm=v", "Zm9\u00e9"])("the base64 %j", async (key) => {
    const { status, json } = await ask(edge, "/kv/put", { key });
    expect(status).toBe(400);
    expect(json).toMatchObject({ code: 3, message: expect.stringMatching(/^illegal base64 data at input byte \d+$/) });
  });

  test("bytes that are no text", async () => {
    const body = new Uint8Array([...Buffer.from('{"key":"'), 0xff, 0xfe, ...Buffer.from('"}')]);
    expect((await edge.ask("/v3/kv/put", { method: "POST", body })).status).toBe(400);
  });
});

describe("what is taken all the same", () => {
  test.each([
    ["something behind the first value", '{"key":"dA=="} garbage'],
    ["fields nobody knows", '{"key":"dA==","foo":{"bar":[1,2,{}]},"constructor":1,"__proto__":{"lease":5}}'],
    ["names twice, of which the last counts", '{"key":"IQ==!","key":"dA=="}'],
    ["both spellings, of which the camel's counts", '{"key":"dA==","prevKv":true,"prev_kv":false}'],
    ["a key as a list of bytes", '{"key":[116]}'],
    ["base64 of URLs, and without padding", '{"key":"dA","value":"_-8"}'],
    ["base64 in lines", '{"key":"dA=\\n="}'],
    ["null for anything", '{"key":"dA==","value":null,"lease":null,"prev_kv":null}'],
    ["a number in a string", '{"key":"dA==","lease":"0"}'],
  ])("%s", async (_name, body) => {
    expect((await ask(edge, "/kv/put", body)).status).toBe(200);
    expect((await told(edge, "/kv/range", { key: "dA==" })).count).toBe("1");
  });

  test("whole numbers keep all their digits, written bare or as text", async () => {
    for (const [id, body] of [
      ["9007199254740993", '{"ID":9007199254740993,"TTL":60}'],
      ["-9223372036854775808", '{"TTL":"60","ID":-9223372036854775808}'],
      ["9223372036854775807", '{"ID":"9223372036854775807","TTL":60}'],
    ]) {
      expect((await told(edge, "/lease/grant", body)).ID).toBe(id);
      const { text } = await ask(edge, "/lease/timetolive", `{"ID":${id}}`);
      expect(text).toContain(`"ID":"${id}"`);
      await told(edge, "/lease/revoke", { ID: id });
    }
  });
});

describe("sizes", () => {
  const large = (bytes: number) => Buffer.alloc(bytes, 1).toString("base64");

  test("a request beyond 1.5 MiB, and a message beyond 2 MiB", async () => {
    expect(await refusal(edge, "/kv/put", { key: b64("s"), value: large(1_572_860) })).toEqual(
      invalid("etcdserver: request is too large"),
    );
    expect(await refusal(edge, "/kv/put", { key: b64("s"), value: large(2_097_152) })).toEqual({
      status: 429,
      code: 8,
      message: "grpc: received message larger than max (2097160 vs. 2097152)",
    });
  });

  test("a read may be larger than a write", async () => {
    expect((await told(edge, "/kv/range", { key: b64("a"), range_end: large(1_800_000) })).header).toBeDefined();
  });

  test("a value of nearly 1.5 MiB is put, replaced and deleted, and told each time", async () => {
    const [first, second] = [large(1_572_800), Buffer.alloc(1_572_800, 2).toString("base64")];
    const [key, range] = [b64("s"), { key: b64("s") }];
    await told(edge, "/kv/put", { key, value: first });
    const put = { request_put: { key, value: second, prev_kv: true } };
    const { responses } = await told(edge, "/kv/txn", { success: [put] });
    expect(responses[0].response_put.prev_kv.value === first).toBe(true);
    expect((await told(edge, "/kv/range", range)).kvs[0].value === second).toBe(true);
    const { prev_kvs } = await told(edge, "/kv/deleterange", { key, prev_kv: true });
    expect(prev_kvs[0].value === second).toBe(true);
  });

  test("a key that is larger than we keep", async () => {
    const tooLarge = invalid("etcdserver: request is too large");
    expect(await refusal(edge, "/kv/put", { key: large(4097) })).toEqual(tooLarge);
  });
});

describe("leases", () => {
  test.each([
    [{ ID: 5, TTL: 60 }, "grant", precondition("etcdserver: lease already exists")],
    [{ TTL: "9000000001" }, "grant", outOfRange("etcdserver: too large lease TTL")],
    [{ TTL: "9223372036854775807" }, "grant", outOfRange("etcdserver: too large lease TTL")],
    [{ ID: 6 }, "revoke", notFound("etcdserver: requested lease not found")],
    [{}, "revoke", notFound("etcdserver: requested lease not found")],
  ])("%j to %s", async (body, path, expected) => {
    await ask(edge, "/lease/grant", { ID: 5, TTL: 600 });
    expect(await refusal(edge, `/lease/${path}`, body)).toEqual(expected);
  });

  test.each([0, -1, "-9223372036854775808", 1])("a time to live of %s is raised", async (TTL) => {
    expect((await told(edge, "/lease/grant", { TTL })).TTL).toBe("2");
  });

  test("names in the wrong case are not known", async () => {
    expect(await told(edge, "/lease/grant", { ttl: 60, id: 12 })).toMatchObject({
      TTL: "2",
      ID: expect.not.stringMatching(/^12$/),
    });
  });
});

describe("who may", () => {
  const put = (headers: Record<string, string>) => ask(edge, "/kv/put", { key: b64("t") }, { token: null, headers });

  test("nobody without a token, in etcd's words", async () => {
    const { status, json } = await put({});
    expect([status, json.code, json.message]).toEqual([400, 3, "etcdserver: user name is empty"]);
    for (const path of ["/kv/range", "/lease/grant", "/lease/leases", "/maintenance/status", "/cluster/member/list"]) {
      const reply = await ask(edge, path, { key: b64("t") }, { token: null });
      expect([path, reply.status, reply.json.message]).toEqual([path, 400, "etcdserver: user name is empty"]);
    }
  });

  test("nobody with a wrong one", async () => {
    const { status, json, headers } = await put({ authorization: "wrong" });
    expect([status, json.code, json.message]).toEqual([401, 16, "etcdserver: invalid auth token"]);
    expect(headers.get("www-authenticate")).toBe("etcdserver: invalid auth token");
  });

  test.each([
    ["as it is", { authorization: TOKEN }],
    ["as a bearer", { authorization: `Bearer ${TOKEN}` }],
    ["as metadata", { "grpc-metadata-token": TOKEN }],
  ])("a token %s", async (_name, headers) => {
    expect((await put(headers)).status).toBe(200);
  });

  test("rights count for each part", async () => {
    const statements = [
      { effect: "allow", verbs: ["read", "create", "update", "delete"], kind: "kv", match: "prefix", name: "mine/" },
    ];
    const made = await edge.api("/tokens", { method: "POST", body: { statements } });
    expect(made.status).toBeLessThan(300);
    const asked = { token: null, headers: { authorization: made.json.secret as string } };
    const denied = { status: 403, code: 7, message: "etcdserver: permission denied" };
    const mine = { key: b64("mine/a") };
    expect((await ask(edge, "/kv/put", mine, asked)).status).toBe(200);
    expect((await ask(edge, "/kv/range", { key: b64("mine/"), range_end: b64("mine0") }, asked)).status).toBe(200);
    expect(await refusal(edge, "/kv/range", { key: b64("mine/"), range_end: "AA==" }, asked)).toEqual(denied);
    expect(await refusal(edge, "/kv/range", { key: b64("a") }, asked)).toEqual(denied);
    expect(await refusal(edge, "/kv/deleterange", { key: b64("min"), range_end: b64("mio") }, asked)).toEqual(denied);
    const either = { success: [{ request_put: mine }], failure: [{ request_range: { key: b64("other") } }] };
    expect(await refusal(edge, "/kv/txn", either, asked)).toEqual(denied);
    expect(await refusal(edge, "/kv/txn", { compare: [{ key: b64("other") }] }, asked)).toEqual(denied);
    expect(await refusal(edge, "/kv/compaction", { revision: 2 }, asked)).toEqual(denied);
    expect(await refusal(edge, "/maintenance/defragment", {}, asked)).toEqual(denied);
    expect(await refusal(edge, "/lease/grant", { TTL: 5 }, asked)).toEqual(denied);
    // Whoever is somebody may know how the namespace is.
    expect((await ask(edge, "/maintenance/status", {}, asked)).status).toBe(200);
  });
});
