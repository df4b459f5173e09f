/** Decisions against a second, naive writing of the rules; and what must hold for every set of rules. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CompiledPolicy, prefixEnd } from "../../../objects/policy/compiled.ts";
import type { DefaultPolicy, Kind, Statement, Verb } from "../../../objects/policy/statements.ts";
import { assertStatements, decide, deciding, nameOf } from "../../../objects/policy/statements.ts";
import { codeOf } from "../fixture.ts";

/** Few characters, so that names, prefixes and ends of ranges meet; the ends of the byte range among them. */
const name = fc
  .array(fc.constantFrom("a", "b", "/", "\0", "\xff"), { maxLength: 5 })
  .map((characters) => characters.join(""));
const verb = fc.constantFrom<Verb>("read", "list", "update");
const kind = fc.constantFrom<Kind>("kv", "service");
const common = {
  effect: fc.constantFrom("allow", "deny", "stop") as fc.Arbitrary<Statement["effect"]>,
  verbs: fc.uniqueArray(verb, { minLength: 1 }),
  kind,
  name,
};
const statement: fc.Arbitrary<Statement> = fc.oneof(
  fc.record({ ...common, match: fc.constantFrom("exact" as const, "prefix" as const) }),
  fc.record({
    ...common,
    match: fc.constantFrom("exact" as const, "prefix" as const),
    implied: fc.constant(true as const),
  }),
  fc
    .record({ ...common, match: fc.constant("range" as const), end: fc.option(name) })
    .filter((range) => range.end === null || range.end > range.name),
);
const statements = fc.array(statement, { maxLength: 12 });
const otherwise = fc.constantFrom<DefaultPolicy>("allow", "deny");
const RUNS = { numRuns: 10_000 };

/** By elimination, level after level. */
function oracle(all: Statement[], wanted: Verb, of: Kind, on: string, fallback: DefaultPolicy): boolean {
  let left = all.filter((candidate) => candidate.kind === of && candidate.verbs.includes(wanted));
  const exact = left.filter((candidate) => candidate.match === "exact" && candidate.name === on);
  const prefixes = left.filter((candidate) => candidate.match === "prefix" && on.indexOf(candidate.name) === 0);
  const longest = Math.max(...prefixes.map((candidate) => candidate.name.length));
  const ranges = left.filter(
    (candidate) =>
      candidate.match === "range" && on >= candidate.name && (candidate.end === null || on < candidate.end),
  );
  if (exact.length > 0) left = exact;
  else if (prefixes.length > 0) left = prefixes.filter((candidate) => candidate.name.length === longest);
  else left = ranges;
  if (left.some((candidate) => !candidate.implied)) left = left.filter((candidate) => !candidate.implied);
  if (left.length === 0) return fallback === "allow";
  return !left.some(({ effect }) => effect === "deny") && left.some(({ effect }) => effect === "allow");
}

describe("a decision", () => {
  test("is that of the naive rules, read off the statements or compiled", () => {
    fc.assert(
      fc.property(statements, verb, kind, name, otherwise, (all, wanted, of, on, fallback) => {
        const expected = oracle(all, wanted, of, on, fallback);
        expect(decide(all, wanted, of, on, fallback)).toBe(expected);
        expect(new CompiledPolicy(all, fallback).allows(wanted, of, on)).toBe(expected);
      }),
      RUNS,
    );
  });

  test("never widens when a deny is added", () => {
    fc.assert(
      fc.property(statements, statement, verb, kind, name, otherwise, (all, extra, wanted, of, on, fallback) => {
        const more = [...all, { ...extra, effect: "deny" as const }];
        if (decide(more, wanted, of, on, fallback)) expect(decide(all, wanted, of, on, fallback)).toBe(true);
      }),
      RUNS,
    );
  });

  test("does not depend on the order of statements", () => {
    fc.assert(
      fc.property(statements, verb, kind, name, (all, wanted, of, on) => {
        expect(decide(all.toReversed(), wanted, of, on)).toBe(decide(all, wanted, of, on));
      }),
      RUNS,
    );
  });
});

describe("a range", () => {
  test("is covered exactly if every name in it is allowed", () => {
    const alphabet = ["\0", "/", "a", "b", "\xff"];
    const few: string[] = ["", ...alphabet, ...alphabet.flatMap((a) => alphabet.map((b) => a + b))];
    const names = [...few, ...few.map((short) => `${short}a/`), ...few.map((short) => `${short}\0`)];
    fc.assert(
      fc.property(statements, verb, kind, otherwise, name, fc.option(name), (all, wanted, of, fallback, from, to) => {
        const compiled = new CompiledPolicy(all, fallback);
        const covered = compiled.covers(wanted, of, { from, to });
        const inside = [
          from,
          ...names,
          ...all.flatMap((other) => [other.name, `${other.name}\0`, prefixEnd(other.name) ?? ""]),
        ]
          .concat(all.flatMap((other) => (other.match === "range" ? [other.end ?? ""] : [])))
          .filter((one) => one >= from && (to === null || one < to));
        const isEmpty = to !== null && to <= from;
        expect(covered).toBe(!isEmpty && inside.every((one) => oracle(all, wanted, of, one, fallback)));
        if (covered) expect(compiled.allowsAny(wanted, of)).toBe(true);
      }),
      { numRuns: 3000 },
    );
  });

  test("of one key is decided like the key", () => {
    fc.assert(
      fc.property(statements, verb, kind, name, (all, wanted, of, on) => {
        const compiled = new CompiledPolicy(all, "deny");
        expect(compiled.covers(wanted, of, { from: on, to: `${on}\0` })).toBe(compiled.allows(wanted, of, on));
      }),
    );
  });

  test("is not covered when it is empty or its ends are mistaken", () => {
    const all: Statement[] = [{ effect: "allow", verbs: ["read"], kind: "kv", match: "prefix", name: "" }];
    const compiled = new CompiledPolicy(all, "allow");
    expect(compiled.covers("read", "kv", { from: "a", to: "" })).toBe(false);
    expect(compiled.covers("read", "kv", { from: "a", to: "a" })).toBe(false);
    expect(compiled.covers("read", "kv", { from: "a", to: null })).toBe(true);
  });
});

test("thousands of statements are decided as a few are", () => {
  const all: Statement[] = Array.from({ length: 8000 }, (_, i) => ({
    effect: i % 3 === 0 ? "stop" : "allow",
    verbs: ["read", "update"],
    kind: "kv",
    match: i % 2 === 0 ? "prefix" : "exact",
    name: "x".repeat(i % 400) + String(i),
  }));
  const compiled = new CompiledPolicy(all, "deny");
  for (let i = 0; i < 8000; i += 41) {
    const on = "x".repeat(i % 400) + String(i);
    expect(compiled.allows("read", "kv", on)).toBe(decide(all, "read", "kv", on));
  }
});

test("a decision can be explained", () => {
  const wide: Statement = {
    effect: "allow",
    verbs: ["read", "update"],
    kind: "kv",
    match: "prefix",
    name: "",
    origin: "wide",
  };
  const narrow: Statement = {
    effect: "stop",
    verbs: ["update"],
    kind: "kv",
    match: "prefix",
    name: "app/",
    origin: "narrow",
  };
  expect(deciding([wide, narrow], "update", "kv", "app/a")?.origin).toBe("narrow");
  expect(deciding([wide, narrow], "read", "kv", "app/a")?.origin).toBe("wide");
  expect(deciding([wide, narrow], "read", "service", "app/a")).toBeUndefined();
});

test("names are bytes: a text is its UTF-8", () => {
  expect(nameOf("web")).toBe("web");
  expect(nameOf("é")).toBe("\xc3\xa9");
  expect(nameOf(new Uint8Array([0xff, 0]))).toBe("\xff\0");
});

describe("statements from a wire", () => {
  const good = { effect: "allow", verbs: ["read"], kind: "kv", match: "prefix", name: "" };

  test("are taken when they are well formed", () => {
    assertStatements("statements", [
      good,
      { ...good, match: "range", name: "a", end: null, implied: true, origin: "x" },
    ]);
  });

  test.each([
    ["not a list", {}],
    ["not a statement", [7]],
    ["effect", [{ ...good, effect: "permit" }]],
    ["verbs", [{ ...good, verbs: [] }]],
    ["verbs", [{ ...good, verbs: ["read", "read"] }]],
    ["verbs", [{ ...good, verbs: ["write"] }]],
    ["kind", [{ ...good, kind: "toString" }]],
    ["match", [{ ...good, match: "regex" }]],
    ["name", [{ ...good, name: "é€" }]],
    ["name", [{ ...good, name: "x".repeat(5000) }]],
    ["end", [{ ...good, end: "b" }]],
    ["end", [{ ...good, match: "range", name: "b", end: "b" }]],
    ["end", [{ ...good, match: "range" }]],
    ["unknown", [{ ...good, when: {} }]],
    ["implied", [{ ...good, implied: false }]],
  ])("are refused: %s", (_field, given) => {
    expect(codeOf(() => assertStatements("statements", given))).toBe("invalid_argument");
  });

  test("are refused when there are too many", () => {
    expect(
      codeOf(() =>
        assertStatements(
          "statements",
          Array.from({ length: 9000 }, () => good),
        ),
      ),
    ).toBe("too_large");
  });
});
