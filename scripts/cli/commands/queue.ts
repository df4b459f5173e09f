/** `holdfast queue`: messages sent, received, acked, given back; topics and what is in them. */
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import type { Command } from "commander";
import type { HoldfastClient, MessageInput, MessageOutput, SettledOutput, TopicOutput } from "../client.ts";
import { addConnectionOptions, connect, type ConnectionOptions } from "../connection.ts";
import { seconds } from "../duration.ts";
import { CommandError, EXIT, usage } from "../exit.ts";
import type { CommandContext } from "../main.ts";
import { json, print, table } from "../output.ts";
import { collect, pairs, wholeNumber } from "./values.ts";

/** Of one request: as many as it takes, and not more bytes than a body may have. */
const BATCH_MAX = 256;
const BATCH_CHARS_MAX = 1024 * 1024;
const PREVIEW_CHARS = 60;
/** Besides the wait itself. */
const ANSWER_MS = 10_000;

interface SendOptions extends ConnectionOptions {
  file?: string;
  lines?: true;
  header: string[];
  priority?: string;
  delay?: string;
  dedupe?: string;
  group?: string;
}

interface ReceiveOptions extends ConnectionOptions {
  max: string;
  wait?: string;
  visibility?: string;
  ack?: true;
}

interface SetOptions extends ConnectionOptions {
  visibility?: string;
  maxDeliveries?: string;
  deadLetter?: string;
  retention?: string;
  dedupeWindow?: string;
}

export function addQueueCommands(program: Command, context: CommandContext): void {
  const queue = program.command("queue").description("durable queues: messages and topics").helpCommand(false);
  const client = (options: ConnectionOptions) => connect(options, context.env, context.checkout);

  const send = queue
    .command("send <topic> [body...]")
    .description("send messages, each argument one")
    .option("--file <path>", "one message, read from a file")
    .option("--lines", "each line of stdin is a message")
    .option("--header <name=value>", "of each message", collect, [])
    .option("--priority <n>", "0 to 9, higher first (default: 4)")
    .option("--delay <duration>", "not to be delivered before")
    .option("--dedupe <id>", "sent again within the topic's window, it is the same message; of a single message")
    .option("--group <name>", "delivered one by one, in the order of sending");
  addConnectionOptions(send).action(async (topic: string, bodies: string[], options: SendOptions) => {
    const ids: string[] = [];
    for await (const messages of batchesOf(bodies, options)) {
      const { value } = await client(options).queue<{ messages: { id: string }[] }>(topic, "send", { messages });
      ids.push(...value.messages.map(({ id }) => id));
    }
    await print(options.json ? json({ ids }) : ids.map((id) => `${id}\n`).join(""));
  });

  const receive = queue
    .command("receive <topic>")
    .description("receive messages")
    .option("--max <n>", "at most so many", "1")
    .option("--wait <duration>", "for the first one, up to 60s")
    .option("--visibility <duration>", "how long nobody else receives them (default: the topic's)")
    .option("--ack", "print the bodies, and ack them when they have been written");
  addConnectionOptions(receive).action(async (topic: string, options: ReceiveOptions) => {
    const wait = options.wait === undefined ? 0 : seconds(options.wait, "--wait");
    const body = {
      max: wholeNumber(options.max, "--max"),
      wait,
      visibility: duration(options.visibility, "--visibility"),
    };
    const api = client(options);
    const timing = { timeoutMs: wait * 1000 + ANSWER_MS };
    const { value } = await api.queue<{ messages: MessageOutput[] }>(topic, "receive", body, timing);
    await print(received(value.messages, options));
    if (options.ack && value.messages.length > 0) {
      const receipts = value.messages.map(({ receipt }) => receipt);
      await settle(api, topic, "ack", { receipts }, { isQuiet: true });
    }
  });

  const ack = queue.command("ack <topic> <receipt...>").description("messages are done with");
  addConnectionOptions(ack).action((topic: string, receipts: string[], options: ConnectionOptions) =>
    settle(client(options), topic, "ack", { receipts }, options),
  );

  const nack = queue
    .command("nack <topic> <receipt...>")
    .description("give messages back, to be delivered again")
    .option("--delay <duration>", "not before");
  addConnectionOptions(nack).action(
    (topic: string, receipts: string[], options: ConnectionOptions & { delay?: string }) =>
      settle(client(options), topic, "nack", { receipts, delay: duration(options.delay, "--delay") }, options),
  );

  const extend = queue
    .command("extend <topic> <receipt...>")
    .description("keep messages invisible to others for longer")
    .requiredOption("--visibility <duration>", "from now");
  addConnectionOptions(extend).action(
    (topic: string, receipts: string[], options: ConnectionOptions & { visibility: string }) =>
      settle(
        client(options),
        topic,
        "extend",
        { receipts, visibility: seconds(options.visibility, "--visibility") },
        options,
      ),
  );

  const stats = queue.command("stats [topic]").description("what is in a topic, or in all of them");
  addConnectionOptions(stats).action(async (topic: string | undefined, options: ConnectionOptions) => {
    const topics: TopicOutput[] = [];
    if (topic !== undefined) topics.push((await client(options).topic(topic)).value);
    else for await (const one of client(options).topics()) topics.push(one);
    await print(options.json ? json(topic === undefined ? { topics } : topics[0]) : listing(topics));
  });

  const set = queue
    .command("set <topic>")
    .description("change what is set for a topic, or make it")
    .option("--visibility <duration>", "how long a received message stays invisible to others")
    .option("--max-deliveries <n>", "then it is a dead letter; with --dead-letter")
    .option("--dead-letter <topic>", "where dead letters go")
    .option("--retention <duration>", "what waits for longer is dropped")
    .option("--dedupe-window <duration>", "how long a dedupe id is remembered");
  addConnectionOptions(set).action(async (topic: string, options: SetOptions) => {
    const { maxDeliveries } = options;
    const { value } = await client(options).setTopic(topic, {
      visibility: duration(options.visibility, "--visibility"),
      maxDeliveries: maxDeliveries === undefined ? undefined : wholeNumber(maxDeliveries, "--max-deliveries"),
      deadLetter: options.deadLetter,
      retention: duration(options.retention, "--retention"),
      dedupeWindow: duration(options.dedupeWindow, "--dedupe-window"),
    });
    await print(options.json ? json(value.settings) : settingsText(value.settings));
  });

  const purge = queue.command("purge <topic>").description("drop all messages of a topic, those in flight too");
  addConnectionOptions(purge).action(async (topic: string, options: ConnectionOptions) => {
    const { value } = await client(options).queue<{ purged: number }>(topic, "purge", {});
    await print(options.json ? json(value) : `purged ${value.purged}\n`);
  });

  const remove = queue.command("delete <topic>").description("delete a topic with all that is in it");
  addConnectionOptions(remove).action(async (topic: string, options: ConnectionOptions) => {
    const { value } = await client(options).deleteTopic(topic);
    await print(options.json ? json(value) : `purged ${value.purged}\n`);
  });
}

const duration = (text: string | undefined, option: string): number | undefined =>
  text === undefined ? undefined : seconds(text, option);

async function* batchesOf(bodies: readonly string[], options: SendOptions): AsyncGenerator<MessageInput[]> {
  const sources = [bodies.length > 0, options.file !== undefined, options.lines === true];
  if (sources.filter(Boolean).length !== 1) throw usage("queue send takes bodies, --file or --lines");
  if (options.dedupe !== undefined && (bodies.length > 1 || options.lines))
    throw usage("--dedupe is for a single message");
  const common: Omit<MessageInput, "body" | "bodyBase64"> = {
    ...(options.header.length > 0 && { headers: pairs(options.header, "--header") }),
    priority: options.priority === undefined ? undefined : wholeNumber(options.priority, "--priority"),
    delay: duration(options.delay, "--delay"),
    dedupeId: options.dedupe,
    group: options.group,
  };
  if (options.file !== undefined) {
    yield [{ ...common, bodyBase64: (await readFile(options.file)).toString("base64") }];
    return;
  }
  let batch: MessageInput[] = [];
  let chars = 0;
  for await (const body of options.lines ? createInterface({ input: process.stdin }) : bodies) {
    if (batch.length >= BATCH_MAX || (batch.length > 0 && chars + body.length > BATCH_CHARS_MAX)) {
      yield batch;
      batch = [];
      chars = 0;
    }
    batch.push({ ...common, body });
    chars += body.length;
  }
  if (batch.length > 0) yield batch;
}

/** Says which receipts were stale: nothing was done about their messages. */
async function settle(
  client: HoldfastClient,
  topic: string,
  verb: "ack" | "nack" | "extend",
  body: { receipts: string[]; delay?: number | undefined; visibility?: number | undefined },
  { json: isJson = false, isQuiet = false }: { json?: boolean; isQuiet?: boolean },
): Promise<void> {
  const { value } = await client.queue<SettledOutput>(topic, verb, body);
  if (isJson) await print(json(value));
  else if (!isQuiet) await print(`${verb} ${value.settled}\n`);
  if (value.fenced.length > 0) throw new CommandError(`stale: ${value.fenced.join(" ")}`, EXIT.conflict);
}

function received(messages: readonly MessageOutput[], options: ReceiveOptions): string | Uint8Array {
  if (options.json) return json({ messages });
  if (options.ack) return Buffer.concat(messages.flatMap((message) => [bytesOf(message), Buffer.from("\n")]));
  const rows = messages.map((message) => {
    const text = bytesOf(message).toString("utf8");
    const preview = text.length > PREVIEW_CHARS ? `${text.slice(0, PREVIEW_CHARS)}…` : text;
    return [message.receipt, String(message.attempts), message.sentAt, preview];
  });
  return table(["RECEIPT", "ATTEMPTS", "SENT", "BODY"], rows);
}

const bytesOf = ({ body, bodyBase64 = "" }: MessageOutput): Buffer =>
  body === undefined ? Buffer.from(bodyBase64, "base64") : Buffer.from(body, "utf8");

function listing(topics: readonly TopicOutput[]): string {
  const columns = ["ready", "inFlight", "delayed", "blocked", "sent", "acked", "dead"] as const;
  const header = ["TOPIC", "READY", "IN FLIGHT", "DELAYED", "BLOCKED", "SENT", "ACKED", "DEAD"];
  return table(
    header,
    topics.map((topic) => [topic.topic, ...columns.map((column) => String(topic[column]))]),
  );
}

function settingsText(settings: Record<string, unknown>): string {
  const rows = Object.entries(settings).map(([name, value]) => [name, value === null ? "" : String(value)]);
  return table(["SETTING", "VALUE"], rows);
}
