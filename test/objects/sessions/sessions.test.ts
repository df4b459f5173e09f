/** Sessions: what they need to begin, what ends them, and what goes with them; rules L1 to L8 of objects/SPEC.md. */
import { beforeEach, describe, expect, test } from "vitest";
import { utf8 } from "../../../objects/bytes.ts";
import type { RegistryStep } from "../../../objects/registry/steps.ts";
import type { SessionInput } from "../../../objects/sessions/sessions.ts";
import { codeOf, World } from "../fixture.ts";
import { target } from "../lookups/fixture.ts";

let world: World;

beforeEach(() => {
  world = new World();
  apply({ type: "node.put", node: { name: "n1", address: "192.0.2.7" } }, nodeCheck("passing"));
});

const apply = (...steps: RegistryStep[]) => world.run("registry.apply", steps);
const nodeCheck = (status: "passing" | "warning" | "critical"): RegistryStep => ({
  type: "check.put",
  owner: { node: "n1" },
  check: { type: "status", id: "alive", status },
});
const instance = (change: object = {}): RegistryStep => ({
  type: "instance.put",
  instance: { service: "web", id: "w1", node: "n1", address: "192.0.2.1", ports: { default: 80 }, ...change },
});

function create(change: Partial<SessionInput> = {}): string {
  return world.run("session.create", {
    name: "",
    node: "n1",
    behavior: "release",
    lockDelayMs: 0,
    ttlMs: null,
    checks: [],
    ...change,
  }).id;
}

const get = (id: string) => world.core.query("session.get", { id }, world.now);
const list = (node?: string) => world.core.query("session.list", { node }, world.now).items.map(({ id }) => id);
const entry = (name: string) => world.core.query("kv.entry", { key: utf8(name) }, world.now);
const acquire = (session: string, name = "lock") =>
  world.run("kv.acquire", { key: utf8(name), value: utf8("v"), session }).applied;

describe("a session needs", () => {
  test("a node that is there; it may be made with it", () => {
    expect(codeOf(() => create({ node: "elsewhere" }))).toBe("not_found");
    const id = create({ node: "N2", ensure: { name: "n2", address: "192.0.2.2" } });
    expect(get(id)).toMatchObject({ node: "n2" });
  });

  test("its checks to be there, and not critical", () => {
    expect(codeOf(() => create({ checks: ["none"] }))).toBe("not_found");
    apply(nodeCheck("warning"));
    expect(get(create({ checks: ["alive", "alive"] }))).toMatchObject({ checks: ["alive"] });
    apply(nodeCheck("critical"));
    expect(codeOf(() => create({ checks: ["alive"] }))).toBe("conflict");
    apply(instance({ checks: [{ type: "status", id: "up", status: "passing" }] }));
    expect(get(create({ checks: ["up"] }))).not.toBeNull();
  });

  test.each([
    [{ ttlMs: 999 }],
    [{ ttlMs: Number.NaN }],
    [{ lockDelayMs: -1 }],
    [{ behavior: "keep" as "delete" }],
    [{ name: "a\0b" }],
    [{ checks: Array.from({ length: 65 }, (_, n) => `c${n}`) }],
    [{ checks: ["a\0b"] }],
  ])("%j is refused", (change) => {
    const before = world.core.revision;
    expect(codeOf(() => create(change))).toBe("invalid_argument");
    expect(world.core.revision).toBe(before);
  });
});

test("sessions are listed, all or those of a node, and told by id", () => {
  const a = create({ name: "a" });
  const b = create({ node: "n2", ensure: { name: "n2", address: "192.0.2.2" } });
  expect(list().toSorted()).toEqual([a, b].toSorted());
  expect(list("N1")).toEqual([a]);
  expect(list("none")).toEqual([]);
  expect(get("none\0")).toBeNull();
  world.run("session.destroy", { id: a });
  expect(world.run("session.destroy", { id: a })).toEqual({ existed: false });
  expect(list()).toEqual([b]);
});

describe("time to live", () => {
  test("L1, L2: it ends when that has passed since the last renewal, in one commit with its keys", () => {
    const id = create({ ttlMs: 20_000 });
    acquire(id, "x");
    acquire(id, "y");
    const before = world.core.revision;
    for (let i = 0; i < 5; i++) {
      world.pass(19_999);
      expect(world.core.renewSession(id, world.now)).toMatchObject({ id, ttlMs: 20_000 });
    }
    expect(world.core.revision).toBe(before);
    world.pass(19_999);
    expect(entry("x")!.session).toBe(id);
    world.pass(1);
    expect(get(id)).toBeNull();
    expect(entry("x")).toMatchObject({ session: null, lockIndex: 1, modRevision: before + 1 });
    expect(entry("y")).toMatchObject({ session: null, modRevision: before + 1 });
  });

  test("L4: a renewal after the end brings nothing back", () => {
    const id = create({ ttlMs: 10_000 });
    world.now += 10_001;
    expect(codeOf(() => world.core.renewSession(id, world.now))).toBe("not_found");
    expect(get(id)).toBeNull();
  });

  test("L1: nor does a crash end it early, and it ends all the same", () => {
    const id = create({ ttlMs: 10_000 });
    acquire(id);
    world.pass(9_000);
    world.core.renewSession(id, world.now);
    world.crash(1_000);
    world.pass(8_999);
    expect(entry("lock")!.session).toBe(id);
    world.pass(20_000);
    expect(get(id)).toBeNull();
    expect(entry("lock")!.session).toBeNull();
  });

  test("without one it stays, and its renewal is no more than a look at it", () => {
    const id = create();
    world.pass(10 * 86_400_000);
    expect(world.core.renewSession(id, world.now)).toMatchObject({ id, ttlMs: null });
    world.crash();
    expect(get(id)).not.toBeNull();
  });
});

describe("what ends it", () => {
  test("its check becomes critical; a warning does not", () => {
    const id = create({ checks: ["alive"] });
    const other = create();
    acquire(id);
    apply(nodeCheck("warning"));
    expect(entry("lock")!.session).toBe(id);
    apply(nodeCheck("critical"));
    expect(get(id)).toBeNull();
    expect(entry("lock")).toMatchObject({ session: null, modRevision: world.core.revision });
    expect(get(other)).not.toBeNull();
  });

  test("its check is removed", () => {
    const id = create({ checks: ["alive"] });
    apply({ type: "check.delete", owner: { node: "n1" }, check: "alive" });
    expect(get(id)).toBeNull();
  });

  test("an instance's check lapses, or goes with the instance; a registration anew keeps it", () => {
    const pushed = { checks: [{ type: "ttl", id: "beat", ttlMs: 5000, status: "passing" }] };
    apply(instance(pushed));
    const first = create({ checks: ["beat"] });
    acquire(first);
    apply(instance({ ...pushed, tags: ["new"] }));
    expect(get(first)).not.toBeNull();
    world.pass(5000);
    expect(get(first)).toBeNull();
    expect(entry("lock")!.session).toBeNull();
    apply(instance(pushed));
    const second = create({ checks: ["beat"] });
    apply({ type: "instance.delete", node: "n1", id: "w1" });
    expect(get(second)).toBeNull();
  });

  test("the check moves to another instance of the node in one commit: it is there all the time", () => {
    const checks = [{ type: "status", id: "up", status: "passing" }];
    apply(instance({ checks }));
    const id = create({ checks: ["up"] });
    apply(instance({ service: "web2", checks }));
    expect(get(id)).not.toBeNull();
  });

  test("its node is removed; one that is registered anew is the same", () => {
    const id = create();
    apply({ type: "node.put", node: { name: "N1", address: "192.0.2.8" } });
    expect(get(id)).not.toBeNull();
    apply({ type: "node.delete", name: "n1" });
    expect(get(id)).toBeNull();
    expect(list("n1")).toEqual([]);
  });

  test("lookups that are bound to it go with it", () => {
    const id = create();
    const lookup = world.run("lookup.put", {
      name: "q",
      session: id,
      template: null,
      target: target(),
      ttlMs: null,
      extra: {},
    });
    world.run("session.destroy", { id });
    expect(world.core.query("lookup.get", { id: lookup.id }, world.now)).toBeNull();
  });
});

describe("keys of a session that ends", () => {
  test("are released with what is in them, or deleted", () => {
    const keeper = create();
    const remover = create({ behavior: "delete" });
    world.run("kv.acquire", { key: utf8("kept"), value: utf8("v"), flags: "5", session: keeper });
    acquire(remover, "gone");
    world.run("session.destroy", { id: keeper });
    world.run("session.destroy", { id: remover });
    expect(entry("kept")).toMatchObject({ flags: "5", session: null, lockIndex: 1, value: utf8("v") });
    expect(entry("gone")).toBeNull();
  });

  test("are kept from others for the lock delay, at most a minute, over crashes too", () => {
    const [first, second, third] = [create({ lockDelayMs: 15_000 }), create({ lockDelayMs: 3_600_000 }), create()];
    acquire(first, "x");
    acquire(second, "y");
    world.run("session.destroy", { id: first });
    world.run("session.destroy", { id: second });
    world.crash(5_000);
    expect(acquire(third, "x")).toBe(false);
    world.pass(9_999);
    expect(acquire(third, "x")).toBe(false);
    world.pass(1);
    expect(acquire(third, "x")).toBe(true);
    world.pass(44_999);
    expect(acquire(third, "y")).toBe(false);
    world.pass(1);
    expect(acquire(third, "y")).toBe(true);
  });

  test("leave nothing behind when the delay is over", () => {
    const id = create({ lockDelayMs: 1000, behavior: "delete" });
    acquire(id);
    world.run("session.destroy", { id });
    expect(world.core.deadlines.count("lockDelay")).toBe(1);
    world.pass(1000);
    expect(world.core.deadlines.count("lockDelay")).toBe(0);
    expect(world.core.store.range("lock_delay", { from: utf8(""), to: null })).toEqual([]);
    expect(world.core.store.range("kv_attributes", { from: utf8(""), to: null })).toEqual([]);
  });

  test("may be written all the same", () => {
    const id = create({ lockDelayMs: 15_000 });
    acquire(id);
    world.run("session.destroy", { id });
    expect(world.run("kv.set", { key: utf8("lock"), value: utf8("w") }).applied).toBe(true);
  });
});
