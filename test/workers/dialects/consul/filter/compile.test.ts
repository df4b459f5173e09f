import { describe, expect, test } from "vitest";
import { compileFilter, MATCHES_MAX } from "../../../../../workers/dialects/consul/filter/compile.ts";
import { FilterError } from "../../../../../workers/dialects/consul/filter/filter-error.ts";
import { BOOL, INT, list, map, STRING, struct, uint } from "../../../../../workers/dialects/consul/filter/schema.ts";

const SCHEMA = struct({
  Name: STRING,
  On: BOOL,
  Port: INT,
  Small: uint(8),
  Large: uint(64),
  Tags: list(STRING),
  Ports: list(INT),
  Meta: map(STRING),
  Lists: map(list(STRING)),
  Places: map(struct({ Port: INT })),
  Checks: list(struct({ Status: STRING, Tags: list(STRING) })),
  Proxy: struct({ Mode: STRING }),
});

const VALUE = {
  Name: "web-1",
  On: true,
  Port: 80,
  Small: 7,
  Large: 2n ** 64n - 1n,
  Tags: ["v1", "eu"],
  Ports: [80, 443],
  Meta: { version: "2", "a-b": "", constructor: "mine" },
  Lists: { team: ["red", "blue"] },
  Places: { lan: { Port: 81 } },
  Checks: [
    { Status: "passing", Tags: ["x"] },
    { Status: "critical", Tags: [] },
  ],
  Proxy: { Mode: "direct" },
};

const passes = (expression: string, value: unknown = VALUE): boolean => compileFilter(expression, SCHEMA)(value);

function refused(expression: string): string {
  try {
    compileFilter(expression, SCHEMA);
  } catch (error) {
    if (error instanceof FilterError) return error.reason;
    throw error;
  }
  throw new Error(`${expression} was accepted`);
}

describe("operators", () => {
  test.each([
    ["", true],
    // Strings.
    ["Name == `web-1`", true],
    ["Name != `web-1`", false],
    ["eb in Name", true],
    ["Name contains eb", true],
    ["Name not contains eb", false],
    ['"" in Name', true],
    ["Name matches `^w.b`", true],
    ["Name matches eb", true],
    ["Name not matches `^eb`", true],
    [String.raw`Name matches "(?i)WEB-\\d$"`, true],
    // Booleans and integers, as Go writes them.
    ["On == true", true],
    ["On != T", false],
    ["On == 0", false],
    ["Port == 80", true],
    ['Port == "0x50"', true],
    ['Port == "0b1010000"', true],
    ['Port == "0120"', true],
    ['Port == "+8_0"', true],
    ["Port != 80", false],
    ["Small == 7", true],
    ["Large == 18446744073709551615", true],
    ["Large == 18446744073709551614", false],
    // Lists of primitives.
    ["eu in Tags", true],
    ["Tags contains e", false],
    ["Tags not contains us", true],
    ["Tags is empty", false],
    ["443 in Ports", true],
    ['Ports contains "0x1bb"', true],
    // Maps.
    ["version in Meta", true],
    ["toString in Meta", false],
    ["Meta contains constructor", true],
    ["Meta is not empty", true],
    ["Meta.version == 2", true],
    ['Meta["a-b"] == ""', true],
    ["Meta.constructor == mine", true],
    ["Lists.team contains red", true],
    ["Lists.team is empty", false],
    ["Places.lan.Port == 81", true],
    // Structs, and lists of them: one element that fits is enough.
    ["Proxy.Mode == direct", true],
    ["Checks.Status == critical", true],
    ["Checks.Status != critical", true],
    ["not Checks.Status == critical", false],
    ["Checks.Tags contains x", true],
    ["Checks.Tags is empty", true],
    ["Checks is not empty", true],
    // Together.
    ["Port == 81 or Port == 80 and On == false", false],
    ["(Port == 80 or Port == 81) and not On == false", true],
  ])("%s → %s", (expression, result) => {
    expect(passes(expression)).toBe(result);
  });
});

describe("what is not there", () => {
  test.each([
    ["Meta.none == x", false],
    ["x in Meta.none", false],
    ["Lists.none is not empty", false],
    ["Places.none.Port == 0", false],
    ["Meta.none != x", true],
    ["x not in Meta.none", true],
    ["Lists.none is empty", true],
    ["Meta.none matches x", true],
    ["Meta.none not matches x", true],
    ["Places.none.Port != 0", true],
    ["Meta.toString == x", false],
    ['Meta["__proto__"] != x', true],
  ])("a map's key: %s → %s", (expression, result) => {
    expect(passes(expression)).toBe(result);
    expect(passes(expression, {})).toBe(result);
  });

  test.each([
    ['Name == ""', true],
    ["Name matches `^$`", true],
    ["On == false", true],
    ["Port == 0", true],
    ["Large == 0", true],
    ["Tags is empty", true],
    ["Meta is empty", true],
    ["Places is empty", true],
    ['Proxy.Mode == ""', true],
    ["Checks is empty", true],
    ["Checks.Status != critical", false],
    ["Checks.Tags is empty", false],
  ])("a field that JSON leaves out is Go's zero value: %s → %s", (expression, result) => {
    expect(passes(expression, {})).toBe(result);
    expect(passes(expression, Object.fromEntries(Object.keys(VALUE).map((name) => [name, null])))).toBe(result);
    for (const stranger of [null, 5, "x", []]) expect(passes(expression, stranger)).toBe(result);
  });
});

describe("refused, in Consul's words", () => {
  test.each([
    ["Foo.Bar == 3", 'Selector "Foo" is not valid'],
    ["Proxy.Foo == 3", 'Selector "Proxy.Foo" is not valid'],
    ["Meta.a.b == 3", 'Selector "Meta.a.b" is not valid'],
    ["Tags.x == 3", 'Selector "Tags.x" is not valid'],
    ["toString == 3", 'Selector "toString" is not valid'],
    [String.raw`Meta["\u00a0\n\U0001f600é\x01"].b == 3`, String.raw`Selector "Meta.\u00a0\n😀é\x01.b" is not valid`],
    ["Name is empty", 'Invalid match operator "Is Empty" for selector "Name"'],
    ["Proxy == 3", 'Invalid match operator "Equal" for selector "Proxy"'],
    ["Tags == 3", 'Invalid match operator "Equal" for selector "Tags"'],
    ["Meta matches 3", 'Invalid match operator "Matches" for selector "Meta"'],
    ["x not in Checks", 'Invalid match operator "Not In" for selector "Checks"'],
    ["5 in Port", 'Invalid match operator "In" for selector "Port"'],
    ["Port == x", 'Failed to coerce value "x" for selector "Port": strconv.ParseInt: parsing "x": invalid syntax'],
    [
      "Port == 1.5",
      'Failed to coerce value "1.5" for selector "Port": strconv.ParseInt: parsing "1.5": invalid syntax',
    ],
    ['Port == "_1"', 'Failed to coerce value "_1" for selector "Port": strconv.ParseInt: parsing "_1": invalid syntax'],
    [
      "Port == 9223372036854775808",
      'Failed to coerce value "9223372036854775808" for selector "Port": strconv.ParseInt: parsing "9223372036854775808": value out of range',
    ],
    [
      "Small == 256",
      'Failed to coerce value "256" for selector "Small": strconv.ParseUint: parsing "256": value out of range',
    ],
    [
      "Small == -1",
      'Failed to coerce value "-1" for selector "Small": strconv.ParseUint: parsing "-1": invalid syntax',
    ],
    ["x in Ports", 'Failed to coerce value "x" for selector "Ports": strconv.ParseInt: parsing "x": invalid syntax'],
    ["On == yes", 'Failed to coerce value "yes" for selector "On": strconv.ParseBool: parsing "yes": invalid syntax'],
    ["Name matches `[a`", 'Failed to compile regular expression "[a": error parsing regexp: missing closing ]: `[a`'],
    [
      'Name matches "(?=a)"',
      'Failed to compile regular expression "(?=a)": error parsing regexp: invalid or unsupported Perl syntax: `(?=`',
    ],
    [
      String.raw`Name matches "\\"`,
      String.raw`Failed to compile regular expression "\\": error parsing regexp: trailing backslash at end of expression: ` +
        "``",
    ],
  ])("%s", (expression, reason) => {
    expect(refused(expression)).toBe(reason);
  });

  test("the first fault from the left is told", () => {
    expect(refused("Name == x or Foo == 1 and Bar == 2")).toBe('Selector "Foo" is not valid');
  });
});

describe("limits", () => {
  test("how many comparisons", () => {
    const chain = (count: number) => Array.from({ length: count }, () => "Port==1").join(" or ");
    expect(passes(chain(MATCHES_MAX))).toBe(false);
    expect(refused(chain(MATCHES_MAX + 1))).toBe("Number of match expressions (513) exceeds the limit (512)");
  });

  test("patterns that compile to much, alone or together", () => {
    const tooLarge = /^Failed to compile regular expression ".*": error parsing regexp: expression too large$/;
    expect(passes(`Name matches "^.{0,1000}$"`)).toBe(true);
    expect(refused(`Name matches "(.{1000}){5}"`)).toMatch(/invalid repeat count|expression too large/);
    expect(refused(`Name matches "(${"a.".repeat(200)}){1000}"`)).toMatch(tooLarge);
    expect(refused(`Name matches "[[:alpha:]](\\\\Q(\\\\E[^]{}]{100}){50}"`)).toMatch(tooLarge);
    expect(refused(Array.from({ length: 9 }, () => 'Name matches ".{500}"').join(" or "))).toMatch(tooLarge);
  });

  test("patterns that make others backtrack for ages", () => {
    const text = { Name: "a".repeat(4096) };
    expect(passes('Name matches "^(a+)+$"', text)).toBe(true);
    expect(passes('Name matches "^(a|a)*b$"', text)).toBe(false);
    expect(passes('Name matches "(a*)*(a*)*(a*)*b"', text)).toBe(false);
  });
});
