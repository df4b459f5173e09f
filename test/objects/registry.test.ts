/** The registry's rules R2 to R5 and its bad input, over the core. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { utf8 } from "../../objects/bytes.ts";
import type { Call } from "../../objects/commands.ts";
import { isHealthy } from "../../objects/model.ts";
import type { InstanceSpec } from "../../objects/registry/spec.ts";
import { codeOf, World } from "./fixture.ts";
import { CALLER } from "./store/memory.ts";

describe("registration", () => {
  test("defaults are whole, and what is given comes back", () => {
    const world = new World();
    const instance = world.register("a", {
      tags: ["x", "x", "y"],
      meta: { k: "v" },
      locality: { zone: "z1" },
      weight: 3,
    });
    expect(instance).toMatchObject({
      service: "web",
      id: "a",
      address: "192.0.2.1",
      ports: { default: 80 },
      protocol: "http",
      weight: 3,
      tags: ["x", "y"],
      meta: { k: "v" },
      locality: { region: "", zone: "z1", cluster: "" },
      status: "unknown",
      adminState: "up",
      ephemeral: false,
      private: false,
      suspect: false,
      origin: "api",
      createRevision: 1,
      modRevision: 1,
    });
  });

  test("registering again replaces, and keeps since when and the results of unchanged checks", () => {
    const world = new World();
    const checks: InstanceSpec["checks"] = [{ type: "ttl", ttlMs: 5_000 }];
    const first = world.register("a", { checks, tags: ["old"] });
    world.core.heartbeat([{ service: "web", id: "a" }], world.now);
    world.now += 1000;
    const second = world.register("a", { checks, weight: 2 });
    expect(second).toMatchObject({ registeredAt: first.registeredAt, tags: [], weight: 2, status: "passing" });
    const third = world.register("a", { checks: [{ type: "ttl", ttlMs: 6_000 }] });
    expect(third.status).toBe("critical");
  });

  test("a batch is one revision, all or none, and says which entry is wrong", () => {
    const world = new World();
    const good = { service: "web", id: "a", address: "192.0.2.1" };
    expect(
      world.run("registry.registerMany", [good, { ...good, id: "b" }]).map(({ modRevision }) => modRevision),
    ).toEqual([1, 1]);
    try {
      world.run("registry.registerMany", [
        { ...good, id: "c" },
        { ...good, id: "d", weight: -1 },
      ]);
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({ code: "invalid_argument", details: { field: "instances[1].weight" } });
    }
    expect(world.ids()).toEqual(["a", "b"]);
  });

  test("those of one batch see each other and what was there; a damaged record refuses only its own (F9, K5)", () => {
    const world = new World();
    world.register("known", { weight: 2 });
    world.register("damaged");
    world.database.all("UPDATE records SET version = 9 WHERE key = ?", utf8("web\0damaged"));
    const input = { service: "web", address: "192.0.2.1", ports: { default: 80 } };
    const ids = ["known", "damaged", "fresh", "fresh"];
    const calls = ids.map((id): Call => ({ command: "registry.register", input: { ...input, id }, caller: CALLER }));
    const results = world.core.execute(calls, world.now);
    expect(results).toMatchObject([
      { ok: true, value: { id: "known", weight: 1, createRevision: 1, modRevision: 3 } },
      { ok: false, error: { code: "corrupt" } },
      { ok: true, value: { id: "fresh", createRevision: 4, modRevision: 4 } },
      // The same again is no change.
      { ok: true, value: { id: "fresh", createRevision: 4, modRevision: 4 } },
    ]);
    expect(world.core.query("registry.service", { service: "web" }, world.now)).toMatchObject({ instanceCount: 3 });
  });

  test("PATCH changes what it names: maintenance and back, meta by key", () => {
    const world = new World();
    world.register("a", { meta: { keep: "1", drop: "2" }, tags: ["t"] });
    const changed = world.run("registry.update", {
      service: "web",
      id: "a",
      adminState: "maintenance",
      meta: { drop: null, add: "3" },
    });
    expect(changed).toMatchObject({ adminState: "maintenance", meta: { keep: "1", add: "3" }, tags: ["t"] });
    expect(isHealthy(changed)).toBe(false);
    expect(isHealthy(world.run("registry.update", { service: "web", id: "a", adminState: "up" }))).toBe(true);
    expect(codeOf(() => world.run("registry.update", { service: "web", id: "none", weight: 1 }))).toBe("not_found");
  });

  test("names that are names of things in the language are names like any other", () => {
    const world = new World();
    for (const name of ["__proto__", "constructor", "toString", "hasOwnProperty"]) {
      world.register(name, {
        service: name,
        tags: [name],
        meta: Object.fromEntries([[name, name]]),
        ports: Object.fromEntries([[name, 80]]),
      });
      expect(world.instances(name)[0]).toMatchObject({ service: name, id: name, tags: [name] });
      expect(world.core.query("registry.service", { service: name }, world.now).tags).toEqual([name]);
      world.run("registry.deregister", { service: name, id: name });
      expect(codeOf(() => world.core.query("registry.service", { service: name }, world.now))).toBe("not_found");
    }
  });

  test("a service with more instances than fit one page is read whole, page by page", () => {
    const world = new World();
    const wanted: string[] = [];
    for (let i = 0; i < 6; i++) {
      const specs = Array.from({ length: 1000 }, (_, at) => ({
        service: "web",
        id: `${i}.${at}`,
        address: "192.0.2.1",
      }));
      world.run("registry.registerMany", specs);
      wanted.push(...specs.map(({ id }) => id));
    }
    const seen: string[] = [];
    let after: string | null = null;
    do {
      const page: { instances: { id: string }[]; after: string | null } = world.core.query(
        "registry.view",
        { service: "web", after },
        world.now,
      );
      seen.push(...page.instances.map(({ id }) => id));
      after = page.after;
    } while (after !== null);
    expect(seen).toEqual(wanted.toSorted());
  });

  const base: InstanceSpec = { service: "web", id: "a", address: "192.0.2.1" };
  test.each<[string, Record<string, unknown>]>([
    ["service", { service: "" }],
    ["service", { service: "a\u0000b" }],
    ["service", { service: "x".repeat(256) }],
    ["service", { service: ".." }],
    ["service", { service: "\ud800" }],
    ["service", { service: 7 }],
    ["id", { id: " a" }],
    ["id", { id: "a\nb" }],
    ["address", { address: "" }],
    ["address", { address: "http://x" }],
    ["address", { address: "a b" }],
    ["ports.default", { ports: { default: 65_536 } }],
    ["ports.default", { ports: { default: 1.5 } }],
    ["ports", { ports: Object.fromEntries(Array.from({ length: 65 }, (_, at) => [`p${at}`, 1])) }],
    ["weight", { weight: -1 }],
    ["weight", { weight: Number.NaN }],
    ["tags", { tags: Array.from({ length: 129 }, String) }],
    ["tags[0]", { tags: ["x".repeat(256)] }],
    ["meta", { meta: Object.fromEntries(Array.from({ length: 257 }, (_, at) => [`k${at}`, ""])) }],
    ["meta.k", { meta: { k: "x".repeat(4097) } }],
    ["meta.k", { meta: { k: 1 } }],
    ["protocol", { protocol: "HTTP 1" }],
    ["locality.zone", { locality: { zone: "\u0007" } }],
    ["checks[0].url", { checks: [{ type: "http", url: "ftp://x" }] }],
    ["checks[0].url", { checks: [{ type: "http", url: "nonsense" }] }],
    ["checks[0].method", { checks: [{ type: "http", url: "http://x", method: "GET\r\nX: y" }] }],
    ["checks[0].headers.a", { checks: [{ type: "http", url: "http://x", headers: { a: "b\r\nc: d" } }] }],
    ["checks[0].interval", { checks: [{ type: "http", url: "http://x", intervalMs: 1 }] }],
    ["checks[0].port", { checks: [{ type: "tcp" }] }],
    ["checks[0].ttl", { checks: [{ type: "ttl", ttlMs: 0 }] }],
    [
      "checks[1].id",
      {
        checks: [
          { type: "ttl", ttlMs: 5000, id: "x" },
          { type: "ttl", ttlMs: 5000, id: "x" },
        ],
      },
    ],
    ["checks[0].failureThreshold", { checks: [{ type: "ttl", ttlMs: 5000, failureThreshold: 0 }] }],
  ])("bad input names its field: %s %j", (field, wrong) => {
    const world = new World();
    try {
      world.run("registry.register", { ...base, ...wrong } as InstanceSpec);
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({ code: "invalid_argument", details: { field } });
    }
    expect(world.core.revision).toBe(0);
  });
});

describe("checks", () => {
  test("the status is the worst of the checks; critical ones are not healthy (R5)", () => {
    const world = new World();
    world.register("a", {
      checks: [
        { type: "ttl", ttlMs: 60_000, id: "one" },
        { type: "http", url: "http://192.0.2.1/", id: "two" },
      ],
    });
    const report = (check: string, status: "passing" | "warning" | "critical") => {
      world.run("registry.report", [{ service: "web", id: "a", check, status, output: status }]);
      return world.instances()[0]!.status;
    };
    expect(world.instances()[0]!.status).toBe("critical");
    expect(report("one", "passing")).toBe("critical");
    expect(report("two", "warning")).toBe("warning");
    expect(report("two", "passing")).toBe("passing");
    expect(world.core.query("registry.service", { service: "web" }, world.now).healthyCount).toBe(1);
    expect(report("one", "critical")).toBe("critical");
    expect(world.core.query("registry.service", { service: "web" }, world.now).healthyCount).toBe(0);
  });

  test("results of what is gone count for nothing; an unchanged result is no commit", () => {
    const world = new World();
    world.register("a", { checks: [{ type: "http", url: "http://192.0.2.1/" }] });
    const result = { service: "web", id: "a", check: "http", status: "passing" as const, output: "ok" };
    expect(world.run("registry.report", [result, { ...result, id: "gone" }, { ...result, check: "gone" }])).toEqual({
      applied: 1,
      ignored: 2,
    });
    const { revision } = world.core;
    world.run("registry.report", [result]);
    expect(world.core.revision).toBe(revision);
  });

  test("pushed: heartbeats keep it passing without a commit, silence makes it critical, a beat brings it back", () => {
    const world = new World();
    world.register("a", { checks: [{ type: "ttl", ttlMs: 5_000 }] });
    world.beat("a");
    const { revision } = world.core;
    for (let i = 0; i < 5; i++) {
      world.pass(4_000);
      world.beat("a");
    }
    expect([world.core.revision, world.instances()[0]!.status]).toEqual([revision, "passing"]);
    world.pass(5_000);
    expect(world.instances()[0]).toMatchObject({
      status: "critical",
      checks: [{ output: expect.stringContaining("TTL expired") }],
    });
    world.beat("a");
    expect(world.instances()[0]!.status).toBe("passing");
  });

  test("deregister-after: critical for that long and it is gone; recovered in time and it stays", () => {
    const world = new World();
    const checks: InstanceSpec["checks"] = [{ type: "http", url: "http://192.0.2.1/", deregisterAfterMs: 30_000 }];
    world.register("a", { checks });
    world.register("b", { checks });
    world.pass(29_999);
    world.run("registry.report", [{ service: "web", id: "b", check: "http", status: "passing", output: "" }]);
    world.pass(1);
    expect(world.ids()).toEqual(["b"]);
  });
});

test("R2, R5: through any sequence of commands the service's counts and tags are those of its instances", () => {
  const id = fc.constantFrom("a", "b", "c");
  const spec = fc.record({
    id,
    weight: fc.constantFrom(0, 1, 5),
    tags: fc.uniqueArray(fc.constantFrom("x", "y", "constructor"), { maxLength: 3 }),
    adminState: fc.constantFrom("up" as const, "draining" as const),
    ttlMs: fc.constantFrom(null, 5_000),
  });
  const step = fc.oneof(
    fc.record({ type: fc.constant("register" as const), spec }),
    fc.record({ type: fc.constant("deregister" as const), id }),
    fc.record({ type: fc.constant("pass" as const), ms: fc.integer({ min: 1, max: 6_000 }) }),
    fc.constant({ type: "crash" as const }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
      const world = new World();
      for (const action of steps) {
        if (action.type === "register") world.register(action.spec.id, action.spec);
        if (action.type === "deregister") world.run("registry.deregister", { service: "web", id: action.id });
        if (action.type === "pass") world.pass(action.ms);
        if (action.type === "crash") world.crash();
        const instances = world.instances();
        const services = world.core.query("registry.services", {}, world.now).services;
        expect(services.length).toBe(instances.length > 0 ? 1 : 0);
        if (services[0] === undefined) continue;
        expect(services[0]).toMatchObject({
          instanceCount: instances.length,
          healthyCount: instances.filter(isHealthy).length,
          tags: [...new Set(instances.flatMap(({ tags }) => tags))].toSorted(),
        });
      }
    }),
    { numRuns: 200 },
  );
});
