/** Durable queues: messages sent, received under a receipt, and done with; topics and what is set for them. */
import { z } from "@hono/zod-openapi";
import { toBase64 } from "../../objects/bytes.ts";
import type { NewMessage } from "../../objects/queues/messages.ts";
import { MESSAGES_MAX } from "../../objects/queues/messages.ts";
import type { Delivery, ReceiveInput, Received } from "../../objects/queues/receive.ts";
import type { TopicSettings, TopicStats } from "../../objects/queues/topics.ts";
import { WAIT_MAX_MS } from "../../objects/waiting.ts";
import type { Authorizer } from "../request/authorizer.ts";
import type { Answer, CommandOptions, NamespaceClient } from "../request/namespace-client.ts";
import { bytesOf, isoTime, milliseconds, textIn } from "./convert.ts";
import { route, words } from "./route.ts";
import { visiblePage } from "./visible.ts";

const seconds = (what: string) => z.number().finite().min(0).describe(`${what}, in seconds`);
const count = z.number().int();

const newMessage = z
  .strictObject({
    body: z.string().optional().describe("The payload as text; or bodyBase64"),
    bodyBase64: z.string().optional(),
    headers: z.record(z.string(), z.string()).optional(),
    priority: z.number().int().optional().describe("0 to 9, higher first; default 4"),
    delay: seconds("Not to be delivered before so long has passed").optional(),
    dedupeId: z.string().optional().describe("Sent again within the topic's window, it is the same message"),
    group: z.string().optional().describe("Messages of a group are delivered one by one, in the order of sending"),
  })
  .openapi("NewMessage");

export const sendInput = z.strictObject({ messages: z.array(newMessage).min(1).max(MESSAGES_MAX) });

export const receiveInput = z.strictObject({
  max: z.number().int().optional().describe(`At most so many messages, up to ${MESSAGES_MAX}; default 1`),
  wait: seconds("How long to wait for the first one, up to 60; default 0")
    .max(WAIT_MAX_MS / 1000)
    .optional(),
  visibility: seconds("How long nobody else receives them; default: the topic's").optional(),
});

const receipts = z.array(z.string()).min(1).max(MESSAGES_MAX);
export const ackInput = z.strictObject({ receipts });
export const nackInput = ackInput.extend({ delay: seconds("When to deliver it again; default: at once").optional() });
export const extendInput = ackInput.extend({ visibility: seconds("From now") });

const sentOutput = z.object({ messages: z.array(z.object({ id: z.string(), duplicate: z.boolean() })) });

const delivery = z
  .object({
    id: z.string(),
    receipt: z.string().describe("For ack, nack and extend; stale as soon as the message is handed out again"),
    body: z.string().optional().describe("The payload, where it is UTF-8"),
    bodyBase64: z.string().optional().describe("The payload, where it is not"),
    headers: z.record(z.string(), z.string()),
    priority: count,
    group: z.string().nullable(),
    attempts: count.describe("Deliveries, this one included"),
    sentAt: z.iso.datetime(),
    visibleAt: z.iso.datetime().describe("When others may receive it"),
    deadLetter: z
      .object({ topic: z.string(), sentAt: z.iso.datetime(), deliveries: count })
      .nullable()
      .describe("Where it comes from, if it is a dead letter"),
  })
  .openapi("Delivery");

const settled = z.object({
  settled: count,
  fenced: z.array(z.string()).describe("Receipts that are stale: nothing was done about them"),
});

const settingFields = {
  visibility: seconds("How long a received message stays invisible to others"),
  maxDeliveries: count.nullable().describe("Then it is a dead letter; null = never"),
  deadLetter: z.string().nullable().describe("The topic for dead letters"),
  retention: seconds("What waits for longer is dropped"),
  dedupeWindow: seconds("How long a dedupe id is remembered"),
  messagesMax: count.describe("What may wait"),
  inFlightMax: count.describe("What may be in flight"),
};
const settings = z.strictObject(settingFields);
const settingsPatch = settings.partial();

const stats = z
  .object({
    topic: z.string(),
    ready: count,
    inFlight: count,
    delayed: count,
    blocked: count.describe("Behind an earlier message of their group"),
    waiting: count.describe("All of these"),
    sent: count,
    acked: count,
    dead: count,
    expired: count,
    purged: count,
    settings,
  })
  .openapi("TopicStats");

const topic = "/queues/{topic}";
const consume = [{ verb: "consume", kind: "queue", on: "topic" }] as const;

export const queueRoutes = [
  route({
    method: "get",
    path: "/queues",
    tag: "Queues",
    id: "listQueues",
    summary: "All topics, and what is in them",
    permission: [{ verb: "read", kind: "queue", filtered: true }],
    query: z.strictObject({ after: words("Continue after this topic") }),
    response: z.object({ topics: z.array(stats), after: z.string().nullable() }),
    async handle({ client, query, authorizer }) {
      const { value, revision } = await visiblePage<TopicStats>(
        query.after ?? null,
        (after) => client.query("queue.list", { after }),
        (one) => authorizer.allows("read", "queue", one.topic),
        (one) => one.topic,
      );
      return { value: { topics: value.items.map(statsOutput), after: value.after }, revision };
    },
  }),
  route({
    method: "get",
    path: topic,
    tag: "Queues",
    id: "getQueue",
    summary: "What is in a topic, and what is set for it",
    permission: [{ verb: "read", kind: "queue", on: "topic" }],
    response: stats,
    async handle({ client, params }) {
      const { value, revision } = await client.query("queue.stats", { topic: params["topic"]! });
      return { value: statsOutput(value), revision };
    },
  }),
  route({
    method: "patch",
    path: topic,
    tag: "Queues",
    id: "configureQueue",
    summary: "Change what is set for a topic, or make it",
    permission: [
      { verb: "update", kind: "queue", on: "topic" },
      // Its messages go there.
      {
        verbs: ["update", "publish"],
        kinds: ["queue"],
        parts: ({ body }) =>
          typeof body.deadLetter === "string" ? [{ verb: "publish", kind: "queue", name: body.deadLetter }] : [],
      },
    ],
    body: settingsPatch,
    response: stats,
    async handle({ client, params, body, options }) {
      const input = { topic: params["topic"]!, settings: settingsInput(body) };
      const { value, revision } = await client.execute("queue.configure", input, options);
      return { value: statsOutput(value), revision };
    },
  }),
  route({
    method: "delete",
    path: topic,
    tag: "Queues",
    id: "deleteQueue",
    summary: "Delete a topic with all that is in it",
    permission: [{ verb: "delete", kind: "queue", on: "topic" }],
    response: z.object({ purged: count }),
    handle: ({ client, params, options }) => client.execute("queue.delete", { topic: params["topic"]! }, options),
  }),
  route({
    method: "post",
    path: `${topic}/send`,
    tag: "Queues",
    id: "sendMessages",
    summary: "Send messages: all of them or none",
    permission: [{ verb: "publish", kind: "queue", on: "topic" }],
    body: sendInput,
    response: sentOutput,
    async handle({ client, params, body, options }) {
      const input = { topic: params["topic"]!, messages: newMessages(body) };
      const { value, revision } = await client.execute("queue.send", input, options);
      return { value: { messages: value }, revision };
    },
  }),
  route({
    method: "post",
    path: `${topic}/receive`,
    tag: "Queues",
    id: "receiveMessages",
    summary: "Receive messages, waiting in line for them if need be",
    permission: consume,
    body: receiveInput,
    response: z.object({ messages: z.array(delivery) }),
    async handle({ params, body, options, ...asked }) {
      const receiver = { ...asked, signal: asked.request.signal };
      const { value, revision } = await receiveMessages(receiver, params["topic"]!, body, options);
      return { value: { messages: value.messages.map(deliveryOutput) }, revision };
    },
  }),
  route({
    method: "post",
    path: `${topic}/ack`,
    tag: "Queues",
    id: "ackMessages",
    summary: "Messages are done with",
    permission: consume,
    body: ackInput,
    response: settled,
    handle: ({ client, params, body, options }) =>
      client.execute("queue.ack", { topic: params["topic"]!, ...body }, options),
  }),
  route({
    method: "post",
    path: `${topic}/nack`,
    tag: "Queues",
    id: "nackMessages",
    summary: "Give messages back, to be delivered again",
    permission: consume,
    body: nackInput,
    response: settled,
    handle({ client, params, body, options }) {
      const input = { topic: params["topic"]!, receipts: body.receipts, delayMs: milliseconds(body.delay) };
      return client.execute("queue.nack", input, options);
    },
  }),
  route({
    method: "post",
    path: `${topic}/extend`,
    tag: "Queues",
    id: "extendMessages",
    summary: "Keep messages invisible to others for longer",
    permission: consume,
    body: extendInput,
    response: settled,
    handle({ client, params, body, options }) {
      const input = { topic: params["topic"]!, receipts: body.receipts, visibilityMs: milliseconds(body.visibility) };
      return client.execute("queue.extend", input, options);
    },
  }),
  route({
    method: "post",
    path: `${topic}/purge`,
    tag: "Queues",
    id: "purgeQueue",
    summary: "Drop all messages of a topic, those in flight too",
    permission: [{ verb: "delete", kind: "queue", on: "topic" }],
    body: z.strictObject({}),
    response: z.object({ purged: count }),
    handle: ({ client, params, options }) => client.execute("queue.purge", { topic: params["topic"]! }, options),
  }),
];

export function newMessages({ messages }: z.infer<typeof sendInput>): NewMessage[] {
  return messages.map(({ body, bodyBase64, delay, ...rest }, index) => ({
    ...rest,
    payload: bytesOf(`messages[${index}].body`, body, bodyBase64),
    delayMs: milliseconds(delay),
  }));
}

/** Who asks for messages, and may wait for them. */
export interface Receiver {
  client: NamespaceClient;
  /** Aborted when the client has gone. */
  signal: AbortSignal;
  authorizer: Authorizer;
  reauthorize: () => Promise<Authorizer>;
}

/** Who has waited gets its messages by the rights of now; without them, they go back at once. */
export async function receiveMessages(
  { client, signal, authorizer, reauthorize }: Receiver,
  topicName: string,
  { max, wait = 0, visibility }: z.infer<typeof receiveInput>,
  options: CommandOptions,
): Promise<Answer<Received>> {
  const input: ReceiveInput = { topic: topicName, max, visibilityMs: milliseconds(visibility) };
  const waiting = { waitMs: milliseconds(wait), signal };
  const answer = await client.receive(input, options, waiting);
  if (wait === 0 || authorizer.isUnbounded) return answer;
  try {
    const present = await reauthorize();
    present.assert("consume", "queue", topicName);
    return answer;
  } catch (error) {
    const receiptsHeld = answer.value.messages.map(({ receipt }) => receipt);
    const { caller } = options;
    if (receiptsHeld.length > 0)
      await client.execute("queue.nack", { topic: topicName, receipts: receiptsHeld }, { caller });
    throw error;
  }
}

export function deliveryOutput(message: Delivery) {
  const { id, receipt, payload, headers = {}, priority, group = null, attempts, sentAt, untilAt, origin } = message;
  return {
    id,
    receipt,
    ...bodyOutput(payload),
    headers,
    priority,
    group,
    attempts,
    sentAt: isoTime(sentAt),
    visibleAt: isoTime(untilAt),
    deadLetter: origin ? { ...origin, sentAt: isoTime(origin.sentAt) } : null,
  };
}

function bodyOutput(payload: Uint8Array): { body: string } | { bodyBase64: string } {
  const body = textIn(payload);
  return body === null ? { bodyBase64: toBase64(payload) } : { body };
}

function statsOutput({ settings: set, ...counts }: TopicStats) {
  const { visibilityMs, retentionMs, dedupeMs, ...rest } = set;
  return {
    ...counts,
    settings: {
      ...rest,
      visibility: visibilityMs / 1000,
      retention: retentionMs / 1000,
      dedupeWindow: dedupeMs / 1000,
    },
  };
}

function settingsInput({ visibility, retention, dedupeWindow, ...rest }: z.infer<typeof settingsPatch>): {
  [name in keyof TopicSettings]?: TopicSettings[name] | undefined;
} {
  return {
    ...rest,
    visibilityMs: milliseconds(visibility),
    retentionMs: milliseconds(retention),
    dedupeMs: milliseconds(dedupeWindow),
  };
}
