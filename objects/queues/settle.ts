/**
 * Deliveries end: by an ack, by a nack, by the end of their time, or they are extended. Only the receipt of the delivery
 * that is in force counts; any other is told `fenced` and changes nothing.
 */
import { HoldfastError, invalid } from "../errors.ts";
import { assertDuration, assertName } from "../registry/limits.ts";
import type { Context, Txn } from "../store/txn.ts";
import { FLIGHT, MESSAGE } from "./keys.ts";
import { DELAY_MAX_MS, MESSAGES_MAX } from "./messages.ts";
import { pointTo } from "./pointers.ts";
import type { InFlight } from "./receive.ts";
import { drop, messageAt, packFlight, unpackFlight } from "./receive.ts";
import { Entry } from "./send.ts";
import { Topic, VISIBILITY_MAX_MS } from "./topics.ts";

export interface ReceiptsInput {
  topic: string;
  receipts: string[];
}

export interface NackInput extends ReceiptsInput {
  /** When it is to be delivered again; default at once. */
  delayMs?: number | undefined;
}

export interface ExtendInput extends ReceiptsInput {
  /** From now. */
  visibilityMs: number;
}

export interface Settled {
  /** How many receipts counted. */
  settled: number;
  /** Those that did not: the message has been done with, or handed out again, or is about to be. */
  fenced: string[];
}

/** Done with: never delivered again. Codes: `fenced` (none counts), `not_found` (the topic), `invalid_argument`. */
export function ack(txn: Txn, context: Context, input: ReceiptsInput): Settled {
  const done: InFlight[] = [];
  return settle(txn, context, input, {
    each: (_topic, entry) => {
      done.push(entry);
      return null;
    },
    then: (topic) => {
      txn.getMany(
        MESSAGE,
        done.map(({ place }) => topic.keys.message(place)),
      );
      for (const { place, group } of done) drop(txn, topic, place, group, context.now);
      topic.counts.acked += done.length;
    },
  });
}

/** Not done with: to be delivered again, or a dead letter. Codes: as `ack`. */
export function nack(txn: Txn, context: Context, input: NackInput): Settled {
  const { delayMs = 0 } = input;
  assertDuration("delay", delayMs, 0, DELAY_MAX_MS);
  return settle(txn, context, input, {
    each: (topic, entry) => {
      putBack(txn, context, topic, entry, context.now + delayMs);
      return null;
    },
  });
}

/** More time for it, or less; the receipt stays. Codes: as `ack`. */
export function extend(txn: Txn, context: Context, input: ExtendInput): Settled {
  const { visibilityMs } = input;
  assertDuration("visibility", visibilityMs, 1000, VISIBILITY_MAX_MS);
  const untilAt = context.now + visibilityMs;
  return settle(txn, context, input, { each: (_topic, entry) => ({ ...entry, untilAt }) });
}

const RECEIPT = /^([1-9]\d{0,15})-(\d{1,3})$/;

interface Act {
  /** To each message of which a receipt counts; answers what stays in flight of it. */
  each: (topic: Topic, entry: InFlight) => InFlight | null;
  /** At the end, if any receipt counted. */
  then?: (topic: Topic) => void;
}

function settle(txn: Txn, { now }: Context, { topic: name, receipts }: ReceiptsInput, { each, then }: Act): Settled {
  assertName("topic", name);
  if (!Array.isArray(receipts) || receipts.length === 0) throw invalid("receipts", "must be a list of at least one");
  if (receipts.length > MESSAGES_MAX) throw invalid("receipts", `must have at most ${MESSAGES_MAX} entries`);
  const deliveries = byDelivery(receipts);
  const topic = Topic.require(txn, name);
  const fenced: string[] = [];
  let settled = 0;
  for (const [revision, indices] of deliveries) {
    const key = topic.keys.flight(revision);
    const record = txn.get(FLIGHT, key);
    const entries = record ? unpackFlight(record.value) : [];
    const left: InFlight[] = [];
    let counted = 0;
    for (const entry of entries) {
      // What has lapsed and has not been looked at yet is no longer in force either.
      if (!indices.has(entry.index) || entry.untilAt <= now) {
        left.push(entry);
        continue;
      }
      indices.delete(entry.index);
      counted++;
      const kept = each(topic, entry);
      if (kept) left.push(kept);
      else topic.counts.inFlight--;
    }
    for (const index of indices) fenced.push(`${revision}-${index}`);
    if (counted === 0) continue;
    settled += counted;
    writeFlight(txn, key, left);
  }
  if (settled === 0) {
    throw new HoldfastError("fenced", "the receipt is stale: the message is not with its holder any more", {
      receipt: fenced[0]!,
    });
  }
  then?.(topic);
  topic.save(txn);
  return { settled, fenced };
}

/** Codes: `invalid_argument`. */
function byDelivery(receipts: readonly string[]): Map<number, Set<number>> {
  const deliveries = new Map<number, Set<number>>();
  receipts.forEach((receipt, at) => {
    const [, revision, index] = RECEIPT.exec(String(receipt)) ?? [];
    if (revision === undefined) throw invalid(`receipts[${at}]`, "is not a receipt");
    const indices = deliveries.get(Number(revision));
    if (indices) indices.add(Number(index));
    else deliveries.set(Number(revision), new Set([Number(index)]));
  });
  return deliveries;
}

export function writeFlight(txn: Txn, key: Uint8Array, entries: readonly InFlight[]): void {
  if (entries.length === 0) txn.delete(FLIGHT, key);
  else txn.put(FLIGHT, key, packFlight(entries));
}

/** A delivery came to nothing: the message goes back, or to the dead letters. The caller counts what is in flight. */
export function putBack(txn: Txn, context: Context, topic: Topic, entry: InFlight, at: number): void {
  const { maxDeliveries, deadLetter } = topic.settings;
  if (deadLetter !== null && entry.attempts >= (maxDeliveries ?? Infinity))
    bury(txn, context, topic, entry, deadLetter);
  else pointTo(txn, topic, entry, at, context.now);
}

/** The dead-letter topic takes it, however full it is: nothing is lost. */
function bury(txn: Txn, context: Context, topic: Topic, entry: InFlight, deadLetter: string): void {
  const { payload, origin: _earlier, ...head } = messageAt(txn, topic, entry.place);
  const origin = { topic: topic.name, sentAt: head.sentAt, deliveries: entry.attempts };
  const target = Topic.findOrMake(txn, deadLetter);
  new Entry(txn, target, context.now).add({ ...head, sentAt: context.now, origin }, payload, entry.place.priority);
  target.save(txn);
  drop(txn, topic, entry.place, entry.group, context.now);
  topic.counts.dead++;
}
