/**
 * Regular expressions of filters: RE2's syntax, found anywhere in the text, in time linear in it.
 *
 * Linear still means the size of the compiled program times the length of the text, and `(.{1000}.{1000})` is short to write:
 * all patterns of one filter share a budget of instructions, and one that clearly goes beyond is not even compiled.
 *
 * Source: the syntax of RE2 (github.com/google/re2/wiki/Syntax).
 */
import { RE2JS, RE2JSException, RE2JSSyntaxException } from "re2js";

export const PATTERN_INSTRUCTIONS_MAX = 4096;

/** The message is that of Go's `regexp`. */
export class PatternError extends Error {
  constructor(problem: string) {
    super(`error parsing regexp: ${problem}`);
    this.name = "PatternError";
  }
}

export class PatternCompiler {
  #left = PATTERN_INSTRUCTIONS_MAX;

  /** @throws PatternError */
  compile(pattern: string): (text: string) => boolean {
    if (instructionsAbout(pattern) > this.#left) throw new PatternError("expression too large");
    const compiled = compileRe2(pattern);
    this.#left -= compiled.programSize();
    if (this.#left < 0) throw new PatternError("expression too large");
    return (text) => compiled.test(text);
  }
}

function compileRe2(pattern: string): RE2JS {
  try {
    return RE2JS.compile(pattern);
  } catch (error) {
    if (error instanceof RE2JSSyntaxException) throw new PatternError(`${error.error}: \`${error.input ?? ""}\``);
    if (error instanceof RE2JSException) throw new PatternError(error.message);
    throw error;
  }
}

/** A quotation, an escape, a character class, a counted repetition, or any other character. */
const TOKEN = /\\Q[^]*?(?:\\E|$)|\\[^]|\[\^?\]?(?:\[:\w+:\]|\\[^]|[^\]\\])*\]?|\{(\d{1,4})(?:,(\d{0,4}))?\}|[^]/y;
/** RE2 itself refuses more. */
const REPETITIONS_MAX = 1000;

/** How many instructions the pattern compiles to, within a factor of two: one an item, times its repetitions. */
function instructionsAbout(pattern: string): number {
  const outer: number[] = [];
  let sum = 0;
  let last = 0;
  TOKEN.lastIndex = 0;
  for (let token = TOKEN.exec(pattern); token; token = TOKEN.exec(pattern)) {
    const [text, least, most] = token;
    if (least !== undefined) {
      const times = Math.max(Number(least), Number(most ?? 0));
      if (times <= 1 || times > REPETITIONS_MAX) continue;
      sum += last * (times - 1);
      last *= times;
    } else if (text === "(") {
      outer.push(sum);
      sum = 0;
      last = 0;
    } else if (text === ")") {
      last = sum + 1;
      sum = (outer.pop() ?? 0) + last;
    } else {
      last = text.startsWith("\\Q") ? text.length : 1;
      sum += last;
    }
  }
  return sum;
}
