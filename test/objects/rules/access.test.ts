/** Which rule decides about a connection. */
import { describe, expect, test } from "vitest";
import { comparePairs, decidingPair, pairsOf, precedenceOf } from "../../../objects/rules/access.ts";
import { access, source } from "./samples.ts";

test.each([
  ["a", "b", 9],
  ["*", "b", 8],
  ["a", "*", 6],
  ["*", "*", 5],
])("precedence of %s → %s is %i", (from, towards, precedence) => {
  expect(precedenceOf(from, towards)).toBe(precedence);
});

describe("the deciding pair", () => {
  const rules = [
    access("*", source("*", "deny"), source("ops", "allow")),
    access("db", source("*", "deny"), source("api", "allow"), source("api", "deny", { peer: "east" })),
  ];
  test.each([
    ["exact beats all", { source: "api", destination: "db" }, 9, "allow"],
    ["any source beats any destination", { source: "ops", destination: "db" }, 8, "deny"],
    ["any destination", { source: "ops", destination: "web" }, 6, "allow"],
    ["any to any", { source: "x", destination: "y" }, 5, "deny"],
    ["of another cluster only what names it", { source: "api", destination: "db", peer: "east" }, 9, "deny"],
  ])("%s", (_name, call, precedence, action) => {
    const pair = decidingPair(rules, { peer: "", ...call });
    expect(pair).toMatchObject({ precedence, source: { action } });
  });

  test("nobody decides", () => {
    expect(decidingPair(rules, { source: "api", destination: "web", peer: "west" })).toBeUndefined();
  });

  test("pairs sort by precedence, then by name", () => {
    const sorted = rules.flatMap(pairsOf).toSorted(comparePairs);
    expect(sorted.map(({ source: { service, peer }, destination }) => `${peer}/${service}>${destination}`)).toEqual([
      "/api>db",
      "east/api>db",
      "/*>db",
      "/ops>*",
      "/*>*",
    ]);
  });
});
