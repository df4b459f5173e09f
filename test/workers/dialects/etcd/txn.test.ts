/** Transactions by etcd's rules: what is compared with what, in which order things happen, and what is refused. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Edge } from "../../../edge.ts";
import { b64, invalid, notFound, outOfRange, refusal, told, startGateway } from "./gateway.ts";

let edge: Edge;
beforeAll(async () => {
  edge = await startGateway();
});
afterAll(() => edge[Symbol.asyncDispose]());

const put = (key: string, value = "", more: object = {}) => ({
  request_put: { key: b64(key), value: b64(value), ...more },
});
const range = (key: string, more: object = {}) => ({ request_range: { key: b64(key), ...more } });
const del = (key: string, more: object = {}) => ({ request_delete_range: { key: b64(key), ...more } });
const nested = (txn: object) => ({ request_txn: txn });
const txn = (body: object) => told(edge, "/kv/txn", body);
const wrong = (body: object) => refusal(edge, "/kv/txn", body);
const holds = async (...compare: object[]): Promise<boolean> => (await txn({ compare })).succeeded === true;

describe("comparisons", () => {
  beforeAll(async () => {
    await told(edge, "/lease/grant", { TTL: 600, ID: "-7" });
    await txn({ success: [put("c/1", "b", { lease: "-7" }), put("c/2", "c")] });
    await txn({ success: [put("c/2", "c")] });
  });

  const one = (more: object) => ({ key: b64("c/1"), ...more });
  const both = (more: object) => ({ key: b64("c/"), range_end: b64("c0"), ...more });
  const absent = (more: object) => ({ key: b64("absent"), ...more });

  test.each([
    ["a version", one({ target: "VERSION", version: 1 }), true],
    ["a version, unequal", one({ target: "VERSION", result: "NOT_EQUAL", version: 1 }), false],
    ["a value, less", one({ target: "VALUE", result: "LESS", value: b64("ba") }), true],
    ["a value, greater than none", one({ target: "VALUE", result: "GREATER" }), true],
    ["a lease", one({ target: "LEASE", lease: "-7" }), true],
    ["a lease, greater", one({ target: "LEASE", result: "GREATER", lease: "-8" }), true],
    ["an operand for another target counts as 0", one({ target: "VERSION", create_revision: 1 }), false],
    ["the far end of the numbers", one({ target: "MOD", result: "LESS", mod_revision: "9223372036854775807" }), true],
    ["every key of a range", both({ target: "VERSION", result: "GREATER", version: 0 }), true],
    ["not every key of a range", both({ target: "VERSION", version: 1 }), false],
    ["an absent key has zeros", absent({ target: "MOD", mod_revision: 0 }), true],
    ["an absent key has no value", absent({ target: "VALUE" }), false],
    ["an absent key has no value, unequal", absent({ target: "VALUE", result: "NOT_EQUAL", value: b64("x") }), false],
    [
      "an empty range is an absent key",
      absent({ range_end: b64("absenu"), target: "CREATE", create_revision: 0 }),
      true,
    ],
    ["an empty range has no value", absent({ range_end: b64("absenu"), target: "VALUE", result: 3 }), false],
    ["a range that ends before it begins", both({ range_end: b64("a"), target: 0, version: 0 }), true],
  ])("%s", async (_name, compare, expected) => {
    expect(await holds(compare)).toBe(expected);
  });

  test("none holds, all have to hold", async () => {
    expect(await holds()).toBe(true);
    expect(await holds(one({ version: 1 }), one({ version: 2 }))).toBe(false);
  });

  test("nested ones see the state before everything", async () => {
    const compare = [{ key: b64("n/1"), target: "VERSION", version: 0 }];
    const json = await txn({ success: [put("n/1"), nested({ compare, success: [put("n/2")] })] });
    expect(json.responses[1].response_txn).toMatchObject({ header: {}, succeeded: true });
    expect((await told(edge, "/kv/range", { key: b64("n/2") })).count).toBe("1");
  });
});

describe("operations", () => {
  test("reads see earlier writes; each tells the revision so far, all writes have one", async () => {
    const json = await txn({
      success: [range("o/1"), put("o/1", "1"), range("o/1"), nested({ success: [put("o/2")] }), del("o/3"), del("o/4")],
    });
    const at = Number(json.header.revision);
    const [before, first, read, inner, third, fourth] = json.responses;
    expect(before).toEqual({ response_range: { header: { revision: String(at - 1) } } });
    expect(first.response_put.header.revision).toBe(String(at));
    expect(read.response_range).toMatchObject({ header: { revision: String(at) }, count: "1" });
    expect(inner.response_txn.responses[0].response_put.header.revision).toBe(String(at));
    for (const { response_delete_range } of [third, fourth]) {
      expect(response_delete_range).toEqual({ header: { revision: String(at) } });
    }
    const { kvs } = await told(edge, "/kv/range", { key: b64("o/"), range_end: b64("o0") });
    expect(kvs.map((kv: { mod_revision: string }) => kv.mod_revision)).toEqual([String(at), String(at)]);
  });

  test("a read as of a revision does not see what is written; one of before it is sorted and cut as alone", async () => {
    const { header } = await txn({ success: [put("p/1", "b"), put("p/2", "a")] });
    const options = { range_end: b64("p0"), sort_target: "VALUE", sort_order: "ASCEND", limit: 1 };
    const json = await txn({
      success: [put("p/0", "0"), range("p/", { ...options, revision: header.revision }), range("p/", options)],
    });
    const [, then, now] = json.responses;
    expect(then.response_range).toMatchObject({ kvs: [{ key: b64("p/2") }], more: true, count: "2" });
    expect(now.response_range).toMatchObject({ kvs: [{ key: b64("p/0") }], more: true, count: "3" });
  });

  test("nothing written is no revision", async () => {
    const { revision } = (await txn({})).header;
    expect((await txn({ success: [range("none"), del("none")] })).header.revision).toBe(revision);
  });

  test("one that fails undoes all", async () => {
    expect(await wrong({ success: [put("u/1"), put("u/2", "", { lease: 404 })] })).toEqual(
      notFound("etcdserver: requested lease not found"),
    );
    expect(await wrong({ success: [put("u/1"), put("u/2", "", { ignore_value: true })] })).toEqual(
      invalid("etcdserver: key not found"),
    );
    expect(await wrong({ success: [put("u/1"), range("u/1", { revision: 1_000_000 })] })).toEqual(
      outOfRange("etcdserver: mvcc: required revision is a future revision"),
    );
    expect(await told(edge, "/kv/range", { key: b64("u/1") })).not.toHaveProperty("count");
    // What is not done is not looked at.
    await txn({ failure: [put("u/2", "", { lease: 404 })] });
  });
});

describe("refused in either branch", () => {
  const duplicate = invalid("etcdserver: duplicate key given in txn request");
  const tooMany = invalid("etcdserver: too many operations in txn request");
  const many = (count: number, prefix = "m") => Array.from({ length: count }, (_, n) => put(`${prefix}/${n}`));

  test.each([
    ["two puts", [put("d"), put("d")], duplicate],
    ["a put and a deletion", [put("d"), del("d")], duplicate],
    ["a deletion and a put", [del("d"), put("d")], duplicate],
    ["a put in a deleted range", [del("a", { range_end: b64("z") }), put("d")], duplicate],
    ["a put, and one nested", [put("d"), nested({ success: [put("d")] })], duplicate],
    ["a deletion, and a put nested", [del("d"), nested({ failure: [put("d")] })], duplicate],
    ["two nested puts", [nested({ success: [put("d")] }), nested({ failure: [put("d")] })], duplicate],
    ["an empty key", [put("")], invalid("etcdserver: key is not provided")],
    [
      "an empty key, deep",
      [nested({ failure: [nested({ success: [range("")] })] })],
      invalid("etcdserver: key is not provided"),
    ],
    ["an empty operation", [{}], invalid("etcdserver: key not found")],
    ["no such order", [range("d", { sort_order: 9 })], invalid("etcdserver: invalid sort option")],
    ["129 operations", many(129), tooMany],
    ["128 and one nested", [...many(127), nested({ success: [put("n/1")] })], tooMany],
  ])("%s", async (_name, operations, expected) => {
    expect(await wrong({ success: operations })).toEqual(expected);
    expect(await wrong({ failure: operations })).toEqual(expected);
  });

  test("what is allowed beside it", async () => {
    await txn({ success: [del("e"), del("a", { range_end: b64("z") })] });
    await txn({ success: [nested({ success: [put("e")], failure: [put("e")] })] });
    await txn({ success: many(128) });
    await txn({ success: [...many(100), nested({ success: many(27, "n") })] });
    await txn({ compare: Array.from({ length: 128 }, () => ({ key: b64("e"), version: 1 })) });
    expect(await wrong({ compare: Array.from({ length: 129 }, () => ({ key: b64("e") })) })).toEqual(tooMany);
  });

  test.each([130, 1000, 20_000])("nested %d deep", async (depth) => {
    const body = `${'{"success":[{"request_txn":'.repeat(depth)}{}${"}]}".repeat(depth)}`;
    expect(await refusal(edge, "/kv/txn", body)).toEqual(tooMany);
  });
});
