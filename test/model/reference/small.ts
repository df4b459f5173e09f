/** A register and a counter to check the checkers with: right, or wrong in one named way. */
import type { Call } from "../history.ts";
import type { CounterInput, CounterOutput } from "../models/counter.ts";
import type { RegisterInput, RegisterOutput } from "../models/register.ts";
import type { Random } from "../random.ts";
import { simulate } from "../simulate.ts";
import { plantedIn } from "./fault.ts";

export type RegisterFault = "reads an old value" | "loses a write" | "lets two compares pass" | "reads what comes next";
export type CounterFault = "loses an addition" | "adds twice" | "reads an old value";

const FAULTY_SHARE = 0.2;

export function registerHistory(
  random: Random,
  fault: RegisterFault | null,
  { calls = 300, clients = 5 }: { calls?: number; clients?: number } = {},
): Call<RegisterInput, RegisterOutput>[] {
  const isNow = plantedIn(random, fault, FAULTY_SHARE);
  const keys = ["a", "b"];
  const values = new Map<string, string | null>();
  const before = new Map<string, (string | null)[]>();
  const known = new Map<string, string | null>();
  const set = (key: string, value: string | null): void => {
    if (isNow("loses a write")) return;
    before.set(key, [...(before.get(key) ?? []), values.get(key) ?? null]);
    values.set(key, value);
  };
  let count = 0;
  return simulate<RegisterInput, RegisterOutput>(random, {
    clients,
    calls,
    lostShare: 0.03,
    next() {
      const key = random.pick(keys);
      const value = `v${count++}`;
      const kind = random.pick(["get", "get", "get", "put", "put", "cas", "cas", "delete"] as const);
      if (kind === "get" || kind === "delete") return { kind, key };
      return kind === "put" ? { kind, key, value } : { kind, key, expected: known.get(key) ?? null, value };
    },
    apply(input) {
      const { key } = input;
      const value = values.get(key) ?? null;
      switch (input.kind) {
        case "get": {
          const old = before.get(key)?.at(-3);
          if (old !== undefined && isNow("reads an old value")) return { value: old };
          return { value: isNow("reads what comes next") ? `v${count + 3}` : value };
        }
        case "put":
          set(key, input.value);
          return { done: true };
        case "delete":
          set(key, null);
          return { done: value !== null };
        case "cas": {
          const done = value === input.expected || isNow("lets two compares pass");
          if (done) set(key, input.value);
          return { done };
        }
      }
    },
    answered(_, input, output) {
      if ("value" in output) known.set(input.key, output.value);
    },
  });
}

export function counterHistory(random: Random, fault: CounterFault | null): Call<CounterInput, CounterOutput>[] {
  const isNow = plantedIn(random, fault, FAULTY_SHARE);
  let value = 0;
  const before: number[] = [];
  return simulate<CounterInput, CounterOutput>(random, {
    clients: 6,
    calls: 150,
    lostShare: 0.03,
    next: () =>
      random.chance(0.3) ? { kind: "read", counter: "c" } : { kind: "add", counter: "c", delta: 1 + random.below(5) },
    apply(input) {
      if (input.kind === "read")
        return { value: before.length > 8 && isNow("reads an old value") ? before.at(-8)! : value };
      before.push(value);
      const after = value + input.delta;
      if (isNow("adds twice")) value = after + input.delta;
      else if (!isNow("loses an addition")) value = after;
      return { value: after };
    },
  });
}
