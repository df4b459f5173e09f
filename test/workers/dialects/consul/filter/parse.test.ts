import { describe, expect, test } from "vitest";
import { FilterError } from "../../../../../workers/dialects/consul/filter/filter-error.ts";
import {
  EXPRESSION_LENGTH_MAX,
  NESTING_MAX,
  parseFilter,
} from "../../../../../workers/dialects/consul/filter/parse.ts";

const equal = (name: string, value: string) => ({ type: "match", selector: [name], operator: "Equal", value });

/** The error's text after Consul's opening words. */
function reasonOf(expression: string): string {
  try {
    parseFilter(expression);
  } catch (error) {
    if (error instanceof FilterError) return error.reason;
    throw error;
  }
  throw new Error(`${expression} was read`);
}

describe("what is read", () => {
  test("`or` binds weakest, then `and`, then `not`; parentheses bind strongest", () => {
    const [a, b, c] = [equal("a", "1"), equal("b", "2"), equal("c", "3")];
    expect(parseFilter("a==1 or b==2 and not c==3")).toEqual({
      type: "or",
      operands: [a, { type: "and", operands: [b, { type: "not", operand: c }] }],
    });
    expect(parseFilter("( a==1 or b==2 ) and not (c==3)")).toEqual({
      type: "and",
      operands: [
        { type: "or", operands: [a, b] },
        { type: "not", operand: c },
      ],
    });
    expect(parseFilter("not a==1 and b==2")).toEqual({ type: "and", operands: [{ type: "not", operand: a }, b] });
    expect(parseFilter("not not a==1")).toEqual(a);
  });

  test.each([
    ["a == b", ["a"], "Equal", "b"],
    ["a!=b", ["a"], "Not Equal", "b"],
    ["b in a", ["a"], "In", "b"],
    ["b not in a", ["a"], "Not In", "b"],
    ["a contains b", ["a"], "In", "b"],
    ["a not contains b", ["a"], "Not In", "b"],
    ["a matches b", ["a"], "Matches", "b"],
    ["a\tnot\r\nmatches  b", ["a"], "Not Matches", "b"],
    ["a is empty", ["a"], "Is Empty", undefined],
    ["a is not empty", ["a"], "Is Not Empty", undefined],
    // Selectors.
    ['a.b["c-d"][ `e` ].f_1 == x', ["a", "b", "c-d", "e", "f_1"], "Equal", "x"],
    // Values: bare words with dots, numbers as written, both kinds of quotes.
    ["a == x.y", ["a"], "Equal", "x.y"],
    ['a == x["y z"]', ["a"], "Equal", "x.y z"],
    ["a == -10.50", ["a"], "Equal", "-10.50"],
    ["(a == 0)", ["a"], "Equal", "0"],
    [String.raw`a == "x\ty\x41\u00e9\303\251"`, ["a"], "Equal", "x\tyAéé"],
    ['a == `x\\t"y"\r\n`', ["a"], "Equal", 'x\\t"y"\n'],
    ['"" in a', ["a"], "In", ""],
    // Operators name fields and values where nothing else fits.
    ["not == in", ["not"], "Equal", "in"],
    ["not in is", ["is"], "In", "not"],
    ["or contains and", ["or"], "In", "and"],
    ["nothing == x", ["nothing"], "Equal", "x"],
  ])("%s", (expression, selector, operator, value) => {
    const match = { type: "match", selector, operator, ...(value === undefined ? {} : { value }) };
    expect(parseFilter(expression)).toEqual(match);
  });
});

describe("what is not read, in Consul's words", () => {
  const START = String.raw`"(", "-", "0", "\"", "` + "`" + String.raw`", "not", [ \t\r\n], [1-9] or [a-zA-Z]`;
  const VALUE = String.raw`"-", "0", "\"", "` + "`" + String.raw`", [ \t\r\n], [1-9] or [a-zA-Z]`;
  test.each([
    ["Service", String.raw`1:8 (7): no match found, expected: "!=", ".", "==", "[", [ \t\r\n] or [a-zA-Z0-9_]`],
    ["Service ==", `1:11 (10): no match found, expected: ${VALUE}`],
    [
      "Service = web",
      String.raw`1:9 (8): no match found, expected: "!=", "==", "contains", "in", "is", "matches", "not" or [ \t\r\n]`,
    ],
    ["Service == 'web'", `1:12 (11): no match found, expected: ${VALUE}`],
    ["Service == web and", String.raw`1:19 (18): no match found, expected: [ \t\r\n]`],
    ["Service == web garbage", String.raw`1:16 (15): no match found, expected: "and", "or", [ \t\r\n] or EOF`],
    ["(Service == web))", String.raw`1:17 (16): no match found, expected: [ \t\r\n] or EOF`],
    ["Service is nil", String.raw`1:12 (11): no match found, expected: "empty", "not" or [ \t\r\n]`],
    [
      "not(Service == web)",
      String.raw`1:4 (3): no match found, expected: "!=", ".", "==", "[", [ \t\r\n] or [a-zA-Z0-9_]`,
    ],
    ['"/Service" == web', String.raw`1:12 (11): no match found, expected: "in", "not" or [ \t\r\n]`],
    [
      "all Tags as x { x == 3 }",
      String.raw`1:5 (4): no match found, expected: "!=", "==", "contains", "in", "is", "matches", "not" or [ \t\r\n]`,
    ],
    ["   ", `1:4 (3): no match found, expected: ${START}`],
    // Columns count characters, offsets bytes; a line break is column 0 of the next line.
    ["`é😀` in a and é", `1:15 (18): no match found, expected: ${START}`],
    ["a == b\n and é", `2:6 (12): no match found, expected: ${START}`],
    ["a ==\nb c", String.raw`2:3 (7): no match found, expected: "and", "or", [ \t\r\n] or EOF`],
    ['Service == "web', '1:16 (15): rule "string": Unterminated string literal'],
    [String.raw`Service == "\q"`, '1:12 (11): rule "string": invalid syntax'],
    [String.raw`Service == "a\"b"`, '1:12 (11): rule "string": invalid syntax'],
    ['Service == "a\nb"', '1:12 (11): rule "string": invalid syntax'],
    [
      String.raw`Service == "\400" or a == "\ud800"`,
      '1:12 (11): rule "string": invalid syntax\n1:27 (26): rule "string": invalid syntax',
    ],
    ["Service == 01", '1:13 (12): rule "number": Invalid number literal'],
    ["5x in Tags", '1:2 (1): rule "number": Invalid number literal'],
    ['"web" in 5', '1:10 (9): rule "match": Invalid selector'],
    ["(Service == web", '1:16 (15): rule "grouping": Unmatched parentheses'],
    ["Meta[a] == b", '1:6 (5): rule "index": Invalid index'],
    ['Meta["a" == b', '1:10 (9): rule "index": Unclosed index expression'],
    ['Meta["a == b', '1:13 (12): rule "string": Unterminated string literal\n1:6 (5): rule "index": Invalid index'],
  ])("%s", (expression, reason) => {
    expect(reasonOf(expression)).toBe(reason);
  });

  test("the whole message has Consul's opening words and is a 500", () => {
    expect(() => parseFilter("x")).toThrow(/^Failed to create boolean expression evaluator: 1:2 \(1\): no match found/);
    expect(() => parseFilter("x")).toThrow(expect.objectContaining({ status: 500 }));
  });
});

describe("limits", () => {
  test("length", () => {
    const padded = (length: number) => `${" ".repeat(length - 4)}a==1`;
    expect(parseFilter(padded(EXPRESSION_LENGTH_MAX))).toEqual(equal("a", "1"));
    expect(reasonOf(padded(EXPRESSION_LENGTH_MAX + 1))).toBe("Expression is longer than 8192 characters");
  });

  test("nesting of parentheses and of `not`", () => {
    const parentheses = (depth: number) => `${"(".repeat(depth)}a==1${")".repeat(depth)}`;
    expect(parseFilter(parentheses(NESTING_MAX))).toEqual(equal("a", "1"));
    expect(reasonOf(parentheses(NESTING_MAX + 1))).toBe("Expression nests deeper than 64 levels");
    expect(parseFilter(`${"not ".repeat(NESTING_MAX)}a==1`)).toEqual(equal("a", "1"));
    expect(reasonOf("not ".repeat(2000))).toBe("Expression nests deeper than 64 levels");
  });
});
