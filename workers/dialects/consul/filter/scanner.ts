/**
 * A cursor over the text of a filter that remembers what it was asked for in vain.
 *
 * The reader of Consul's filters is a generated one (PEG). When nothing matches, it tells the farthest place that it came
 * to and everything it would have taken there; when a rule knows better what is wrong, it tells that instead, and may tell
 * several things. To say the same, every terminal is asked for here.
 *
 * Source: pigeon, the generator's manual (error reporting), and what the reader of go-bexpr 0.1.2 answers.
 */
import { quote } from "../../../request/go-strconv.ts";

export interface CharacterClass {
  /** As errors print it. */
  name: string;
  has: RegExp;
}

const BLANK: CharacterClass = { name: String.raw`[ \t\r\n]`, has: /[ \t\r\n]/ };
const END = "EOF";

export class Scanner {
  readonly text: string;
  /** In UTF-16 units; set it back to try something else. */
  at = 0;
  #farthest = 0;
  #wanted = new Set<string>();
  #errors = new Set<string>();

  constructor(text: string) {
    this.text = text;
  }

  literal(text: string): boolean {
    if (!this.text.startsWith(text, this.at)) return this.#miss(quote(text));
    this.at += text.length;
    return true;
  }

  character(set: CharacterClass): boolean {
    const next = this.text[this.at];
    if (next === undefined || !set.has.test(next)) return this.#miss(set.name);
    this.at++;
    return true;
  }

  /** Zero or more. */
  characters(set: CharacterClass): void {
    while (this.character(set));
  }

  /** One or more blanks. */
  blanks(): boolean {
    if (!this.character(BLANK)) return false;
    this.characters(BLANK);
    return true;
  }

  end(): boolean {
    return this.at === this.text.length || this.#miss(END);
  }

  /** A rule's own words on what is wrong; reading goes on, and fails in the end. */
  report(rule: string, message: string, at = this.at): void {
    this.#errors.add(`${this.#place(at)}: rule ${quote(rule)}: ${message}`);
  }

  get failed(): boolean {
    return this.#errors.size > 0;
  }

  /** Why the text could not be read. */
  failure(): string {
    if (this.failed) return [...this.#errors].join("\n");
    const wanted = [...this.#wanted].filter((want) => want !== END).sort();
    if (this.#wanted.has(END)) wanted.push(END);
    const last = wanted.pop();
    const list = wanted.length === 0 ? last : `${wanted.join(", ")} or ${last}`;
    return `${this.#place(this.#farthest)}: no match found, expected: ${list}`;
  }

  #miss(want: string): false {
    if (this.at > this.#farthest) {
      this.#farthest = this.at;
      this.#wanted.clear();
    }
    if (this.at === this.#farthest) this.#wanted.add(want);
    return false;
  }

  /** `line:column (offset)`: columns in characters, the offset in bytes; a line break stands in column 0 of its new line. */
  #place(at: number): string {
    const next = String.fromCodePoint(this.text.codePointAt(at) ?? 0);
    const lines = (this.text.slice(0, at) + next).split("\n");
    const column = Array.from(lines.at(-1)!).length;
    return `${lines.length}:${column} (${new TextEncoder().encode(this.text.slice(0, at)).length})`;
  }
}
