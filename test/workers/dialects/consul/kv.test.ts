/** `/v1/kv` with the npm client, and byte for byte. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Asked } from "../../../edge.ts";
import { Edge } from "../../../edge.ts";
import type { Pair } from "./client.ts";
import { Changes, consulClient } from "./client.ts";

let edge: Edge;
let consul: ReturnType<typeof consulClient>;
beforeAll(async () => {
  edge = await Edge.start(["--no-agent"]);
  consul = consulClient(edge);
});
afterAll(() => edge[Symbol.asyncDispose]());
beforeEach(() => ask("?recurse", { method: "DELETE" }));

const ask = (path: string, asked: Asked = {}) => edge.ask(`/v1/kv/${path}`, asked);
const put = (path: string, body: unknown = "v", asked: Asked = {}) => ask(path, { method: "PUT", body, ...asked });
const remove = (path: string) => ask(path, { method: "DELETE" });
const indexOf = ({ headers }: { headers: Headers }): number => Number(headers.get("x-consul-index"));

async function session(body: object = {}): Promise<string> {
  return (await edge.ask("/v1/session/create", { method: "PUT", body: { LockDelay: "0s", ...body } })).json.ID;
}

describe("with the npm client", () => {
  test("set, get, keys, del", async () => {
    expect(await consul.kv.set("a/b c/ü", "hello")).toBe(true);
    expect(await consul.kv.set({ key: "a/d", value: "x", flags: 7 })).toBe(true);
    expect(await consul.kv.get("a/b c/ü")).toMatchObject({ Key: "a/b c/ü", Value: "hello", Flags: 0, LockIndex: 0 });
    expect((await consul.kv.get({ key: "a/d" })) as Pair).toMatchObject({ Flags: 7 });
    expect(await consul.kv.keys("a/")).toEqual(["a/b c/ü", "a/d"]);
    expect(await consul.kv.keys({ key: "a/", separator: "/" })).toEqual(["a/b c/", "a/d"]);
    expect(((await consul.kv.get({ key: "a/", recurse: true })) as Pair[]).map(({ Key }) => Key)).toHaveLength(2);
    expect(await consul.kv.del({ key: "a/", recurse: true })).toBe(true);
    expect(await consul.kv.get("a/d")).toBeUndefined();
    await expect(consul.kv.keys("a/")).rejects.toThrow("not found");
  });

  test("cas, acquire, release", async () => {
    const { ModifyIndex: cas } = (await consul.kv.set("k", "1"), (await consul.kv.get("k")) as Pair);
    // The client makes nothing of `false`.
    expect(await consul.kv.set({ key: "k", value: "2", cas: cas + 1 })).not.toBe(true);
    expect(await consul.kv.set({ key: "k", value: "2", cas })).toBe(true);
    const id = await session();
    expect(await consul.kv.set({ key: "k", value: "3", acquire: id })).toBe(true);
    expect(await consul.kv.set({ key: "k", value: "4", acquire: await session() })).not.toBe(true);
    expect(await consul.kv.get("k")).toMatchObject({ Value: "3", Session: id, LockIndex: 1 });
    expect(await consul.kv.set({ key: "k", value: "5", release: id })).toBe(true);
    expect((await consul.kv.get("k")) as Pair).not.toHaveProperty("Session");
  });

  test("a watch is told of each change, and of the key's end", async () => {
    await consul.kv.set("w", "1");
    using seen = new Changes<Pair | undefined>(
      // The client binds it itself.
      // oxlint-disable-next-line typescript/unbound-method
      consul.watch({ method: consul.kv.get, options: { key: "w", wait: "30s" } }),
    );
    expect(await seen.next()).toMatchObject({ Value: "1" });
    await consul.kv.set("w", "2");
    expect(await seen.next()).toMatchObject({ Value: "2" });
    await consul.kv.del("w");
    expect(await seen.next()).toBeUndefined();
    expect(seen.errors).toEqual([]);
  });
});

describe("answers", () => {
  test("an entry has these fields in this order, and 64 bits of flags", async () => {
    await put("k?flags=18446744073709551615", "hi");
    const { text, json } = await ask("k");
    const { CreateIndex: index } = json[0];
    expect(text).toBe(
      `[{"LockIndex":0,"Key":"k","Flags":18446744073709551615,"Value":"aGk=","CreateIndex":${index},"ModifyIndex":${index}}]`,
    );
    expect((await put("empty", "")).text).toBe("true");
    expect((await ask("empty")).text).toContain('"Value":null');
  });

  test("what is not there is a 404 without a body, but with an index", async () => {
    await put("k");
    for (const path of ["none", "none/?recurse", "none/?keys", "none?raw"]) {
      const reply = await ask(path);
      expect(reply, path).toMatchObject({ status: 404, text: "" });
      expect(indexOf(reply), path).toBeGreaterThan(0);
      expect(reply.headers.get("x-consul-knownleader")).toBe("true");
      expect(reply.headers.get("x-consul-lastcontact")).toBe("0");
    }
    await remove("k");
    expect(await ask("?keys")).toMatchObject({ status: 200, text: "[]" });
    expect((await ask("?recurse")).status).toBe(404);
  });

  test("?raw is the value, and no page of ours; ?recurse takes no notice of it", async () => {
    const bytes = new Uint8Array([0, 255, 60, 104, 49, 62]);
    await put("raw", bytes);
    const response = await edge.request("/v1/kv/raw?raw");
    expect(new Uint8Array(await response.arrayBuffer())).toEqual(bytes);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      "content-type": "text/plain",
      "content-length": "6",
      "content-security-policy": "sandbox",
      "x-content-type-options": "nosniff",
      "x-consul-index": expect.stringMatching(/^\d+$/),
    });
    expect((await ask("ra?recurse&raw")).json[0].Key).toBe("raw");
  });

  test("keys are cut at a separator, in the old spelling too", async () => {
    for (const key of ["d/a", "d/b/1", "d/b/2", "d/c"]) await put(key);
    expect((await ask("d/?keys&separator=/")).json).toEqual(["d/a", "d/b/", "d/c"]);
    expect((await ask("?keys&seperator=/")).json).toEqual(["d/"]);
    expect((await ask("d/?keys")).json).toEqual(["d/a", "d/b/1", "d/b/2", "d/c"]);
  });

  test("?pretty", async () => {
    await put("k");
    expect((await ask("?keys&pretty")).text).toBe('[\n    "k"\n]\n');
  });
});

describe("indexes", () => {
  test("a key's index is its own; a prefix's rises with a deletion below it", async () => {
    await put("p/a");
    await put("p/b");
    const [a, below] = [await ask("p/a"), await ask("p/?recurse")];
    expect(indexOf(a)).toBe(a.json[0].ModifyIndex);
    expect(indexOf(below)).toBe(below.json[1].ModifyIndex);
    await put("other");
    expect(indexOf(await ask("p/?recurse"))).toBe(indexOf(below));
    await remove("p/b");
    expect(indexOf(await ask("p/?keys"))).toBeGreaterThan(indexOf(below));
    expect(indexOf(await ask("p/a"))).toBe(indexOf(a));
  });

  test("the same write again moves nothing; other flags do", async () => {
    await put("k?flags=1");
    const before = indexOf(await ask("k"));
    await put("k?flags=1");
    expect(indexOf(await ask("k"))).toBe(before);
    await put("k?flags=2");
    expect(indexOf(await ask("k"))).toBeGreaterThan(before);
  });

  test("a read waits for a key that is not there, and for one that goes", async () => {
    const waiting = ask(`late?index=${indexOf(await ask("late"))}&wait=30s`);
    await put("late", "here");
    const found = await waiting;
    expect(found).toMatchObject({ status: 200, json: [{ Key: "late" }] });
    const gone = ask(`late?index=${indexOf(found)}&wait=30s`);
    await remove("late");
    expect((await gone).status).toBe(404);
  });

  test("when nothing happens, the same again after the wait", async () => {
    await put("k");
    const index = indexOf(await ask("k"));
    expect(indexOf(await ask(`k?index=${index}&wait=20ms`))).toBe(index);
    expect((await ask("k?index=99999999999999&wait=20ms")).status).toBe(200);
  });

  test("an acquired key wakes who waits for it", async () => {
    await put("k");
    const id = await session();
    const waiting = ask(`k?index=${indexOf(await ask("k"))}&wait=30s&consistent`);
    await put(`k?acquire=${id}`, "v");
    expect((await waiting).json[0]).toMatchObject({ Session: id, LockIndex: 1 });
    const again = ask(`k?index=${indexOf(await ask("k"))}&wait=30s`);
    await edge.ask(`/v1/session/destroy/${id}`, { method: "PUT" });
    expect((await again).json[0]).not.toHaveProperty("Session");
  });
});

describe("deletes", () => {
  test("are always true, but for an index that is not the key's", async () => {
    expect((await remove("none")).text).toBe("true");
    expect((await remove("none?cas=7")).text).toBe("true");
    await put("k");
    expect((await remove("k?cas=0")).text).toBe("false");
    expect((await remove("k?cas=18446744073709551615")).text).toBe("false");
    expect((await remove(`k?cas=${indexOf(await ask("k"))}`)).text).toBe("true");
    expect((await remove("none/?recurse")).text).toBe("true");
  });
});

describe("what is wrong is told in Consul's words, and changes nothing", () => {
  test.each([
    ["", "PUT", 400, "Missing key name"],
    ["", "GET", 400, "Missing key name"],
    ["", "DELETE", 400, "Missing key name"],
    ["k?cas=1&acquire=x", "PUT", 400, "Conflicting flags: acquire=x&cas=1\n"],
    ["k?acquire=x&release=y", "PUT", 400, "Conflicting flags: acquire=x&release=y\n"],
    ["k?recurse&cas=1", "DELETE", 400, "Conflicting flags: cas=1&recurse=\n"],
    ["k?flags=-1", "PUT", 500, 'strconv.ParseUint: parsing "-1": invalid syntax'],
    ["k?flags=", "PUT", 500, 'strconv.ParseUint: parsing "": invalid syntax'],
    ["k?flags=0x10", "PUT", 500, 'strconv.ParseUint: parsing "0x10": invalid syntax'],
    [
      "k?flags=18446744073709551616",
      "PUT",
      500,
      'strconv.ParseUint: parsing "18446744073709551616": value out of range',
    ],
    ["k?cas=one", "PUT", 500, 'strconv.ParseUint: parsing "one": invalid syntax'],
    ["k?cas=1e3", "DELETE", 500, 'strconv.ParseUint: parsing "1e3": invalid syntax'],
    ["k?acquire=", "PUT", 500, "raft apply failed: missing session"],
    ["k?release=", "PUT", 500, "raft apply failed: missing session"],
    ["k?acquire=nobody", "PUT", 500, 'raft apply failed: invalid session "nobody"'],
    ["k?index=x", "GET", 400, "Invalid index"],
    ["k?wait=x&index=1", "GET", 400, "Invalid wait time"],
    ["k?stale&consistent", "GET", 400, "Cannot specify ?stale with ?consistent, conflicting semantics."],
    ["k", "POST", 405, "method POST not allowed"],
    ["a%00b", "PUT", 400, ""],
    ["a%07b", "GET", 400, ""],
    ["%ff", "GET", 400, ""],
    ["k?dc=elsewhere", "GET", 500, "No path to datacenter"],
  ])("%s %s", async (path, method, status, text) => {
    expect(await ask(path, { method, ...(method !== "GET" && { body: "v" }) })).toMatchObject({ status, text });
    expect((await ask("?keys")).json).toEqual([]);
  });

  test("who releases what it does not hold is told no", async () => {
    await put("k");
    expect((await put(`k?release=${await session()}`)).text).toBe("false");
    expect((await put("k?release=nobody")).text).toBe("false");
    expect((await put("none?cas=5")).text).toBe("false");
    expect((await put("k?cas=18446744073709551615")).text).toBe("false");
  });

  test("values are at most 512 KiB, told or not", async () => {
    expect((await put("large", new Uint8Array(524_288))).text).toBe("true");
    const tooLarge = await put("large2", new Uint8Array(524_289));
    expect(tooLarge.status).toBe(413);
    expect(tooLarge.text).toBe(
      "Request body(524289 bytes) too large, max size: 524288 bytes. See " +
        "https://developer.hashicorp.com/docs/agent/config/config-files#kv_max_value_size.",
    );
    let left = 9;
    const chunks = new ReadableStream({
      pull(controller) {
        if (left-- > 0) controller.enqueue(new Uint8Array(65_536));
        else controller.close();
      },
    });
    expect((await put("large3", chunks)).status).toBe(413);
    expect((await ask("?keys")).json).toEqual(["large"]);
  });

  test("any key that can be written is the same when read", async () => {
    for (const key of ["..", "a/../b", ".", "%", "a b+c", "日本/ключ/🔑", "quote\"'\\", "a?b#c", "&=;", "\u00e9"]) {
      const path = encodeURIComponent(key);
      // A dot segment is no key to who builds URLs.
      if (/^\.+$/.test(key)) continue;
      expect((await put(path, key)).text, key).toBe("true");
      expect((await ask(path)).json[0], key).toMatchObject({ Key: key });
    }
    const long = "x".repeat(4096);
    expect((await put(long)).text).toBe("true");
    const id = await session();
    expect((await put(`${long}?acquire=${id}`)).text).toBe("true");
    expect((await put(`${long}y`)).status).toBe(413);
  });
});

test("keys of the native API are the same keys", async () => {
  await edge.put("/kv/shared", "native");
  expect((await ask("shared?raw")).text).toBe("native");
  const id = await session();
  await put(`shared?acquire=${id}&flags=9`, "locked");
  await edge.put("/kv/shared", "native again");
  expect((await ask("shared")).json[0]).toMatchObject({ Session: id, Flags: 9, LockIndex: 1 });
});

test("a listing of more than one part is whole, of one revision, and may be deleted", async () => {
  const names = Array.from({ length: 10_100 }, (_, n) => `many/${String(n).padStart(6, "0")}`);
  for (let at = 0; at < names.length; at += 128) {
    const operations = names.slice(at, at + 128).map((Key) => ({ KV: { Verb: "set", Key, Value: "dg==" } }));
    const { status } = await edge.ask("/v1/txn", { method: "PUT", body: operations });
    expect(status).toBe(200);
  }
  const all = await ask("many/?recurse");
  expect(all.json.map(({ Key }: Pair) => Key)).toEqual(names);
  expect(JSON.parse((await ask("many/?recurse&pretty")).text)).toEqual(all.json);
  expect((await ask("many/?keys")).json).toEqual(names);
  expect((await ask("?keys&separator=/")).json).toEqual(["many/"]);
  const once = { "idempotency-key": "delete-many" };
  expect((await ask("many/?recurse", { method: "DELETE", headers: once })).text).toBe("true");
  expect((await ask("many/?keys")).status).toBe(404);
}, 60_000);
