/**
 * A queue with a visibility timeout: what is received is hidden until it is acknowledged, given back, or its time runs out.
 * Within a group messages are delivered in the order in which they were sent; what comes back comes back to its place.
 * Rules Q1 to Q6, Q8.
 *
 * Every receive has a name of its own, by which a delivery that nobody saw can be spoken of.
 */
import type { Call } from "../history.ts";
import type { Model } from "../search.ts";
import { agrees, withLapsesOf } from "./lapse.ts";

export type QueueInput =
  /** `rank`: its place among the group's messages by their first deliveries, where that is known to be the order of sending. */
  | { kind: "send"; topic: string; message: string; group: string; rank?: number; delayMs?: number }
  /** What was sent is sent once more, by its dedupe id; done = it was known. */
  | { kind: "resend"; topic: string; message: string }
  /** At most one message. */
  | { kind: "receive"; topic: string; name: string; visibilityMs: number }
  | { kind: "ack"; topic: string; receipt: string }
  /** Back to its place at once. */
  | { kind: "nack"; topic: string; receipt: string }
  | { kind: "extend"; topic: string; receipt: string; visibilityMs: number }
  | { kind: "stats"; topic: string }
  /** `name`: of a receive, or the message that was delayed. */
  | { kind: "lapse"; topic: string; name: string };

export type QueueOutput =
  | { sent: true }
  | { delivery: { message: string; receipt: string } | null }
  /** Whether the receipt was the message's live one. */
  | { done: boolean }
  | { stats: QueueStats };

export interface QueueStats {
  sent: number;
  acked: number;
  dead: number;
  expired: number;
  purged: number;
  ready: number;
  delayed: number;
  blocked: number;
  inFlight: number;
}

interface Message {
  message: string;
  group: string;
  rank: number;
  attempts: number;
  /** The receive that has it, and the receipt it was given (null where the answer was lost), or its own delay; null = ready. */
  hidden: { by: string; receipt: string | null } | null;
}

export interface QueueOptions {
  /** A group whose first message is hidden delivers nothing. */
  isBlocking: boolean;
  /** After so many it is with the dead letters. */
  deliveriesMax?: number;
}

/** The state: what is not acknowledged, in the order in which it was sent. */
export function queueOf({
  isBlocking,
  deliveriesMax = Infinity,
}: QueueOptions): Model<readonly Message[], QueueInput, QueueOutput> {
  return {
    initial: [],
    partOf: ({ topic }) => topic,
    // Between groups the order tells nothing.
    keyOf: (state) =>
      state
        .toSorted((a, b) => compareText(a.group, b.group))
        .map(({ message, attempts, hidden }) => `${message}:${attempts}:${hidden?.by ?? ""}`)
        .join(),
    step(state, input, output) {
      switch (input.kind) {
        case "send": {
          const { message, group, rank = 0, delayMs } = input;
          const isOutOfTurn = state.some((other) => other.group === group && other.rank > rank);
          const hidden = delayMs ? { by: message, receipt: null } : null;
          return isOutOfTurn ? [] : [[...state, { message, group, rank, attempts: 0, hidden }]];
        }
        // They are looked at as a whole (deliveries.ts).
        case "resend":
        case "stats":
          return [state];
        case "receive":
          return receive(state, input.name, output, isBlocking);
        case "ack":
        case "nack": {
          const at = state.findIndex(({ hidden }) => hidden?.receipt === input.receipt);
          if (!agrees(output, at !== -1)) return [];
          if (at === -1) return [state];
          return [input.kind === "ack" ? state.toSpliced(at, 1) : shownAgain(state, at, deliveriesMax)];
        }
        case "extend":
          return agrees(
            output,
            state.some(({ hidden }) => hidden?.receipt === input.receipt),
          )
            ? [state]
            : [];
        case "lapse": {
          const at = state.findIndex(({ hidden }) => hidden?.by === input.name);
          return at === -1 ? [] : [shownAgain(state, at, deliveriesMax)];
        }
      }
    },
  };
}

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** Of each group the first that is ready, unless something before it is in the way. */
function deliverable(state: readonly Message[], isBlocking: boolean): number[] {
  const passed = new Set<string>();
  return state.flatMap(({ group, hidden }, at) => {
    if (passed.has(group) || (hidden && !isBlocking)) return [];
    passed.add(group);
    return hidden ? [] : [at];
  });
}

function receive(
  state: readonly Message[],
  name: string,
  output: QueueOutput | null,
  isBlocking: boolean,
): (readonly Message[])[] {
  const choices = deliverable(state, isBlocking);
  const hide = (at: number, receipt: string | null): readonly Message[] =>
    state.with(at, { ...state[at]!, attempts: state[at]!.attempts + 1, hidden: { by: name, receipt } });
  if (output === null) return [...choices.map((at) => hide(at, null)), state];
  if (!("delivery" in output)) return [];
  const { delivery } = output;
  if (delivery === null) return choices.length === 0 ? [state] : [];
  return choices.filter((at) => state[at]!.message === delivery.message).map((at) => hide(at, delivery.receipt));
}

const shownAgain = (state: readonly Message[], at: number, deliveriesMax: number): readonly Message[] =>
  state[at]!.attempts >= deliveriesMax ? state.toSpliced(at, 1) : state.with(at, { ...state[at]!, hidden: null });

/**
 * The history of each group, if groups block, as that of a topic of its own: they touch each other only where somebody is told
 * that there is nothing, which is left out. What was received and never seen may have been of any group. `dead`: what nobody
 * may have seen before it was with the dead letters, and so has no place that is known.
 */
export function byGroup(
  calls: readonly Call<QueueInput, QueueOutput>[],
  dead: readonly string[] = [],
): Call<QueueInput, QueueOutput>[] {
  const groupOf = new Map(
    calls.flatMap(({ input }) => (input.kind === "send" ? [[input.message, `${input.topic} ${input.group}`]] : [])),
  );
  const groups = new Set(groupOf.values());
  const groupOfReceipt = new Map<string, string>();
  // Nothing of a group overtakes: as they are first delivered, so they were sent. Knowing that spares guessing it.
  const ranks = new Map<string, number>();
  for (const { output } of calls.toSorted((a, b) => a.returnedAt - b.returnedAt)) {
    if (!output || !("delivery" in output) || !output.delivery) continue;
    const { message, receipt } = output.delivery;
    const group = groupOf.get(message);
    if (group !== undefined) groupOfReceipt.set(receipt, group);
    if (!ranks.has(message)) ranks.set(message, ranks.size);
  }
  return calls.flatMap((call) => {
    const { input, output } = call;
    const inGroups = (found: Iterable<string>) =>
      [...found].map((topic) => ({ ...call, input: { ...input, topic } satisfies QueueInput }));
    switch (input.kind) {
      case "send": {
        const { message } = input;
        const ranked = {
          ...input,
          topic: groupOf.get(message)!,
          rank: ranks.get(message) ?? (dead.includes(message) ? NaN : Infinity),
        };
        return [{ ...call, input: ranked }];
      }
      case "receive": {
        if (output === null) return inGroups(groups);
        const group = "delivery" in output && output.delivery && groupOf.get(output.delivery.message);
        return group ? inGroups([group]) : [];
      }
      case "ack":
      case "nack":
      case "extend": {
        const group = groupOfReceipt.get(input.receipt);
        return group === undefined ? [] : inGroups([group]);
      }
      case "resend":
      case "stats":
        return [];
      case "lapse":
        return inGroups(groups);
    }
  });
}

/** The calls, and the end of each delivery's visibility and of each delay; a delivery that nobody saw has no receipt. */
export const withTimeouts = (calls: readonly Call<QueueInput, QueueOutput>[]): Call<QueueInput, QueueOutput>[] =>
  withLapsesOf(calls, {
    begun: ({ input, output }) => {
      if (input.kind === "send" && input.delayMs) {
        const { topic, message, delayMs } = input;
        return { name: message, ms: delayMs, lapse: { kind: "lapse", topic, name: message } };
      }
      if (input.kind !== "receive") return null;
      const { topic, name, visibilityMs } = input;
      const lapse = { kind: "lapse", topic, name } as const;
      if (output === null) return { name: "", ms: 0, lapse };
      if (!("delivery" in output) || output.delivery === null) return null;
      return { name: output.delivery.receipt, ms: visibilityMs, lapse };
    },
    renewed: (input) => (input.kind === "extend" ? { name: input.receipt, ms: input.visibilityMs } : null),
    ended: (input) => (input.kind === "ack" || input.kind === "nack" ? input.receipt : null),
  });
