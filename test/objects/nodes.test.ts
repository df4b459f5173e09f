/** Nodes, their checks, and several changes as one. */
import { beforeEach, describe, expect, test } from "vitest";
import type { RegistryStep } from "../../objects/registry/steps.ts";
import { World } from "./fixture.ts";

let world: World;
beforeEach(() => {
  world = new World();
});

const apply = (...steps: RegistryStep[]) => world.run("registry.apply", steps);
const view = (service: string) => world.core.query("registry.view", { service }, world.now);
const node = (name: string) => world.core.query("nodes.get", { name }, world.now);
const put = (name: string, change: object = {}): RegistryStep => ({
  type: "node.put",
  node: { name, address: "192.0.2.7", ...change },
});
const instance = (id: string, change: object = {}): RegistryStep => ({
  type: "instance.put",
  instance: { service: "web", id, node: "n1", address: "192.0.2.1", ports: { default: 80 }, ...change },
});
const check = (status: "passing" | "warning" | "critical", id = "alive"): RegistryStep => ({
  type: "check.put",
  owner: { node: "n1" },
  check: { type: "status", id, status },
});

describe("a node", () => {
  test("comes to be known by its instances, and goes with the last of them", () => {
    apply(instance("a"), instance("b"));
    expect(node("N1")).toMatchObject({ name: "n1", implicit: true, address: "192.0.2.1" });
    apply({ type: "instance.delete", node: "n1", id: "a" });
    expect(node("n1")).not.toBeNull();
    apply({ type: "instance.delete", node: "n1", id: "b" });
    expect(node("n1")).toBeNull();
  });

  test("that was registered stays without instances, and is not replaced by `ensure`", () => {
    apply(put("n1", { meta: { rack: "7" } }), instance("a"));
    apply({ type: "instance.delete", node: "n1", id: "a" });
    apply({ type: "node.ensure", node: { name: "n1", address: "192.0.2.99" } });
    expect(node("n1")).toMatchObject({ meta: { rack: "7" }, address: "192.0.2.7", implicit: false });
  });

  test("takes its instances along", () => {
    apply(put("n1"), instance("a"));
    expect(apply({ type: "node.delete", name: "N1" })).toEqual([{ existed: true }]);
    expect(view("web").modRevision).toBe(0);
    expect(apply({ type: "node.delete", name: "n1" })).toEqual([{ existed: false }]);
  });

  test("tells what is on it in pages that together hold each once, a page's last one gone in between too", () => {
    const ids = Array.from({ length: 2501 }, (_, at) => `i${String(at).padStart(4, "0")}`);
    for (let at = 0; at < ids.length; at += 250) apply(...ids.slice(at, at + 250).map((id) => instance(id)));
    apply(instance("i2499", { service: "db" }));
    const page = (after: { service: string; id: string } | null) =>
      world.core.query("nodes.instances", { name: "N1", after }, world.now);
    const first = page(null);
    expect(first.instances).toHaveLength(2500);
    expect(first.after).toEqual({ service: "db", id: "i2499" });
    apply({ type: "instance.delete", node: "n1", id: "i2499" });
    const second = page(first.after);
    expect(second).toMatchObject({ instances: [{ id: "i2500" }], after: null });
  });

  test("registered again the same way is no change", () => {
    apply(put("n1"), instance("a"), check("passing"));
    const { revision } = world.core;
    apply(put("n1"), instance("a"), check("passing"));
    expect(world.core.revision).toBe(revision);
  });

  test("an id moves to another name, and a name with another id is refused", () => {
    const id = "0a0a0a0a-0000-4000-8000-000000000001";
    apply(put("n1", { id }));
    apply(put("n2", { id }));
    expect(node("n1")).toBeNull();
    expect(node(id)?.name).toBe("n2");
    expect(node(id.slice(0, 8))?.name).toBe("n2");
    expect(() => apply(put("n2", { id: id.replace(/1$/, "2") }))).toThrow("another id");
  });
});

describe("a node's checks", () => {
  test("count for its instances, and move the services on it", () => {
    apply(put("n1"), instance("a"), instance("b", { service: "api" }));
    const before = view("web").modRevision;
    apply(check("critical"));
    expect(view("web").instances[0]).toMatchObject({ status: "critical", nodeStatus: "critical" });
    expect(view("api").instances[0]!.status).toBe("critical");
    expect(view("web").modRevision).toBeGreaterThan(before);
    apply(check("passing"));
    expect(view("web").instances[0]!.status).toBe("unknown");
  });

  test("of an instance that comes later count too", () => {
    apply(put("n1"), check("critical"), instance("a"));
    expect(view("web").instances[0]!.status).toBe("critical");
  });

  test("an output alone moves the services, and nobody else's", () => {
    apply(put("n1"), check("passing"), instance("a"), instance("b", { service: "api", node: "n2" }));
    const [web, api] = [view("web").modRevision, view("api").modRevision];
    apply({ type: "check.report", owner: { node: "n1" }, check: "alive", status: "passing", output: "fine" });
    expect(view("web").modRevision).toBeGreaterThan(web);
    expect(view("web").nodes["n1"]!.checks[0]!.output).toBe("fine");
    expect(view("api").modRevision).toBe(api);
  });

  test("L1: a pushed one turns critical when nothing was heard, and is renewed by heartbeats", () => {
    apply(put("n1"), {
      type: "check.put",
      owner: { node: "n1" },
      check: { type: "ttl", id: "beat", ttlMs: 10_000, status: "passing" },
    });
    world.pass(9000);
    const beat = { service: "", id: "n1", check: "beat" };
    expect(world.core.heartbeat([beat], world.now)).toEqual({ renewed: 1, unknown: [] });
    world.pass(9000);
    expect(node("n1")!.status).toBe("passing");
    world.crash();
    world.pass(60_000);
    expect(node("n1")!.status).toBe("critical");
  });

  test("are run by the prober", () => {
    apply(put("n1"), {
      type: "check.put",
      owner: { node: "n1" },
      check: { type: "http", id: "h", url: "http://192.0.2.7/" },
    });
    expect(world.core.takePulledChange()).toBe(true);
  });
});

describe("an alias", () => {
  const alias: RegistryStep = instance("proxy", {
    service: "proxy",
    checks: [{ type: "alias", id: "of-a", node: "n1", instance: "a" }],
  });

  test("is as its target and its target's node are", () => {
    apply(put("n1"), instance("a", { checks: [{ type: "status", id: "s", status: "passing" }] }), alias);
    const status = () => view("proxy").instances[0]!.checks[0]!.status;
    expect(status()).toBe("passing");
    apply({ type: "check.report", owner: { service: "web", id: "a" }, check: "s", status: "warning", output: "" });
    expect(status()).toBe("warning");
    apply(check("critical"));
    expect(status()).toBe("critical");
    apply({ type: "check.delete", owner: { node: "n1" }, check: "alive" });
    expect(status()).toBe("warning");
    apply({ type: "instance.delete", node: "n1", id: "a" });
    expect(status()).toBe("critical");
  });

  test("of each other in a circle come to an end", () => {
    const circle = (id: string, target: string): RegistryStep =>
      instance(id, { service: id, checks: [{ type: "alias", id: "x", node: "n1", instance: target }] });
    apply(circle("a", "b"), circle("b", "a"));
    expect(view("a").instances[0]!.status).toBe("critical");
  });
});

describe("steps", () => {
  test("all or none, and the first that fails is named", () => {
    const failing = () =>
      apply(put("n1"), instance("a"), {
        type: "check.put",
        owner: { service: "web", id: "x" },
        check: { type: "status" },
      });
    expect(failing).toThrow("steps[2]");
    expect(node("n1")).toBeNull();
  });

  test("an id on a node is one instance, whatever its service", () => {
    apply(instance("a"));
    apply(instance("a", { service: "api" }));
    expect(view("web").modRevision).toBe(0);
    expect(view("api").instances).toHaveLength(1);
  });

  test("checks that are not named stay when they are to be kept", () => {
    apply(instance("a", { checks: [{ type: "status", id: "one" }] }));
    apply({ ...instance("a", { checks: [{ type: "status", id: "two" }] }), keepChecks: true } as RegistryStep);
    expect(view("web").instances[0]!.checks.map(({ id }) => id)).toEqual(["one", "two"]);
    apply(instance("a"));
    expect(view("web").instances[0]!.checks).toEqual([]);
  });

  test.each<[string, RegistryStep]>([
    ["node", { ...put("n1", { meta: { a: "b" } }), cas: 7 } as RegistryStep],
    ["instance", { type: "instance.delete", node: "n1", id: "a", cas: 7 }],
    ["check", { ...check("critical"), cas: 7 } as RegistryStep],
  ])("a %s at another revision is left alone", (_what, step) => {
    apply(put("n1"), instance("a"), check("passing"));
    const { revision } = world.core;
    expect(() => apply(step)).toThrow("expected revision 7");
    expect(world.core.revision).toBe(revision);
  });
});

test("all checks can be listed, by status", () => {
  apply(put("n1"), check("passing"), instance("a", { checks: [{ type: "status", id: "s", status: "critical" }] }));
  const list = (status?: "critical") => world.core.query("registry.checks", { status }, world.now).checks;
  expect(list().map(({ service, id, check: { id: name } }) => [service, id, name])).toEqual([
    ["", "n1", "alive"],
    ["web", "a", "s"],
  ]);
  expect(list("critical")).toHaveLength(1);
});
