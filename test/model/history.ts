/**
 * What clients did and what they were told: one entry a call, one line of JSON each.
 *
 * Times are of one process's monotonic clock, and no two are equal, so that "A returned before B was called" is always
 * settled. A call may only look longer than it was, never shorter: it is called before its first byte leaves and has
 * returned after its last byte came. That can hide a violation, but never invent one.
 */

/** `fail` = certainly not applied; `unknown` = nobody can tell, and it may still be applied later. */
export type Outcome = "ok" | "fail" | "unknown";

export interface Call<I extends { kind: string }, O> {
  client: number;
  /** Unique in its history. */
  id: number;
  input: I;
  calledAt: number;
  /** Infinity while nothing has come back. */
  returnedAt: number;
  outcome: Outcome;
  /** Null unless the outcome is `ok`. */
  output: O | null;
}

export type AnyCall = Call<{ kind: string }, unknown>;

/** Thrown by what is recorded: the call certainly changed nothing and never will. */
export class NotApplied extends Error {
  override readonly name = "NotApplied";
}

/** Thrown by what is recorded: the call may have run, may run yet, or never. */
export class Unanswered extends Error {
  override readonly name = "Unanswered";
}

export class Recorder<I extends { kind: string }, O> {
  readonly calls: Call<I, O>[] = [];
  readonly #clock: () => number;
  #lastAt = 0;

  constructor(clock: () => number = () => performance.now()) {
    this.#clock = clock;
  }

  /** The call as it ended. What `act` throws besides `NotApplied` and `Unanswered` is no outcome, but a fault. */
  async record(client: number, input: I, act: (id: number) => Promise<O>): Promise<Call<I, O>> {
    const call: Call<I, O> = {
      client,
      id: this.calls.length,
      input,
      calledAt: this.now(),
      returnedAt: Infinity,
      outcome: "unknown",
      output: null,
    };
    this.calls.push(call);
    try {
      call.output = await act(call.id);
      call.outcome = "ok";
      call.returnedAt = this.now();
    } catch (error) {
      if (error instanceof Unanswered) return call;
      if (!(error instanceof NotApplied)) throw error;
      call.outcome = "fail";
      call.returnedAt = this.now();
    }
    return call;
  }

  /** Milliseconds; later than every instant it has told before. */
  now(): number {
    this.#lastAt = Math.max(this.#clock(), this.#lastAt + TICK_MS);
    return this.#lastAt;
  }
}

/** Far below what a clock resolves, far above what a number of that size does. */
const TICK_MS = 1e-6;

/** JSON lines, to be kept when a history does not check. */
export function historyText(calls: readonly AnyCall[]): string {
  return calls
    .map(({ input: { kind, ...input }, returnedAt, ...call }) => {
      const { client, id, calledAt, outcome, output } = call;
      const returned = returnedAt === Infinity ? null : returnedAt;
      return `${JSON.stringify({ client, id, kind, input, calledAt, returnedAt: returned, outcome, output })}\n`;
    })
    .join("");
}

/** The shape of inputs and outputs is the caller's claim. */
export function parseHistory<I extends { kind: string }, O>(text: string): Call<I, O>[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const { kind, input, returnedAt, ...call } = JSON.parse(line) as Line<O>;
      return { ...call, input: { kind, ...input } as unknown as I, returnedAt: returnedAt ?? Infinity };
    });
}

interface Line<O> extends Omit<Call<{ kind: string }, O>, "input" | "returnedAt"> {
  kind: string;
  input: object;
  returnedAt: number | null;
}

/** Why a history cannot have happened: a rule of objects/SPEC.md, words, and the calls it is about. */
export interface Violation {
  rule: string;
  what: string;
  calls?: readonly AnyCall[];
}

/**
 * Without the calls that nobody answered and that had no effect: those that only ask or renew, and those that were never
 * carried out, as the server's own log has it when nothing is under way any more.
 */
export function settled<I extends { kind: string }, O>(
  calls: readonly Call<I, O>[],
  wasCarriedOut: (call: Call<I, O>) => boolean,
): Call<I, O>[] {
  return calls.filter((call) => call.outcome === "ok" || (call.outcome === "unknown" && wasCarriedOut(call)));
}

/** For the message of a failed assertion. */
export function violationsText(violations: readonly Violation[]): string {
  const shown = violations.slice(0, 5).map(({ rule, what, calls = [] }) => `${rule}: ${what}\n${historyText(calls)}`);
  const rest = violations.length > 5 ? `and ${violations.length - 5} more\n` : "";
  return shown.join("") + rest;
}
