/** Which names of a namespace come to have a virtual address, and lose it: the core, and the directory beside it. */
import { beforeEach, describe, expect, test } from "vitest";
import type { Rule } from "../../../objects/rules/model.ts";
import { VirtualIpAllocation } from "../../../objects/virtual-ips/allocation.ts";
import { codeOf, World } from "../fixture.ts";
import { access, defaults, resolver, rule, source } from "../rules/samples.ts";
import { MemoryDatabase } from "../store/memory.ts";

let world: World;
let directory: VirtualIpAllocation;
beforeEach(() => {
  world = new World();
  directory = new VirtualIpAllocation(new MemoryDatabase());
});

/** As the namespace's object does after each batch. */
function settle(): void {
  const place = { namespace: "default", datacenter: "dc1" };
  while (world.core.hasUnsettledNames) {
    const { claims, releases } = world.core.takeUnsettled(2);
    if (claims.length + releases.length === 0) continue;
    directory.release({ ...place, services: releases }, world.now);
    const claimed = directory.claim({ ...place, services: claims }, world.now);
    world.run("virtualIp.settle", { claimed, released: releases });
  }
}

const addressOf = (service: string): string | null =>
  world.core.query("virtualIp.get", { service }, world.now)?.address ?? null;
const mesh = (service: string) => world.core.query("registry.mesh", { service }, world.now).instances;
const put = (of: Rule): void => void world.run("rule.put", { rule: of });

describe("a name", () => {
  test("that the mesh reaches has an address, which its endpoints show", () => {
    world.register("plain");
    settle();
    expect(addressOf("web")).toBeNull();
    const before = world.register("proxy", { service: "web-proxy", meshFor: "web" });
    settle();
    expect(addressOf("web")).toBe("240.0.0.1");
    expect(addressOf("web-proxy")).toBeNull();
    const [proxy] = world.instances("web-proxy");
    expect(proxy!.virtualIp).toBe("240.0.0.1");
    expect(proxy!.modRevision).toBeGreaterThan(before.modRevision);
    expect(world.core.query("registry.service", { service: "web" }, world.now)).toMatchObject({
      virtualIp: "240.0.0.1",
    });
  });

  test("shows it from the next endpoint's first moment on, and the same registration again writes nothing", () => {
    world.register("a", { meshFor: "web" });
    settle();
    expect(world.register("b", { meshFor: "web" }).virtualIp).toBe("240.0.0.1");
    const { revision } = world.core;
    world.register("a", { meshFor: "web" });
    world.register("b", { meshFor: "web" });
    settle();
    expect(world.core.revision).toBe(revision);
  });

  test.each([
    ["defaults", defaults("api", { protocol: "http" })],
    ["resolver", resolver("api", {})],
    ["access", access("api", source("web", "allow"))],
    ["egress", rule("egress", "gate", { services: ["api", "*"] })],
  ])("that a rule of the kind %s is written for has one until it is deleted", (_kind, written) => {
    put(written);
    settle();
    expect(addressOf("api")).toBe("240.0.0.1");
    expect(addressOf("*")).toBeNull();
    world.run("rule.delete", { kind: written.kind, name: written.name });
    settle();
    expect(addressOf("api")).toBeNull();
  });

  test("keeps it while it is a service, though no longer of the mesh", () => {
    world.register("plain");
    world.register("proxy", { service: "web-proxy", meshFor: "web" });
    settle();
    world.run("registry.deregister", { service: "web-proxy", id: "proxy" });
    settle();
    expect(addressOf("web")).toBe("240.0.0.1");
    world.run("registry.deregister", { service: "web", id: "plain" });
    settle();
    expect(addressOf("web")).toBeNull();
    world.register("plain", { meshFor: "web" });
    settle();
    expect(addressOf("web")).toBe("240.0.0.1");
  });

  test("that went while its address was on its way gives it back", () => {
    world.register("a", { meshFor: "web" });
    const { claims } = world.core.takeUnsettled(10);
    world.run("registry.deregister", { service: "web", id: "a" });
    const claimed = directory.claim({ namespace: "default", datacenter: "dc1", services: claims }, world.now);
    world.run("virtualIp.settle", { claimed, released: [] });
    expect(world.core.takeUnsettled(10)).toEqual({ claims: [], releases: ["web"] });
  });

  test("that came back while its address was being released claims it again", () => {
    world.register("a", { meshFor: "web" });
    settle();
    world.run("registry.deregister", { service: "web", id: "a" });
    expect(world.core.takeUnsettled(10)).toEqual({ claims: [], releases: ["web"] });
    world.register("a", { meshFor: "web" });
    expect(world.core.takeUnsettled(10)).toEqual({ claims: [], releases: [] });
    world.run("virtualIp.settle", { claimed: [], released: ["web"] });
    settle();
    expect(world.instances()[0]!.virtualIp).toBe(addressOf("web"));
    expect(addressOf("web")).toBe("240.0.0.1");
  });
});

test("what was not settled before a crash is settled after it, and nothing else", () => {
  world.register("a", { meshFor: "web" });
  world.register("b", { service: "db", meshFor: "db" });
  settle();
  world.register("c", { service: "api", meshFor: "api" });
  world.crash();
  expect(world.core.takeUnsettled(10)).toEqual({ claims: ["api"], releases: [] });
  world.crash();
  settle();
  expect(addressOf("api")).toBe("240.0.0.3");
  world.crash();
  expect(world.core.hasUnsettledNames).toBe(false);
});

test("what could not be done stays to be done", () => {
  world.register("a", { meshFor: "web" });
  world.core.putBackUnsettled(world.core.takeUnsettled(10));
  settle();
  expect(addressOf("web")).toBe("240.0.0.1");
});

test("an operator's addresses are kept beside it, and move to whom they are given next", () => {
  world.register("a", { meshFor: "web" });
  world.register("b", { service: "db", meshFor: "db" });
  settle();
  world.run("virtualIp.setManual", { service: "web", addresses: ["10.0.0.1", "10.0.0.2"], takenFrom: [] });
  world.run("virtualIp.setManual", { service: "db", addresses: ["10.0.0.2"], takenFrom: ["web"] });
  const manual = (service: string) => world.core.query("virtualIp.get", { service }, world.now)!.manual;
  expect([manual("web"), manual("db")]).toEqual([["10.0.0.1"], ["10.0.0.2"]]);
  expect(codeOf(() => world.run("virtualIp.setManual", { service: "no", addresses: [], takenFrom: [] }))).toBe(
    "not_found",
  );
});

describe("the endpoints of the mesh", () => {
  const indexOf = (service: string): number => {
    const key = (end: string) => new TextEncoder().encode(`${service}${end}`);
    return world.core.store.lastChange([{ space: "mesh", from: key("\0"), to: key("\u0001") }]);
  };

  test("follow registrations, also to another service", () => {
    world.register("a", { meshFor: "web", node: "alpha" });
    world.register("p", { service: "proxy", meshFor: "web" });
    expect(mesh("web").map(({ id }) => id)).toEqual(["p", "a"]);
    world.register("p", { service: "proxy", meshFor: "db" });
    world.register("a");
    expect(mesh("web")).toEqual([]);
    expect(mesh("db").map(({ id }) => id)).toEqual(["p"]);
  });

  test("have an index that any change of theirs moves: of health, of their node, their end", () => {
    const checks = [{ id: "up", type: "ttl", ttlMs: 60_000, status: "passing" } as const];
    world.register("p", { service: "proxy", meshFor: "web", node: "alpha", checks });
    let before = indexOf("web");
    const moves = (act: () => void): void => {
      act();
      expect(indexOf("web")).toBeGreaterThan(before);
      before = indexOf("web");
    };
    moves(() => world.core.heartbeat([{ service: "proxy", id: "p", status: "warning" }], world.now));
    moves(() => world.run("registry.apply", [{ type: "node.put", node: { name: "alpha", address: "192.0.2.7" } }]));
    moves(() => world.run("registry.deregister", { service: "proxy", id: "p" }));
    world.register("plain");
    expect(indexOf("web")).toBe(before);
  });
});

test("gateways that let traffic in are known by the rules that name the service, or all of the mesh", () => {
  const ingress = (name: string, ...services: string[]) =>
    rule("ingress", name, {
      listeners: [{ port: 80, protocol: "tcp", services: services.map((service) => ({ service, hosts: [] })) }],
    });
  put(ingress("gate", "web", "db"));
  put(rule("ingress", "all", { listeners: [{ port: 81, protocol: "tcp", services: [{ service: "*", hosts: [] }] }] }));
  const gates = (service: string, meshed?: boolean) =>
    world.core.query("rule.ingresses", { service, meshed }, world.now);
  expect(gates("web")).toEqual(["gate"]);
  expect(gates("web", true)).toEqual(["gate", "all"]);
  world.register("a", { meshFor: "web" });
  expect(gates("web")).toEqual(["gate", "all"]);
  expect(gates("web", false)).toEqual(["gate"]);
  expect(gates("other")).toEqual([]);
});
