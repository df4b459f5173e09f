/** Texts that are not JSON, in the words of Consul 1.8.7 about each of them. */
import { describe, expect, test } from "vitest";
import { utf8 } from "../../../../objects/bytes.ts";
import { parseBody } from "../../../../workers/dialects/consul/decode.ts";
import { firstValue } from "../../../../workers/request/go-json.ts";

const of = (character: string, where: string) => `invalid character '${character}' ${where}`;
const [VALUE, NAME] = ["looking for beginning of value", "looking for beginning of object key string"];

describe("what is wrong", () => {
  test.each([
    ["   ", "EOF"],
    ["{", "unexpected EOF"],
    ['{"Name"', "unexpected EOF"],
    ['{"Name":', "unexpected EOF"],
    ['{"Name":"x"', "unexpected EOF"],
    ['{"Name":"x",', "unexpected EOF"],
    ['{"Name":"a', "unexpected EOF"],
    ['{"Name":"a\\u12', "unexpected EOF"],
    ['{"Name":"a\\', "unexpected EOF"],
    ['{"Name":nul', "unexpected EOF"],
    ["[1,", "unexpected EOF"],
    ['{"Name":"x",}', of("}", NAME)],
    ["{Name:1}", of("N", NAME)],
    ["{'Name':1}", of("\\'", NAME)],
    ["[1 2]", of("2", "after array element")],
    ["[1.5.3]", of(".", "after array element")],
    ['{"a" 1}', of("1", "after object key")],
    ['{"Name":"x" "b"}', of('"', "after object key:value pair")],
    ['{"Name":01}', of("1", "after object key:value pair")],
    ['{"Name":"x":1}', of(":", "after object key:value pair")],
    ['{"Name":trux}', of("x", "in literal true (expecting 'e')")],
    ['{"Name":fal5e}', of("5", "in literal false (expecting 's')")],
    ["nope", of("o", "in literal null (expecting 'u')")],
    ['{"Name":-a}', of("a", "in numeric literal")],
    ['{"Name":12.x}', of("x", "after decimal point in numeric literal")],
    ['{"Name":1e}', of("}", "in exponent of numeric literal")],
    ['{"Name":-10.5e+x}', of("x", "in exponent of numeric literal")],
    ['{"Name":"a\\x"}', of("x", "in string escape code")],
    ['{"Name":"a\\u12g4"}', of("g", "in \\u hexadecimal character escape")],
    ['{"Name":"a\nb"}', of("\\n", "in string literal")],
    ["}", of("}", VALUE)],
    ["+1", of("+", VALUE)],
    ["[1,]", of("]", VALUE)],
    ['{"Name":[}', of("}", VALUE)],
    ["\u0000", of("\\x00", VALUE)],
    ["é", of("Ã", VALUE)],
  ])("%j: %s", (text, fault) => {
    expect(firstValue(text)).toEqual({ fault });
    expect(() => parseBody(utf8(text))).toThrow(`Request decode failed: ${fault}`);
  });

  test("is found in one pass, however long or deep the text is", () => {
    expect(firstValue(`"${"a".repeat(2_000_000)}`)).toEqual({ fault: "unexpected EOF" });
    expect(firstValue(`"${"\\n".repeat(1_000_000)}x\\y"`)).toEqual({ fault: of("y", "in string escape code") });
    expect(firstValue("[".repeat(1_000_000))).toEqual({ fault: "unexpected EOF" });
  });
});

describe("what comes after the first value", () => {
  test.each([
    ['{"a":[1,{}]} more', { a: [1, {}] }],
    ["{}}", {}],
    ["1 2", 1],
    ['"x"y', "x"],
  ])("%j is %j", (text, value) => {
    expect(parseBody(utf8(text))).toEqual(value);
  });

  test("does not lift the limits", () => {
    expect(() => parseBody(utf8('{"a":1,"a":2} x'))).toThrow('the name "a" is given twice in one object');
    expect(() => parseBody(utf8("[".repeat(500) + "]".repeat(500)))).toThrow("is nested deeper than");
  });
});
