import { beforeEach, describe, expect, test } from "vitest";
import { HoldfastError } from "../../../objects/errors.ts";
import type { LookupInput, LookupTarget } from "../../../objects/lookups/lookups.ts";
import { codeOf, World } from "../fixture.ts";
import { target } from "./fixture.ts";

const lookup = (name: string, overrides: Partial<LookupInput> = {}): LookupInput => ({
  name,
  session: null,
  template: null,
  target: target(),
  ttlMs: null,
  extra: {},
  ...overrides,
});

const template = (name: string, overrides: Partial<LookupTarget> = {}, regexp = ""): LookupInput =>
  lookup(name, {
    template: { regexp, removeEmptyTags: true },
    target: target({ service: "${name.full}", ...overrides }),
  });

let world: World;
beforeEach(() => {
  world = new World();
});

const put = (input: LookupInput) => world.run("lookup.put", input);
const resolve = (name: string) => world.core.query("lookup.resolve", { name }, world.now);
const detailsOf = (act: () => unknown): unknown => {
  try {
    act();
  } catch (error) {
    return (error as HoldfastError).details;
  }
  return undefined;
};

describe("names and ids", () => {
  test("found by id and by name in any case; gone once deleted", () => {
    const made = put(lookup("Web"));
    expect(made).toMatchObject({ name: "Web", createRevision: made.modRevision });
    for (const name of ["Web", "wEB", made.id, made.id.toUpperCase()]) expect(resolve(name)?.id).toBe(made.id);
    expect(resolve("web2")).toBeNull();
    expect(world.run("lookup.delete", { id: made.id })).toEqual({ existed: true });
    expect(resolve("web")).toBeNull();
    expect(put(lookup("web")).id).not.toBe(made.id);
  });

  test("a name belongs to one; another's id is no name; there is one template without a name", () => {
    const made = put(lookup("web"));
    expect(detailsOf(() => put(lookup("WEB")))).toMatchObject({ field: "name", taken: "name" });
    expect(detailsOf(() => put(lookup(made.id)))).toMatchObject({ taken: "id" });
    const all = put(template(""));
    expect(detailsOf(() => put(template("")))).toMatchObject({ taken: "template" });
    expect(put({ ...template("", { near: "_agent" }), id: all.id }).id).toBe(all.id);
  });

  test("a rename frees the old name; the same again is no change; a stale one is refused", () => {
    const made = put(lookup("web"));
    const again = put({ ...lookup("web"), id: made.id });
    expect(again.modRevision).toBe(made.modRevision);
    const renamed = put({ ...lookup("api"), id: made.id, cas: made.modRevision });
    expect(renamed).toMatchObject({ createRevision: made.createRevision });
    expect(renamed.modRevision).toBeGreaterThan(made.modRevision);
    expect(resolve("web")).toBeNull();
    expect(codeOf(() => put({ ...lookup("x"), id: made.id, cas: made.modRevision }))).toBe("conflict");
    expect(codeOf(() => world.run("lookup.delete", { id: made.id, cas: made.modRevision }))).toBe("conflict");
    expect(codeOf(() => put({ ...lookup("x"), id: "00000000-0000-4000-8000-000000000000" }))).toBe("not_found");
  });
});

describe("templates", () => {
  test("the longest beginning is meant, however much lies between", () => {
    const ids = new Map(["", "g", "geo-", "geo-db-x", "geo-db-z"].map((name) => [name, put(template(name)).id]));
    expect(resolve("geo-db-y")?.id).toBe(ids.get("geo-"));
    expect(resolve("GEO-db-x1")?.id).toBe(ids.get("geo-db-x"));
    expect(resolve("geo")?.id).toBe(ids.get("g"));
    expect(resolve("zebra")?.id).toBe(ids.get(""));
    expect(resolve("é")?.id).toBe(ids.get(""));
  });

  test("an exact name comes before every template", () => {
    put(template("geo-"));
    const exact = put(lookup("geo-db"));
    expect(resolve("geo-db")?.id).toBe(exact.id);
  });

  test("all texts are filled in, and only they", () => {
    put(
      template(
        "geo-",
        {
          service: "${match(1)}",
          tags: ["${match(2)}", "p:${name.prefix}", "${agent.segment}", "$${kept}"],
          meta: { full: "${name.full}", "${name.full}": "key stays" },
          near: "n-${ name.suffix }",
          failover: { nearest: 0, datacenters: ["${match(3)}", "${match(9)}x"], targets: [] },
        },
        "^geo-(.*?)-([^\\-]+?)$",
      ),
    );
    expect(resolve("geo-db-customer-master")?.target).toMatchObject({
      service: "db-customer",
      tags: ["master", "p:geo-", "${kept}"],
      meta: { full: "geo-db-customer-master", "${name.full}": "key stays" },
      near: "n-db-customer-master",
      failover: { datacenters: ["", "x"] },
    });
  });

  test("it is asked for by name, not by id", () => {
    const made = put(template("geo-"));
    expect(codeOf(() => resolve(made.id))).toBe("invalid_argument");
  });

  test.each([
    ["${name.full", "service"],
    ["${name.other}", "service"],
    ["${match(x)}", "service"],
  ])("%s is refused when it is put", (service, field) => {
    expect(detailsOf(() => put(template("t", { service })))).toMatchObject({ field, template: service });
  });

  test("so is a regular expression that is none, or too large", () => {
    expect(detailsOf(() => put(template("t", {}, "(")))).toMatchObject({ field: "template.regexp" });
    expect(detailsOf(() => put(template("t", {}, "(a{999}){9}")))).toMatchObject({ field: "template.regexp" });
  });
});

describe("limits", () => {
  test.each([
    ["session", lookup("")],
    ["service", lookup("a", { target: target({ service: "" }) })],
    ["tags", lookup("a", { target: target({ tags: Array.from({ length: 129 }, String) }) })],
    ["failover.nearest", lookup("a", { target: target({ failover: { nearest: -1, datacenters: [], targets: [] } }) })],
    [
      "failover.targets",
      lookup("a", {
        target: target({ failover: { nearest: 1, datacenters: [], targets: [{ datacenter: "a", peer: "" }] } }),
      }),
    ],
    ["ttl", lookup("a", { ttlMs: -1 })],
    ["name", lookup("a\0b")],
  ])("%s", (field, input) => {
    expect(detailsOf(() => put(input))).toMatchObject({ field });
  });
});

describe("sessions", () => {
  const session = (): string =>
    world.run("session.create", {
      name: "",
      node: "alpha",
      ensure: { name: "alpha", address: "192.0.2.1" },
      behavior: "release",
      lockDelayMs: 0,
      ttlMs: null,
      checks: [],
    }).id;

  test("a session has to live", () => {
    expect(detailsOf(() => put(lookup("a", { session: "gone" })))).toMatchObject({ session: "gone" });
  });

  test("what is bound to one goes with it, and only that", () => {
    const [one, two] = [session(), session()];
    const bound = put(lookup("", { session: one }));
    put(lookup("named", { session: one }));
    const moved = put(lookup("moved", { session: one }));
    put({ ...lookup("moved", { session: two }), id: moved.id });
    world.run("session.destroy", { id: one });
    expect(resolve(bound.id)).toBeNull();
    expect(resolve("named")).toBeNull();
    expect(resolve("moved")?.session).toBe(two);
    // The name is free again.
    expect(put(lookup("named")).session).toBeNull();
    world.run("registry.apply", [{ type: "node.delete", name: "alpha" }]);
    expect(resolve("moved")).toBeNull();
  });
});
