/**
 * Queues against a naive model that keeps every message in a list: any sequence of batches, lapses, delays and crashes must
 * look the same on both. Rules Q1 to Q9.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { text, utf8 } from "../../../objects/bytes.ts";
import type { Call } from "../../../objects/commands.ts";
import type { Delivery } from "../../../objects/queues/receive.ts";
import { World } from "../fixture.ts";
import { CALLER } from "../store/memory.ts";

const TOPIC = "work";
const DEAD = "dead";
const SETTINGS = { maxDeliveries: 3, deadLetter: DEAD, dedupeMs: 5000, inFlightMax: 6 };

interface Message {
  id: string;
  body: string;
  priority: number;
  group: string | null;
  readyAt: number;
  attempts: number;
  /** Null: nobody has it. */
  held: { receipt: string; untilAt: number } | null;
}

interface NewMessage {
  priority: number;
  delayMs: number;
  dedupeId: string | null;
  group: string | null;
}

type Command =
  | { do: "send"; messages: NewMessage[] }
  | { do: "receive"; max: number; visibilityMs: number }
  /** Which of all receipts ever given, counted from the newest. */
  | { do: "ack"; receipts: number[] }
  | { do: "nack"; receipts: number[]; delayMs: number }
  | { do: "extend"; receipts: number[]; visibilityMs: number }
  | { do: "purge" };

type Step = { type: "batch"; commands: Command[] } | { type: "pass" | "crash"; ms: number };

class Model {
  now = 0;
  /** In the order of sending. */
  messages: Message[] = [];
  readonly dead: Message[] = [];
  readonly dedupe = new Map<string, { id: string; at: number }>();
  readonly counts = { sent: 0, acked: 0, dead: 0, purged: 0, expired: 0 };

  send(wanted: NewMessage[], ids: string[], bodies: string[]): { id: string; duplicate: boolean }[] {
    return wanted.map(({ priority, delayMs, dedupeId, group }, index) => {
      const earlier = dedupeId === null ? undefined : this.dedupe.get(dedupeId);
      if (earlier && earlier.at + SETTINGS.dedupeMs > this.now) return { id: earlier.id, duplicate: true };
      const id = ids[index]!;
      if (dedupeId !== null) this.dedupe.set(dedupeId, { id, at: this.now });
      const body = bodies[index]!;
      this.messages.push({ id, body, priority, group, readyAt: this.now + delayMs, attempts: 0, held: null });
      this.counts.sent++;
      return { id, duplicate: false };
    });
  }

  /** What has to be handed out, in order. */
  receive(max: number, visibilityMs: number, revision: number): Message[] {
    const inFlight = this.messages.filter(({ held }) => held !== null).length;
    const found = this.messages
      .filter((message) => message.held === null && message.readyAt <= this.now && this.isFirst(message))
      .toSorted((a, b) => b.priority - a.priority)
      .slice(0, Math.max(0, Math.min(max, SETTINGS.inFlightMax - inFlight)));
    found.forEach((message, index) => {
      message.attempts++;
      message.held = { receipt: `${revision}-${index}`, untilAt: this.now + visibilityMs };
    });
    return found;
  }

  /** Those of which a receipt counts. */
  settle(receipts: string[], act: (message: Message) => void): { settled: number; fenced: string[] } {
    const fenced: string[] = [];
    let settled = 0;
    for (const receipt of new Set(receipts)) {
      const message = this.messages.find(({ held }) => held?.receipt === receipt);
      if (message) {
        act(message);
        settled++;
      } else fenced.push(receipt);
    }
    return { settled, fenced };
  }

  ack(message: Message): void {
    this.#remove(message);
    this.counts.acked++;
  }

  giveBack(message: Message, readyAt: number): void {
    message.held = null;
    message.readyAt = readyAt;
    if (message.attempts < SETTINGS.maxDeliveries) return;
    this.#remove(message);
    this.dead.push(message);
    this.counts.dead++;
  }

  purge(): number {
    const purged = this.messages.length;
    this.messages = [];
    this.counts.purged += purged;
    return purged;
  }

  lapse(): void {
    const lapsed = this.messages.filter(({ held }) => held !== null && held.untilAt <= this.now);
    for (const message of lapsed) this.giveBack(message, this.now);
  }

  isFirst(message: Message): boolean {
    return message.group === null || this.messages.find(({ group }) => group === message.group) === message;
  }

  get stats() {
    const waiting = this.messages.filter(({ held }) => held === null);
    const first = waiting.filter((message) => this.isFirst(message));
    const delayed = first.filter(({ readyAt }) => readyAt > this.now).length;
    return {
      ...this.counts,
      waiting: this.messages.length,
      inFlight: this.messages.length - waiting.length,
      blocked: waiting.length - first.length,
      delayed,
      ready: first.length - delayed,
    };
  }

  #remove(message: Message): void {
    this.messages.splice(this.messages.indexOf(message), 1);
  }
}

const newMessage: fc.Arbitrary<NewMessage> = fc.record({
  priority: fc.constantFrom(4, 4, 4, 0, 9),
  delayMs: fc.constantFrom(0, 0, 0, 1, 2000),
  dedupeId: fc.constantFrom(null, null, null, "a", "b"),
  group: fc.constantFrom(null, null, "g", "h"),
});
const visibilityMs = fc.constantFrom(1000, 2000, 5000);
const receipts = fc.array(fc.nat(12), { minLength: 1, maxLength: 4 });
const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("send" as const),
      messages: fc.array(newMessage, { minLength: 1, maxLength: 4 }),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({ do: fc.constant("receive" as const), max: fc.integer({ min: 1, max: 4 }), visibilityMs }),
  },
  { weight: 5, arbitrary: fc.record({ do: fc.constant("ack" as const), receipts }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant("nack" as const), receipts, delayMs: fc.constantFrom(0, 0, 1000) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("extend" as const), receipts, visibilityMs }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("purge" as const) }) },
);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      type: fc.constant("batch" as const),
      commands: fc.array(command, { minLength: 1, maxLength: 3 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ type: fc.constant("pass" as const), ms: fc.constantFrom(0, 1, 999, 1000, 3000) }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("crash" as const), ms: fc.constantFrom(0, 1000, 6000) }) },
);

class Run {
  readonly world = new World();
  readonly model = new Model();
  readonly #receipts: string[] = [];
  #bodies = 0;

  constructor() {
    this.world.run("queue.configure", { topic: TOPIC, settings: SETTINGS });
    this.model.now = this.world.now;
  }

  take(taken: Step): void {
    if (taken.type === "batch") this.#batch(taken.commands);
    else if (taken.type === "pass") this.world.pass(taken.ms);
    else this.world.crash(taken.ms);
    this.model.now = this.world.now;
    this.model.lapse();
    this.check();
  }

  /** Commands that are run together are one after the other all the same. */
  #batch(commands: Command[]): void {
    this.model.now = this.world.now;
    this.model.lapse();
    const calls = commands.map((one): Call => ({ caller: CALLER, ...this.#callOf(one) }) as Call);
    const results = this.world.core.execute(calls, this.world.now);
    commands.forEach((one, at) => {
      const result = results[at]!;
      const value = result.ok ? result.value : null;
      const input = calls[at]!.input as { receipts: string[]; messages: { payload: Uint8Array }[] };
      const settled = (act: (message: Message) => void): void => {
        const wanted = this.model.settle(input.receipts, act);
        if (wanted.settled === 0) expect(result).toMatchObject({ ok: false, error: { code: "fenced" } });
        else {
          const { settled: count, fenced } = value as { settled: number; fenced: string[] };
          expect({ settled: count, fenced: fenced.toSorted() }).toEqual({
            ...wanted,
            fenced: wanted.fenced.toSorted(),
          });
        }
      };
      switch (one.do) {
        case "send": {
          const sent = value as { id: string; duplicate: boolean }[];
          const bodies = input.messages.map(({ payload }) => text(payload));
          expect(sent).toEqual(
            this.model.send(
              one.messages,
              sent.map(({ id }) => id),
              bodies,
            ),
          );
          return;
        }
        case "receive": {
          const { messages } = value as { messages: Delivery[] };
          const revision = Number(messages[0]?.receipt.split("-")[0] ?? 0);
          const wanted = this.model.receive(one.max, one.visibilityMs, revision);
          expect(messages.map(shown)).toEqual(wanted.map(shownOf));
          this.#receipts.unshift(...messages.map(({ receipt }) => receipt));
          return;
        }
        case "ack":
          return settled((message) => this.model.ack(message));
        case "nack":
          return settled((message) => this.model.giveBack(message, this.model.now + one.delayMs));
        case "extend":
          return settled((message) => (message.held!.untilAt = this.model.now + one.visibilityMs));
        case "purge":
          expect(value).toEqual({ purged: this.model.purge() });
      }
    });
  }

  #callOf(one: Command): Pick<Call, "command" | "input"> {
    const topic = TOPIC;
    const given = "receipts" in one ? one.receipts.map((at) => this.#receipts[at] ?? "1-0") : [];
    switch (one.do) {
      case "send": {
        const messages = one.messages.map(({ priority, delayMs, dedupeId, group }) => ({
          payload: utf8(`m${++this.#bodies}`),
          priority,
          delayMs,
          ...(dedupeId !== null && { dedupeId }),
          ...(group !== null && { group }),
        }));
        return { command: "queue.send", input: { topic, messages } };
      }
      case "receive":
        return { command: "queue.receive", input: { topic, max: one.max, visibilityMs: one.visibilityMs } };
      case "ack":
        return { command: "queue.ack", input: { topic, receipts: given } };
      case "nack":
        return { command: "queue.nack", input: { topic, receipts: given, delayMs: one.delayMs } };
      case "extend":
        return { command: "queue.extend", input: { topic, receipts: given, visibilityMs: one.visibilityMs } };
      case "purge":
        return { command: "queue.purge", input: { topic } };
    }
  }

  /** Q9: every message that was ever sent is somewhere, and counted there. */
  check(): void {
    const {
      settings: _settings,
      topic: _topic,
      ...stats
    } = this.world.core.query("queue.stats", { topic: TOPIC }, this.world.now);
    expect(stats).toEqual(this.model.stats);
    const { sent, acked, dead, expired, purged, ready, delayed, blocked, inFlight } = stats;
    expect(sent).toBe(acked + dead + expired + purged + ready + delayed + blocked + inFlight);
  }

  /** Whatever is left can be received, in order, and nothing is left of it afterwards. */
  drain(): void {
    this.world.pass(10_000);
    this.model.now = this.world.now;
    this.model.lapse();
    for (let at = 0; this.model.messages.length > 0; at++) {
      expect(at).toBeLessThan(1000);
      this.#batch([{ do: "receive", max: 4, visibilityMs: 1000 }]);
      this.#batch([{ do: "ack", receipts: [0, 1, 2, 3] }]);
      this.check();
    }
    const found: Delivery[] = [];
    for (;;) {
      const { messages } = this.world.run("queue.receive", { topic: DEAD, max: 10 });
      if (messages.length === 0) break;
      found.push(...messages);
      this.world.run("queue.ack", { topic: DEAD, receipts: messages.map(({ receipt }) => receipt) });
    }
    expect(found.map(({ id }) => id).toSorted()).toEqual(this.model.dead.map(({ id }) => id).toSorted());
    for (const { origin } of found) expect(origin).toMatchObject({ topic: TOPIC, deliveries: 3 });
    this.world.pass(20_000);
    expect(this.world.database.all("SELECT DISTINCT space FROM records WHERE space LIKE 'queue%'")).toEqual([
      ["queue"],
    ]);
    expect(this.world.database.all("SELECT count(*) FROM history")).toEqual([[0]]);
  }
}

const shown = ({ id, payload, priority, group, attempts, receipt, untilAt }: Delivery) => ({
  id,
  body: text(payload),
  priority,
  group: group ?? null,
  attempts,
  receipt,
  untilAt,
});

const shownOf = ({ id, body, priority, group, attempts, held }: Message) => ({
  id,
  body,
  priority,
  group,
  attempts,
  ...held,
});

test("any history looks as in the model", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const run = new Run();
      for (const one of steps) run.take(one);
      run.drain();
    }),
    { numRuns: 300 },
  );
}, 60_000);
