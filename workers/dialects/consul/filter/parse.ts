/**
 * Text → tree: the grammar of Consul's filters.
 *
 *     or         = and *( blanks "or" blanks and )
 *     and        = not *( blanks "and" blanks not )
 *     not        = "not" blanks not / "(" or ")" / match
 *     match      = selector operator value / selector "is" ["not"] "empty" / value ["not"] "in" selector
 *     operator   = "==" / "!=" / ["not"] "contains" / ["not"] "matches"
 *     selector   = identifier *( "." identifier / "[" string "]" )
 *     value      = selector / number / string
 *
 * Ordered choice, never taken back (PEG): `not`, `in` and the like are also names of fields where nothing else fits. A
 * string ends at the next quote of its kind: no escape puts a quote into it. Every place is read a bounded number of times,
 * so the time is linear in the text. Knows no fields and no types.
 *
 * Source: go-bexpr 0.1.2, the version in Consul 1.21 (no `any`/`all`, no `is nil`, no JSON pointers), by its answers.
 */
import type { EmptinessOperator, Expression, Match, Selector, ValueMatch, ValueOperator } from "./expression.ts";
import { FilterError } from "./filter-error.ts";
import type { CharacterClass } from "./scanner.ts";
import { Scanner } from "./scanner.ts";
import { unquote } from "../../../request/go-strconv.ts";

export const EXPRESSION_LENGTH_MAX = 8192;
/** Parentheses and `not` within one another. */
export const NESTING_MAX = 64;

const LETTER: CharacterClass = { name: "[a-zA-Z]", has: /[a-zA-Z]/ };
const WORD: CharacterClass = { name: "[a-zA-Z0-9_]", has: /[a-zA-Z0-9_]/ };
const DIGIT: CharacterClass = { name: "[0-9]", has: /[0-9]/ };
const NONZERO: CharacterClass = { name: "[1-9]", has: /[1-9]/ };

/** The operators between selector and value that are words; `==` and `!=` need no blanks around them. */
const WORD_OPERATORS: readonly (readonly [words: readonly string[], operator: ValueOperator])[] = [
  [["contains"], "In"],
  [["not", "contains"], "Not In"],
  [["matches"], "Matches"],
  [["not", "matches"], "Not Matches"],
];

/** @throws FilterError */
export function parseFilter(expression: string): Expression {
  if (expression.length > EXPRESSION_LENGTH_MAX) {
    throw new FilterError(`Expression is longer than ${EXPRESSION_LENGTH_MAX} characters`);
  }
  return new FilterParser(expression).parse();
}

class FilterParser {
  readonly #scan: Scanner;
  #nesting = 0;

  constructor(text: string) {
    this.#scan = new Scanner(text);
  }

  parse(): Expression {
    const scan = this.#scan;
    scan.blanks();
    const expression = this.#or();
    if (expression) scan.blanks();
    if (!expression || !scan.end() || scan.failed) throw new FilterError(scan.failure());
    return expression;
  }

  #or(): Expression | null {
    return this.#chain("or", () => this.#chain("and", () => this.#not()));
  }

  #chain(word: "or" | "and", operand: () => Expression | null): Expression | null {
    const first = operand();
    if (!first) return null;
    const operands = [first];
    for (;;) {
      const next = this.#attempt(() => (this.#words([word]) && this.#scan.blanks() ? operand() : null));
      if (!next) return operands.length === 1 ? first : { type: word, operands };
      operands.push(next);
    }
  }

  #not(): Expression | null {
    const operand = this.#attempt(() =>
      this.#scan.literal("not") && this.#scan.blanks() ? this.#nested(() => this.#not()) : null,
    );
    if (!operand) return this.#parenthesized();
    return operand.type === "not" ? operand.operand : { type: "not", operand };
  }

  #parenthesized(): Expression | null {
    const scan = this.#scan;
    const start = scan.at;
    let open: number | null = null;
    if (scan.literal("(")) {
      scan.blanks();
      const inner = this.#nested(() => this.#or());
      if (inner) {
        scan.blanks();
        open = scan.at;
        if (scan.literal(")")) return inner;
      }
    }
    scan.at = start;
    const match = this.#match();
    if (!match && open !== null) scan.report("grouping", "Unmatched parentheses", open);
    return match;
  }

  #match(): Match | null {
    const selector = this.#attempt(() => this.#selector());
    if (selector) {
      const match =
        this.#attempt(() => this.#operatorAndValue(selector)) ?? this.#attempt(() => this.#emptiness(selector));
      if (match) return match;
    }
    const value = selector ? selector.join(".") : this.#attempt(() => this.#number() ?? this.#string());
    return value === null ? null : this.#attempt(() => this.#inSelector(value));
  }

  #operatorAndValue(selector: Selector): ValueMatch | null {
    const operator = this.#symbol("==", "Equal") ?? this.#symbol("!=", "Not Equal") ?? this.#wordOperator();
    if (!operator) return null;
    const value = this.#attempt(() => this.#selector())?.join(".") ?? this.#number() ?? this.#string();
    return value === null ? null : { type: "match", selector, operator, value };
  }

  #symbol(symbol: string, operator: ValueOperator): ValueOperator | null {
    return this.#attempt(() => {
      this.#scan.blanks();
      if (!this.#scan.literal(symbol)) return null;
      this.#scan.blanks();
      return operator;
    });
  }

  #wordOperator(): ValueOperator | null {
    for (const [words, operator] of WORD_OPERATORS) {
      const found = this.#attempt(() => (this.#words(words) && this.#scan.blanks() ? operator : null));
      if (found) return found;
    }
    return null;
  }

  #emptiness(selector: Selector): Match | null {
    const operator =
      this.#attempt<EmptinessOperator>(() => (this.#words(["is", "empty"]) ? "Is Empty" : null)) ??
      (this.#words(["is", "not", "empty"]) ? "Is Not Empty" : null);
    return operator && { type: "match", selector, operator };
  }

  #inSelector(value: string): ValueMatch | null {
    const operator =
      this.#attempt<ValueOperator>(() => (this.#words(["in"]) && this.#scan.blanks() ? "In" : null)) ??
      (this.#words(["not", "in"]) && this.#scan.blanks() ? "Not In" : null);
    if (!operator) return null;
    const start = this.#scan.at;
    const selector = this.#selector();
    if (selector) return { type: "match", selector, operator, value };
    this.#scan.report("match", "Invalid selector", start);
    return null;
  }

  #selector(): string[] | null {
    const first = this.#identifier();
    if (first === null) return null;
    const path = [first];
    for (;;) {
      const next = this.#attempt(() => (this.#scan.literal(".") ? this.#identifier() : null)) ?? this.#index();
      if (next === null) return path;
      path.push(next);
    }
  }

  #identifier(): string | null {
    const start = this.#scan.at;
    if (!this.#scan.character(LETTER)) return null;
    this.#scan.characters(WORD);
    return this.#scan.text.slice(start, this.#scan.at);
  }

  /** `["key"]` */
  #index(): string | null {
    return this.#attempt(() => {
      const scan = this.#scan;
      if (!scan.literal("[")) return null;
      scan.blanks();
      const start = scan.at;
      const key = this.#string();
      if (key === null) {
        scan.report("index", "Invalid index", start);
        return null;
      }
      scan.blanks();
      if (scan.literal("]")) return key;
      scan.report("index", "Unclosed index expression");
      return null;
    });
  }

  /** Decimal, as written: what it is worth depends on the field. */
  #number(): string | null {
    return this.#attempt(() => {
      const scan = this.#scan;
      const start = scan.at;
      scan.literal("-");
      if (!scan.literal("0")) {
        if (!scan.character(NONZERO)) return null;
        scan.characters(DIGIT);
      }
      this.#attempt(() => {
        if (!scan.literal(".") || !scan.character(DIGIT)) return null;
        scan.characters(DIGIT);
        return true;
      });
      const number = scan.text.slice(start, scan.at);
      const end = scan.at;
      const ends = scan.blanks() || scan.end() || scan.literal(")");
      scan.at = end;
      if (ends) return number;
      scan.report("number", "Invalid number literal");
      return null;
    });
  }

  #string(): string | null {
    const scan = this.#scan;
    const start = scan.at;
    const opening = ["`", '"'].find((mark) => scan.literal(mark));
    if (opening === undefined) return null;
    const closing = scan.text.indexOf(opening, scan.at);
    if (closing === -1) {
      scan.report("string", "Unterminated string literal", scan.text.length);
      scan.at = start;
      return null;
    }
    scan.at = closing + 1;
    const value = unquote(scan.text.slice(start, scan.at));
    if (value === null) scan.report("string", "invalid syntax", start);
    return value ?? "";
  }

  /** Each with blanks before it. */
  #words(words: readonly string[]): boolean {
    return words.every((word) => this.#scan.blanks() && this.#scan.literal(word));
  }

  /** What cannot be read is left unread. */
  #attempt<T>(read: () => T | null): T | null {
    const start = this.#scan.at;
    const found = read();
    if (found === null) this.#scan.at = start;
    return found;
  }

  #nested<T>(read: () => T): T {
    if (++this.#nesting > NESTING_MAX) throw new FilterError(`Expression nests deeper than ${NESTING_MAX} levels`);
    const found = read();
    this.#nesting--;
    return found;
  }
}
