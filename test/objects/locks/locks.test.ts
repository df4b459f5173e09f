/** Locks: what each kind grants, in which order, under which tokens, and what ends a claim. Rules M1 to M7, M9. */
import { beforeEach, describe, expect, test } from "vitest";
import { utf8 } from "../../../objects/bytes.ts";
import type { Fence } from "../../../objects/fences.ts";
import { claimRange, WAITERS_MAX } from "../../../objects/locks/arbiter.ts";
import type { AcquireInput, LockClaim, LockInfo, LockTerms } from "../../../objects/locks/locks.ts";
import { locks } from "../../../objects/locks/locks.ts";
import { CALLER } from "../store/memory.ts";
import { codeOf, World } from "../fixture.ts";

let world: World;
beforeEach(() => {
  world = new World();
});

const MUTEX: LockTerms = { kind: "mutex" };
const READ: LockTerms = { kind: "readWrite", mode: "read" };
const WRITE: LockTerms = { kind: "readWrite", mode: "write" };
const permits = (count: number, limit = 3): LockTerms => ({ kind: "semaphore", permits: count, limit });
const TTL_MS = 10_000;

/** On its own lease, unless one is given; waits unless told not to. */
function acquire(owner: string, terms: LockTerms = MUTEX, more: Partial<AcquireInput> = {}): LockClaim | null {
  const lease = more.lease === undefined ? { ttlMs: TTL_MS } : {};
  return world.run("lock.acquire", { name: "l", owner, wait: true, ...lease, ...terms, ...more } as AcquireInput);
}

const granted = (owner: string, terms: LockTerms = MUTEX): number => acquire(owner, terms)!.token!;
const claim = (owner: string): LockClaim | null => world.core.query("lock.claim", { name: "l", owner }, world.now);
const info = (): LockInfo => world.core.query("lock.get", { name: "l" }, world.now);
const held = (): string[] => info().holders.map(({ owner }) => owner);
const waiting = (): string[] => info().waiters.map(({ owner }) => owner);
const release = (owner: string, token = claim(owner)!.token!, all = false) =>
  world.run("lock.release", { name: "l", owner, token, all });
const withdraw = (owner: string, ticket?: number) => world.run("lock.withdraw", { name: "l", owner, ticket });
const check = (token: number, owner?: string): boolean =>
  world.core.query("lock.check", { name: "l", token, owner }, world.now);

/** What becomes of a command with a fence: `none`, the code of its refusal, or the field of the fence that is at fault. */
function guarded(token: number, owner?: string): string {
  const fence: Fence = { kind: "lock", name: "l", token, owner };
  const input = { key: utf8("k"), value: utf8("v") };
  const [result] = world.core.execute([{ command: "kv.put", input, caller: CALLER, fence }], world.now);
  return result!.ok ? "none" : String(result!.error.details?.["field"] ?? result!.error.code);
}

describe("a mutex", () => {
  test("is held by who comes first, and handed on in the commit that frees it, in the order of arrival", () => {
    const first = granted("a");
    for (const owner of ["z", "b", "m"]) expect(acquire(owner)).toMatchObject({ token: null });
    expect([held(), waiting()]).toEqual([["a"], ["z", "b", "m"]]);
    const before = world.core.revision;
    expect(release("a")).toEqual({ count: 0 });
    expect(world.core.revision).toBe(before + 1);
    expect(claim("z")!.token).toBe(before + 1);
    expect(before + 1).toBeGreaterThan(first);
    release("z");
    expect([held(), waiting()]).toEqual([["b"], ["m"]]);
  });

  test("is not there while nobody holds or wants it, and of no kind then", () => {
    acquire("a");
    expect(info()).toMatchObject({ kind: "mutex", holderCount: 1, waiterCount: 0 });
    release("a");
    expect(info()).toEqual({
      name: "l",
      kind: null,
      limit: null,
      holderCount: 0,
      waiterCount: 0,
      holders: [],
      waiters: [],
    });
    expect(world.core.query("lock.list", {}, world.now).items).toEqual([]);
    // Nor is the lease that was its own.
    expect(world.core.query("leases.list", {}, world.now).ids).toEqual([]);
    expect(acquire("b", WRITE)!.token).not.toBeNull();
  });

  test("is refused at once to who does not wait, and nothing is left of the attempt", () => {
    acquire("a");
    const before = world.core.revision;
    expect(acquire("b", MUTEX, { wait: false })).toBeNull();
    expect(world.core.revision).toBe(before);
    expect(world.core.query("leases.list", {}, world.now).ids).toHaveLength(1);
  });

  test("an owner without a name gets one of its own", () => {
    const one = world.run("lock.acquire", { name: "l", ttlMs: TTL_MS, wait: false, kind: "mutex" })!;
    expect(one.owner).toMatch(/^[0-9a-f-]{36}$/);
    expect(one.token).not.toBeNull();
  });
});

describe("the same owner", () => {
  test("acquires again under the same token, and has to release as often", () => {
    const token = granted("a");
    expect(acquire("a")).toMatchObject({ token, count: 2 });
    acquire("b");
    expect(release("a", token)).toEqual({ count: 1 });
    expect(held()).toEqual(["a"]);
    expect(release("a", token)).toEqual({ count: 0 });
    expect(held()).toEqual(["b"]);
  });

  test("or once for all", () => {
    granted("a");
    const token = granted("a");
    expect(release("a", token, true)).toEqual({ count: 0 });
    expect(held()).toEqual([]);
  });

  test("asks again while it waits: the same place, and the earlier request cannot withdraw it", () => {
    granted("a");
    const first = acquire("b")!;
    acquire("c");
    const second = acquire("b")!;
    expect(second).toMatchObject({ count: 1, lease: first.lease });
    expect(waiting()).toEqual(["b", "c"]);
    expect(withdraw("b", first.ticket)).toMatchObject({ ticket: second.ticket, token: null });
    expect(waiting()).toEqual(["b", "c"]);
    expect(withdraw("b", second.ticket)).toBeNull();
    expect(waiting()).toEqual(["c"]);
  });

  test("a writer reads as well, a reader does not write, and a lease is not changed", () => {
    const token = granted("a", WRITE);
    expect(acquire("a", READ)).toMatchObject({ token, count: 2, mode: "write" });
    release("a", token, true);
    granted("a", READ);
    expect(codeOf(() => acquire("a", WRITE))).toBe("conflict");
    const other = world.run("leases.grant", { ttlMs: TTL_MS }).id;
    expect(codeOf(() => acquire("a", READ, { lease: other }))).toBe("conflict");
  });
});

describe("a read-write lock", () => {
  test("readers share it, a writer waits for all of them, and readers behind it wait for the writer", () => {
    granted("r1", READ);
    granted("r2", READ);
    acquire("w", WRITE);
    acquire("r3", READ);
    acquire("r4", READ);
    expect(acquire("r5", READ, { wait: false })).toBeNull();
    expect([held(), waiting()]).toEqual([
      ["r1", "r2"],
      ["w", "r3", "r4"],
    ]);
    release("r1");
    expect(waiting()).toEqual(["w", "r3", "r4"]);
    release("r2");
    expect([held(), waiting()]).toEqual([["w"], ["r3", "r4"]]);
    release("w");
    expect([held(), waiting()]).toEqual([["r3", "r4"], []]);
    // Granted together, under one token.
    expect(claim("r3")!.token).toBe(claim("r4")!.token);
  });

  test("readers behind a writer who gives up go in with the others", () => {
    granted("r1", READ);
    acquire("w", WRITE);
    acquire("r2", READ);
    expect(withdraw("w")).toBeNull();
    expect(held()).toEqual(["r1", "r2"]);
  });
});

describe("a semaphore", () => {
  test("grants as many permits as it has, and what is large is not overtaken", () => {
    granted("a", permits(2));
    acquire("b", permits(2));
    acquire("c", permits(1));
    expect([held(), waiting()]).toEqual([["a"], ["b", "c"]]);
    release("a");
    expect([held(), waiting()]).toEqual([["b", "c"], []]);
  });

  test("never more than there are, never none", () => {
    for (const count of [0, 4, 1.5, -1]) expect(codeOf(() => acquire("a", permits(count)))).toBe("invalid_argument");
    expect(codeOf(() => acquire("a", permits(1, 0)))).toBe("invalid_argument");
    expect(codeOf(() => acquire("a", permits(1, 10_001)))).toBe("invalid_argument");
  });

  test("a lock is of one kind, and of one limit, while it is in use", () => {
    granted("a", permits(1));
    expect(codeOf(() => acquire("b", permits(1, 4)))).toBe("conflict");
    expect(codeOf(() => acquire("b"))).toBe("conflict");
    release("a");
    expect(granted("b")).toBeGreaterThan(0);
  });
});

describe("what ends a claim", () => {
  test("a lease that lapses: the next one holds, in that same commit", () => {
    const token = granted("a");
    const next = world.run("leases.grant", { ttlMs: 60_000 }).id;
    acquire("b", MUTEX, { lease: next });
    world.pass(TTL_MS);
    expect(held()).toEqual(["b"]);
    expect(check(token)).toBe(false);
    expect(claim("b")!.token).toBe(world.core.revision);
  });

  test("a lease that is revoked, with all its claims; none of them gets what the others had", () => {
    const lease = world.run("leases.grant", { ttlMs: TTL_MS }).id;
    acquire("a", MUTEX, { lease });
    acquire("b", MUTEX, { lease });
    acquire("c");
    acquire("d", MUTEX, { lease });
    world.run("leases.revoke", { id: lease });
    expect([held(), waiting()]).toEqual([["c"], []]);
  });

  test("a waiter whose lease is gone is passed over, before and after a restart", () => {
    granted("a");
    const [short, long] = [1500, 60_000].map((ttlMs) => world.run("leases.grant", { ttlMs }).id);
    acquire("b", MUTEX, { lease: short! });
    acquire("c", MUTEX, { lease: long! });
    world.pass(1500);
    world.crash();
    expect(waiting()).toEqual(["c"]);
    release("a");
    expect(held()).toEqual(["c"]);
  });

  test("a lease that was brought stays when the lock is released", () => {
    const lease = world.run("leases.grant", { ttlMs: TTL_MS }).id;
    acquire("a", MUTEX, { lease });
    release("a");
    expect(world.core.query("leases.list", {}, world.now).ids).toEqual([lease]);
    expect(codeOf(() => acquire("a", MUTEX, { lease: "77" }))).toBe("not_found");
  });

  test("what hangs on a claim's own lease goes with it", () => {
    const { lease } = acquire("a")!;
    world.run("kv.put", { key: utf8("k"), value: utf8("v"), lease });
    release("a");
    expect(world.core.query("kv.range", { key: utf8("k") }, world.now).records).toEqual([]);
  });
});

describe("tokens", () => {
  test("a stale token, or another's, releases and renews nothing (M7)", () => {
    const stale = granted("a");
    release("a");
    const token = granted("b");
    const before = world.core.revision;
    expect(codeOf(() => release("a", stale))).toBe("fenced");
    expect(codeOf(() => release("a", token))).toBe("fenced");
    expect(codeOf(() => release("b", stale))).toBe("fenced");
    expect([held(), world.core.revision]).toEqual([["b"], before]);
    expect([check(stale), check(token), check(token, "b"), check(token, "a")]).toEqual([false, true, true, false]);
  });

  test("of a shared lock are one owner's, though others were granted theirs in the same commit (M4, M5)", () => {
    for (const [shared, whole] of [
      [READ, WRITE],
      [permits(1), permits(3)],
    ] as const) {
      const exclusive = granted("w", whole);
      expect([check(exclusive), check(exclusive, "w"), check(exclusive, "a")]).toEqual([true, true, false]);
      for (const owner of ["a", "b"]) expect(acquire(owner, shared)!.token).toBeNull();
      release("w");
      const token = claim("a")!.token!;
      expect(claim("b")!.token).toBe(token);
      expect([check(token, "a"), check(token, "b")]).toEqual([true, true]);
      expect([guarded(token, "a"), guarded(token, "b")]).toEqual(["none", "none"]);
      release("a");
      expect([check(token, "a"), check(token, "b")]).toEqual([false, true]);
      expect([guarded(token, "a"), guarded(token, "b")]).toEqual(["fenced", "none"]);
      expect(() => check(token)).toThrow("owner: is needed");
      expect(guarded(token)).toBe("fence.owner");
      expect([check(exclusive), guarded(exclusive)]).toEqual([false, "fenced"]);
      release("b");
      expect([check(token), guarded(token), guarded(token, "b")]).toEqual([false, "fenced", "fenced"]);
    }
  });

  test("rise over a restart, and over a restore, which frees everything (M5, M9)", () => {
    const first = granted("a");
    world.crash();
    expect(check(first)).toBe(true);
    const records = world.core.store.snapshotPage(world.core.revision, null, 1_000_000).records;
    release("a");
    const second = granted("b");
    world.core.backend.stageBegin();
    world.core.backend.stage(records);
    const floor = world.core.revision + 10;
    world.core.restore(floor, { namespace: "x", revision: first }, CALLER, world.now);
    world.crash();
    expect([held(), check(first), check(second)]).toEqual([[], false, false]);
    expect(granted("c")).toBeGreaterThan(floor);
  });
});

test("a hand-over wakes who has it now, and nobody else", () => {
  granted("a");
  const owners = Array.from({ length: 50 }, (_, at) => `w${at}`);
  const woken: string[] = [];
  for (const owner of owners) {
    acquire(owner);
    world.core.feed.wait([claimRange(locks, "l", owner)], () => woken.push(owner));
  }
  release("a");
  expect(woken).toEqual(["w0"]);
  withdraw("w7");
  expect(woken).toEqual(["w0", "w7"]);
});

test("nothing of a hand-over stays behind: of locks and their leases no history is kept", () => {
  const token = granted("a");
  acquire("b");
  release("a", token);
  release("b");
  expect(world.database.all("SELECT space FROM history")).toEqual([]);
  expect(world.database.all("SELECT space FROM records")).toEqual([]);
});

test("a lock takes so many waiters, and no more", () => {
  granted("a");
  const lease = world.run("leases.grant", { ttlMs: 60_000 }).id;
  for (let i = 0; i < WAITERS_MAX; i++) acquire(`w${i}`, MUTEX, { lease });
  expect(codeOf(() => acquire("late"))).toBe("quota_exceeded");
  release("a");
  expect(acquire("late")).toMatchObject({ token: null });
  // All at once they go as well.
  world.run("leases.revoke", { id: lease });
  expect(held()).toEqual(["late"]);
});

test("names and owners that are none are refused by name", () => {
  const fieldOf = (more: Partial<AcquireInput>): unknown => {
    try {
      acquire("a", MUTEX, more);
    } catch (error) {
      return (error as { details?: { field?: string } }).details?.field;
    }
    return undefined;
  };
  expect(fieldOf({ name: "" })).toBe("name");
  expect(fieldOf({ name: "a\0b" })).toBe("name");
  expect(fieldOf({ owner: ".." })).toBe("owner");
  expect(fieldOf({ owner: "x".repeat(256) })).toBe("owner");
  expect(fieldOf({ ttlMs: 10 })).toBe("ttl");
  expect(fieldOf({ lease: "0" })).toBe("lease");
  expect(fieldOf({ lease: "1", ttlMs: 5000 })).toBe("ttl");
  expect(fieldOf({ kind: "spin" as never })).toBe("kind");
});
