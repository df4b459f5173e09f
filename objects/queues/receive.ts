/**
 * Delivery: what is to be delivered is handed out, invisible to others until its time is over.
 *
 * One receive writes one record, which names all that it handed out; messages stay where they are. Its revision is the
 * fencing token: a receipt is that revision and the message's place in the record.
 */
import { text, utf8 } from "../bytes.ts";
import { HoldfastError } from "../errors.ts";
import { assertDuration, assertName, assertWhole } from "../registry/limits.ts";
import type { Context, Txn } from "../store/txn.ts";
import type { Place } from "./keys.ts";
import { FLIGHT, MESSAGE, READY } from "./keys.ts";
import type { Message } from "./messages.ts";
import { MESSAGES_MAX, unpackMessage } from "./messages.ts";
import type { Waiting } from "./pointers.ts";
import { leaveGroup, unpackPointer } from "./pointers.ts";
import { Topic, VISIBILITY_MAX_MS } from "./topics.ts";

export interface ReceiveInput {
  topic: string;
  /** At most so many; default 1. */
  max?: number | undefined;
  /** Default: the topic's. */
  visibilityMs?: number | undefined;
}

export interface Delivery extends Message {
  /** Acks, gives back or extends this delivery, and no other. */
  receipt: string;
  priority: number;
  /** This one included. */
  attempts: number;
  /** When others may receive it. */
  untilAt: number;
}

export interface Received {
  messages: Delivery[];
}

/** A message in flight, as the record of its delivery tells. */
export interface InFlight extends Waiting {
  /** Its place in the delivery as it was made. */
  index: number;
  untilAt: number;
  group: string | null;
}

type Entry = [
  index: number,
  lane: "f" | "p",
  priority: number,
  number: number,
  attempts: number,
  sentAt: number,
  untilAt: number,
  group: string | null,
];

export function packFlight(entries: readonly InFlight[]): Uint8Array {
  const packed = entries.map(({ index, place, attempts, sentAt, untilAt, group }): Entry => {
    const { lane, priority, number } = place;
    return [index, lane, priority, number, attempts, sentAt, untilAt, group];
  });
  return utf8(JSON.stringify(packed));
}

export function unpackFlight(value: Uint8Array): InFlight[] {
  return (JSON.parse(text(value)) as Entry[]).map(
    ([index, lane, priority, number, attempts, sentAt, untilAt, group]) => ({
      index,
      place: { lane, priority, number },
      attempts,
      sentAt,
      untilAt,
      group,
    }),
  );
}

/** Of one answer; more is for the next one. */
const ANSWER_BYTES_MAX = 4 * 1024 * 1024;
/** Records read at a time: they come with their payloads. */
const PAGE = 32;
/** Expired messages dropped on the way. */
const DROPPED_MAX = 500;

/** Codes: `invalid_argument`. */
export function assertReceive({ topic, max, visibilityMs }: ReceiveInput): void {
  assertName("topic", topic);
  if (max !== undefined) assertWhole("max", max, 1, MESSAGES_MAX);
  if (visibilityMs !== undefined) assertDuration("visibility", visibilityMs, 1000, VISIBILITY_MAX_MS);
}

/** In the order of priority, then of sending. A topic that does not exist has nothing. Codes: `invalid_argument`. */
export function receive(txn: Txn, context: Context, input: ReceiveInput): Received {
  assertReceive(input);
  const topic = Topic.find(txn, input.topic);
  if (!topic) return { messages: [] };
  const { now } = context;
  const { visibilityMs = topic.settings.visibilityMs, max = 1 } = input;
  const untilAt = now + visibilityMs;
  const wanted = Math.min(max, topic.settings.inFlightMax - topic.counts.inFlight);
  if (wanted <= 0) return { messages: [] };
  const entries: InFlight[] = [];
  const messages: Delivery[] = [];
  let bytes = 0;
  let dropped = 0;
  for (const candidate of readyIn(txn, topic, wanted)) {
    if (entries.length >= wanted || bytes >= ANSWER_BYTES_MAX || dropped >= DROPPED_MAX) break;
    const { waiting, message } = candidate;
    candidate.take();
    if (topic.isExpired(waiting.sentAt, now)) {
      drop(txn, topic, waiting.place, message.group ?? null, now);
      topic.counts.expired++;
      dropped++;
      continue;
    }
    const index = entries.length;
    const attempts = waiting.attempts + 1;
    entries.push({ ...waiting, index, attempts, untilAt, group: message.group ?? null });
    messages.push({
      ...message,
      receipt: `${txn.revision}-${index}`,
      priority: waiting.place.priority,
      attempts,
      untilAt,
    });
    bytes += message.payload.length;
  }
  if (entries.length > 0) txn.put(FLIGHT, topic.keys.flight(txn.revision), packFlight(entries));
  if (entries.length + dropped > 0) {
    topic.counts.inFlight += entries.length;
    topic.save(txn);
  }
  return { messages };
}

/** A message is done with: it leaves its place, and its group goes on. */
export function drop(txn: Txn, topic: Topic, place: Place, group: string | null, now: number): void {
  txn.delete(MESSAGE, topic.keys.message(place));
  if (group !== null) leaveGroup(txn, topic, group, place, now);
}

interface Candidate {
  waiting: Waiting;
  message: Message;
  /** It is no longer to be delivered. */
  take: () => void;
}

/** What is to be delivered, in order. The next one is looked for when the one before has been taken. */
function* readyIn(txn: Txn, topic: Topic, wanted: number): Generator<Candidate> {
  for (const priority of topic.priorities) yield* readyAt(txn, topic, priority, wanted);
}

/** Of one priority; about so many are `wanted`. */
export function* readyAt(txn: Txn, topic: Topic, priority: number, wanted: number): Generator<Candidate> {
  const limit = Math.min(PAGE, wanted);
  const level = topic.level(priority);
  while (level.fresh + level.pointed > 0) {
    const pointers = level.pointed === 0 ? [] : pointersOf(txn, topic, priority, limit);
    const fresh = level.fresh === 0 ? [] : txn.range(MESSAGE, topic.keys.fresh(priority, level.head), { limit });
    if (pointers.length + fresh.length === 0) throw damaged(topic, "counts messages that are not there");
    let pointerAt = 0;
    let freshAt = 0;
    // The first of both together are among the first of each.
    for (let count = Math.min(limit, pointers.length + fresh.length); count > 0; count--) {
      const pointer = pointers[pointerAt];
      const record = fresh[freshAt];
      const number = record ? topic.keys.numberOf(record.key) : Infinity;
      if (pointer && pointer.place.number < number) {
        pointerAt++;
        const take = (): void => {
          txn.delete(READY, topic.keys.ready(pointer.place));
          level.pointed--;
        };
        yield { waiting: pointer, message: messageAt(txn, topic, pointer.place), take };
      } else {
        freshAt++;
        const message = unpackMessage(record!.value);
        const waiting: Waiting = { place: { lane: "f", priority, number }, attempts: 0, sentAt: message.sentAt };
        const take = (): void => {
          level.head = number + 1;
          level.fresh--;
        };
        yield { waiting, message, take };
      }
    }
  }
}

function pointersOf(txn: Txn, topic: Topic, priority: number, limit: number): Waiting[] {
  const waiting = txn
    .range(READY, topic.keys.readyOf(priority), { limit })
    .map(({ key, value }) => unpackPointer(topic.keys.placeOfReady(key), value));
  // They are about to be read and deleted one by one.
  const places = waiting.map(({ place }) => place);
  txn.getMany(
    MESSAGE,
    places.map((place) => topic.keys.message(place)),
  );
  txn.getMany(
    READY,
    places.map((place) => topic.keys.ready(place)),
  );
  return waiting;
}

export function messageAt(txn: Txn, topic: Topic, place: Place): Message {
  const record = txn.get(MESSAGE, topic.keys.message(place));
  if (!record) throw damaged(topic, "points to a message that is not there");
  return unpackMessage(record.value);
}

const damaged = (topic: Topic, what: string): HoldfastError =>
  new HoldfastError("corrupt", `topic "${topic.name}" ${what}`, { topic: topic.name });
