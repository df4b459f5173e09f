/**
 * Statements compiled for deciding on every request.
 *
 * For one verb on one kind, the decision is a step function over the ordered line of names: it changes only at the names,
 * prefixes and range ends that statements mention. So a decision is a binary search, a range is covered if all its steps
 * are, and no question costs more than the number of steps. Each function is made when it is first asked for.
 */
import type { DefaultPolicy, Effect, Kind, Statement, Verb } from "./statements.ts";
import { winsOver } from "./statements.ts";

/** Names from `from` (inclusive) to `to` (exclusive; null = no end), as byte strings. */
export interface NameRange {
  from: string;
  to: string | null;
}

/** `effects[i]` holds from `at[i]` up to `at[i + 1]`; null = nothing matches there. `at` begins with the empty name. */
interface Steps {
  at: string[];
  effects: (Effect | null)[];
}

export class CompiledPolicy {
  readonly #byKind = new Map<Kind, Statement[]>();
  readonly #steps = new Map<string, Steps>();
  readonly #otherwise: DefaultPolicy;

  constructor(statements: readonly Statement[], otherwise: DefaultPolicy) {
    this.#otherwise = otherwise;
    for (const statement of statements) {
      const list = this.#byKind.get(statement.kind);
      if (list) list.push(statement);
      else this.#byKind.set(statement.kind, [statement]);
    }
  }

  allows(verb: Verb, kind: Kind, name: string): boolean {
    const steps = this.#stepsOf(verb, kind);
    return this.#isAllow(steps.effects[indexOf(steps.at, name)]!);
  }

  /** Whether every name in the range is allowed. An empty range is not: whoever asks has mistaken its ends. */
  covers(verb: Verb, kind: Kind, { from, to }: NameRange): boolean {
    if (to !== null && to <= from) return false;
    const { at, effects } = this.#stepsOf(verb, kind);
    for (let i = indexOf(at, from); i < at.length && (to === null || at[i]! < to); i++) {
      if (!this.#isAllow(effects[i]!)) return false;
    }
    return true;
  }

  /** Whether there is a name that is allowed. */
  allowsAny(verb: Verb, kind: Kind): boolean {
    return this.#stepsOf(verb, kind).effects.some((effect) => this.#isAllow(effect));
  }

  #isAllow(effect: Effect | null): boolean {
    return (effect ?? this.#otherwise) === "allow";
  }

  #stepsOf(verb: Verb, kind: Kind): Steps {
    const key = `${kind} ${verb}`;
    let steps = this.#steps.get(key);
    if (!steps) {
      const statements = this.#byKind.get(kind)?.filter(({ verbs }) => verbs.includes(verb)) ?? [];
      this.#steps.set(key, (steps = stepsOf(statements)));
    }
    return steps;
  }
}

/** The last step at or before the name. */
function indexOf(at: readonly string[], name: string): number {
  let [low, high] = [0, at.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (at[middle]! <= name) low = middle;
    else high = middle - 1;
  }
  return low;
}

type RangeStatement = Extract<Statement, { match: "range" }>;

/** One walk over all names at which the decision may change, in order. */
function stepsOf(statements: readonly Statement[]): Steps {
  const exact = new Map<string, Statement>();
  const prefixes = new Map<string, Statement>();
  const ranges: RangeStatement[] = [];
  const bounds = new Set([""]);
  for (const statement of statements) {
    const { name } = statement;
    bounds.add(name);
    if (statement.match === "range") {
      ranges.push(statement);
      if (statement.end !== null) bounds.add(statement.end);
      continue;
    }
    const isExact = statement.match === "exact";
    const after = isExact ? `${name}\0` : prefixEnd(name);
    if (after !== null) bounds.add(after);
    const winners = isExact ? exact : prefixes;
    const current = winners.get(name);
    if (!current || winsOver(statement, current)) winners.set(name, statement);
  }
  // Byte strings: the order of code units is the order of bytes.
  const at = [...bounds].toSorted(byCodeUnit);
  const open = new OpenRanges(ranges);
  const enclosing: Statement[] = [];
  const effects = at.map((name) => {
    while (enclosing.length > 0 && !name.startsWith(enclosing.at(-1)!.name)) enclosing.pop();
    const prefix = prefixes.get(name);
    if (prefix) enclosing.push(prefix);
    const inRange = open.advance(name);
    return (exact.get(name) ?? enclosing.at(-1) ?? inRange)?.effect ?? null;
  });
  return { at, effects };
}

/** The ranges around the current name, counted by what they say: of the same rank one stands for all. */
class OpenRanges {
  readonly #starts: RangeStatement[];
  readonly #ends: RangeStatement[];
  readonly #open = new Map<string, { statement: Statement; count: number }>();
  #started = 0;
  #ended = 0;

  constructor(ranges: readonly RangeStatement[]) {
    this.#starts = ranges.toSorted((a, b) => byCodeUnit(a.name, b.name));
    this.#ends = ranges.filter(({ end }) => end !== null).toSorted((a, b) => byCodeUnit(a.end!, b.end!));
  }

  /** The winner at `name`; names come in order. */
  advance(name: string): Statement | undefined {
    for (let next; (next = this.#starts[this.#started]) && next.name <= name; this.#started++) this.#count(next, 1);
    for (let next; (next = this.#ends[this.#ended]) && next.end! <= name; this.#ended++) this.#count(next, -1);
    let best: Statement | undefined;
    for (const { statement, count } of this.#open.values()) {
      if (count > 0 && (best === undefined || winsOver(statement, best))) best = statement;
    }
    return best;
  }

  #count(statement: Statement, by: number): void {
    const rank = `${statement.effect} ${statement.implied ?? false}`;
    const entry = this.#open.get(rank);
    if (entry) entry.count += by;
    else this.#open.set(rank, { statement, count: by });
  }
}

const byCodeUnit = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** The first name after all that start with `prefix`; null when there is none. */
export function prefixEnd(prefix: string): string | null {
  let length = prefix.length;
  while (length > 0 && prefix.charCodeAt(length - 1) === 0xff) length--;
  if (length === 0) return null;
  return prefix.slice(0, length - 1) + String.fromCharCode(prefix.charCodeAt(length - 1) + 1);
}
