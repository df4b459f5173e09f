/** Checks as records: found by their ids on a node, keeping what they found, and views that tell whether they changed. */
import { beforeEach, describe, expect, test } from "vitest";
import type { RegistryStep } from "../../objects/registry/steps.ts";
import { World } from "./fixture.ts";

let world: World;
beforeEach(() => {
  world = new World();
});

const apply = (...steps: RegistryStep[]) => world.run("registry.apply", steps);
const named = (node: string, check: string) => world.core.query("nodes.check", { node, check }, world.now);
const put = (change: object = {}, step: object = {}): RegistryStep => ({
  type: "instance.put",
  instance: { service: "web", id: "a", node: "n1", address: "192.0.2.1", ports: { default: 80 }, ...change },
  ...step,
});
const TTL = { type: "ttl", id: "beat", ttlMs: 60_000 } as const;

describe("an id", () => {
  test("leads to the check's owner, an instance or the node, in any case of the node's name", () => {
    apply(put({ checks: [TTL] }), { type: "check.put", owner: { node: "n1" }, check: { ...TTL, id: "own" } });
    expect(named("N1", "beat")).toMatchObject([{ service: "web", id: "a", node: "n1", check: { type: "ttl" } }]);
    expect(named("n1", "own")).toMatchObject([{ service: "", id: "n1", check: { id: "own" } }]);
    expect(named("n1", "other")).toEqual([]);
    expect(named("n2", "beat")).toEqual([]);
  });

  test("goes with its check, its instance, its node, and moves with them", () => {
    apply(put({ checks: [TTL] }));
    apply(put({ checks: [{ ...TTL, id: "second" }] }));
    expect([named("n1", "beat"), named("n1", "second")].map(({ length }) => length)).toEqual([0, 1]);
    apply(put({ node: "n2", checks: [{ ...TTL, id: "second" }] }));
    expect([named("n1", "second"), named("n2", "second")].map(({ length }) => length)).toEqual([0, 1]);
    apply({ type: "node.delete", name: "n2" });
    expect(named("n2", "second")).toEqual([]);
  });

  test("of an instance without a node is not found by it", () => {
    apply(put({ node: "", checks: [TTL] }));
    expect(named("", "beat")).toEqual([]);
  });
});

describe("a registration made again", () => {
  const state = () => named("n1", "beat")[0]!.check;

  test("with `keepStates` keeps what a check has found, whatever it says, and writes nothing when it is the same", () => {
    const spec = { checks: [{ ...TTL, status: "critical" }], keepStates: true } as const;
    apply(put(spec));
    apply({ type: "check.report", owner: { service: "web", id: "a" }, check: "beat", status: "passing", output: "ok" });
    const { revision } = world.core;
    apply(put(spec));
    expect(world.core.revision).toBe(revision);
    apply(put({ ...spec, checks: [{ ...TTL, ttlMs: 90_000, status: "critical" }] }));
    expect(state()).toMatchObject({ ttlMs: 90_000, status: "passing", output: "ok" });
  });

  test("without it a status that is told counts", () => {
    apply(put({ checks: [{ ...TTL, status: "passing" }] }));
    apply(put({ checks: [{ ...TTL, status: "critical" }] }));
    expect(state()).toMatchObject({ status: "critical" });
  });

  test("with `keepChecks` writes nothing for those it does not name", () => {
    apply(put({ checks: [TTL, { ...TTL, id: "second" }] }));
    const { revision } = world.core;
    world.now += 1000;
    apply(put({ checks: [TTL] }, { keepChecks: true }));
    expect(world.core.revision).toBe(revision);
  });

  test("a check's extra is kept, and bounded", () => {
    apply(put({ checks: [{ ...TTL, extra: { x: { a: 1 } } }] }));
    expect(state().extra).toEqual({ x: { a: 1 } });
    expect(() => apply(put({ checks: [{ ...TTL, extra: { x: "y".repeat(20_000) } }] }))).toThrow(/extra/);
  });
});

test("an address that is the node's is taken from the node", () => {
  apply({ type: "node.put", node: { name: "n1", address: "192.0.2.9" } }, put({ inheritsAddress: true }));
  const { instances } = world.core.query("registry.view", { service: "web" }, world.now);
  expect(instances[0]!.address).toBe("192.0.2.9");
});

test("a view is carried only to who does not have it", () => {
  const since = (known: number, asOf: number) =>
    world.core.query("registry.viewSince", { service: "web", known, asOf }, world.now);
  const before = world.core.revision;
  expect(since(0, before)).toBeNull();
  // Who has nothing is told, even at the revision it would have begun with.
  expect(since(-1, -1)).not.toBeNull();
  apply(put());
  const view = since(0, before)!;
  expect(view.instances).toHaveLength(1);
  expect(since(view.modRevision, view.revision)).toBeNull();
  apply(put({ service: "db", id: "b" }));
  expect(since(view.modRevision, view.revision)).toBeNull();
  world.crash();
  expect(since(view.modRevision, view.revision)).toBeNull();
  expect(since(view.modRevision, -1)).not.toBeNull();
  apply({ type: "check.put", owner: { node: "n1" }, check: TTL });
  expect(since(view.modRevision, view.revision)).not.toBeNull();
});

test("all instances of all services, with their nodes", () => {
  apply(put(), put({ service: "db", id: "b", node: "n2" }));
  const { instances, nodes, after } = world.core.query("registry.instances", {}, world.now);
  expect(instances.map(({ service }) => service)).toEqual(["db", "web"]);
  expect(Object.keys(nodes).toSorted()).toEqual(["n1", "n2"]);
  expect(after).toBeNull();
});
