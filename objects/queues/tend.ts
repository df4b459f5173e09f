/**
 * What happens to queues though nobody asks: deliveries lapse, delayed messages become due, old ones expire, and what was
 * purged is removed. In slices: what is left over keeps its deadline, and is looked at again at once.
 */
import type { Deadline, QueueTimerKind, Timer } from "../leases/deadlines.ts";
import type { Change, Context, Space, StoredRecord, Txn } from "../store/txn.ts";
import { EVERYTHING } from "../store/txn.ts";
import { fromBinaryString, toBinaryString } from "../bytes.ts";
import { DEDUPE, FLIGHT, GARBAGE, generationOf, QUEUE_SPACES, TOPIC, TopicKeys } from "./keys.ts";
import { mature } from "./pointers.ts";
import { drop, readyAt, unpackFlight } from "./receive.ts";
import { putBack, writeFlight } from "./settle.ts";
import { availableIn, garbageSpace, tendAt, Topic, TOPIC_DEFAULTS, topicSpace } from "./topics.ts";

/** Messages handled for one deadline in one commit. */
const SLICE = 100;

const KINDS: Record<string, QueueTimerKind> = {
  [TOPIC]: "queue",
  [FLIGHT]: "queueFlight",
  [GARBAGE]: "queueGarbage",
};
const SPACES: Record<QueueTimerKind, Space> = { queue: TOPIC, queueFlight: FLIGHT, queueGarbage: GARBAGE };

/** The spaces whose records have deadlines. */
export const QUEUE_TIMER_SPACES: readonly Space[] = Object.keys(KINDS);

export const isQueueSpace = (space: Space): boolean => QUEUE_SPACES.has(space);

/** The deadline that follows from a record; `timer` null = none any more. Null: such records have none. */
export function queueTimer(
  space: Space,
  key: Uint8Array,
  record: StoredRecord | null,
): { key: string; timer: Timer | null } | null {
  const kind = KINDS[space];
  if (kind === undefined) return null;
  const timerKey = `${kind}\0${toBinaryString(key)}`;
  const at = record && dueAt(kind, record);
  return { key: timerKey, timer: at === null ? null : { key: timerKey, kind, ttlMs: 0, sinceAt: at } };
}

function dueAt(kind: QueueTimerKind, record: StoredRecord): number | null {
  switch (kind) {
    case "queue": {
      const topic = topicSpace.decode(record);
      return tendAt(topic, { ...TOPIC_DEFAULTS, ...topic.settings });
    }
    case "queueFlight":
      return Math.min(...unpackFlight(record.value).map(({ untilAt }) => untilAt));
    case "queueGarbage":
      return 0;
  }
}

/** How many messages may be received of a topic after this change; null = it is not about that. */
export function availableAfter({ space, key, after }: Change): { topic: string; available: number } | null {
  if (space !== TOPIC || after === null) return null;
  return { topic: topicSpace.parts(key)[0]!, available: availableIn(topicSpace.decode(after)) };
}

/** A deadline has passed. */
export function lapseQueue(txn: Txn, context: Context, deadline: Deadline & { kind: QueueTimerKind }): void {
  const key = fromBinaryString(deadline.key.slice(deadline.kind.length + 1));
  const record = txn.get(SPACES[deadline.kind], key);
  if (!record) return;
  switch (deadline.kind) {
    case "queue":
      return tend(txn, context, topicSpace.parts(key)[0]!);
    case "queueFlight":
      return lapseFlight(txn, context, record);
    case "queueGarbage":
      return collect(txn, key);
  }
}

function tend(txn: Txn, { now }: Context, name: string): void {
  const topic = Topic.find(txn, name)!;
  if ((topic.record.laterAt ?? Infinity) <= now) mature(txn, topic, now, SLICE);
  if ((topic.record.expireAt ?? Infinity) <= now) expire(txn, topic, now);
  forget(txn, topic, now);
  topic.save(txn);
}

function expire(txn: Txn, topic: Topic, now: number): void {
  topic.record.expireAt = null;
  let left = SLICE;
  for (const priority of topic.priorities) {
    for (const { waiting, message, take } of readyAt(txn, topic, priority, SLICE)) {
      if (left === 0 || !topic.isExpired(waiting.sentAt, now)) {
        topic.expectExpiry(waiting.sentAt);
        break;
      }
      take();
      drop(txn, topic, waiting.place, message.group ?? null, now);
      topic.counts.expired++;
      left--;
    }
  }
}

/** Dedupe ids that are older than the window. */
function forget(txn: Txn, topic: Topic, now: number): void {
  const { dedupe, born } = topic.record;
  const [oldest] = dedupe;
  if (!oldest || oldest.at + oldest.ms + topic.settings.dedupeMs > now) return;
  const ids = txn.range(DEDUPE, new TopicKeys(topic.name, born).dedupeAll(oldest.at), { limit: SLICE });
  for (const { key } of ids) txn.delete(DEDUPE, key);
  if (ids.length < SLICE) dedupe.shift();
}

function lapseFlight(txn: Txn, context: Context, { key, value }: StoredRecord): void {
  const { topic: name, generation } = generationOf(key);
  const topic = Topic.find(txn, name);
  if (topic?.record.generation !== generation) {
    // Purged: its messages are gone.
    txn.delete(FLIGHT, key);
    return;
  }
  const left = unpackFlight(value);
  let lapsed = 0;
  const kept = left.filter((entry) => {
    if (entry.untilAt > context.now || lapsed >= SLICE) return true;
    lapsed++;
    topic.counts.inFlight--;
    putBack(txn, context, topic, entry, context.now);
    return false;
  });
  writeFlight(txn, key, kept);
  topic.save(txn);
}

function collect(txn: Txn, key: Uint8Array): void {
  const { topic, generation } = generationOf(key);
  const [, number] = garbageSpace.parts(key);
  const garbage = garbageSpace.get(txn, topic, number!)!;
  const range = new TopicKeys(topic, generation).all;
  let left = SLICE;
  for (const space of garbage.spaces) {
    const found = left > 0 ? txn.range(space, range, { limit: left }) : [];
    for (const record of found) txn.delete(space, record.key);
    left -= found.length;
  }
  if (left > 0) garbageSpace.delete(txn, topic, number!);
  else garbageSpace.put(txn, [topic, number!], { ...garbage, removed: garbage.removed + SLICE });
}

/** After a restore nobody holds a receipt any more: what was in flight is to be delivered. */
export function returnAll(txn: Txn, now: number): void {
  for (const { key, value } of txn.range(FLIGHT, EVERYTHING)) {
    writeFlight(
      txn,
      key,
      unpackFlight(value).map((entry) => ({ ...entry, untilAt: now })),
    );
  }
}
