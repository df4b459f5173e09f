/** A counter that answers its value after each addition. */
import type { Model } from "../search.ts";

export type CounterInput = { kind: "add"; counter: string; delta: number } | { kind: "read"; counter: string };
export type CounterOutput = { value: number };

export const counter: Model<number, CounterInput, CounterOutput> = {
  initial: 0,
  partOf: (input) => input.counter,
  keyOf: String,
  step(state, input, output) {
    const after = input.kind === "add" ? state + input.delta : state;
    return output === null || output.value === after ? [after] : [];
  },
};
