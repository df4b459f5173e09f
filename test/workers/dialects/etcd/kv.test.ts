/** KV as etcd 3.4.23 answered it: golden bodies, ranges, deletions, history. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Edge } from "../../../edge.ts";
import { ask, b64, invalid, notFound, outOfRange, refusal, told, startGateway } from "./gateway.ts";

let edge: Edge;
beforeAll(async () => {
  edge = await startGateway();
});
afterAll(() => edge[Symbol.asyncDispose]());

const namespaced = (namespace: string) => ({ prefix: `/ns/${namespace}/v3` });

/** In a namespace of its own, so that revisions are known. */
function place(namespace: string) {
  const { prefix } = namespaced(namespace);
  const post = (path: string, body: unknown) => edge.ask(prefix + path, { method: "POST", body: JSON.stringify(body) });
  return {
    post,
    async told(path: string, body: unknown = {}) {
      const { status, json, text } = await post(path, body);
      if (status !== 200) throw new Error(text);
      return json;
    },
    put: async (key: string, value = "", more: object = {}) =>
      Number((await post("/kv/put", { key: b64(key), value: b64(value), ...more })).json.header.revision),
  };
}

describe("golden bodies", () => {
  test("a put, what it wrote, and what is absent, to the byte", async () => {
    const at = place("golden");
    const put = await at.post("/kv/put", { key: b64("foo"), value: b64("bar") });
    expect(put.text).toMatch(
      /^\{"header":\{"cluster_id":"\d{5,20}","member_id":"\d{5,20}","revision":"2","raft_term":"2"\}\}$/,
    );
    const header = put.text.slice(0, -1);
    const kv = `{"key":"Zm9v","create_revision":"2","mod_revision":"2","version":"1","value":"YmFy"}`;
    expect((await at.post("/kv/range", { key: "Zm9v" })).text).toBe(`${header},"kvs":[${kv}],"count":"1"}`);
    expect((await at.post("/kv/range", { key: b64("absent") })).text).toBe(`${header}}`);
    expect((await at.post("/kv/put", { key: "Zm9v", prev_kv: true })).json.prev_kv).toEqual(JSON.parse(kv));
    const { headers } = put;
    expect(headers.get("content-type")).toBe("application/json");
    expect(headers.get("grpc-metadata-content-type")).toBe("application/grpc");
    expect(headers.get("access-control-allow-origin")).toBe("*");
  });

  test("a fresh store is at revision 1; ids stay the same and are the namespace's", async () => {
    const first = await place("fresh").told("/kv/range", { key: b64("a") });
    expect(first.header.revision).toBe("1");
    const again = await place("fresh").told("/kv/range", { key: b64("a") });
    expect(again.header).toEqual(first.header);
    const other = await place("fresh2").told("/kv/range", { key: b64("a") });
    expect(other.header.cluster_id).not.toBe(first.header.cluster_id);
  });

  test("a deletion of something and of nothing", async () => {
    const at = place("deletion");
    await at.put("a", "1");
    await at.put("b", "2");
    const gone = await at.told("/kv/deleterange", { key: b64("a"), prev_kv: true });
    expect(gone).toMatchObject({
      header: { revision: "4" },
      deleted: "1",
      prev_kvs: [{ key: b64("a"), value: b64("1") }],
    });
    const none = await at.told("/kv/deleterange", { key: b64("a"), prev_kv: true });
    expect(Object.keys(none)).toEqual(["header"]);
    expect(none.header.revision).toBe("4");
    expect(await at.told("/kv/deleterange", { key: b64("z"), range_end: b64("a") })).not.toHaveProperty("deleted");
    expect(await at.told("/kv/deleterange", { key: "AA==", range_end: "AA==" })).toMatchObject({ deleted: "1" });
  });

  test("create if absent, then read, in one transaction", async () => {
    const at = place("create");
    const body = {
      compare: [{ key: b64("k"), target: "CREATE", result: "EQUAL", create_revision: "0" }],
      success: [{ request_put: { key: b64("k"), value: b64("v") } }, { request_range: { key: b64("k") } }],
      failure: [{ request_range: { key: b64("k") } }],
    };
    const first = await at.told("/kv/txn", body);
    const kv = { key: b64("k"), create_revision: "2", mod_revision: "2", version: "1", value: b64("v") };
    expect(first).toEqual({
      header: expect.objectContaining({ revision: "2" }),
      succeeded: true,
      responses: [
        { response_put: { header: { revision: "2" } } },
        { response_range: { header: { revision: "2" }, kvs: [kv], count: "1" } },
      ],
    });
    const second = await at.told("/kv/txn", body);
    expect(second).not.toHaveProperty("succeeded");
    expect(second.header.revision).toBe("2");
    expect(second.responses).toEqual([{ response_range: { header: { revision: "2" }, kvs: [kv], count: "1" } }]);
  });
});

describe("ranges", () => {
  const at = place("ranges");
  const keys = (json: { kvs?: { key: string }[] }) =>
    (json.kvs ?? []).map(({ key }) => Buffer.from(key, "base64").toString()).join("");
  const all = { key: "AA==", range_end: "AA==" };

  beforeAll(async () => {
    // a is the newest, c has the most versions, b was made first, d is as b but later.
    await at.put("b", "2");
    for (const value of ["x", "y", "9"]) await at.put("c", value);
    await at.put("d", "2");
    await at.put("a", "5");
  });

  test.each([
    ["one key", { key: b64("b") }, "b", "1"],
    ["from a key up to another", { key: b64("b"), range_end: b64("d") }, "bc", "2"],
    ["from a key on", { key: b64("c"), range_end: "AA==" }, "cd", "2"],
    ["everything", all, "abcd", "4"],
    ["an end before the beginning", { key: b64("c"), range_end: b64("a") }, "", undefined],
    ["with a limit", { ...all, limit: 2 }, "ab", "4"],
    ["with a limit that is none", { ...all, limit: -1 }, "abcd", "4"],
    ["backwards", { ...all, sort_order: "DESCEND" }, "dcba", "4"],
    ["backwards with a limit", { ...all, sort_order: "DESCEND", limit: "3" }, "dcb", "4"],
    ["by version", { ...all, sort_order: "DESCEND", sort_target: "VERSION", limit: 1 }, "c", "4"],
    ["by creation", { ...all, sort_order: "ASCEND", sort_target: "CREATE" }, "bcda", "4"],
    ["by modification, as numbers", { ...all, sort_order: 2, sort_target: 3 }, "adcb", "4"],
    ["by value, with keys in order where it is the same", { ...all, sort_order: 1, sort_target: "VALUE" }, "bdac", "4"],
    ["without an order: the first in key order, sorted", { ...all, sort_target: "CREATE", limit: 1 }, "b", "4"],
    ["changed since", { ...all, min_mod_revision: "6" }, "ad", "4"],
    [
      "created until, the last of them",
      { ...all, max_create_revision: "3", sort_order: 2, sort_target: 2, limit: 1 },
      "c",
      "4",
    ],
    ["within both bounds", { ...all, min_create_revision: 3, max_mod_revision: 6 }, "cd", "4"],
  ])("%s", async (_name, body, expected, count) => {
    const json = await at.told("/kv/range", body);
    expect(keys(json)).toBe(expected);
    expect(json.count).toBe(count);
    const hasMore =
      "limit" in body && Number(body.limit) > 0 && !("max_create_revision" in body && expected.length === 2);
    expect(json.more ?? false).toBe(hasMore);
  });

  test("counts alone, and keys alone", async () => {
    expect(Object.keys(await at.told("/kv/range", { ...all, count_only: true }))).toEqual(["header", "count"]);
    expect((await at.told("/kv/range", { ...all, count_only: true, revision: 3 })).count).toBe("2");
    const { kvs } = await at.told("/kv/range", { ...all, keys_only: true, sort_target: "VALUE", sort_order: 2 });
    expect(keys({ kvs })).toBe("cabd");
    for (const kv of kvs) expect(kv).not.toHaveProperty("value");
  });

  test("as of a revision; the header tells the present one", async () => {
    const json = await at.told("/kv/range", { ...all, revision: 4 });
    expect(json.kvs).toMatchObject([{ value: b64("2") }, { value: b64("y"), version: "2" }]);
    expect(json.header.revision).toBe("7");
  });

  test("more than one answer of the namespace carries, with its count, and sorted", async () => {
    const big = place("big");
    // Nine of a megabyte: twice what comes in one part.
    const value = Buffer.alloc(1_000_000, "v").toString("base64");
    for (let n = 0; n < 9; n++) await big.post("/kv/put", { key: b64(`k${n}`), value });
    const json = await big.told("/kv/range", all);
    expect(keys(json)).toBe("k0k1k2k3k4k5k6k7k8");
    expect([json.count, json.more]).toEqual(["9", undefined]);
    const sorted = await big.told("/kv/range", { ...all, sort_order: "DESCEND", sort_target: "MOD" });
    expect(keys(sorted)).toBe("k8k7k6k5k4k3k2k1k0");
    const limited = await big.told("/kv/range", { ...all, limit: 8 });
    expect([keys(limited), limited.more, limited.count]).toEqual(["k0k1k2k3k4k5k6k7", true, "9"]);
  });
});

describe("puts", () => {
  test("what is kept, and what has to be there for it", async () => {
    const at = place("kept");
    await at.told("/lease/grant", { TTL: 60, ID: 77 });
    await at.put("k", "v", { lease: "77" });
    await at.put("k", "", { ignore_value: true });
    expect((await at.told("/kv/range", { key: b64("k") })).kvs).toEqual([
      { key: b64("k"), create_revision: "3", mod_revision: "4", version: "2", value: b64("v") },
    ]);
    await at.put("k", "v", { lease: 77 });
    await at.put("k", "w", { ignoreLease: true });
    expect((await at.told("/kv/range", { key: b64("k") })).kvs[0]).toMatchObject({ value: b64("w"), lease: "77" });
    const put = (body: object) => refusal(edge, "/kv/put", { key: b64("none"), ...body });
    expect(await put({ ignore_value: true })).toEqual(invalid("etcdserver: key not found"));
    expect(await put({ ignore_lease: true })).toEqual(invalid("etcdserver: key not found"));
    expect(await put({ ignore_value: true, value: b64("x") })).toEqual(invalid("etcdserver: value is provided"));
    expect(await put({ ignore_lease: true, lease: 5 })).toEqual(invalid("etcdserver: lease is provided"));
    expect(await put({ lease: "9007199254740993" })).toEqual(notFound("etcdserver: requested lease not found"));
  });

  test("each answers its own revision, also those that arrive together", async () => {
    const at = place("together");
    const revisions = await Promise.all(Array.from({ length: 40 }, (_, n) => at.put(`k${n}`)));
    expect(new Set(revisions).size).toBe(40);
    const { kvs } = await at.told("/kv/range", { key: "AA==", range_end: "AA==" });
    for (const { key, mod_revision } of kvs) {
      expect(Number(mod_revision)).toBe(revisions[Number(Buffer.from(key, "base64").toString().slice(1))]);
    }
  });
});

describe("history", () => {
  test("is forgotten on demand, and then neither read nor forgotten again", async () => {
    const at = place("history");
    for (const value of ["1", "2", "3"]) await at.put("k", value);
    const range = (revision: number) => at.post("/kv/range", { key: b64("k"), revision });
    const compacted = outOfRange("etcdserver: mvcc: required revision has been compacted");
    const future = outOfRange("etcdserver: mvcc: required revision is a future revision");
    const wrong = async (reply: Promise<{ status: number; json: { code: number; message: string } }>) => {
      const { status, json } = await reply;
      return { status, code: json.code, message: json.message };
    };
    expect((await at.post("/kv/compaction", { revision: "3", physical: true })).status).toBe(200);
    expect(await wrong(range(2))).toEqual(compacted);
    expect((await range(3)).json.kvs[0].value).toBe(b64("2"));
    expect((await range(-5)).json.kvs[0].value).toBe(b64("3"));
    expect(await wrong(range(1000))).toEqual(future);
    expect(await wrong(at.post("/kv/range", { key: b64("k"), revision: "9223372036854775807" }))).toEqual(future);
    expect(await wrong(at.post("/kv/compaction", { revision: 3 }))).toEqual(compacted);
    expect(await wrong(at.post("/kv/compaction", {}))).toEqual(compacted);
    expect(await wrong(at.post("/kv/compaction", { revision: 1000 }))).toEqual(future);
  });
});

test("the older prefixes, and the namespace of a host", async () => {
  await told(edge, "/kv/put", { key: b64("old"), value: b64("1") });
  for (const prefix of ["/v3beta", "/v3alpha"]) {
    const { json } = await edge.ask(`${prefix}/kv/range`, { method: "POST", body: `{"key":"${b64("old")}"}` });
    expect(json.count).toBe("1");
  }
  expect((await ask(edge, "/kv/range", { key: b64("old") })).json.count).toBe("1");
});
