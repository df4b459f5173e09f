/** A queue over HTTP and the stream: messages with and without a group, some kept until they time out, some given back. */
import type { QueueInput, QueueOutput } from "../models/queue.ts";
import type { Random } from "../random.ts";
import { API, type Caller, type Ordeal } from "./ordeal.ts";
import { RecordedWorkload } from "./workload.ts";

const VISIBILITY_MS = 2000;
const GROUPS = ["red", "green", "blue"];

export class QueueWorkload extends RecordedWorkload<QueueInput, QueueOutput> {
  readonly clients = 6;
  readonly #caller: Caller;
  readonly #topic = "model";
  readonly #mine = new Map<number, string>();
  readonly #stale: string[] = [];
  #count = 0;

  constructor(ordeal: Ordeal, caller: Caller) {
    super("queue", ordeal);
    this.#caller = caller;
  }

  async step(client: number, random: Random): Promise<void> {
    const own = this.#mine.get(client);
    if (own === undefined) {
      if (this.#stale.length > 0 && random.chance(0.1)) return this.#settle(client, "ack", random.pick(this.#stale));
      if (random.chance(0.5)) await this.#send(client, random);
      else await this.#receive(client, 0);
      return;
    }
    if (random.chance(0.1)) return this.#settle(client, "extend", own);
    this.#mine.delete(client);
    this.#stale.push(own);
    if (random.chance(0.05)) return;
    await this.#settle(client, random.chance(0.15) ? "nack" : "ack", own);
  }

  async #send(client: number, random: Random): Promise<void> {
    const message = `m${this.#count++}`;
    const inGroup = random.chance(0.6) ? random.pick(GROUPS) : null;
    // Without a group nothing is promised of the order: it is one of its own.
    const input = { kind: "send", topic: this.#topic, message, group: inGroup ?? message } as const;
    await this.record(client, input, async (headers) => {
      await this.#post("send", { messages: [{ body: message, ...(inGroup !== null && { group: inGroup }) }] }, headers);
      return { sent: true };
    });
  }

  async #receive(client: number, wait: number): Promise<boolean> {
    const input = {
      kind: "receive",
      topic: this.#topic,
      name: `n${this.#count++}`,
      visibilityMs: VISIBILITY_MS,
    } as const;
    const output = await this.record(client, input, async (headers) => {
      const { status, json } = await this.#post("receive", { visibility: VISIBILITY_MS / 1000, wait }, headers, [404]);
      // A topic is there once something has been sent to it.
      const [message] = status === 404 ? [] : (json.messages as { body: string; receipt: string }[]);
      return { delivery: message ? { message: message.body, receipt: message.receipt } : null };
    });
    if (!output || !("delivery" in output) || output.delivery === null) return false;
    this.#mine.set(client, output.delivery.receipt);
    return true;
  }

  async #settle(client: number, kind: "ack" | "nack" | "extend", receipt: string): Promise<void> {
    const topic = this.#topic;
    const isLonger = kind === "extend";
    const input: QueueInput = isLonger
      ? { kind, topic, receipt, visibilityMs: VISIBILITY_MS }
      : { kind, topic, receipt };
    await this.record(client, input, async (headers) => {
      const body = { receipts: [receipt], ...(isLonger && { visibility: VISIBILITY_MS / 1000 }) };
      const { status, json } = await this.#post(kind, body, headers, [409]);
      return { done: status !== 409 && json.settled === 1 };
    });
  }

  /** What was kept times out, and everything is received and acknowledged. */
  override async finish(): Promise<void> {
    for (const [client, receipt] of this.#mine) await this.#settle(client, "ack", receipt);
    this.#mine.clear();
    for (;;) {
      if (await this.#receive(0, 1)) await this.#settle(0, "ack", this.#mine.get(0)!);
      else if ((await this.#caller.call(`${API}/queues/${this.#topic}`, {})).json.waiting === 0) return;
      this.#mine.clear();
    }
  }

  #post(verb: string, body: object, headers: Record<string, string>, expected: readonly number[] = []) {
    return this.#caller.call(`${API}/queues/${this.#topic}/${verb}`, { method: "POST", body, headers }, expected);
  }
}
