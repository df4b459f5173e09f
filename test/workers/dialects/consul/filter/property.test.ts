/**
 * Filters against a naive evaluator that shares nothing with the real one: expressions are built as data, written down with
 * arbitrary blanks, quotes and parentheses, and must give the same answer both ways. And whatever is not a filter gives the
 * one error.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { compileFilter } from "../../../../../workers/dialects/consul/filter/compile.ts";
import { FilterError } from "../../../../../workers/dialects/consul/filter/filter-error.ts";
import { BOOL, INT, list, map, STRING, struct } from "../../../../../workers/dialects/consul/filter/schema.ts";

const SCHEMA = struct({
  Name: STRING,
  Port: INT,
  On: BOOL,
  Tags: list(STRING),
  Meta: map(STRING),
  Checks: list(struct({ Status: STRING, Port: INT })),
});

interface Item {
  Name: string;
  Port: number;
  On: boolean;
  Tags: string[];
  Meta: Record<string, string>;
  Checks: { Status: string; Port: number }[];
}

/** Written, and what it says of an item. */
interface Filter {
  text: string;
  holds: (item: Item) => boolean;
  /** Lower binds weaker: or, and, not, one comparison. */
  strength: 0 | 1 | 2 | 3;
}

const WORDS = ["", "a", "b", "ab", "x-1", "é", "not", "in"];
const KEYS = ["a", "b", "x-1"];

const words = fc.constantFrom(...WORDS);
const items: fc.Arbitrary<Item> = fc.record({
  Name: words,
  Port: fc.constantFrom(0, 80, -1),
  On: fc.boolean(),
  Tags: fc.array(words, { maxLength: 3 }),
  Meta: fc.dictionary(fc.constantFrom(...KEYS), words),
  Checks: fc.array(fc.record({ Status: words, Port: fc.constantFrom(0, 80) }), { maxLength: 3 }),
});

const blanks = fc.constantFrom(" ", "  ", "\t", "\n", " \r\n");
const maybeBlanks = fc.constantFrom("", " ", "\n");
const quoted = (word: string): fc.Arbitrary<string> =>
  fc.constantFrom(`"${word}"`, `\`${word}\``, ...(/^[a-z]+$/.test(word) ? [word] : []));

/** Each comparison that there is, with the sentence for a word put in. */
const comparisons: fc.Arbitrary<Filter> = fc
  .tuple(words, fc.constantFrom(...KEYS), fc.constantFrom(0, 80, -1), fc.boolean(), blanks, maybeBlanks)
  .chain(([word, key, port, on, gap, thin]) =>
    quoted(word).chain((value) => {
      const all: [string, (item: Item) => boolean][] = [
        [`Name${thin}==${thin}${value}`, (item) => item.Name === word],
        [`Name${thin}!=${thin}${value}`, (item) => item.Name !== word],
        [`${value}${gap}in${gap}Name`, (item) => item.Name.includes(word)],
        [`Name${gap}not${gap}contains${gap}${value}`, (item) => !item.Name.includes(word)],
        [`Name${gap}matches${gap}"^[ab]+$"`, (item) => /^[ab]+$/.test(item.Name)],
        [`Port${thin}==${thin}${port}`, (item) => item.Port === port],
        [`On${thin}!=${thin}${on}`, (item) => item.On !== on],
        [`${value}${gap}not${gap}in${gap}Tags`, (item) => !item.Tags.includes(word)],
        [`Tags${gap}is${gap}empty`, (item) => item.Tags.length === 0],
        [`Meta${gap}is${gap}not${gap}empty`, (item) => Object.keys(item.Meta).length > 0],
        [`"${key}"${gap}in${gap}Meta`, (item) => key in item.Meta],
        [`Meta["${key}"]${thin}==${thin}${value}`, (item) => item.Meta[key] === word],
        [`Meta["${key}"]${thin}!=${thin}${value}`, (item) => item.Meta[key] !== word],
        [`Meta["${key}"]${gap}matches${gap}b`, (item) => item.Meta[key]?.includes("b") ?? true],
        [`Checks.Status${thin}!=${thin}${value}`, (item) => item.Checks.some(({ Status }) => Status !== word)],
        [`Checks.Port${thin}==${thin}${port}`, (item) => item.Checks.some((check) => check.Port === port)],
      ];
      return fc.constantFrom(...all).map(([text, holds]): Filter => ({ text, holds, strength: 3 }));
    }),
  );

const within = (filter: Filter, strength: number): string =>
  filter.strength < strength ? `(${filter.text})` : filter.text;

const filters = fc.letrec<{ filter: Filter }>((tie) => ({
  filter: fc.oneof(
    { maxDepth: 5, depthIdentifier: "filter" },
    comparisons,
    fc.tuple(tie("filter"), tie("filter"), blanks).map(([left, right, gap]): Filter => ({
      text: `${within(left, 0)}${gap}or${gap}${within(right, 0)}`,
      holds: (item) => left.holds(item) || right.holds(item),
      strength: 0,
    })),
    fc.tuple(tie("filter"), tie("filter"), blanks).map(([left, right, gap]): Filter => ({
      text: `${within(left, 1)}${gap}and${gap}${within(right, 1)}`,
      holds: (item) => left.holds(item) && right.holds(item),
      strength: 1,
    })),
    fc.tuple(tie("filter"), blanks).map(([operand, gap]): Filter => ({
      text: `not${gap}${within(operand, 2)}`,
      holds: (item) => !operand.holds(item),
      strength: 2,
    })),
    fc.tuple(tie("filter"), maybeBlanks, maybeBlanks).map(([inner, before, after]): Filter => ({
      text: `(${before}${inner.text}${after})`,
      holds: inner.holds,
      strength: 3,
    })),
  ),
})).filter;

test("a filter says of any item what its parts say", () => {
  fc.assert(
    fc.property(filters, fc.array(items, { minLength: 1, maxLength: 8 }), ({ text, holds }, list) => {
      const passes = compileFilter(text, SCHEMA);
      expect(list.map((item) => passes(item))).toEqual(list.map((item) => holds(item)));
    }),
    { numRuns: 1500 },
  );
});

/** Ends in a predicate that answers, or in the one error. */
function settles(expression: string): void {
  let passes;
  try {
    passes = compileFilter(expression, SCHEMA);
  } catch (error) {
    expect(error).toBeInstanceOf(FilterError);
    expect((error as FilterError).message).toMatch(/^Failed to create boolean expression evaluator: ./s);
    return;
  }
  expect(typeof passes({ Name: "ab" })).toBe("boolean");
}

test("any text is a filter or the one error", () => {
  const tokens = fc.constantFrom(
    ...'( ) [ ] . == != = " ` \\ - 0 01 1.5 not and or in is empty contains matches'.split(" "),
    "Name",
    "Tags",
    "Meta",
    "Port",
    " ",
    "\n",
    "é",
    "\ud800",
    '"a"',
    "`b`",
    '["k"]',
    '"(?i)[a-c]{2}|d*"',
  );
  const soup = fc.array(tokens, { maxLength: 14 }).map((parts) => parts.join(""));
  fc.assert(fc.property(fc.oneof(soup, fc.string({ unit: "binary", maxLength: 40 })), settles), { numRuns: 4000 });
});

test("so is a filter that was damaged", () => {
  const damaged = fc
    .tuple(filters, fc.nat(), fc.nat({ max: 3 }), fc.string({ maxLength: 2 }))
    .map(([{ text }, at, cut, put]) => {
      const place = at % (text.length + 1);
      return text.slice(0, place) + put + text.slice(place + cut);
    });
  fc.assert(fc.property(damaged, settles), { numRuns: 1500 });
});

test("so is any pattern", () => {
  const atoms = fc.constantFrom(
    ..."a . [ ] [^ a-z \\d \\pL \\p{Greek} \\b ^ $ * + ? {2} {2,300} {,3} {1001} ( (?: (?i) (?P<n> (?= ) | \\Q \\E \\8 é { } \\".split(
      " ",
    ),
  );
  const patterns = fc.array(atoms, { maxLength: 12 }).map((parts) => `Name matches \`${parts.join("")}\``);
  fc.assert(fc.property(patterns, settles), { numRuns: 1500 });
});
