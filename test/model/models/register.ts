/** A key as a register with compare-and-set, seen by its value alone. */
import type { Model } from "../search.ts";

export type RegisterInput =
  | { kind: "get"; key: string }
  | { kind: "put"; key: string; value: string }
  | { kind: "delete"; key: string }
  /** `expected` null = only if there is none. */
  | { kind: "cas"; key: string; expected: string | null; value: string };

/** Of a get the value (null = none); of a cas whether it was done; of a delete whether there was one. */
export type RegisterOutput = { value: string | null } | { done: boolean };

export const register: Model<string | null, RegisterInput, RegisterOutput> = {
  initial: null,
  partOf: ({ key }) => key,
  keyOf: (state) => JSON.stringify(state),
  step(state, input, output) {
    switch (input.kind) {
      case "get":
        return output === null || ("value" in output && output.value === state) ? [state] : [];
      case "put":
        return [input.value];
      case "delete":
        return agrees(output, state !== null) ? [null] : [];
      case "cas": {
        const done = state === input.expected;
        return agrees(output, done) ? [done ? input.value : state] : [];
      }
    }
  },
};

const agrees = (output: RegisterOutput | null, done: boolean): boolean =>
  output === null || ("done" in output && output.done === done);
