/** The room of rules: compare-and-set, lists, and what is refused because the whole would break. */
import { beforeEach, describe, expect, test } from "vitest";
import { HoldfastError } from "../../../objects/errors.ts";
import type { Rule } from "../../../objects/rules/model.ts";
import { codeOf, World } from "../fixture.ts";
import {
  access,
  all,
  defaults,
  failover,
  permission,
  resolver,
  route,
  router,
  rule,
  source,
  split,
  splitter,
  to,
} from "./samples.ts";

let world: World;
beforeEach(() => {
  world = new World();
});

const put = (value: Rule, cas?: number) => world.run("rule.put", { rule: value, cas });
const remove = (kind: Rule["kind"], name: string, cas?: number) => world.run("rule.delete", { kind, name, cas });
const find = (kind: Rule["kind"], name: string) => world.core.query("rule.get", { kind, name }, world.now);

function detailsOf(act: () => unknown): Record<string, unknown> | undefined {
  try {
    act();
  } catch (error) {
    if (error instanceof HoldfastError) return error.details;
    throw error;
  }
  return undefined;
}

describe("a record for each kind and name", () => {
  test("keeps its create revision; the same again changes nothing, whatever cas says", () => {
    const first = put(resolver("web", { connectTimeoutMs: 1000 }));
    const again = put(resolver("web", { connectTimeoutMs: 1000 }), 0);
    expect(again).toEqual(first);
    const changed = put(resolver("web", { connectTimeoutMs: 2000 }), first.modRevision);
    expect(changed.createRevision).toBe(first.createRevision);
    expect(changed.modRevision).toBeGreaterThan(first.modRevision);
  });

  test.each([
    ["create only, but it is there", 0],
    ["an older revision", 1_000_000],
  ])("compare-and-set refuses: %s", (_name, cas) => {
    put(defaults("web", { protocol: "http" }));
    expect(codeOf(() => put(defaults("web", { protocol: "grpc" }), cas))).toBe("conflict");
    expect(codeOf(() => remove("defaults", "web", cas))).toBe("conflict");
    expect(find("defaults", "web")).toMatchObject({ spec: { protocol: "http" } });
  });

  test("what is not there is not deleted", () => {
    expect(remove("router", "web")).toBe(false);
    put(defaults("web", {}));
    expect(remove("defaults", "web")).toBe(true);
    expect(find("defaults", "web")).toBeNull();
  });

  test("lists are by kind, and whole", () => {
    for (let index = 0; index < 1003; index++) put(defaults(`s${String(index).padStart(4, "0")}`, {}));
    put(rule("mesh", "mesh", { permissiveTlsAllowed: false }));
    const first = world.core.query("rule.list", { kind: "defaults" }, world.now);
    const second = world.core.query("rule.list", { kind: "defaults", after: first.after }, world.now);
    expect(first.items).toHaveLength(1000);
    expect(second.items.map(({ name }) => name)).toEqual(["s1000", "s1001", "s1002"]);
    expect(second.after).toBeNull();
    expect(world.core.query("rule.list", { kind: "mesh" }, world.now).items).toHaveLength(1);
  });
});

describe("refused for itself", () => {
  test.each<[string, Rule, string]>([
    ["weights below the whole", splitter("web", split(5000), split(4999, "b")), "splits"],
    ["a fraction of a weight", splitter("web", split(0.5), split(9999.5, "b")), "splits[0].weight"],
    ["one destination twice", splitter("web", split(5000), split(5000, "web")), "splits[1]"],
    ["an unknown default subset", resolver("web", { defaultSubset: "v1" }), "defaultSubset"],
    [
      "a failover of an unknown subset",
      resolver("web", { failover: { v1: failover({ service: "b" }) } }),
      "failover[v1]",
    ],
    ["a failover to nowhere", resolver("web", { failover: { "*": failover({}) } }), "failover[*]"],
    [
      "redirect beside failover",
      resolver("web", { redirect: to({ service: "b" }), failover: { "*": failover({ service: "c" }) } }),
      "failover",
    ],
    ["a path without a slash", router("web", route("admin")), "routes[0].match.path"],
    [
      "action and permissions",
      access("web", source("a", "allow", { permissions: [permission("deny", "/")] })),
      "sources[0]",
    ],
    ["neither of them", access("web", source("a", null)), "sources[0]"],
    [
      "permissions towards any",
      access("*", source("a", null, { permissions: [permission("deny", "/")] })),
      "sources[0]",
    ],
    ["a source twice", access("web", source("a", "allow"), source("a", "deny")), "sources[1]"],
    ["no name", defaults("", {}), "name"],
    ["a name with a NUL", defaults("a\0b", {}), "name"],
  ])("%s", (_name, value, field) => {
    expect(detailsOf(() => put(value))).toMatchObject({ field });
  });

  test("a rule too large", () => {
    expect(codeOf(() => put({ ...defaults("web", {}), extra: { big: "x".repeat(800_000) } }))).toBe("too_large");
  });
});

describe("refused because of the others", () => {
  test("defaults that would take the protocol from under a router, however far down", () => {
    for (const name of ["web", "a", "b"]) put(defaults(name, { protocol: "http" }));
    put(splitter("a", split(10_000, "b")));
    put(splitter("web", split(10_000, "a")));
    expect(detailsOf(() => put(defaults("b", { protocol: "tcp" })))).toMatchObject({ reason: "protocol_not_routable" });
    expect(detailsOf(() => remove("defaults", "b"))).toMatchObject({ reason: "protocol_not_routable" });
    expect(find("defaults", "b")).toMatchObject({ spec: { protocol: "http" } });
  });

  test("defaults of all count where a service has none of its own", () => {
    put(defaults("*", { protocol: "http" }));
    put(router("web"));
    expect(detailsOf(() => remove("defaults", "*"))).toMatchObject({ reason: "protocol_not_routable" });
    put(defaults("web", { protocol: "http" }));
    expect(remove("defaults", "*")).toBe(true);
  });

  test("a subset that is referred to", () => {
    put(resolver("api", { subsets: { v1: all } }));
    put(resolver("web", { redirect: to({ service: "api", subset: "v1" }) }));
    expect(detailsOf(() => remove("resolver", "api"))).toEqual({
      reason: "unknown_subset",
      service: "api",
      subset: "v1",
    });
    remove("resolver", "web");
    expect(remove("resolver", "api")).toBe(true);
  });

  test("permissions need requests that can be told apart, then and later", () => {
    const l7 = access("web", source("a", null, { permissions: [permission("allow", "/")] }));
    expect(detailsOf(() => put(l7))).toEqual({ reason: "access_protocol", service: "web", protocol: "tcp" });
    put(defaults("web", { protocol: "http" }));
    put(l7);
    expect(detailsOf(() => put(defaults("web", { protocol: "tcp" })))).toMatchObject({ reason: "access_protocol" });
  });

  const ingress = (protocol: string, ...services: string[]) =>
    rule("ingress", "gate", {
      listeners: [{ port: 8080, protocol, services: services.map((service) => ({ service, hosts: [] })) }],
    });

  test("a listener and its services must speak the same", () => {
    expect(detailsOf(() => put(ingress("http", "web")))).toMatchObject({ reason: "listener_protocol", service: "web" });
    put(ingress("tcp", "web"));
    // A TCP listener carries whatever nothing routes …
    put(defaults("web", { protocol: "http" }));
    // … and not what something does.
    expect(detailsOf(() => put(router("web")))).toMatchObject({ reason: "listener_protocol" });
  });

  test("a gateway that lets in and one that lets out cannot share a name", () => {
    put(ingress("tcp", "web"));
    expect(detailsOf(() => put(rule("egress", "gate", { services: ["x"] })))).toMatchObject({
      reason: "gateway_clash",
    });
  });

  test("token issuers are there before they are named, and stay as long as they are", () => {
    put(defaults("web", { protocol: "http" }));
    const named = { ...access("web", source("a", "allow")) };
    named.spec.token = { issuers: [{ name: "okta", claims: [] }] };
    expect(detailsOf(() => put(named))).toEqual({ reason: "unknown_issuer", issuers: "okta" });
    put(rule("issuer", "okta", { issuer: "", audiences: [] }));
    put(named);
    expect(detailsOf(() => remove("issuer", "okta"))).toMatchObject({ reason: "issuer_in_use", name: "web" });
  });

  test("permissive TLS only where the mesh allows it, but what is so may stay so", () => {
    expect(detailsOf(() => put(defaults("web", { permissiveTls: true })))).toMatchObject({ reason: "permissive_tls" });
    put(rule("mesh", "mesh", { permissiveTlsAllowed: true }));
    put(defaults("web", { permissiveTls: true }));
    put(rule("mesh", "mesh", { permissiveTlsAllowed: false }));
    put(defaults("web", { permissiveTls: true, protocol: "http" }));
  });

  test("exported services stay in their cluster, and keep their certificates", () => {
    put(rule("exports", "default", { services: [{ service: "web", peers: ["east"] }] }));
    expect(
      detailsOf(() => put(resolver("web", { redirect: to({ service: "web", datacenter: "dc9" }) }))),
    ).toMatchObject({
      reason: "export_crosses",
      what: "datacenter_redirect",
    });
    expect(detailsOf(() => put(resolver("web", { redirect: to({ service: "other" }) })))).toMatchObject({
      reason: "export_new_target",
      protocol: "tcp",
    });
    put(defaults("web", { protocol: "http" }));
    put(defaults("other", { protocol: "http" }));
    put(resolver("web", { redirect: to({ service: "other" }) }));
  });
});

describe("who decides", () => {
  const matching = (by: "source" | "destination", service: string) =>
    world.core.query("rule.access", { by, service }, world.now).map(({ name }) => name);

  test("rules by source and by destination, the wildcards with them", () => {
    put(access("web", source("api", "allow")));
    put(access("db", source("*", "deny")));
    put(access("*", source("billing", "deny")));
    put(access("cache", source("api", "allow", { peer: "east" })));
    expect(matching("destination", "web")).toEqual(["web", "*"]);
    expect(matching("source", "api").toSorted()).toEqual(["db", "web"]);
    expect(matching("source", "billing").toSorted()).toEqual(["*", "db"]);
  });
});
