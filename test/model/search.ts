/**
 * Is there an order of the calls that agrees with real time and with a model? For answers that carry no revision.
 *
 * Wing and Gong's search (J. Par. Distr. Comp. 17, 1993) with Lowe's memory of configurations that have been tried
 * (Concurrency Comput. Pract. Exp. 29, 2017): a configuration is the set of calls that are in order already, with the state
 * they lead to. Calls and returns are one linked list by time; a call that is put in order is lifted out of it.
 *
 * A call of unknown outcome may have taken effect at any time since, or never: it may be left out. What a search does not
 * finish within its limits is `unknown`, never passed.
 */
import type { AnyCall, Call, Violation } from "./history.ts";

export interface Model<S, I extends { kind: string }, O> {
  initial: S;
  /**
   * Every state that the call may lead to; none when it cannot have this output here. `null` stands for an answer that
   * nobody has seen. States are values: never changed.
   */
  step(state: S, input: I, output: O | null): readonly S[];
  /** Equal for equal states only. */
  keyOf(state: S): string;
  /** Calls of different parts do not touch each other; absent = all are of one. */
  partOf?(input: I): string;
}

export type Verdict =
  | { type: "linearizable"; configurations: number }
  | { type: "violation"; violation: Violation }
  | { type: "unknown"; part: string; configurations: number };

export interface SearchLimits {
  /** Of each part. */
  ms?: number;
  configurations?: number;
}

const LIMIT_MS = 20_000;
const CONFIGURATIONS_MAX = 500_000;

/** The first part that is not linearizable, else the first that could not be decided, else all is well. */
export function search<S, I extends { kind: string }, O>(
  model: Model<S, I, O>,
  calls: readonly Call<I, O>[],
  limits: SearchLimits = {},
): Verdict {
  const parts = Map.groupBy(
    calls.filter(({ outcome }) => outcome !== "fail"),
    ({ input }) => model.partOf?.(input) ?? "",
  );
  let undecided: Verdict | undefined;
  let configurations = 0;
  for (const [part, partCalls] of parts) {
    const verdict = searchPart(model, part, partCalls, limits);
    if (verdict.type === "violation") return verdict;
    if (verdict.type === "unknown") undecided ??= verdict;
    else configurations += verdict.configurations;
  }
  return undecided ?? { type: "linearizable", configurations };
}

/** An entry of the list by time: a call, or the return of one. */
interface Entry {
  /** Of the call among all. */
  index: number;
  isReturn: boolean;
  at: number;
  /** Of a call: its return; none when the outcome is unknown. */
  match: Entry | null;
  previous: Entry | null;
  next: Entry | null;
}

/** A call that was put in order, and what else it could have led to. */
interface Choice<S> {
  entry: Entry;
  before: S;
  states: readonly S[];
  taken: number;
}

function searchPart<S, I extends { kind: string }, O>(
  model: Model<S, I, O>,
  part: string,
  calls: readonly Call<I, O>[],
  { ms = LIMIT_MS, configurations: configurationsMax = CONFIGURATIONS_MAX }: SearchLimits,
): Verdict {
  const deadline = performance.now() + ms;
  const head = entriesOf(calls);
  const tried = new Tried(calls.length);
  const choices: Choice<S>[] = [];
  let state = model.initial;
  let remaining = calls.filter(({ outcome }) => outcome === "ok").length;
  let steps = 0;
  // Where the longest order that was found ends, to say what does not fit.
  let farthest = { ordered: -1, blockedBy: 0 };

  /** Puts a call in order with the first of its states, from `from` on, that has not been tried. */
  const take = (entry: Entry, states: readonly S[], from: number): boolean => {
    tried.flip(entry.index);
    for (let at = from; at < states.length; at++) {
      if (!tried.add(model.keyOf(states[at]!))) continue;
      choices.push({ entry, before: state, states, taken: at });
      state = states[at]!;
      if (entry.match) remaining--;
      lift(entry);
      return true;
    }
    tried.flip(entry.index);
    return false;
  };

  // Calls that may have had no effect come last: mostly they had none, or had it no earlier than it shows.
  let entry = head.next;
  let isOptionalsTurn = false;
  while (remaining > 0) {
    const isLate = (++steps & 1023) === 0 && performance.now() > deadline;
    if (isLate || tried.size > configurationsMax) return { type: "unknown", part, configurations: tried.size };
    if (entry && !entry.isReturn) {
      const { input, output, outcome } = calls[entry.index]!;
      const isTaken =
        isOptionalsTurn === (entry.match === null) &&
        take(entry, model.step(state, input, outcome === "ok" ? output : null), 0);
      if (isTaken) isOptionalsTurn = false;
      entry = isTaken ? head.next : entry.next;
      continue;
    }
    // It has returned, so it must be in order by now.
    if (!isOptionalsTurn) {
      isOptionalsTurn = true;
      entry = head.next;
      continue;
    }
    if (entry && choices.length > farthest.ordered) farthest = { ordered: choices.length, blockedBy: entry.index };
    const choice = choices.pop();
    if (!choice) return { type: "violation", violation: violationOf(calls, part, farthest) };
    unlift(choice.entry);
    if (choice.entry.match) remaining++;
    tried.flip(choice.entry.index);
    state = choice.before;
    const isTaken = take(choice.entry, choice.states, choice.taken + 1);
    isOptionalsTurn = !isTaken && choice.entry.match === null;
    entry = isTaken ? head.next : choice.entry.next;
  }
  return { type: "linearizable", configurations: tried.size };
}

/** With the calls in the air while the one that fits nowhere was. */
function violationOf(
  calls: readonly AnyCall[],
  part: string,
  { ordered, blockedBy }: { ordered: number; blockedBy: number },
): Violation {
  const blocked = calls[blockedBy]!;
  const { calledAt, returnedAt } = blocked;
  const where = part === "" ? "" : `of "${part}", `;
  return {
    rule: "linearizable",
    what: `${where}${ordered} of ${calls.length} calls can be put in order at most, and then not the ${blocked.input.kind} with id ${blocked.id}`,
    calls: calls.filter((call) => call.calledAt <= returnedAt && call.returnedAt >= calledAt).slice(-20),
  };
}

/** The head of the list, which is no entry itself. */
function entriesOf(calls: readonly AnyCall[]): Entry {
  const entries = calls.flatMap(({ calledAt, returnedAt, outcome }, index): Entry[] => {
    const opening = entryOf(index, calledAt, false);
    if (outcome !== "ok") return [opening];
    opening.match = entryOf(index, returnedAt, true);
    return [opening, opening.match];
  });
  // At the same instant whatever is called comes first: such calls overlap.
  entries.sort((a, b) => a.at - b.at || Number(a.isReturn) - Number(b.isReturn));
  const head = entryOf(-1, -Infinity, true);
  let last = head;
  for (const entry of entries) {
    last.next = entry;
    entry.previous = last;
    last = entry;
  }
  return head;
}

const entryOf = (index: number, at: number, isReturn: boolean): Entry => ({
  index,
  at,
  isReturn,
  match: null,
  previous: null,
  next: null,
});

function lift(entry: Entry): void {
  for (const part of entry.match ? [entry, entry.match] : [entry]) {
    part.previous!.next = part.next;
    if (part.next) part.next.previous = part.previous;
  }
}

/** The reverse, in reverse. */
function unlift(entry: Entry): void {
  for (const part of entry.match ? [entry.match, entry] : [entry]) {
    part.previous!.next = part;
    if (part.next) part.next.previous = part;
  }
}

/** Which calls are in order now, and every such set with a state that has been met. */
class Tried {
  size = 0;
  readonly #bits: Uint32Array;
  #hash = 0;
  readonly #met = new Map<string, { bits: Uint32Array }[]>();

  constructor(count: number) {
    this.#bits = new Uint32Array(Math.ceil(count / 32));
  }

  flip(index: number): void {
    this.#bits[index >>> 5]! ^= 1 << (index & 31);
    this.#hash ^= hashOf(index);
  }

  /** False when it has been there. The hash only finds candidates; the sets themselves are compared. */
  add(state: string): boolean {
    const key = `${this.#hash}:${state}`;
    const candidates = this.#met.get(key);
    if (candidates?.some(({ bits }) => bits.every((word, at) => word === this.#bits[at]))) return false;
    const met = { bits: this.#bits.slice() };
    if (candidates) candidates.push(met);
    else this.#met.set(key, [met]);
    this.size++;
    return true;
  }
}

/** Source: the finalizer of MurmurHash3. */
function hashOf(index: number): number {
  let hash = index + 1;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}
