/**
 * A filter made ready: text and schema → a predicate over values as JSON shows them.
 *
 * Everything that can be wrong with a filter is found here, in Consul's words; the predicate itself never fails. What a
 * value holds against its schema counts as the zero value of its type.
 *
 * Source: go-bexpr 0.1.2, by its answers.
 */
import type { Expression, Match, MatchOperator, Selector, ValueMatch } from "./expression.ts";
import { FilterError } from "./filter-error.ts";
import { parseFilter } from "./parse.ts";
import { PatternCompiler, PatternError } from "./pattern.ts";
import type { FieldType, FilterSchema } from "./schema.ts";
import { fieldOf, operatorsOf } from "./schema.ts";
import { parseBool, parseInteger, parseUnsigned, quote, StrconvError } from "../../../request/go-strconv.ts";

export type Predicate = (value: unknown) => boolean;

export const MATCHES_MAX = 512;

/** The empty filter lets everything through. Throws `FilterError`. */
export function compileFilter(expression: string, schema: FilterSchema): Predicate {
  if (expression === "") return () => true;
  const parsed = parseFilter(expression);
  const matches = countMatches(parsed);
  if (matches > MATCHES_MAX) {
    throw new FilterError(`Number of match expressions (${matches}) exceeds the limit (${MATCHES_MAX})`);
  }
  return compile(parsed, schema, new PatternCompiler());
}

function countMatches(expression: Expression): number {
  switch (expression.type) {
    case "match":
      return 1;
    case "not":
      return countMatches(expression.operand);
    default:
      return expression.operands.reduce((sum, operand) => sum + countMatches(operand), 0);
  }
}

function compile(expression: Expression, schema: FilterSchema, patterns: PatternCompiler): Predicate {
  switch (expression.type) {
    case "match":
      return compileMatch(expression, schema, patterns);
    case "not": {
      const operand = compile(expression.operand, schema, patterns);
      return (value) => !operand(value);
    }
    default: {
      const operands = expression.operands.map((operand) => compile(operand, schema, patterns));
      return expression.type === "and"
        ? (value) => operands.every((operand) => operand(value))
        : (value) => operands.some((operand) => operand(value));
    }
  }
}

function compileMatch(match: Match, schema: FilterSchema, patterns: PatternCompiler): Predicate {
  const type = selectedType(match.selector, schema);
  if (!operatorsOf(type).includes(match.operator)) {
    throw new FilterError(
      `Invalid match operator ${quote(match.operator)} for selector ${quote(match.selector.join("."))}`,
    );
  }
  return descend(schema, match, 0, question(match, type, patterns));
}

function selectedType(selector: Selector, schema: FilterSchema): FieldType {
  let type: FieldType = schema;
  for (const [index, name] of selector.entries()) {
    const field = fieldOf(type, name);
    if (!field) throw new FilterError(`Selector ${quote(selector.slice(0, index + 1).join("."))} is not valid`);
    type = field;
  }
  return type;
}

/** From a value of this type down the rest of the selector to what is asked. */
function descend(type: FieldType, match: Match, depth: number, ask: Predicate): Predicate {
  const name = match.selector[depth];
  if (name === undefined) return ask;
  switch (type.kind) {
    case "struct": {
      const field = descend(type.fields[name]!, match, depth + 1, ask);
      return (value) => field(entryOf(value, name));
    }
    case "map": {
      const entry = descend(type.of, match, depth + 1, ask);
      const absent = ANSWER_WITHOUT_KEY[match.operator];
      return (value) => {
        const found = entryOf(value, name);
        return found === undefined || found === null ? absent : entry(found);
      };
    }
    case "list": {
      const element = descend(type.of, match, depth, ask);
      return (value) => elementsOf(value).some(element);
    }
    default:
      throw new Error(`a ${type.kind} has no fields`);
  }
}

/** Of a map's entry that is not there. `matches` is among those that are then true, as in Consul. */
const ANSWER_WITHOUT_KEY: Record<MatchOperator, boolean> = {
  Equal: false,
  In: false,
  "Is Not Empty": false,
  "Not Equal": true,
  "Not In": true,
  "Is Empty": true,
  Matches: true,
  "Not Matches": true,
};

function question(match: Match, type: FieldType, patterns: PatternCompiler): Predicate {
  switch (match.operator) {
    case "Equal":
      return equality(type, match);
    case "Not Equal":
      return negated(equality(type, match));
    case "In":
      return membership(type, match);
    case "Not In":
      return negated(membership(type, match));
    case "Matches":
      return matching(match.value, patterns);
    case "Not Matches":
      return negated(matching(match.value, patterns));
    case "Is Empty":
      return (value) => isEmpty(value);
    case "Is Not Empty":
      return (value) => !isEmpty(value);
  }
}

const negated =
  (predicate: Predicate): Predicate =>
  (value) =>
    !predicate(value);

function equality(type: FieldType, match: ValueMatch): Predicate {
  switch (type.kind) {
    case "bool": {
      const wanted = coerce(match, parseBool);
      return (value) => (value === true) === wanted;
    }
    case "int":
      return sameInteger(coerce(match, parseInteger));
    case "uint": {
      const { size } = type;
      return sameInteger(coerce(match, (text) => parseUnsigned(text, size)));
    }
    default:
      return (value) => textOf(value) === match.value;
  }
}

/** Integers are numbers in JSON, or bigints where they may be large. */
function sameInteger(wanted: bigint): Predicate {
  const number = Number(wanted);
  return (value) => (typeof value === "bigint" ? value === wanted : (typeof value === "number" ? value : 0) === number);
}

function membership(type: FieldType, match: ValueMatch): Predicate {
  switch (type.kind) {
    case "list": {
      const element = equality(type.of, match);
      return (value) => elementsOf(value).some(element);
    }
    case "map":
      return (value) => entryOf(value, match.value) !== undefined;
    default:
      return (value) => textOf(value).includes(match.value);
  }
}

function matching(pattern: string, patterns: PatternCompiler): Predicate {
  try {
    const found = patterns.compile(pattern);
    return (value) => found(textOf(value));
  } catch (error) {
    if (!(error instanceof PatternError)) throw error;
    throw new FilterError(`Failed to compile regular expression ${quote(pattern)}: ${error.message}`);
  }
}

function coerce<T>(match: ValueMatch, parse: (text: string) => T): T {
  try {
    return parse(match.value);
  } catch (error) {
    if (!(error instanceof StrconvError)) throw error;
    const selector = quote(match.selector.join("."));
    throw new FilterError(`Failed to coerce value ${quote(match.value)} for selector ${selector}: ${error.message}`);
  }
}

const textOf = (value: unknown): string => (typeof value === "string" ? value : "");
const elementsOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;

function entryOf(value: unknown, name: string): unknown {
  return isRecord(value) && Object.hasOwn(value, name) ? value[name] : undefined;
}

/** Of a list or a map. */
function isEmpty(value: unknown): boolean {
  return !isRecord(value) || Object.keys(value).length === 0;
}
