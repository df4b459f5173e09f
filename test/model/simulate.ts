/**
 * Histories of concurrent clients without a server: each call takes effect at one instant between its call and its return,
 * on an object that is handed in. If the object is correct, so is the history; so the checkers can be checked.
 */
import type { Call } from "./history.ts";
import type { Random } from "./random.ts";

export interface Simulation<I extends { kind: string }, O> {
  clients: number;
  calls: number;
  /** What the client does next; null = it waits a while. */
  next: (client: number, random: Random, at: number) => I | null;
  /** The object; `at` is now. */
  apply: (input: I, at: number) => O;
  /** Told to its client when it returns. */
  answered?: (client: number, input: I, output: O) => void;
  /** Of calls whose answer is lost; half of those took effect. */
  lostShare?: number;
}

/** Milliseconds of virtual time. */
const GAP_MAX_MS = 3;
const WAY_MAX_MS = 5;

export function simulate<I extends { kind: string }, O>(
  random: Random,
  { clients, calls, next, apply, answered, lostShare = 0 }: Simulation<I, O>,
): Call<I, O>[] {
  const history: Call<I, O>[] = [];
  const due: { at: number; act: (at: number) => void }[] = [];
  const later = (from: number, max: number, act: (at: number) => void): void =>
    void due.push({ at: from + random.fraction() * max + 1e-6, act });

  const call = (client: number, at: number): void => {
    if (history.length >= calls) return;
    const input = next(client, random, at);
    if (input === null) return later(at, GAP_MAX_MS, (then) => call(client, then));
    const made: Call<I, O> = {
      client,
      id: history.length,
      input,
      calledAt: at,
      returnedAt: Infinity,
      outcome: "unknown",
      output: null,
    };
    history.push(made);
    const isLost = random.chance(lostShare);
    later(at, WAY_MAX_MS, (now) => {
      const output = isLost && random.chance(0.5) ? null : apply(input, now);
      later(now, WAY_MAX_MS, (then) => {
        if (!isLost && output !== null) {
          Object.assign(made, { returnedAt: then, outcome: "ok", output } satisfies Partial<Call<I, O>>);
          answered?.(client, input, output);
        }
        later(then, GAP_MAX_MS, (again) => call(client, again));
      });
    });
  };

  for (let client = 0; client < clients; client++) later(0, GAP_MAX_MS, (at) => call(client, at));
  while (due.length > 0) {
    let first = 0;
    for (let at = 1; at < due.length; at++) if (due[at]!.at < due[first]!.at) first = at;
    const [{ at, act }] = due.splice(first, 1) as [(typeof due)[number]];
    act(at);
  }
  return history;
}
