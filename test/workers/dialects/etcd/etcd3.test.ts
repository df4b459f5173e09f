/** The npm package `etcd3` as it is, over gRPC through the agent's port. */
import { once } from "node:events";
import { Etcd3, EtcdLeaseInvalidError, EtcdLockFailedError, GRPCOutOfRangeError, STMConflictError } from "etcd3";
import type { Lease } from "etcd3";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { Edge } from "../../../edge.ts";
import { closedPort } from "../../../scripts/agent/checks/servers.ts";

let edge: Edge;
let port: number;
let client: Etcd3;

beforeAll(async () => {
  port = await closedPort();
  edge = await Edge.start(["--open", "--etcd-port", String(port)]);
  client = new Etcd3({ hosts: `http://127.0.0.1:${port}` });
});
afterAll(async () => {
  client.close();
  await edge[Symbol.asyncDispose]();
});
beforeEach(async () => {
  await client.delete().all();
});

describe("keys", () => {
  test("put, get in every form, delete", async () => {
    await client.put("text").value("grüße");
    await client.put("number").value(42);
    await client.put("json").value(JSON.stringify({ a: [1] }));
    const bytes = Buffer.from([0, 255, 128]);
    await client.put("bytes").value(bytes);
    await client.put(Buffer.from([0, 1])).value("binary key");
    expect(await client.get("text").string()).toBe("grüße");
    expect(await client.get("number").number()).toBe(42);
    expect(await client.get("json").json()).toEqual({ a: [1] });
    expect(await client.get("bytes").buffer()).toEqual(bytes);
    expect(await client.get(Buffer.from([0, 1])).string()).toBe("binary key");
    expect(await client.get("absent").string()).toBeNull();
    expect(await client.get("text").exists()).toBe(true);
    expect((await client.delete().key("text").exec()).deleted).toBe("1");
    expect(await client.get("text").exists()).toBe(false);
  });

  test("ranges: prefix, keys, count, limit, order", async () => {
    for (const key of ["b/2", "a/1", "b/1", "c", "b/3"]) await client.put(key).value(`v${key}`);
    expect(await client.getAll().strings()).toEqual(
      Object.fromEntries(["a/1", "b/1", "b/2", "b/3", "c"].map((key) => [key, `v${key}`])),
    );
    const all = client.getAll().prefix("b/");
    expect(await all.keys()).toEqual(["b/1", "b/2", "b/3"]);
    expect(await client.getAll().prefix("b/").count()).toBe(3);
    expect(await client.getAll().prefix("b/").limit(2).keys()).toEqual(["b/1", "b/2"]);
    expect(await client.getAll().prefix("b/").sort("Key", "Descend").keys()).toEqual(["b/3", "b/2", "b/1"]);
    expect(await client.getAll().inRange({ start: "b/2", end: "c" }).keys()).toEqual(["b/2", "b/3"]);
    expect((await client.delete().prefix("b/").getPrevious()).map(({ key }) => String(key))).toEqual([
      "b/1",
      "b/2",
      "b/3",
    ]);
    expect(await client.getAll().keys()).toEqual(["a/1", "c"]);
  });

  test("previous values, touching, and reading the past", async () => {
    const { header } = await client.put("k").value("one").exec();
    expect(String((await client.put("k").value("two").getPrevious()).value)).toBe("one");
    await client.put("k").ignoreLease().value("three").exec();
    expect(await client.get("k").revision(header.revision).string()).toBe("one");
    const { kvs } = await client.get("k").exec();
    expect(kvs[0]).toMatchObject({ version: "3", create_revision: header.revision, lease: "0" });
    await expect(client.get("k").revision("999999999").string()).rejects.toThrow(GRPCOutOfRangeError);
  });

  test("compaction ends the past", async () => {
    const { header } = await client.put("k").value("one").exec();
    const { header: later } = await client.put("k").value("two").exec();
    await client.kv.compact({ revision: later.revision });
    await expect(client.get("k").revision(header.revision).string()).rejects.toThrow(
      "mvcc: required revision has been compacted",
    );
  });

  test("a large value is kept, a request that is too large refused", async () => {
    const large = Buffer.alloc(1_572_800, "x");
    await client.put("large").value(large);
    expect((await client.get("large").buffer())!.equals(large)).toBe(true);
    const larger = client.put("larger").value(Buffer.alloc(1_600_000)).exec();
    await expect(larger).rejects.toThrow("etcdserver: request is too large");
  });
});

describe("transactions", () => {
  test("compare, then or else", async () => {
    await client.put("k").value("one");
    const swap = (from: string, to: string) =>
      client.if("k", "Value", "==", from).then(client.put("k").value(to)).else(client.get("k")).commit();
    expect((await swap("one", "two")).succeeded).toBe(true);
    const { succeeded, responses } = await swap("one", "three");
    expect(succeeded).toBe(false);
    expect(String(responses[0]!.response_range!.kvs[0]!.value)).toBe("two");
    const created = await client.if("new", "Create", "==", 0).then(client.put("new").value("x")).commit();
    expect(created.succeeded).toBe(true);
    expect((await client.if("k", "Version", ">", 1).commit()).succeeded).toBe(true);
  });

  test("software transactional memory: conflicts are tried again, nothing is lost", async () => {
    await client.put("counter").value(0);
    const increments = Array.from({ length: 10 }, () =>
      client.stm({ retries: 100 }).transact(async (tx) => {
        const value = await tx.get("counter").number();
        await tx.put("counter").value(value! + 1);
      }),
    );
    await Promise.all(increments);
    expect(await client.get("counter").number()).toBe(10);
  });

  test("one that always conflicts is given up", async () => {
    await client.put("k").value("a");
    const attempt = client.stm({ retries: 1 }).transact(async (tx) => {
      await tx.get("k").string();
      await client.put("k").value(String(Math.random()));
      await tx.put("k").value("mine");
    });
    await expect(attempt).rejects.toThrow(STMConflictError);
  });
});

describe("namespaces of the client", () => {
  test("see their own keys only", async () => {
    const own = client.namespace("app/");
    await own.put("k").value("mine");
    await client.put("k").value("outer");
    expect(await own.get("k").string()).toBe("mine");
    expect(await client.get("app/k").string()).toBe("mine");
    expect(await own.getAll().keys()).toEqual(["k"]);
    await own.delete().all();
    expect(await client.getAll().keys()).toEqual(["k"]);
  });
});

describe("leases", () => {
  const leases: Lease[] = [];
  const lease = (ttl: number): Lease => {
    const made = client.lease(ttl, { autoKeepAlive: false });
    leases.push(made);
    return made;
  };
  afterEach(async () => {
    await Promise.all(leases.splice(0).map((one) => one.revoke().catch(() => {})));
  });

  test("grant, keys on it, time to live, revocation", async () => {
    const one = lease(60);
    await one.put("leased").value("x");
    const id = await one.grant();
    expect((await client.get("leased").exec()).kvs[0]!.lease).toBe(id);
    const { grantedTTL, keys } = await client.leaseClient.leaseTimeToLive({ ID: id, keys: true });
    expect([grantedTTL, keys.map(String)]).toEqual(["60", ["leased"]]);
    expect((await client.leaseClient.leaseLeases()).leases.map(({ ID }) => ID)).toContain(id);
    await one.revoke();
    expect(await client.get("leased").exists()).toBe(false);
  });

  test("is kept alive over a stream", async () => {
    const one = client.lease(5);
    const kept = once(one, "keepaliveSucceeded");
    await one.grant();
    const [response] = await kept;
    expect(response).toMatchObject({ TTL: "5" });
    await one.keepaliveOnce();
    await one.revoke();
  });

  test("one that has been revoked is told as lost, and takes no keys", async () => {
    const one = lease(60);
    const id = await one.grant();
    await client.leaseClient.leaseRevoke({ ID: id });
    await expect(client.put("k").lease(id).value("x").exec()).rejects.toThrow(EtcdLeaseInvalidError);
    await expect(one.keepaliveOnce()).rejects.toThrow(EtcdLeaseInvalidError);
  });
});

describe("locks", () => {
  test("one holder at a time, and the next when it lets go", async () => {
    const first = client.lock("door").ttl(30);
    await first.acquire();
    await expect(client.lock("door").acquire()).rejects.toThrow(EtcdLockFailedError);
    await first.release();
    const done = await client.lock("door").do(async () => {
      await expect(client.lock("door").acquire()).rejects.toThrow(EtcdLockFailedError);
      return "done";
    });
    expect(done).toBe("done");
  });
});

describe("the cluster", () => {
  test("one member, itself the leader", async () => {
    const { members } = await client.cluster.memberList({});
    const { leader, version } = await client.maintenance.status();
    expect(members).toHaveLength(1);
    expect(members[0]!.ID).toBe(leader);
    expect(version).toMatch(/^3\.\d+\.\d+$/);
  });

  test("of which nobody can be taken away", async () => {
    await expect(client.cluster.memberRemove({ ID: "1" })).rejects.toThrow("etcdserver: member not found");
  });
});
