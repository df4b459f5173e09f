/** Rules compiled into a graph. The cases are those of Consul's own compiler, in the words of the domain. */
import { describe, expect, test } from "vitest";
import { HoldfastError } from "../../../objects/errors.ts";
import type { Graph, GraphOptions } from "../../../objects/rules/graph.ts";
import { compileGraph } from "../../../objects/rules/graph.ts";
import type { Rule } from "../../../objects/rules/model.ts";
import { RuleSet } from "../../../objects/rules/rules.ts";
import { all, defaults, failover, resolver, route, router, split, splitter, to } from "./samples.ts";

const compile = (rules: Rule[], options: Partial<GraphOptions> = {}): Graph =>
  compileGraph(new RuleSet(rules), { service: "main", datacenter: "dc1", ...options });

const http = (...services: string[]): Rule[] => services.map((name) => defaults(name, { protocol: "http" }));

function refusal(rules: Rule[]): Record<string, unknown> | undefined {
  try {
    compile(rules);
  } catch (error) {
    if (error instanceof HoldfastError) return error.details;
    throw error;
  }
  return undefined;
}

/** `from → to` for every edge, and `target (failovers)` for every resolver. */
function edges({ nodes }: Graph): string[] {
  return Object.entries(nodes)
    .flatMap(([key, node]) => {
      if (node.type === "router") {
        return node.routes.map(({ route: { match }, next }) => `${key} ${JSON.stringify(match.path)} ${next}`);
      }
      if (node.type === "splitter") return node.splits.map(({ weight, next }) => `${key} ${weight} ${next}`);
      return node.failover ? [`${key} (${node.failover.targets.join(", ")})`] : [key];
    })
    .toSorted();
}

const path = (value: string): string => JSON.stringify({ type: "prefix", value, ignoreCase: false });

describe("shapes", () => {
  const cases: Record<
    string,
    { rules: Rule[]; start: string; protocol?: string; isDefault?: boolean; edges: string[] }
  > = {
    "no rules at all": { rules: [], start: "resolver:main//dc1/", isDefault: true, edges: ["resolver:main//dc1/"] },
    "protocol from the defaults of all": {
      rules: [defaults("*", { protocol: "GRPC" })],
      protocol: "grpc",
      start: "resolver:main//dc1/",
      isDefault: true,
      edges: ["resolver:main//dc1/"],
    },
    "own defaults without a protocol are tcp": {
      rules: [defaults("*", { protocol: "http" }), defaults("main", {})],
      start: "resolver:main//dc1/",
      isDefault: true,
      edges: ["resolver:main//dc1/"],
    },
    "router with defaults": {
      rules: [...http("main"), router("main")],
      protocol: "http",
      start: "router:main",
      edges: ["resolver:main//dc1/", `router:main ${path("/")} resolver:main//dc1/`],
    },
    "route bypasses splitter": {
      rules: [
        ...http("main", "other"),
        router("main", route("/other", "other", "bypass")),
        splitter("other", split(10_000, "ignored")),
        resolver("other", { subsets: { bypass: all } }),
      ],
      protocol: "http",
      start: "router:main",
      edges: [
        "resolver:main//dc1/",
        "resolver:other/bypass/dc1/",
        `router:main ${path("/")} resolver:main//dc1/`,
        `router:main ${path("/other")} resolver:other/bypass/dc1/`,
      ],
    },
    "subset split": {
      rules: [
        ...http("main"),
        splitter("main", split(6000, "", "v2"), split(4000, "", "v1")),
        resolver("main", { subsets: { v1: all, v2: all } }),
      ],
      protocol: "http",
      start: "splitter:main",
      edges: [
        "resolver:main/v1/dc1/",
        "resolver:main/v2/dc1/",
        "splitter:main 4000 resolver:main/v1/dc1/",
        "splitter:main 6000 resolver:main/v2/dc1/",
      ],
    },
    "datacenter canary through redirects": {
      rules: [
        ...http("main", "main-dc2", "main-dc3"),
        splitter("main", split(6000, "main-dc2"), split(4000, "main-dc3")),
        resolver("main-dc2", { redirect: to({ service: "main", datacenter: "dc2" }) }),
        resolver("main-dc3", { redirect: to({ service: "main", datacenter: "dc3" }) }),
        resolver("main", { connectTimeoutMs: 33_000 }),
      ],
      protocol: "http",
      start: "splitter:main",
      edges: [
        "resolver:main//dc2/",
        "resolver:main//dc3/",
        "splitter:main 4000 resolver:main//dc3/",
        "splitter:main 6000 resolver:main//dc2/",
      ],
    },
    "redirect to another service is no default": {
      rules: [resolver("main", { redirect: to({ service: "other" }) })],
      start: "resolver:other//dc1/",
      edges: ["resolver:other//dc1/"],
    },
    "redirect to another cluster": {
      rules: [resolver("main", { redirect: to({ service: "other", peer: "cluster-01" }) })],
      protocol: "tcp",
      start: "resolver:other///cluster-01",
      edges: ["resolver:other///cluster-01"],
    },
    "failover through a redirect": {
      rules: [
        resolver("backup", { redirect: to({ service: "actual" }) }),
        resolver("main", { failover: { "*": failover({ service: "backup" }) } }),
      ],
      start: "resolver:main//dc1/",
      edges: ["resolver:main//dc1/ (actual//dc1/)"],
    },
    "failovers of failovers do not count": {
      rules: [
        resolver("main", { failover: { "*": failover({ service: "backup" }) } }),
        resolver("backup", { failover: { "*": failover({ service: "main" }) } }),
      ],
      start: "resolver:main//dc1/",
      edges: ["resolver:main//dc1/ (backup//dc1/)"],
    },
    "datacenters in order, without the own": {
      rules: [
        resolver("main", {
          failover: { "*": failover({ datacenter: "dc2" }, { datacenter: "dc1" }, { datacenter: "dc4" }) },
        }),
      ],
      start: "resolver:main//dc1/",
      edges: ["resolver:main//dc1/ (main//dc2/, main//dc4/)"],
    },
    "default subset": {
      rules: [resolver("main", { defaultSubset: "v2", subsets: { v1: all, v2: all } })],
      start: "resolver:main/v2/dc1/",
      edges: ["resolver:main/v2/dc1/"],
    },
  };
  test.each(Object.entries(cases))(
    "%s",
    (_name, { rules, start, protocol = "tcp", isDefault = false, edges: wanted }) => {
      const graph = compile(rules);
      expect(graph).toMatchObject({ start, protocol, isDefault });
      expect(edges(graph)).toEqual(wanted);
      expect(Object.keys(graph.targets).toSorted()).toEqual(
        [
          ...new Set(
            Object.values(graph.nodes).flatMap((node) =>
              node.type === "resolver" ? [node.target, ...(node.failover?.targets ?? [])] : [],
            ),
          ),
        ].toSorted(),
      );
    },
  );
});

test("splitters behind splitters are one: weights multiply, header changes of the outer come first", () => {
  const services = ["main", "a", "b", "c"];
  const changes = (set: Record<string, string>) => ({ set, add: {}, remove: [] });
  const graph = compile([
    ...http(...services),
    resolver("c", { subsets: { v1: all, v2: all, v3: all } }),
    splitter("main", split(6000, "a"), split(4000, "b")),
    splitter("b", split(7500, "c", "v1"), {
      ...split(2500, "d-split"),
      requestHeaders: changes({ outer: "1", both: "outer" }),
      responseHeaders: changes({ outer: "2", both: "outer" }),
    }),
    ...http("d-split"),
    splitter("d-split", split(8000, "c", "v2"), {
      ...split(2000, "c", "v3"),
      requestHeaders: changes({ inner: "3", both: "inner" }),
      responseHeaders: changes({ inner: "4", both: "inner" }),
    }),
  ]);
  expect(Object.keys(graph.nodes).filter((key) => key.startsWith("splitter"))).toEqual(["splitter:main"]);
  const node = graph.nodes["splitter:main"]!;
  expect(node.type === "splitter" && node.splits).toMatchObject([
    { weight: 6000, next: "resolver:a//dc1/" },
    { weight: 3000, next: "resolver:c/v1/dc1/" },
    { weight: 800, next: "resolver:c/v2/dc1/", split: { weight: 8000, requestHeaders: { set: { both: "outer" } } } },
    {
      weight: 200,
      next: "resolver:c/v3/dc1/",
      split: {
        requestHeaders: { set: { outer: "1", inner: "3", both: "inner" } },
        responseHeaders: { set: { outer: "2", inner: "4", both: "outer" } },
      },
    },
  ]);
});

test("a splitter hashes as the first of its resolvers that does", () => {
  const loadBalancer = { policy: "maglev" as const, ringSizeMin: null, ringSizeMax: null, choices: null, hashKeys: [] };
  const graph = compile([
    ...http("main", "a", "b"),
    splitter("main", split(5000, "a"), split(5000, "b")),
    resolver("a", { loadBalancer: { ...loadBalancer, policy: "least_request" } }),
    resolver("b", { loadBalancer }),
  ]);
  expect(graph.nodes["splitter:main"]).toMatchObject({ loadBalancer });
});

describe("targets", () => {
  test("take the mesh gateway and direct dialling from their service, then from all", () => {
    const { targets } = compile([
      defaults("*", { meshGateway: "local", dialedDirectly: true }),
      defaults("main", { meshGateway: "remote" }),
      resolver("main", { failover: { "*": failover({ service: "other" }) } }),
    ]);
    expect(targets["main//dc1/"]).toMatchObject({ meshGateway: "remote", dialedDirectly: true });
    expect(targets["other//dc1/"]).toMatchObject({ meshGateway: "local", dialedDirectly: true });
  });

  test("outside the mesh have the name they are asked for by, and no gateway", () => {
    const { targets } = compile([
      defaults("*", { meshGateway: "local" }),
      defaults("main", { externalName: "main.example.com" }),
    ]);
    expect(targets["main//dc1/"]).toMatchObject({ meshGateway: "", externalName: "main.example.com" });
  });
});

describe("options of who compiles", () => {
  const rules = [...http("main"), router("main"), resolver("main", { connectTimeoutMs: 1000 })];

  test("a protocol without routing leaves routers aside", () => {
    const graph = compile(rules, { protocol: "tcp" });
    expect(graph).toMatchObject({ protocol: "tcp", start: "resolver:main//dc1/", customized: { protocol: true } });
  });

  test("a protocol that is there already changes nothing", () => {
    expect(compile(rules, { protocol: "http" }).customized.protocol).toBe(false);
  });

  test("mesh gateway and timeout", () => {
    const graph = compile(rules, { meshGateway: "remote", connectTimeoutMs: 66_000 });
    expect(graph.customized).toEqual({ protocol: false, meshGateway: true, connectTimeout: true });
    expect(graph.targets["main//dc1/"]).toMatchObject({ meshGateway: "remote", connectTimeoutMs: 66_000 });
  });
});

describe("refused", () => {
  const cases: Record<string, [Rule[], Record<string, unknown>]> = {
    "a splitter on tcp": [
      [splitter("main", split(10_000))],
      { reason: "protocol_not_routable", service: "main", protocol: "tcp" },
    ],
    "a router on tcp": [[router("main")], { reason: "protocol_not_routable", service: "main", protocol: "tcp" }],
    "a failover that crosses protocols": [
      [defaults("main", { protocol: "grpc" }), resolver("main", { failover: { "*": failover({ service: "other" }) } })],
      { reason: "protocol_mismatch", graph: "main", service: "other", protocol: "tcp", expected: "grpc" },
    ],
    "a redirect to a subset that is not there": [
      [resolver("main", { redirect: to({ service: "other", subset: "v1" }) })],
      { reason: "unknown_subset", service: "other", subset: "v1" },
    ],
    "redirects in a circle": [
      [
        resolver("main", { redirect: to({ service: "other" }) }),
        resolver("other", { redirect: to({ service: "main" }) }),
      ],
      { reason: "circular_redirect", path: "main//dc1/ -> other//dc1/ -> main//dc1/" },
    ],
    "splitters in a circle": [
      [
        defaults("*", { protocol: "http" }),
        splitter("main", split(10_000, "other")),
        splitter("other", split(10_000, "main")),
      ],
      { reason: "circular_reference", path: "splitter:main -> splitter:other -> splitter:main" },
    ],
    "an external service with a redirect": [
      [
        defaults("main", { externalName: "x" }),
        resolver("main", { redirect: to({ datacenter: "dc1", service: "main" }) }),
      ],
      { reason: "external_redirect", service: "main" },
    ],
    "an external service with subsets": [
      [defaults("main", { externalName: "x" }), resolver("main", { subsets: { v1: all } })],
      { reason: "external_subsets", service: "main" },
    ],
    "an external service with a failover": [
      [defaults("main", { externalName: "x" }), resolver("main", { failover: { "*": failover({ service: "b" }) } })],
      { reason: "external_failover", service: "main" },
    ],
  };
  test.each(Object.entries(cases))("%s", (_name, [rules, details]) => {
    expect(refusal(rules)).toEqual(details);
  });

  test("a few rules that ask for millions of splits", () => {
    const layers = Array.from({ length: 8 }, (_, layer) =>
      Array.from({ length: 10 }, (__, index) =>
        splitter(
          layer === 0 ? "main" : `s${layer}-${index}`,
          ...Array.from({ length: 10 }, (___, next) => split(1000, `s${layer + 1}-${next}`)),
        ),
      ),
    );
    expect(refusal([defaults("*", { protocol: "http" }), ...layers.flat()])).toMatchObject({
      reason: "graph_too_large",
    });
  });

  test("a chain deeper than any", () => {
    const chain = Array.from({ length: 2000 }, (_, index) =>
      splitter(index === 0 ? "main" : `s${index}`, split(10_000, `s${index + 1}`)),
    );
    expect(refusal([defaults("*", { protocol: "http" }), ...chain])).toMatchObject({ reason: "graph_too_large" });
  });
});
