/** A queue to check the checkers with: right, or wrong in one named way. */
import type { Call } from "../history.ts";
import type { QueueInput, QueueOptions, QueueOutput, QueueStats } from "../models/queue.ts";
import type { Random } from "../random.ts";
import { simulate } from "../simulate.ts";
import { plantedIn } from "./fault.ts";

export type QueueFault =
  | "loses a message"
  | "delivers what is hidden"
  | "delivers what was acknowledged"
  | "delivers what nobody sent"
  | "gives a receipt twice"
  | "accepts a stale receipt"
  | "acknowledges twice"
  | "swaps two of a group"
  | "forgets what was given back"
  | "acknowledges a send and drops it"
  /** Of delays, dedupe ids, dead letters and counts. */
  | "delivers before its delay"
  | "takes what is sent again for new"
  | "buries too early"
  | "buries twice"
  | "never buries"
  | "miscounts";

interface Message {
  message: string;
  group: string;
  receipt: string | null;
  untilAt: number;
  readyAt: number;
  attempts: number;
}

const VISIBILITY_MS = 25;
const DELAY_MS = 30;
const FAULTY_SHARE = 0.5;
export const DELIVERIES_MAX = 2;

class Queue {
  readonly #isNow: (fault: QueueFault) => boolean;
  readonly #acceptsStale: boolean;
  readonly #isBlocking: boolean;
  readonly #deliveriesMax: number;
  readonly dead: string[] = [];
  readonly #counts = { sent: 0, acked: 0, expired: 0, purged: 0, delayed: 0, blocked: 0 };
  #messages: Message[] = [];
  #acked: Message | null = null;
  #staleReceipts = new Map<string, string>();
  #count = 0;

  constructor(random: Random, fault: QueueFault | null, { isBlocking, deliveriesMax }: Required<QueueOptions>) {
    this.#isNow = plantedIn(random, fault, FAULTY_SHARE);
    this.#acceptsStale = fault === "accepts a stale receipt";
    this.#isBlocking = isBlocking;
    this.#deliveriesMax = deliveriesMax;
  }

  apply(input: QueueInput, at: number): QueueOutput {
    for (const message of this.#messages) if (message.receipt !== null && message.untilAt <= at) this.#show(message);
    switch (input.kind) {
      case "send":
        if (!this.#isNow("acknowledges a send and drops it")) this.#add(input, at);
        return { sent: true };
      case "resend": {
        const isNew = this.#isNow("takes what is sent again for new");
        if (isNew) this.#add({ message: input.message, group: "g" }, at);
        return { done: !isNew };
      }
      case "stats":
        return { stats: this.#stats };
      case "receive":
        return { delivery: this.#receive(at, at + input.visibilityMs) };
      case "ack": {
        const message = this.#find(input.receipt);
        if (!message) return { done: this.#staleReceipts.has(input.receipt) && this.#isNow("acknowledges twice") };
        this.#remove(message);
        this.#counts.acked++;
        this.#acked = message;
        this.#staleReceipts.set(input.receipt, message.message);
        return { done: true };
      }
      case "nack": {
        const message = this.#find(input.receipt);
        if (!message) return { done: false };
        if (this.#isNow("forgets what was given back")) this.#remove(message);
        else this.#show(message);
        return { done: true };
      }
      case "extend": {
        const message = this.#find(input.receipt);
        if (message) message.untilAt = at + input.visibilityMs;
        return { done: message !== undefined };
      }
      case "lapse":
        throw new Error("nobody calls this");
    }
  }

  #add({ message, group, delayMs = 0 }: { message: string; group: string; delayMs?: number }, at: number): void {
    const readyAt = this.#isNow("delivers before its delay") ? at : at + delayMs;
    this.#messages.push({ message, group, receipt: null, untilAt: 0, readyAt, attempts: 0 });
    this.#counts.sent++;
  }

  get #stats(): QueueStats {
    const inFlight = this.#messages.filter(({ receipt }) => receipt !== null).length;
    const ready = this.#messages.length - inFlight + Number(this.#isNow("miscounts"));
    return { ...this.#counts, dead: this.dead.length, ready, inFlight };
  }

  #receive(at: number, untilAt: number): { message: string; receipt: string } | null {
    if (this.#isNow("delivers what nobody sent")) return { message: "nobody's", receipt: `r${this.#count++}` };
    if (this.#acked && this.#isNow("delivers what was acknowledged"))
      return { message: this.#acked.message, receipt: `r${this.#count++}` };
    const hidden = this.#messages.find(({ receipt }) => receipt !== null);
    const isTwice = hidden && this.#isNow("delivers what is hidden");
    let message = isTwice ? hidden : this.#firstReady(at);
    if (!message) return null;
    if (!isTwice && this.#isNow("swaps two of a group")) {
      const { group } = message;
      message = this.#messages.findLast((other) => other.group === group && other.receipt === null)!;
    }
    const receipt =
      this.#count > 0 && this.#isNow("gives a receipt twice") ? `r${this.#count - 1}` : `r${this.#count++}`;
    Object.assign(message, { receipt, untilAt, attempts: message.attempts + 1 });
    if (this.#isNow("loses a message")) this.#remove(message);
    return { message: message.message, receipt };
  }

  #firstReady(at: number): Message | undefined {
    const blocked = new Set<string>();
    return this.#messages.find(({ receipt, group, readyAt }) => {
      if (receipt === null && readyAt <= at && !blocked.has(group)) return true;
      if (this.#isBlocking) blocked.add(group);
      return false;
    });
  }

  #find(receipt: string): Message | undefined {
    const live = this.#messages.find((message) => message.receipt === receipt);
    if (live || !this.#acceptsStale) return live;
    const stale = this.#staleReceipts.get(receipt);
    return this.#messages.find(({ message }) => message === stale);
  }

  #show(message: Message): void {
    this.#staleReceipts.set(message.receipt!, message.message);
    message.receipt = null;
    const isOver = message.attempts >= this.#deliveriesMax && !this.#isNow("never buries");
    if (!isOver && !this.#isNow("buries too early")) return;
    this.#remove(message);
    this.dead.push(message.message);
    if (this.#isNow("buries twice")) this.dead.push(message.message);
  }

  #remove(message: Message): void {
    this.#messages = this.#messages.filter((other) => other !== message);
  }
}

interface HistoryOptions {
  calls?: number;
  isBlocking?: boolean;
  /** With delays, dedupe ids, dead letters and counts. */
  isFull?: boolean;
}

export const queueHistory = (
  random: Random,
  fault: QueueFault | null,
  options?: HistoryOptions,
): Call<QueueInput, QueueOutput>[] => queueHistoryOf(random, fault, options).history;

/** Sends and receives, with some messages kept or given back; then everything is received and acknowledged. */
export function queueHistoryOf(
  random: Random,
  fault: QueueFault | null,
  { calls = 160, isBlocking = false, isFull = false }: HistoryOptions = {},
): { history: Call<QueueInput, QueueOutput>[]; dead: readonly string[] } {
  const queue = new Queue(random, fault, { isBlocking, deliveriesMax: isFull ? DELIVERIES_MAX : Infinity });
  const sent: string[] = [];
  const [topic, visibilityMs] = ["t", VISIBILITY_MS];
  /** Receipts that were not used, or used up. */
  const stale: string[] = [];
  const mine = new Map<number, string>();
  let [sends, receives] = [0, 0];
  const history = simulate<QueueInput, QueueOutput>(random, {
    clients: 5,
    calls: calls * 2,
    lostShare: 0.02,
    next(client) {
      const isDraining = sends >= calls / 3;
      const own = mine.get(client);
      if (own !== undefined) {
        mine.delete(client);
        stale.push(own);
        if (isDraining || random.chance(0.4)) return { kind: "ack", topic, receipt: own };
        if (random.chance(0.4)) return { kind: "nack", topic, receipt: own };
        return random.chance(0.5) ? null : { kind: "extend", topic, receipt: own, visibilityMs };
      }
      if (stale.length > 0 && random.chance(0.3)) return { kind: "ack", topic, receipt: random.pick(stale) };
      if (isFull && random.chance(0.1)) return { kind: "stats", topic };
      if (isFull && sent.length > 0 && random.chance(0.1)) return { kind: "resend", topic, message: random.pick(sent) };
      if (!isDraining && random.chance(0.6)) {
        const message = `m${sends++}`;
        if (isFull && random.chance(0.3)) return { kind: "send", topic, message, group: message, delayMs: DELAY_MS };
        return { kind: "send", topic, message, group: random.pick(["g", "h"]) };
      }
      return { kind: "receive", topic, name: `n${receives++}`, visibilityMs };
    },
    apply: (input, at) => queue.apply(input, at),
    answered(client, input, output) {
      if (input.kind === "send") sent.push(input.message);
      if (input.kind !== "receive" || !("delivery" in output) || output.delivery === null) return;
      mine.set(client, output.delivery.receipt);
    },
  });
  drain(history, () => ({ kind: "receive", topic, name: `n${receives++}`, visibilityMs }), queue);
  return { history, dead: queue.dead };
}

/** When every delivery has timed out, what is left is received and acknowledged, one after the other. */
function drain(history: Call<QueueInput, QueueOutput>[], receiving: () => QueueInput, queue: Queue): void {
  let at = Math.max(...history.map(({ calledAt, returnedAt }) => (returnedAt === Infinity ? calledAt : returnedAt)));
  at += 2 * Math.max(VISIBILITY_MS, DELAY_MS);
  const make = (input: QueueInput): QueueOutput => {
    const [calledAt, appliedAt, returnedAt] = [(at += 1), (at += 1), (at += 1)];
    const output = queue.apply(input, appliedAt);
    history.push({ client: 0, id: history.length, input, calledAt, returnedAt, outcome: "ok", output });
    return output;
  };
  // A faulty queue may have no end.
  for (let left = history.length; left > 0; left--) {
    const output = make(receiving());
    if (!("delivery" in output) || output.delivery === null) return;
    make({ kind: "ack", topic: "t", receipt: output.delivery.receipt });
  }
}
