/**
 * HCL 1 and its JSON form, as far as access rules use it: blocks with labels, assignments, strings with escapes, heredocs,
 * numbers, booleans, lists, comments. Items keep their order and their repetitions, because both mean something.
 *
 * Strict and bounded: one pass, no backtracking, nesting up to `DEPTH_MAX`. Texts of errors are those of the original.
 * There is no kept package for HCL 1 that is small: what exists are Go compilers' outputs of megabytes.
 * Source: github.com/hashicorp/hcl, version 1, README and grammar.
 */

export type HclValue = HclLiteral | HclList | HclObject;

export interface HclLiteral {
  type: "literal";
  text: string;
  position: Position;
}

export interface HclList {
  type: "list";
  values: HclValue[];
  position: Position;
}

export interface HclObject {
  type: "object";
  items: HclItem[];
  position: Position;
}

/** `key "label" { … }` has the keys `key` and `label`. */
export interface HclItem {
  keys: string[];
  value: HclValue;
}

export interface Position {
  line: number;
  column: number;
}

/** Its message is complete: `At 1:5: …`. */
export class HclError extends Error {}

const DEPTH_MAX = 32;

/** The items of a file. A text whose first character is `{` is JSON. Throws `HclError`. */
export function parseHcl(text: string): HclItem[] {
  const scanner = new Scanner(text);
  if (scanner.peek().type !== "{") return new Parser(scanner, false).file();
  return new Parser(scanner, true).json();
}

type Mark = "{" | "}" | "[" | "]" | "=" | ":" | ",";
type TokenType = Mark | "identifier" | "string" | "number" | "bool" | "end";

interface Token {
  type: TokenType;
  /** Of a string, its value. */
  text: string;
  /** As it was written: what makes two keys the same. */
  raw: string;
  position: Position;
}

const NAME_OF: Record<TokenType, string> = {
  "{": "LBRACE",
  "}": "RBRACE",
  "[": "LBRACK",
  "]": "RBRACK",
  "=": "ASSIGN",
  ":": "COLON",
  ",": "COMMA",
  identifier: "IDENT",
  string: "STRING",
  number: "NUMBER",
  bool: "BOOL",
  end: "EOF",
};

class Parser {
  readonly #scanner: Scanner;
  /** JSON writes `:` for `=`, and may repeat a key. */
  readonly #isJson: boolean;
  #depth = 0;

  constructor(scanner: Scanner, isJson: boolean) {
    this.#scanner = scanner;
    this.#isJson = isJson;
  }

  file(): HclItem[] {
    return this.#items("end");
  }

  json(): HclItem[] {
    const { items } = this.#object(this.#scanner.next());
    const rest = this.#scanner.next();
    if (rest.type !== "end") throw at(rest.position, `unexpected token after the document: ${NAME_OF[rest.type]}`);
    return items;
  }

  #items(closing: "end" | "}"): HclItem[] {
    const items: HclItem[] = [];
    const assigned = new Set<string>();
    for (;;) {
      const token = this.#scanner.peek();
      if (token.type === closing) return items;
      if (token.type === "end") throw at(token.position, "object expected closing RBRACE got: EOF");
      const item = this.#item(assigned);
      if (item) items.push(item);
      // Between items a comma may stand.
      if (this.#scanner.peek().type === ",") this.#scanner.next();
    }
  }

  #item(assigned: Set<string>): HclItem | undefined {
    const keys: Token[] = [];
    const assign = this.#isJson ? ":" : "=";
    for (;;) {
      const token = this.#scanner.next();
      const { type, position } = token;
      if (type === "identifier" || type === "string" || (type === "bool" && keys.length === 0)) {
        keys.push(token);
      } else if (type === assign) {
        if (keys.length === 0) throw at(position, "expected to find at least one object key");
        if (keys.length > 1) throw at(position, `nested object expected: LBRACE got: ${NAME_OF[type]}`);
        const [key] = keys as [Token];
        if (!this.#isJson) {
          if (assigned.has(key.raw)) throw repeated(key);
          assigned.add(key.raw);
        }
        if (this.#isJson && this.#skipsNull()) return undefined;
        return { keys: [key.text], value: this.#value() };
      } else if (type === "{" && !this.#isJson) {
        if (keys.length === 0) throw at(position, "expected to find at least one object key");
        return { keys: keys.map(({ text }) => text), value: this.#object(token) };
      } else {
        const key = keys.map(({ text }) => text).join(" ");
        throw at(
          position,
          keys.length === 0
            ? `expected: IDENT | STRING | ASSIGN | LBRACE got: ${NAME_OF[type]}`
            : `key '${key}' expected start of object ('{') or assignment ('=')`,
        );
      }
    }
  }

  #skipsNull(): boolean {
    const { type, text } = this.#scanner.peek();
    if (type !== "identifier" || text !== "null") return false;
    this.#scanner.next();
    return true;
  }

  #value(): HclValue {
    const token = this.#scanner.next();
    switch (token.type) {
      case "string":
      case "number":
      case "bool":
        return { type: "literal", text: token.text, position: token.position };
      case "{":
        return this.#object(token);
      case "[":
        return this.#list(token);
      default:
        throw at(token.position, `Unknown token: ${NAME_OF[token.type]} ${token.raw}`);
    }
  }

  /** Its opening brace has been read. */
  #object({ position }: Token): HclObject {
    this.#enter(position);
    const items = this.#items("}");
    this.#scanner.next();
    this.#depth--;
    return { type: "object", items, position };
  }

  /** Its opening bracket has been read. */
  #list({ position }: Token): HclList {
    this.#enter(position);
    const values: HclValue[] = [];
    while (this.#scanner.peek().type !== "]") {
      values.push(this.#value());
      const { type, position: found } = this.#scanner.peek();
      if (type === ",") this.#scanner.next();
      else if (type !== "]") {
        throw at(found, `error parsing list, expected comma or list end, got: ${NAME_OF[type]}`);
      }
    }
    this.#scanner.next();
    this.#depth--;
    return { type: "list", values, position };
  }

  #enter(position: Position): void {
    if (++this.#depth > DEPTH_MAX) throw at(position, `nested deeper than ${DEPTH_MAX}`);
  }
}

const BLANK = /[ \t\r\n\ufeff]*/y;
const COMMENT = /#[^\n]*|\/\/[^\n]*|\/\*[^]*?\*\//y;
const IDENTIFIER = /[\p{L}_][\p{L}\p{Nd}_.-]*/uy;
const NUMBER = /-?(?:0[xX][0-9a-fA-F]+|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)/y;
const HEREDOC = /<<(-?)([\p{L}\p{Nd}_]+)\r?\n/uy;
const PLAIN = /[^"\\\n$]+/y;
const MARKS = new Set<string>(["{", "}", "[", "]", "=", ":", ","]);
const isMark = (character: string): character is Mark => MARKS.has(character);

const ESCAPES: Record<string, string> = {
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  "\\": "\\",
  '"': '"',
  // JSON's own.
  "/": "/",
};
const NUMERIC_ESCAPE = /x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})/y;

class Scanner {
  readonly #text: string;
  #at = 0;
  /** Of what has been read, up to `#counted`. */
  #line = 1;
  #lineStart = 0;
  #counted = 0;
  #next: Token | undefined;

  constructor(text: string) {
    this.#text = text;
  }

  peek(): Token {
    return (this.#next ??= this.#scan());
  }

  next(): Token {
    const token = this.peek();
    this.#next = undefined;
    return token;
  }

  #scan(): Token {
    do this.#match(BLANK);
    while (this.#match(COMMENT));
    const start = this.#at;
    const position = this.#position(start);
    const character = this.#text[start];
    if (character === undefined) return { type: "end", text: "", raw: "", position };
    if (isMark(character)) {
      this.#at++;
      return { type: character, text: character, raw: character, position };
    }
    if (this.#text.startsWith("/*", start)) throw at(position, "comment not terminated");
    const token = (type: TokenType, text: string): Token => ({
      type,
      text,
      raw: this.#text.slice(start, this.#at),
      position,
    });
    if (character === '"') return token("string", this.#string(position));
    if (this.#text.startsWith("<<", start)) return token("string", this.#heredoc(position));
    const number = this.#match(NUMBER);
    if (number) return token("number", number[0]);
    const identifier = this.#match(IDENTIFIER);
    if (!identifier) throw at(position, "illegal character");
    return token(identifier[0] === "true" || identifier[0] === "false" ? "bool" : "identifier", identifier[0]);
  }

  #string(start: Position): string {
    let value = "";
    this.#at++;
    for (;;) {
      value += this.#match(PLAIN)?.[0] ?? "";
      const character = this.#text[this.#at];
      if (character === '"') {
        this.#at++;
        return value;
      }
      if (character === undefined || character === "\n") throw at(start, "literal not terminated");
      if (character === "\\") value += this.#escape();
      else value += this.#interpolation(start);
    }
  }

  #escape(): string {
    const position = this.#position(this.#at);
    this.#at++;
    const simple = ESCAPES[this.#text[this.#at] ?? ""];
    if (simple !== undefined) {
      this.#at++;
      return simple;
    }
    const numeric = this.#match(NUMERIC_ESCAPE);
    if (!numeric) throw at(position, "illegal char escape");
    const code = numeric[4] === undefined ? parseInt(numeric[0].slice(1), 16) : parseInt(numeric[4], 8);
    if (code > 0x10ffff) throw at(position, "illegal char escape");
    return String.fromCodePoint(code);
  }

  /** `${…}` is kept as it is: access rules have no variables. A `$` alone is a `$`. */
  #interpolation(start: Position): string {
    const from = this.#at++;
    if (this.#text[this.#at] !== "{") return "$";
    let depth = 0;
    for (; this.#at < this.#text.length; this.#at++) {
      if (this.#text[this.#at] === "{") depth++;
      else if (this.#text[this.#at] === "}" && --depth === 0) return this.#text.slice(from, ++this.#at);
    }
    throw at(start, "literal not terminated");
  }

  /** `<<END`, lines, `END`; with `<<-END` the closing line's indentation is taken off all lines. */
  #heredoc(start: Position): string {
    const opening = this.#match(HEREDOC);
    if (!opening) throw at(start, "heredoc anchor not found");
    const [, dash, anchor] = opening;
    const lines: string[] = [];
    while (this.#at < this.#text.length) {
      const end = this.#text.indexOf("\n", this.#at);
      const line = this.#text.slice(this.#at, end === -1 ? this.#text.length : end).replace(/\r$/, "");
      this.#at = end === -1 ? this.#text.length : end;
      if ((dash ? line.trimStart() : line) === anchor) return unindented(lines, dash ? line : "");
      lines.push(line);
      this.#at++;
    }
    throw at(start, "heredoc not terminated");
  }

  #match(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text);
    if (found) this.#at += found[0].length;
    return found;
  }

  /** Of tokens as they come, so each line is counted once. */
  #position(offset: number): Position {
    for (;;) {
      const newline = this.#text.indexOf("\n", this.#counted);
      if (newline === -1 || newline >= offset) break;
      this.#line++;
      this.#counted = this.#lineStart = newline + 1;
    }
    return { line: this.#line, column: offset - this.#lineStart + 1 };
  }
}

/** Each line ends with a newline. Where a line is indented less than the closing one, none is changed. */
function unindented(lines: string[], closing: string): string {
  const indent = /^[ \t]*/.exec(closing)![0];
  const isIndented = lines.every((line) => line === "" || line.startsWith(indent));
  return lines.map((line) => `${isIndented ? line.slice(indent.length) : line}\n`).join("");
}

const at = ({ line, column }: Position, message: string): HclError => new HclError(`At ${line}:${column}: ${message}`);

function repeated({ text, position: { line, column } }: Token): HclError {
  return new HclError(
    `The argument ${JSON.stringify(text)} at ${line}:${column} was already set. Each argument can only be defined once`,
  );
}
