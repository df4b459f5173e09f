/** Messages enter a topic: sent, or as dead letters of another one. */
import { text, utf8 } from "../bytes.ts";
import { HoldfastError } from "../errors.ts";
import { assertName } from "../registry/limits.ts";
import type { Context, Txn } from "../store/txn.ts";
import type { Place } from "./keys.ts";
import { DEDUPE, MESSAGE, TopicKeys } from "./keys.ts";
import type { MessageHead, NewMessage } from "./messages.ts";
import { assertMessages, packMessage, PRIORITY_DEFAULT } from "./messages.ts";
import { isGroupEmpty, joinGroup, pointTo } from "./pointers.ts";
import { Topic } from "./topics.ts";

export interface SendInput {
  topic: string;
  messages: NewMessage[];
}

export interface Sent {
  id: string;
  /** It had been sent before under its dedupe id: this is that message's id. */
  duplicate: boolean;
}

/** All of them or none. Codes: `invalid_argument`, `too_large`, `quota_exceeded` (the topic is full). */
export function send(txn: Txn, context: Context, { topic: name, messages }: SendInput): Sent[] {
  assertName("topic", name);
  assertMessages(messages);
  const topic = Topic.findOrMake(txn, name);
  const limit = topic.settings.messagesMax;
  if (topic.waiting + messages.length > limit)
    throw new HoldfastError("quota_exceeded", `topic "${name}" has its ${limit} messages`, { topic: name, limit });
  const entry = new Entry(txn, topic, context.now);
  const dedupe = new DedupeIds(txn, topic, context.now);
  const sent = messages.map(({ payload, headers, priority, delayMs, dedupeId, group }, index): Sent => {
    const id = `${txn.revision}-${index}`;
    const earlier = dedupeId === undefined ? null : dedupe.claim(dedupeId, id);
    if (earlier !== null) return { id: earlier, duplicate: true };
    const head: MessageHead = { id, sentAt: context.now, ...(headers && { headers }), ...(group && { group }) };
    entry.add(head, payload, priority, delayMs);
    return { id, duplicate: false };
  });
  if (sent.some(({ duplicate }) => !duplicate)) topic.save(txn);
  return sent;
}

/** Adds messages to a topic that is in hand. */
export class Entry {
  readonly #txn: Txn;
  readonly #topic: Topic;
  readonly #now: number;
  /** Groups that this command has looked at or added to. */
  readonly #busyGroups = new Set<string>();

  constructor(txn: Txn, topic: Topic, now: number) {
    this.#txn = txn;
    this.#topic = topic;
    this.#now = now;
  }

  add(head: MessageHead, payload: Uint8Array, priority = PRIORITY_DEFAULT, delayMs = 0): void {
    const topic = this.#topic;
    const { group, sentAt } = head;
    const number = topic.record.next++;
    const place: Place = { lane: delayMs > 0 || group !== undefined ? "p" : "f", priority, number };
    this.#txn.create(MESSAGE, topic.keys.message(place), packMessage({ ...head, payload }));
    topic.counts.sent++;
    const waiting = { place, attempts: 0, sentAt };
    const notBefore = this.#now + delayMs;
    if (group !== undefined) {
      const isFirst = !this.#busyGroups.has(group) && isGroupEmpty(this.#txn, topic, group);
      this.#busyGroups.add(group);
      joinGroup(this.#txn, topic, group, waiting, notBefore, { now: this.#now, isFirst });
    } else if (place.lane === "p") {
      pointTo(this.#txn, topic, waiting, notBefore, this.#now);
    } else {
      const level = topic.level(priority);
      if (level.fresh === 0) level.head = number;
      level.fresh++;
      topic.expectExpiry(sentAt);
    }
  }
}

/**
 * Dedupe ids in buckets by time, so that they are forgotten together. A new bucket begins when the last one is as old as
 * the window: two or three are enough to remember everything that counts.
 */
class DedupeIds {
  readonly #txn: Txn;
  readonly #topic: Topic;
  readonly #keys: TopicKeys;
  readonly #now: number;

  constructor(txn: Txn, topic: Topic, now: number) {
    this.#txn = txn;
    this.#topic = topic;
    this.#keys = new TopicKeys(topic.name, topic.record.born);
    this.#now = now;
  }

  /** The id of the message that was sent under it; else it is now this one's, and the answer null. */
  claim(dedupeId: string, id: string): string | null {
    const { dedupeMs } = this.#topic.settings;
    const buckets = this.#topic.record.dedupe;
    for (const { at } of buckets) {
      const record = this.#txn.get(DEDUPE, this.#keys.dedupe(at, dedupeId));
      if (!record) continue;
      const [earlier, claimedAt] = JSON.parse(text(record.value)) as [string, number];
      if (claimedAt + dedupeMs > this.#now) return earlier;
    }
    let last = buckets.at(-1);
    if (!last || last.at + last.ms <= this.#now) buckets.push((last = { at: this.#now, ms: dedupeMs }));
    this.#txn.put(DEDUPE, this.#keys.dedupe(last.at, dedupeId), utf8(JSON.stringify([id, this.#now])));
    return null;
  }
}
