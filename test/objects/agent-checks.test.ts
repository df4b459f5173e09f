/** The checks that agents run: who is given which, when they are told, and whose results count. */
import { beforeEach, describe, expect, test } from "vitest";
import { NOT_RUN_YET } from "../../objects/probing/plan.ts";
import type { CheckSpec } from "../../objects/registry/check-spec.ts";
import { AGENT_CHECKS_MAX, agentRanges } from "../../objects/registry/views.ts";
import { World } from "./fixture.ts";

let world: World;
beforeEach(() => {
  world = new World();
});

const udp: CheckSpec = { type: "udp", port: 53 };
const put = (id: string, node = "n1", checks: CheckSpec[] = [udp]) => world.register(id, { node, checks });
const tasks = (node: string, nodeless = false) =>
  world.core.query("registry.agentChecks", { node, nodeless }, world.now);
const ids = (node: string, nodeless = false): string[] =>
  tasks(node, nodeless).checks.map(({ instance, check }) => `${instance}/${check.id}`);
const index = (node: string, nodeless = false): number => world.core.store.lastChange(agentRanges({ node, nodeless }));
const report = (node: string | undefined, id = "a", status: "passing" | "critical" = "passing") =>
  world.run("registry.report", [{ service: "web", id, check: "udp", status, output: "told", node }]);
const stateOf = (id = "a") => world.instances().find((instance) => instance.id === id)!.checks[0];

describe("the list", () => {
  test("holds the checks of a node's instances and its own, in any case of its name, and none that others run", () => {
    put("a", "N1", [
      udp,
      { type: "tcp" },
      { type: "ttl", ttlMs: 1000 },
      { type: "h2ping" },
      { type: "script", args: ["true"] },
    ]);
    put("b", "n2");
    world.run("registry.apply", [{ type: "check.put", owner: { node: "n1" }, check: { type: "grpc", port: 50_051 } }]);
    expect(ids("n1")).toEqual(["n1/grpc", "a/udp", "a/h2ping-4", "a/script-5"]);
    expect(tasks("n1").checks[0]).toMatchObject({ service: "", address: "192.0.2.1", check: { host: "192.0.2.1" } });
    expect(ids("n3")).toEqual([]);
  });

  test("takes in instances without a node for whom asks for them", () => {
    put("a");
    put("b", "");
    expect([ids("n1"), ids("n1", true)]).toEqual([["a/udp"], ["a/udp", "b/udp"]]);
  });

  test("leaves out what is out of service, moved away or deregistered", () => {
    put("a");
    put("b");
    put("c");
    world.run("registry.update", { service: "web", id: "a", adminState: "out_of_service" });
    put("b", "n2");
    world.run("registry.deregister", { service: "web", id: "c" });
    expect([ids("n1"), ids("n2")]).toEqual([[], ["b/udp"]]);
  });

  test("is cut at the most that one agent is given, and says so", () => {
    const checks = Array.from({ length: 32 }, (_, n): CheckSpec => ({ ...udp, id: `c${n}` }));
    const count = Math.ceil((AGENT_CHECKS_MAX + 1) / 32);
    for (let n = 0; n < count; n++) put(`i${n}`, "n1", checks);
    expect(tasks("n1")).toMatchObject({ truncated: true });
    expect(tasks("n1").checks).toHaveLength(AGENT_CHECKS_MAX);
    world.run("registry.deregister", { service: "web", id: "i0" });
    expect(tasks("n1").truncated).toBe(false);
  });
});

describe("the index an agent waits by", () => {
  test("moves with every change of what is to be run", () => {
    // Nothing has an index as well: the first revision would be the same.
    world.register("other");
    const seen = [index("n1")];
    const expectMoved = (): void => {
      expect(index("n1")).toBeGreaterThan(seen.at(-1)!);
      seen.push(index("n1"));
    };
    put("a");
    expectMoved();
    put("a", "n1", [{ ...udp, intervalMs: 5000 } as CheckSpec]);
    expectMoved();
    world.run("registry.update", { service: "web", id: "a", address: "192.0.2.9" });
    expectMoved();
    world.run("registry.update", { service: "web", id: "a", adminState: "out_of_service" });
    expectMoved();
    put("a", "n2");
    expectMoved();
  });

  test("stays with results, with other instances, and with what has nothing to do with checks", () => {
    put("a");
    const before = index("n1", true);
    report("n1");
    put("b", "n2");
    world.register("c", { node: "n1" });
    world.run("registry.update", { service: "web", id: "a", weight: 7 });
    expect(index("n1", true)).toBe(before);
    put("d", "");
    expect([index("n1"), index("n1", true)]).toEqual([before, world.core.revision]);
  });
});

describe("results", () => {
  test("until the first one a check is critical and says that nobody has run it", () => {
    put("a");
    expect(stateOf()).toMatchObject({ status: "critical", output: NOT_RUN_YET });
    report("n1");
    expect(stateOf()).toMatchObject({ status: "passing", output: "told" });
  });

  test("registering again forgets none, whatever it says of the beginning", () => {
    put("a");
    report("n1", "a", "critical");
    put("a", "n1", [{ ...udp }]);
    expect(stateOf()).toMatchObject({ status: "critical", output: "told" });
  });

  test("of an agent count for its own node, and for instances without one", () => {
    put("a");
    put("b", "");
    expect(report("n2")).toEqual({ applied: 0, ignored: 1 });
    expect(report("N1")).toEqual({ applied: 1, ignored: 0 });
    expect(report("n2", "b")).toEqual({ applied: 1, ignored: 0 });
    put("a", "n2");
    expect(report("n1", "a", "critical")).toEqual({ applied: 0, ignored: 1 });
    expect(stateOf()).toMatchObject({ status: "passing" });
  });
});
