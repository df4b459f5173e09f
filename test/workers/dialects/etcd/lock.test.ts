/** v3lockpb.Lock over the JSON gateway, against a started server. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Edge } from "../../../edge.ts";
import { b64, refusal, told, startGateway } from "./gateway.ts";
import { GatewayStream } from "./stream.ts";

let edge: Edge;
beforeAll(async () => {
  edge = await startGateway();
  for (const ID of [1, 10, 255, 256, -5]) await told(edge, "/lease/grant", { TTL: 600, ID });
});
afterAll(() => edge[Symbol.asyncDispose]());

const text = (base64: string): string => Buffer.from(base64, "base64").toString();
const lock = async (name: string, lease: number): Promise<string> =>
  text((await told(edge, "/lock/lock", { name: b64(name), lease })).key);
const unlock = (key: string): Promise<unknown> => told(edge, "/lock/unlock", { key: b64(key) });

/** Keys below a name, in the order of the queue. */
async function queue(name: string): Promise<string[]> {
  const body = { key: b64(`${name}/`), range_end: b64(`${name}0`), sort_target: "CREATE", sort_order: "ASCEND" };
  const { kvs = [] } = await told(edge, "/kv/range", body);
  return kvs.map(({ key }: { key: string }) => text(key).slice(name.length + 1));
}

/** Tells when keys below the name come and go, so that nobody has to sleep. */
async function changesOf(name: string): Promise<GatewayStream> {
  const stream = new GatewayStream(edge, "/watch");
  stream.send({ create_request: { key: b64(`${name}/`), range_end: b64(`${name}0`) } });
  expect(await stream.next()).toMatchObject({ created: true });
  return stream;
}

describe("a lock", () => {
  test("is a key of its lease, and held at once where nobody holds it", async () => {
    const reply = await told(edge, "/lock/lock", { name: b64("mine"), lease: 255 });
    expect(reply).toEqual({ header: expect.any(Object), key: b64("mine/ff") });
    const { kvs } = await told(edge, "/kv/range", { key: b64("mine/ff") });
    expect(kvs).toEqual([
      {
        key: b64("mine/ff"),
        create_revision: reply.header.revision,
        mod_revision: reply.header.revision,
        version: "1",
        lease: "255",
      },
    ]);
    expect(await lock("negative", -5)).toBe("negative/-5");
    expect(await lock("", 1)).toBe("/1");
  });

  test("is the same for the same lease", async () => {
    const first = await told(edge, "/lock/lock", { name: b64("again"), lease: 1 });
    const second = await told(edge, "/lock/lock", { name: b64("again"), lease: 1 });
    expect(second).toEqual({ ...first, header: { ...first.header, revision: expect.any(String) } });
    expect(await queue("again")).toEqual(["1"]);
  });

  test("without a lease has one of a minute", async () => {
    const { key } = await told(edge, "/lock/lock", { name: b64("leaseless") });
    const { kvs } = await told(edge, "/kv/range", { key });
    expect(text(key)).toBe(`leaseless/${BigInt(kvs[0].lease).toString(16)}`);
    expect((await told(edge, "/lease/timetolive", { ID: kvs[0].lease })).grantedTTL).toBe("60");
  });

  test("goes to those who wait in the order in which they came", async () => {
    await using changes = await changesOf("fair");
    await lock("fair", 256);
    await changes.next();
    const order: number[] = [];
    const held: Promise<void>[] = [];
    for (const lease of [10, 1, 255]) {
      held.push(lock("fair", lease).then((key) => void order.push(Number.parseInt(key.slice(5), 16))));
      await changes.next();
    }
    expect(await queue("fair")).toEqual(["100", "a", "1", "ff"]);
    await unlock("fair/100");
    await held[0];
    await unlock("fair/a");
    await held[1];
    expect(order).toEqual([10, 1]);
    await unlock("fair/1");
    await held[2];
    expect(order).toEqual([10, 1, 255]);
  });

  test("is not had by who waits when one in the middle goes, and not by that one", async () => {
    await using changes = await changesOf("middle");
    await lock("middle", 1);
    await changes.next();
    const middle = refusal(edge, "/lock/lock", { name: b64("middle"), lease: 10 });
    await changes.next();
    let isHeld = false;
    const last = lock("middle", 255).then(() => (isHeld = true));
    await changes.next();
    await unlock("middle/a");
    expect(await middle).toEqual({ status: 500, code: 2, message: "mutex: session is expired" });
    expect(await queue("middle")).toEqual(["1", "ff"]);
    expect(isHeld).toBe(false);
    await unlock("middle/1");
    await last;
  });

  test("is handed on when its holder's lease ends", async () => {
    await using changes = await changesOf("revoked");
    await told(edge, "/lease/grant", { TTL: 600, ID: 90 });
    await lock("revoked", 90);
    await changes.next();
    const next = lock("revoked", 1);
    await changes.next();
    await told(edge, "/lease/revoke", { ID: 90 });
    expect(await next).toBe("revoked/1");
  });

  test("leaves nothing of who stops waiting", async () => {
    await using changes = await changesOf("left");
    await lock("left", 1);
    await changes.next();
    await using waiting = new GatewayStream(edge, "/lock/lock");
    waiting.send({ name: b64("left"), lease: 10 });
    waiting.end();
    await changes.next();
    expect(await queue("left")).toEqual(["1", "a"]);
    waiting.reset();
    expect((await changes.next()).events).toMatchObject([{ type: "DELETE", kv: { key: b64("left/a") } }]);
    expect(await queue("left")).toEqual(["1"]);
  });

  test("waits for whoever uses the recipe by hand", async () => {
    await using changes = await changesOf("recipe");
    await told(edge, "/kv/put", { key: b64("recipe/by-hand"), value: "" });
    await changes.next();
    const held = lock("recipe", 1);
    await changes.next();
    await told(edge, "/kv/deleterange", { key: b64("recipe/by-hand") });
    expect(await held).toBe("recipe/1");
  });
});

describe("unlocking", () => {
  test("takes the key away, and leaves the lease; what is not there is no error", async () => {
    await lock("u", 1);
    expect(await unlock("u/1")).toEqual({ header: expect.any(Object) });
    expect(await queue("u")).toEqual([]);
    expect(await unlock("u/1")).toEqual({ header: expect.any(Object) });
    expect(Number((await told(edge, "/lease/timetolive", { ID: 1 })).TTL)).toBeGreaterThan(0);
  });
});

test("failures have code 2 and the words of the client library", async () => {
  const unknown = (message: string) => ({ status: 500, code: 2, message });
  const noLease = unknown("etcdserver: requested lease not found");
  expect(await refusal(edge, "/lock/lock", { name: b64("l"), lease: 12345 })).toEqual(noLease);
  expect(await refusal(edge, "/lock/unlock", {})).toEqual(unknown("etcdserver: key is not provided"));
  expect(await queue("l")).toEqual([]);
});
