/**
 * Go's text forms of strings, numbers and booleans, with Go's errors: what clients of servers written in Go were told.
 *
 * Sources: the Go language specification (interpreted string literals, integer literals), documentation of `strconv`.
 */

/** The message is Go's: `strconv.ParseInt: parsing "x": invalid syntax`. */
export class StrconvError extends Error {
  constructor(parser: string, text: string, problem: "invalid syntax" | "value out of range") {
    super(`strconv.${parser}: parsing ${quote(text)}: ${problem}`);
    this.name = "StrconvError";
  }
}

const NAMED_ESCAPES: Record<string, string> = {
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  "\\": "\\",
  '"': '"',
};
const ESCAPE_OF = new Map(Object.entries(NAMED_ESCAPES).map(([name, character]) => [character, `\\${name}`]));
const PRINTABLE = /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$/u;

/** `%q`. */
export function quote(text: string): string {
  let quoted = "";
  for (const character of text.toWellFormed()) {
    const escape = ESCAPE_OF.get(character);
    if (escape !== undefined) quoted += escape;
    else if (PRINTABLE.test(character)) quoted += character;
    else quoted += numericEscape(character.codePointAt(0)!);
  }
  return `"${quoted}"`;
}

function numericEscape(code: number): string {
  const hex = code.toString(16);
  if (code < 0x80) return `\\x${hex.padStart(2, "0")}`;
  return code < 0x10000 ? `\\u${hex.padStart(4, "0")}` : `\\U${hex.padStart(8, "0")}`;
}

const ESCAPE = /\\(?:([abfnrtv\\"])|x([\da-fA-F]{2})|([0-7]{3})|u([\da-fA-F]{4})|U([\da-fA-F]{8}))/y;

/** The string that a literal in double quotes or backticks stands for; null when it is none. */
export function unquote(literal: string): string | null {
  const body = literal.slice(1, -1);
  if (literal.startsWith("`")) return body.replaceAll("\r", "");
  if (body.includes("\n")) return null;
  if (!body.includes("\\")) return body;
  // Escapes of single bytes may add up to a character, hence bytes; what is no UTF-8 in the end is replaced.
  const bytes: number[] = [];
  let at = 0;
  while (at < body.length) {
    const slash = body.indexOf("\\", at);
    const plain = body.slice(at, slash === -1 ? undefined : slash);
    for (const byte of new TextEncoder().encode(plain)) bytes.push(byte);
    if (slash === -1) break;
    ESCAPE.lastIndex = slash;
    const escaped = readEscape(ESCAPE.exec(body));
    if (escaped === null) return null;
    for (const byte of escaped) bytes.push(byte);
    at = ESCAPE.lastIndex;
  }
  return new TextDecoder("utf-8", { fatal: false, ignoreBOM: true }).decode(Uint8Array.from(bytes));
}

/** Its bytes. */
function readEscape(match: RegExpExecArray | null): Iterable<number> | null {
  if (!match) return null;
  const [, named, hex, octal, short, long] = match;
  if (named !== undefined) return new TextEncoder().encode(NAMED_ESCAPES[named]);
  const byte = hex !== undefined ? parseInt(hex, 16) : octal !== undefined ? parseInt(octal, 8) : null;
  if (byte !== null) return byte <= 0xff ? [byte] : null;
  const code = parseInt((short ?? long)!, 16);
  if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return null;
  return new TextEncoder().encode(String.fromCodePoint(code));
}

const TRUE = new Set(["1", "t", "T", "TRUE", "true", "True"]);
const FALSE = new Set(["0", "f", "F", "FALSE", "false", "False"]);

export function parseBool(text: string): boolean {
  if (TRUE.has(text)) return true;
  if (FALSE.has(text)) return false;
  throw new StrconvError("ParseBool", text, "invalid syntax");
}

export type UnsignedSize = 8 | 16 | 32 | 64;

/** Bases by prefix, in decimal without one; a bare leading zero means octal. */
const BASES = [
  { prefix: /^0[xX]/, base: 16 },
  { prefix: /^0[bB]/, base: 2 },
  { prefix: /^0[oO]/, base: 8 },
  { prefix: /^0(?=.)/s, base: 8 },
];
/** Between digits, and between a prefix and a digit. */
const MISPLACED_UNDERSCORE = /^_|__|_$/;

/** A signed integer of 64 bits, as `ParseInt` reads it with base 0. */
export function parseInteger(text: string): bigint {
  const negative = text.startsWith("-");
  const magnitude = parseMagnitude("ParseInt", text, text.replace(/^[+-]/, ""), 64);
  const limit = 1n << 63n;
  if (negative ? magnitude > limit : magnitude >= limit) throw new StrconvError("ParseInt", text, "value out of range");
  return negative ? -magnitude : magnitude;
}

/** An unsigned one, as `ParseUint` does. */
export function parseUnsigned(text: string, size: UnsignedSize): bigint {
  return parseMagnitude("ParseUint", text, text, size);
}

/** One of 64 bits in plain decimal, as `ParseUint` reads it with base 10. */
export function parseDecimal(text: string): bigint {
  if (!/^\d+$/.test(text)) throw new StrconvError("ParseUint", text, "invalid syntax");
  const value = BigInt(text);
  if (value >= 1n << 64n) throw new StrconvError("ParseUint", text, "value out of range");
  return value;
}

function parseMagnitude(parser: string, text: string, unsigned: string, size: UnsignedSize): bigint {
  const form = BASES.find(({ prefix }) => prefix.test(unsigned));
  const base = form?.base ?? 10;
  const digits = form ? unsigned.replace(form.prefix, "") : unsigned;
  const radix = BigInt(base);
  const limit = 1n << BigInt(size);
  let value = 0n;
  for (const character of digits) {
    if (character === "_") continue;
    const digit = /[\da-zA-Z]/.test(character) ? parseInt(character, 36) : base;
    if (digit >= base) throw new StrconvError(parser, text, "invalid syntax");
    value = value * radix + BigInt(digit);
    if (value >= limit) throw new StrconvError(parser, text, "value out of range");
  }
  // After a prefix an underscore may come first.
  const between = form ? digits.replace(/^_(?!_)/, "") : digits;
  if (between === "" || MISPLACED_UNDERSCORE.test(between)) throw new StrconvError(parser, text, "invalid syntax");
  return value;
}
