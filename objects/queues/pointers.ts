/**
 * What is to be delivered: fresh messages lie in order, everything else has a pointer, now or from an instant on. And what
 * of a group may be delivered at all: its first message, until that is done with.
 *
 * Each function keeps the topic's counts in step with the records it writes.
 */
import { text, utf8 } from "../bytes.ts";
import type { Txn } from "../store/txn.ts";
import type { Lane, Place } from "./keys.ts";
import { GROUP, LATER, READY } from "./keys.ts";
import type { Topic } from "./topics.ts";

/** A message that waits, as far as its pointer tells. */
export interface Waiting {
  place: Place;
  /** Deliveries it has had. */
  attempts: number;
  sentAt: number;
}

type Pointer = [lane: Lane, attempts: number, sentAt: number];

function packPointer({ place, attempts, sentAt }: Waiting): Uint8Array {
  return utf8(JSON.stringify([place.lane, attempts, sentAt] satisfies Pointer));
}

export function unpackPointer(place: Omit<Place, "lane">, value: Uint8Array): Waiting {
  const [lane, attempts, sentAt] = JSON.parse(text(value)) as Pointer;
  return { place: { lane, ...place }, attempts, sentAt };
}

/** To be delivered at once, or from `at` on. */
export function pointTo(txn: Txn, topic: Topic, waiting: Waiting, at: number, now: number): void {
  const { place, sentAt } = waiting;
  if (at > now) {
    // Keys are of whole milliseconds.
    const dueAt = Math.ceil(at);
    txn.put(LATER, topic.keys.later(dueAt, place), packPointer(waiting));
    topic.counts.delayed++;
    topic.expectLater(dueAt);
    return;
  }
  txn.put(READY, topic.keys.ready(place), packPointer(waiting));
  topic.level(place.priority).pointed++;
  topic.expectExpiry(sentAt);
}

/** Delayed messages that are due. Answers false when there are more of them than `limit`. */
export function mature(txn: Txn, topic: Topic, now: number, limit: number): boolean {
  const due = txn.range(LATER, topic.keys.laterUntil(now), { limit });
  for (const { key, value } of due) {
    const { place } = topic.keys.parseLater(key);
    txn.delete(LATER, key);
    topic.counts.delayed--;
    pointTo(txn, topic, unpackPointer(place, value), now, now);
  }
  const [next] = txn.range(LATER, topic.keys.all, { limit: 1 });
  topic.record.laterAt = next ? topic.keys.parseLater(next.key).at : null;
  return due.length < limit;
}

type Member = [priority: number, sentAt: number, notBefore: number];

/** Puts a message at the end of its group; it is pointed to when it is the first there. */
export function joinGroup(
  txn: Txn,
  topic: Topic,
  group: string,
  waiting: Waiting,
  notBefore: number,
  { now, isFirst }: { now: number; isFirst: boolean },
): void {
  const { place, sentAt } = waiting;
  const member: Member = [place.priority, sentAt, notBefore];
  txn.put(GROUP, topic.keys.group(group, place.number), utf8(JSON.stringify(member)));
  if (isFirst) pointTo(txn, topic, waiting, notBefore, now);
  else topic.counts.blocked++;
}

export function isGroupEmpty(txn: Txn, topic: Topic, group: string): boolean {
  return txn.range(GROUP, topic.keys.groupAll(group), { limit: 1 }).length === 0;
}

/** The first of a group is done with: the next one takes its turn. */
export function leaveGroup(txn: Txn, topic: Topic, group: string, place: Place, now: number): void {
  txn.delete(GROUP, topic.keys.group(group, place.number));
  const [next] = txn.range(GROUP, topic.keys.groupAll(group), { limit: 1 });
  if (!next) return;
  const [priority, sentAt, notBefore] = JSON.parse(text(next.value)) as Member;
  topic.counts.blocked--;
  const number = topic.keys.numberInGroup(next.key);
  pointTo(txn, topic, { place: { lane: "p", priority, number }, attempts: 0, sentAt }, notBefore, now);
}
