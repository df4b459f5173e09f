/** Leases and times to live: rules L1 to L8 and R2, R3, R7 of objects/SPEC.md, with a clock that the test moves. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { utf8 } from "../../objects/bytes.ts";
import { LAPSE_SLICE } from "../../objects/lapses.ts";
import { LATE_MS } from "../../objects/leases/deadlines.ts";
import { codeOf, World } from "./fixture.ts";

describe("times to live", () => {
  test("L1, L2: an instance is there until its time to live has passed, and gone at that instant", () => {
    const world = new World();
    world.register("a", { ttlMs: 10_000 });
    world.pass(9_999);
    expect(world.ids()).toEqual(["a"]);
    world.pass(1);
    expect(world.ids()).toEqual([]);
  });

  test("a heartbeat makes no revision, writes no log, and moves the deadline", () => {
    const world = new World();
    world.register("a", { ttlMs: 10_000 });
    for (let i = 0; i < 20; i++) {
      world.pass(9_000);
      expect(world.beat("a")).toBe(1);
    }
    expect(world.core.revision).toBe(1);
    expect(world.core.store.log(0, 10)).toHaveLength(1);
    world.pass(9_999);
    expect(world.ids()).toEqual(["a"]);
    world.pass(1);
    expect(world.ids()).toEqual([]);
  });

  test("L4, R3: a heartbeat after the end, or after deregistration, does not bring it back", () => {
    const world = new World();
    world.register("a", { ttlMs: 5_000 });
    world.register("b", { ttlMs: 5_000 });
    world.run("registry.deregister", { service: "web", id: "b" });
    world.pass(5_000);
    const beats = [
      { service: "web", id: "a" },
      { service: "web", id: "b" },
      { service: "none", id: "c" },
    ];
    expect(world.core.heartbeat(beats, world.now)).toEqual({ renewed: 0, unknown: [0, 1, 2] });
    expect(world.ids()).toEqual([]);
  });

  test("lazy expiry: nothing dead is served though no timer ran", () => {
    const world = new World();
    world.register("a", { ttlMs: 5_000 });
    world.now += 5_001;
    expect(world.ids()).toEqual([]);
  });

  test("the same registration again renews, and is no change", () => {
    const world = new World();
    world.register("a", { ttlMs: 5_000 });
    world.pass(4_000);
    world.register("a", { ttlMs: 5_000 });
    expect(world.core.revision).toBe(1);
    world.pass(4_999);
    expect(world.ids()).toEqual(["a"]);
  });

  test("a shorter time to live holds at once; a persistent registration lives on", () => {
    const world = new World();
    world.register("a", { ttlMs: 60_000 });
    world.register("b", { ttlMs: 5_000 });
    world.register("a", { ttlMs: 5_000 });
    world.register("b");
    world.pass(5_000);
    expect(world.ids()).toEqual(["b"]);
  });

  test("a change by PATCH is no sign of life", () => {
    const world = new World();
    world.register("a", { ttlMs: 10_000 });
    world.pass(6_000);
    world.run("registry.update", { service: "web", id: "a", weight: 7 });
    world.pass(4_000);
    expect(world.ids()).toEqual([]);
  });

  test("L3: ten thousand that lapse together go in slices, and who asks in between does not wait for more", () => {
    const world = new World();
    world.run("settings.update", { selfPreservation: { threshold: 0 } });
    for (let i = 0; i < 10; i++) {
      world.run(
        "registry.registerMany",
        Array.from({ length: 1000 }, (_, at) => ({
          service: "web",
          id: `${i}-${at}`,
          address: "192.0.2.1",
          ttlMs: 5_000,
        })),
      );
    }
    world.now += 5_001;
    expect(world.core.settle(world.now)).toBe(true);
    world.run("kv.put", { key: utf8("k"), value: utf8("v") });
    const left = (): number => world.core.query("registry.service", { service: "web" }, world.now).instanceCount;
    expect(left()).toBe(10_000 - LAPSE_SLICE);
    // Nobody goes on with it: then who asks does.
    world.now += 100;
    expect(left()).toBe(10_000 - 2 * LAPSE_SLICE);
    while (world.core.settle(world.now));
    expect(codeOf(() => world.core.query("registry.service", { service: "web" }, world.now))).toBe("not_found");
  });
});

describe("leases", () => {
  test("what hangs on a lease goes with it, in one revision", () => {
    const world = new World();
    const { id } = world.run("leases.grant", { ttlMs: 5_000 });
    world.run("kv.put", { key: utf8("a"), value: utf8("1"), lease: id });
    world.run("kv.put", { key: utf8("b"), value: utf8("1"), lease: id });
    world.run("kv.put", { key: utf8("c"), value: utf8("1") });
    world.register("x", { lease: id });
    expect(world.core.query("leases.get", { id }, world.now).attached).toHaveLength(3);
    world.pass(5_000);
    expect(world.core.revision).toBe(6);
    expect(world.ids()).toEqual([]);
    const left = world.core.query("kv.range", { key: utf8(""), to: null }, world.now).records;
    expect(left.map(({ key }) => key)).toEqual([utf8("c")]);
    expect(codeOf(() => world.core.query("registry.service", { service: "web" }, world.now))).toBe("not_found");
  });

  test("a key written again without the lease stays", () => {
    const world = new World();
    const { id } = world.run("leases.grant", { ttlMs: 5_000 });
    world.run("kv.put", { key: utf8("a"), value: utf8("1"), lease: id });
    world.run("kv.put", { key: utf8("a"), value: utf8("2") });
    world.run("leases.revoke", { id });
    expect(world.core.query("kv.range", { key: utf8("a") }, world.now).records).toHaveLength(1);
  });

  test("M3, L4: nothing can be hung on a lease that has ended, and it cannot be renewed", () => {
    const world = new World();
    const { id } = world.run("leases.grant", { ttlMs: 5_000 });
    world.now += 5_001;
    expect(codeOf(() => world.run("kv.put", { key: utf8("a"), value: utf8("1"), lease: id }))).toBe("not_found");
    expect(codeOf(() => world.core.renewLease(id, world.now))).toBe("not_found");
    expect(codeOf(() => world.run("leases.revoke", { id }))).toBe("not_found");
  });

  test("L2: very many that lapse at once all go, though that takes longer than a stall may", () => {
    const world = new World();
    const count = 5 * LAPSE_SLICE;
    for (let n = 0; n < count; n++) world.run("leases.grant", { ttlMs: 60_000 });
    world.now += 60_001;
    let slices = 0;
    for (; world.core.settle(world.now); slices++) world.now += 1000;
    expect(slices).toBe(4);
    expect(world.core.query("leases.list", { after: null }, world.now).ids).toEqual([]);
  });

  test("L5: a stall in the middle of that is one all the same", () => {
    const world = new World();
    for (let n = 0; n < 2 * LAPSE_SLICE; n++) world.run("leases.grant", { ttlMs: 60_000 });
    world.now += 60_001;
    expect(world.core.settle(world.now)).toBe(true);
    world.now += LATE_MS + 1;
    expect(world.core.settle(world.now)).toBe(false);
    expect(world.core.query("leases.list", { after: null }, world.now).ids).toHaveLength(LAPSE_SLICE);
  });

  test("L3: those that lapse together take with them what hangs on each, however much that is", () => {
    const world = new World();
    const grant = (): string => world.run("leases.grant", { ttlMs: 5_000 }).id;
    const put = (name: string, lease: string): void =>
      void world.run("kv.put", { key: utf8(name), value: utf8("v"), lease });
    const [few, none, many] = [grant(), grant(), grant()];
    put("few", few);
    world.run("kv.set", { key: utf8("few"), value: utf8("w"), flags: "7" });
    world.register("x", { lease: few });
    for (let from = 0; from < 1500; from += 100) {
      const then = Array.from({ length: 100 }, (_, n) => ({
        type: "put" as const,
        key: utf8(`many/${from + n}`),
        value: utf8("v"),
        lease: many,
      }));
      world.run("kv.txn", { compare: [], then, else: [] });
    }
    put("kept", none);
    world.run("kv.put", { key: utf8("kept"), value: utf8("v") });
    const before = world.core.revision;
    world.pass(5_000);
    expect(world.core.revision).toBe(before + 1);
    const left = world.core.query("kv.range", { key: utf8(""), to: null }, world.now).records;
    expect(left.map(({ key }) => key)).toEqual([utf8("kept")]);
    expect(world.ids()).toEqual([]);
    world.run("kv.put", { key: utf8("few"), value: utf8("v") });
    expect(world.core.query("kv.entry", { key: utf8("few") }, world.now)).toMatchObject({ flags: "0" });
  });

  test("many are renewed together; those that have ended are named", () => {
    const world = new World();
    const [gone, kept] = [5_000, 10_000].map((ttlMs) => world.run("leases.grant", { ttlMs }).id) as [string, string];
    world.now += 6_000;
    expect(world.core.renewLeases([gone, kept, "1"], world.now)).toEqual({ ended: [gone, "1"] });
    world.now += 6_000;
    expect(world.core.renewLeases([kept], world.now)).toEqual({ ended: [] });
    const tooMany = Array.from({ length: 10_001 }, () => kept);
    expect(codeOf(() => world.core.renewLeases(tooMany, world.now))).toBe("invalid_argument");
  });

  test.each([0, -1, Number.NaN, Infinity, 999, 9_000_000_000_001])(
    "L7: a time to live of %d ms is refused",
    (ttlMs) => {
      const world = new World();
      expect(codeOf(() => world.run("leases.grant", { ttlMs }))).toBe("invalid_argument");
      expect(codeOf(() => world.register("a", { ttlMs }))).toBe("invalid_argument");
      expect(world.core.revision).toBe(0);
    },
  );

  test.each(["0", "-0", "1.5", "abc", "9223372036854775808", "-9223372036854775809", "01", ""])(
    "the id %j is refused",
    (id) => {
      expect(codeOf(() => new World().run("leases.grant", { ttlMs: 5_000, id }))).toBe("invalid_argument");
    },
  );

  test("an id may be negative, and a lease may outlive whoever granted it", () => {
    const world = new World();
    const granted = { ttlMs: 9_000_000_000_000, id: "-9223372036854775808" };
    expect(world.run("leases.grant", granted)).toEqual(granted);
    world.run("leases.grant", { ttlMs: 5_000, id: "7" });
    expect(world.core.query("leases.list", {}, world.now)).toEqual({
      ids: ["-9223372036854775808", "7"],
      deadlinesAt: [world.now + 9_000_000_000_000, world.now + 5_000],
      after: null,
    });
  });

  test("an id that is taken is refused, and the lease that has it stays as it was", () => {
    const world = new World();
    world.run("leases.grant", { ttlMs: 5_000, id: "9223372036854775807" });
    expect(codeOf(() => world.run("leases.grant", { ttlMs: 9_000, id: "9223372036854775807" }))).toBe("already_exists");
    expect(world.core.query("leases.get", { id: "9223372036854775807" }, world.now).ttlMs).toBe(5_000);
  });
});

describe("crashes and stalls", () => {
  test("L1 over a crash: what was renewed lives its time to live after the restart, and no longer", () => {
    const world = new World();
    world.register("a", { ttlMs: 10_000 });
    world.pass(8_000);
    world.beat("a");
    world.pass(1_000);
    world.crash();
    world.pass(9_999);
    expect(world.ids()).toEqual(["a"]);
    world.pass(1);
    expect(world.ids()).toEqual([]);
  });

  test("after a checkpoint a restart is exact: not a moment longer", () => {
    const world = new World();
    world.register("a", { ttlMs: 60_000 });
    world.pass(20_000);
    world.beat("a");
    world.pass(30_000);
    world.crash();
    world.pass(29_999);
    expect(world.ids()).toEqual(["a"]);
    world.pass(1);
    expect(world.ids()).toEqual([]);
  });

  test("crashes in a row do not keep alive what nobody renews; what is renewed in between outlives them all", () => {
    const quiet = new World();
    quiet.register("a", { ttlMs: 10_000 });
    for (let i = 0; i < 3; i++) {
      quiet.pass(3_000);
      quiet.crash();
    }
    quiet.pass(1_000);
    expect(quiet.ids()).toEqual([]);

    const busy = new World();
    busy.register("a", { ttlMs: 10_000 });
    busy.register("b", { ttlMs: 10_000 });
    for (let i = 0; i < 20; i++) {
      busy.pass(3_000);
      expect(busy.beat("b")).toBe(1);
      busy.crash();
    }
    busy.pass(9_999);
    expect(busy.ids()).toContain("b");
    busy.beat("b");
    busy.pass(1);
    expect(busy.ids()).toEqual(["b"]);
  });

  test("an outage longer than the time to live: everybody gets a full one to come back in", () => {
    const world = new World();
    world.register("a", { ttlMs: 10_000 });
    world.pass(5_000);
    world.crash(3_600_000);
    expect(world.ids()).toEqual(["a"]);
    world.pass(9_999);
    expect(world.ids()).toEqual(["a"]);
    world.pass(1);
    expect(world.ids()).toEqual([]);
  });

  test("L5, L6: a clock that jumps an hour ahead, or a stall, ends nobody who could not renew meanwhile", () => {
    const world = new World();
    world.register("a", { ttlMs: 10_000 });
    const { id } = world.run("leases.grant", { ttlMs: 10_000 });
    world.now += 3_600_000;
    expect(world.beat("a")).toBe(1);
    expect(world.core.renewLease(id, world.now).ttlMs).toBe(10_000);
    world.pass(9_999);
    expect(world.ids()).toEqual(["a"]);
  });

  test("checks and their consequences survive a crash: pushed checks turn critical, critical ones deregister", () => {
    const world = new World();
    world.register("a", { checks: [{ type: "ttl", ttlMs: 5_000, status: "passing", deregisterAfterMs: 60_000 }] });
    world.crash();
    world.pass(5_000);
    expect(world.instances()[0]!.status).toBe("critical");
    world.crash();
    world.pass(59_999);
    expect(world.ids()).toEqual(["a"]);
    world.pass(1);
    expect(world.ids()).toEqual([]);
  });

  test("any life of beats, pauses and crashes: never early, and gone in bounded time after the last beat", () => {
    const ttlMs = 10_000;
    const event = fc.oneof(
      {
        weight: 5,
        arbitrary: fc.record({ type: fc.constant("pass" as const), ms: fc.integer({ min: 1, max: 9_000 }) }),
      },
      { weight: 5, arbitrary: fc.constant({ type: "beat" as const }) },
      {
        weight: 2,
        arbitrary: fc.record({ type: fc.constant("crash" as const), ms: fc.integer({ min: 0, max: 30_000 }) }),
      },
    );
    fc.assert(
      fc.property(fc.array(event, { maxLength: 30 }), (events) => {
        const world = new World();
        world.register("a", { ttlMs });
        let promisedUntil = world.now + ttlMs;
        let crashesSince = 0;
        for (const action of events) {
          if (action.type === "pass") world.pass(action.ms);
          if (action.type === "crash") {
            world.crash(action.ms);
            crashesSince++;
          }
          const alive = world.ids().includes("a");
          if (world.now < promisedUntil) expect(alive).toBe(true);
          if (action.type === "beat" && alive) {
            expect(world.beat("a")).toBe(1);
            promisedUntil = world.now + ttlMs;
            crashesSince = 0;
          }
        }
        world.pass((crashesSince + 4) * ttlMs);
        expect(world.ids()).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });
});

describe("self-preservation", () => {
  const crowd = (world: World, count: number): string[] => {
    const ids = Array.from({ length: count }, (_, at) => `i${at}`);
    for (const id of ids) world.register(id, { ttlMs: 10_000 });
    return ids;
  };

  test("R7: when most lapse together they are kept, marked suspect, and the view says so", () => {
    const world = new World();
    const ids = crowd(world, 40);
    world.pass(9_000);
    world.beat(...ids.slice(0, 10));
    world.pass(1_000);
    const view = world.core.query("registry.view", { service: "web" }, world.now);
    expect(view.selfPreservation).toBe(true);
    expect(view.instances).toHaveLength(40);
    expect(view.instances.filter(({ suspect }) => suspect)).toHaveLength(30);
  });

  test("who renews again is no suspect any more; when enough do, the rest goes", () => {
    const world = new World();
    const ids = crowd(world, 40);
    world.pass(10_000);
    expect(world.core.selfPreservation).toBe(true);
    const keep = setKeeping(world, ids.slice(0, 38));
    keep(30_000);
    expect(
      world
        .instances()
        .map(({ id }) => id)
        .toSorted(),
    ).toEqual(ids.slice(0, 38).toSorted());
    expect(world.core.selfPreservation).toBe(false);
  });

  test("a few that lapse among many just lapse", () => {
    const world = new World();
    const ids = crowd(world, 40);
    world.pass(9_000);
    world.beat(...ids.slice(0, 38));
    world.pass(1_000);
    expect(world.ids()).toHaveLength(38);
  });

  test("L8, and the minimum: leases and small namespaces are not covered; the threshold can be turned off", () => {
    const small = new World();
    crowd(small, 5);
    small.pass(10_000);
    expect(small.ids()).toEqual([]);
    const off = new World();
    off.run("settings.update", { selfPreservation: { threshold: 0 } });
    crowd(off, 40);
    off.pass(10_000);
    expect(off.ids()).toEqual([]);
    const leases = new World();
    for (let i = 0; i < 40; i++) leases.run("leases.grant", { ttlMs: 10_000 });
    leases.pass(10_000);
    expect(leases.core.query("leases.list", {}, leases.now).ids).toEqual([]);
  });

  test("it is still known after a crash", () => {
    const world = new World();
    crowd(world, 40);
    world.pass(10_000);
    world.crash();
    expect(world.core.query("registry.view", { service: "web" }, world.now).selfPreservation).toBe(true);
  });

  /** Time passes, and these go on renewing. */
  function setKeeping(world: World, ids: string[]): (ms: number) => void {
    return (ms) => {
      for (let passed = 0; passed < ms; passed += 2_000) {
        world.beat(...ids);
        world.pass(2_000);
      }
    };
  }
});
