/** Messages sent by some and done with by others, in peace and while the server is killed (`kill -9`) and started again. */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Row } from "../measure.ts";
import type { BenchOptions } from "../scenarios.ts";
import { Holdfast } from "../servers.ts";
import { Broken, Stream } from "../stream.ts";

const NAMESPACE = "queues";
const TOPIC = { topic: "work" };
const PRODUCERS = 8;
const CONSUMERS = 8;
const BATCH = 100;
/** Longer than a start takes: what was out when the server was killed is still hidden when it is back. */
const VISIBILITY_S = 5;
const KILLS = 2;

/** Messages that were sent and done with, until none is left. */
export async function queue({ seconds }: BenchOptions): Promise<Row[]> {
  const { sent, lost, early, again, tookS } = await work(3 * seconds, 0);
  const value = Math.round(sent / tookS);
  return [
    {
      name: "queue",
      value,
      unit: "1/s",
      yardstick: `${sent} sent and acked in batches of ${BATCH}; ${lost} lost, ${early + again} duplicated`,
      ratio: null,
      goal: ">= 5000",
      pass: value >= 5000 && lost + early + again === 0,
    },
  ];
}

/** Nothing acknowledged is lost; what comes again had been out for its time, and nobody had acknowledged it. */
export async function queueKill({ seconds }: BenchOptions): Promise<Row[]> {
  const { sent, lost, early, again, downS } = await work(3 * seconds, KILLS);
  return [
    {
      name: "queue-kill",
      value: lost + early,
      unit: "wrong",
      yardstick: `${sent} sent and acked, killed ${KILLS} times, down ${downS.toFixed(1)} s; ${lost} lost, ${early} duplicated early, ${again} after their ${VISIBILITY_S} s`,
      ratio: null,
      goal: "= 0",
      pass: lost + early === 0,
    },
  ];
}

interface Report extends Counts {
  /** Until the last of them was acknowledged. */
  tookS: number;
  downS: number;
}

async function work(seconds: number, kills: number): Promise<Report> {
  await using holdfast = await Holdfast.start();
  using clients = new DisposableStack();
  const ledger = new Ledger();
  let up: Promise<void> = Promise.resolve();
  let downMs = 0;
  let ackedAt = 0;
  let isTime = true;
  let isAllSent = false;
  const beganAt = performance.now();

  const produce = async (client: Client): Promise<void> => {
    while (isTime) {
      const messages = Array.from({ length: BATCH }, () => ({ body: randomUUID() }));
      // Under one key it is sent once, however often it is tried.
      const key = randomUUID();
      while ((await client.call("sendMessages", { messages }, key)) === null);
      for (const { body } of messages) ledger.sent(body);
    }
  };
  const consume = async (client: Client): Promise<void> => {
    for (;;) {
      const askedAt = performance.now();
      const wanted = { max: BATCH, wait: 0.2, visibility: VISIBILITY_S };
      const received = await client.call<{ messages: Message[] }>("receiveMessages", wanted);
      const messages = received?.messages ?? [];
      if (messages.length === 0) {
        if (isAllSent && (await client.call<{ waiting: number }>("getQueue"))?.waiting === 0) return;
        continue;
      }
      for (const { body } of messages) ledger.delivered(body, askedAt, performance.now());
      const receipts = messages.map(({ receipt }) => receipt);
      const answer = await client.call<{ fenced: string[] }>("ackMessages", { receipts });
      ackedAt = performance.now();
      const fenced = new Set(answer?.fenced);
      for (const { body, receipt } of messages) {
        if (answer === null) ledger.perhapsAcked(body);
        else if (!fenced.has(receipt)) ledger.acked(body, ackedAt);
      }
    }
  };
  const restart = async (): Promise<void> => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const killedAt = performance.now();
    up = promise;
    await holdfast.kill();
    await holdfast.boot();
    resolve();
    downMs += performance.now() - killedAt;
  };
  const lives = async (): Promise<void> => {
    const lifeMs = (seconds * 1000) / (kills + 1);
    await sleep(lifeMs);
    for (let kill = 0; kill < kills; kill++) {
      await restart();
      await sleep(lifeMs);
    }
    isTime = false;
  };
  const all = (count: number, act: (client: Client) => Promise<void>): Promise<unknown> =>
    Promise.all(Array.from({ length: count }, () => act(clients.use(new Client(holdfast, () => up)))));
  await Promise.all([lives(), all(PRODUCERS, produce).then(() => (isAllSent = true)), all(CONSUMERS, consume)]);
  return { ...ledger.counts(), tookS: (ackedAt - beganAt) / 1000, downS: downMs / 1000 };
}

interface Message {
  body: string;
  receipt: string;
}

/** One call at a time, over a stream that is opened again when it broke. */
class Client implements Disposable {
  readonly #holdfast: Holdfast;
  /** Resolves while the server is up. */
  readonly #up: () => Promise<void>;
  #stream: Stream | null = null;

  constructor(holdfast: Holdfast, up: () => Promise<void>) {
    this.#holdfast = holdfast;
    this.#up = up;
  }

  /** Null: it broke, and nobody knows what became of the call. */
  async call<T>(op: string, body?: unknown, idempotencyKey?: string): Promise<T | null> {
    try {
      this.#stream ??= await Stream.open(this.#holdfast, NAMESPACE);
      return await this.#stream.call<T>(op, TOPIC, body, idempotencyKey);
    } catch (error) {
      if (!(error instanceof Broken)) throw error;
      this.#stream = null;
      await this.#up();
      return null;
    }
  }

  [Symbol.dispose](): void {
    this.#stream?.[Symbol.dispose]();
  }
}

interface Counts {
  sent: number;
  /** Sent, and neither acknowledged, nor perhaps, though nothing is left. */
  lost: number;
  /** Delivered again while certainly out or after its acknowledgement, or never sent. */
  early: number;
  /** Delivered again when it was due. */
  again: number;
}

/** What became of each message, as far as its clients can know. */
class Ledger {
  readonly #messages = new Map<string, { isSent: boolean; hiddenUntil: number; ackedAt: number; isGone: boolean }>();
  #early = 0;
  #again = 0;

  sent(body: string): void {
    this.#of(body).isSent = true;
  }

  delivered(body: string, askedAt: number, toldAt: number): void {
    const message = this.#of(body);
    if (toldAt < message.hiddenUntil || askedAt > message.ackedAt) this.#early++;
    else if (message.hiddenUntil > 0) this.#again++;
    message.hiddenUntil = askedAt + VISIBILITY_S * 1000;
  }

  acked(body: string, at: number): void {
    Object.assign(this.#of(body), { ackedAt: at, isGone: true });
  }

  perhapsAcked(body: string): void {
    this.#of(body).isGone = true;
  }

  counts(): Counts {
    const all = [...this.#messages.values()];
    const sent = all.filter(({ isSent }) => isSent);
    const lost = sent.filter(({ isGone }) => !isGone).length;
    return { sent: sent.length, lost, early: this.#early + all.length - sent.length, again: this.#again };
  }

  #of(body: string) {
    const known = this.#messages.get(body);
    if (known) return known;
    const made = { isSent: false, hiddenUntil: 0, ackedAt: Infinity, isGone: false };
    this.#messages.set(body, made);
    return made;
  }
}
