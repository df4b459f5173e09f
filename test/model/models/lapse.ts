/**
 * What ends by itself when its time is over: holds, terms, deliveries. It is a call that nobody made and that may never have
 * happened, never before the last acknowledged renewal has run out. Rules L1, Q4.
 */
import type { Call } from "../history.ts";

/** How the calls of a model speak of it; each names it in its own way, the same in all three. */
export interface Lasting<I extends { kind: string }, O> {
  /** Null: it is no such call, or began nothing. Of one without an answer, too. */
  begun: (call: Call<I, O>) => { name: string; ms: number; lapse: I } | null;
  /** Of a call that was told that it did so. */
  renewed: (input: I) => { name: string; ms: number } | null;
  ended: (input: I) => string | null;
}

export function withLapsesOf<I extends { kind: string }, O extends object>(
  calls: readonly Call<I, O>[],
  { begun, renewed, ended }: Lasting<I, O>,
): Call<I, O>[] {
  const over = new Set<string>();
  const lastsUntil = new Map<string, number>();
  for (const { input, output, calledAt } of calls) {
    if (!output || !("done" in output) || output.done !== true) continue;
    // It had not lapsed before.
    const end = ended(input);
    if (end !== null) over.add(end);
    const renewal = renewed(input);
    if (!renewal) continue;
    const { name, ms } = renewal;
    lastsUntil.set(name, Math.max(lastsUntil.get(name) ?? 0, calledAt + ms));
  }
  const lapses = calls.flatMap((call): Call<I, O>[] => {
    const found = call.outcome === "fail" ? null : begun(call);
    if (!found || over.has(found.name)) return [];
    const { name, ms, lapse } = found;
    // Whoever was never answered was never promised anything.
    const isPromised = call.outcome === "ok";
    const calledAt = isPromised ? Math.max(call.calledAt + ms, lastsUntil.get(name) ?? 0) : call.calledAt;
    const neverMade = { client: -1, id: -1, returnedAt: Infinity, outcome: "unknown", output: null } as const;
    return [{ ...neverMade, input: lapse, calledAt }];
  });
  return [...calls, ...lapses];
}

/** Whether an output says that it was done, or not; null = not seen, or it does not tell. */
export const agrees = (output: object | null, done: boolean): boolean =>
  output === null || ("done" in output && (output.done === null || output.done === done));
