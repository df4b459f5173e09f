/**
 * A queue over HTTP and the stream: messages with and without a group, some delayed, some sent twice, some kept until they time
 * out, some given back; what comes back once too often is with the dead letters.
 */
import type { QueueInput, QueueOutput, QueueStats } from "../models/queue.ts";
import type { Random } from "../random.ts";
import { API, type Caller, type Ordeal } from "./ordeal.ts";
import { RecordedWorkload } from "./workload.ts";

const VISIBILITY_MS = 2000;
const DELAY_MS = 1000;
const DEAD_LETTERS = "model-dead";
export const DELIVERIES_MAX = 2;
const GROUPS = ["red", "green", "blue"];

export class QueueWorkload extends RecordedWorkload<QueueInput, QueueOutput> {
  readonly clients = 6;
  readonly #caller: Caller;
  readonly #topic = "model";
  readonly #mine = new Map<number, string>();
  readonly #stale: string[] = [];
  readonly #sent: string[] = [];
  /** The dead letters, when all is over. */
  readonly dead: string[] = [];
  #count = 0;

  constructor(ordeal: Ordeal, caller: Caller) {
    super("queue", ordeal);
    this.#caller = caller;
  }

  /** An answer that comes when its delivery is long over would hide which came first. */
  protected override isRepeatable({ kind }: QueueInput): boolean {
    return kind !== "receive";
  }

  async configure(): Promise<void> {
    const body = { maxDeliveries: DELIVERIES_MAX, deadLetter: DEAD_LETTERS, dedupeWindow: 3600 };
    await this.ordeal.call(`${API}/queues/${this.#topic}`, { method: "PATCH", body });
  }

  async step(client: number, random: Random): Promise<void> {
    if (random.chance(0.05)) return this.#stats(client);
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
    const topic = this.#topic;
    if (this.#sent.length > 0 && random.chance(0.15)) {
      const message = random.pick(this.#sent);
      await this.record(client, { kind: "resend", topic, message }, async (headers) => {
        const { json } = await this.#post("send", { messages: [{ body: message, dedupeId: message }] }, headers);
        return { done: json.messages[0].duplicate === true };
      });
      return;
    }
    const message = `m${this.#count++}`;
    const group = random.chance(0.6) ? random.pick(GROUPS) : null;
    const delayMs = group === null && random.chance(0.3) ? DELAY_MS : 0;
    // Without a group nothing is promised of the order: it is one of its own.
    const input = { kind: "send", topic, message, group: group ?? message, delayMs } as const;
    const output = await this.record(client, input, async (headers) => {
      const sent = { body: message, dedupeId: message, delay: delayMs / 1000, ...(group !== null && { group }) };
      await this.#post("send", { messages: [sent] }, headers);
      return { sent: true };
    });
    if (output) this.#sent.push(message);
  }

  async #stats(client: number): Promise<void> {
    const topic = this.#topic;
    await this.record(client, { kind: "stats", topic }, async () => {
      const { json } = await this.#caller.call(`${API}/queues/${topic}`, {});
      return { stats: json as QueueStats };
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
      const { json } = await this.#post("receive", { visibility: VISIBILITY_MS / 1000, wait }, headers);
      const [message] = json.messages as { body: string; receipt: string }[];
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
      else if ((await this.#caller.call(`${API}/queues/${this.#topic}`, {})).json.waiting === 0) break;
      this.#mine.clear();
    }
    // They keep their groups: each batch has to be done with before the next.
    const dead = `${API}/queues/${DEAD_LETTERS}`;
    for (let isAll = false; !isAll;) {
      const { status, json } = await this.ordeal.call(`${dead}/receive`, { method: "POST", body: { max: 100 } }, [404]);
      const messages = status === 404 ? [] : (json.messages as { body: string; receipt: string }[]);
      this.dead.push(...messages.map(({ body }) => body));
      isAll = messages.length === 0;
      const receipts = messages.map(({ receipt }) => receipt);
      if (!isAll) await this.ordeal.call(`${dead}/ack`, { method: "POST", body: { receipts } });
    }
  }

  #post(verb: string, body: object, headers: Record<string, string>, expected: readonly number[] = []) {
    return this.#caller.call(`${API}/queues/${this.#topic}/${verb}`, { method: "POST", body, headers }, expected);
  }
}
