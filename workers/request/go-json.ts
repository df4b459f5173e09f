/**
 * What Go's decoder makes of a text that is not JSON: where its first value ends, for it reads no further, or what is wrong
 * with it, in its words. Asked only after `JSON.parse` has refused.
 *
 * Source: encoding/json, by its behaviour.
 */
import { utf8 } from "../../objects/bytes.ts";
import { quote } from "./go-strconv.ts";

const PLAIN = String.raw`[^"\\\u0000-\u001f]*`;
const STRING = String.raw`"${PLAIN}(?:\\(?:["\\/bfnrt]|u[\da-fA-F]{4})${PLAIN})*`;
const WHOLE = String.raw`-?(?:0|[1-9]\d*(?!\d))`;
const FRACTION = String.raw`(?:\.\d+(?!\d)|(?!\.))`;
const EXPONENT = String.raw`(?:[eE][-+]?\d+(?!\d)|(?![eE]))`;
const SCALAR = new RegExp(`${STRING}"|${WHOLE}${FRACTION}${EXPONENT}|true|false|null`, "y");
const BLANK = /[ \t\r\n]*/y;

/** The beginning that is right, and what goes wrong behind it. The first that fits. */
const BROKEN: [beginning: RegExp, where: string][] = [
  [`${STRING}\\\\u[\\da-fA-F]*`, "in \\u hexadecimal character escape"],
  [`${STRING}\\\\`, "in string escape code"],
  [STRING, "in string literal"],
  [`${WHOLE}${FRACTION}[eE][-+]?`, "in exponent of numeric literal"],
  [`${WHOLE}\\.`, "after decimal point in numeric literal"],
  ["-", "in numeric literal"],
  ...["true", "false", "null"].flatMap((word) =>
    word
      .split("")
      .map((letter, at) => [word.slice(0, at), `in literal ${word} (expecting '${letter}')`])
      .slice(1)
      .toReversed(),
  ),
].map(([beginning, where]) => [new RegExp(beginning!, "y"), where!]);

export function firstValue(text: string): { end: number } | { fault: string } {
  /** What ends each array and object that is open. */
  const open: string[] = [];
  let at = 0;
  const take = (pattern: RegExp): boolean => {
    pattern.lastIndex = at;
    const isTaken = pattern.test(text);
    if (isTaken) at = pattern.lastIndex;
    return isTaken;
  };
  const next = (): string => (take(BLANK) ? (text[at] ?? "") : "");
  const fault = (where: string): { fault: string } => {
    const code = text.codePointAt(at);
    if (code === undefined) return { fault: text.trim() === "" ? "EOF" : "unexpected EOF" };
    // It reads bytes.
    const character = String.fromCharCode(utf8(String.fromCodePoint(code))[0]!);
    const shown = character === "'" ? "\\'" : character === '"' ? '"' : quote(character).slice(1, -1);
    return { fault: `invalid character '${shown}' ${where}` };
  };
  const scalar = (): { fault: string } | null =>
    take(SCALAR) ? null : fault(BROKEN.find(([beginning]) => take(beginning))?.[1] ?? "looking for beginning of value");

  for (let [isAfterValue, isFirst] = [false, false]; ;) {
    const inside = open.at(-1);
    if (isAfterValue && inside === undefined) return { end: at };
    if (next() === inside && (isAfterValue || isFirst)) {
      open.pop();
      at++;
      [isAfterValue, isFirst] = [true, false];
      continue;
    }
    if (isAfterValue) {
      if (next() !== ",") return fault(inside === "}" ? "after object key:value pair" : "after array element");
      at++;
    }
    if (inside === "}") {
      if (next() !== '"') return fault("looking for beginning of object key string");
      const broken = scalar();
      if (broken) return broken;
      if (next() !== ":") return fault("after object key");
      at++;
    }
    const opened = next();
    isFirst = opened === "{" || opened === "[";
    if (isFirst) {
      open.push(opened === "{" ? "}" : "]");
      at++;
    } else {
      const broken = scalar();
      if (broken) return broken;
    }
    isAfterValue = !isFirst;
  }
}
