/**
 * Topics: what an operator sets for one, and what is in it. A topic comes into being with the first message sent to it, or
 * when it is configured.
 *
 * Counts say where every message is that was ever sent (rule Q9): sent = acked + dead + expired + purged + ready + delayed +
 * blocked + in flight.
 */
import { HoldfastError, invalid } from "../errors.ts";
import type { PageInput } from "../policy/records.ts";
import { assertDuration, assertName, assertWhole } from "../registry/limits.ts";
import type { Context, Reader, Txn } from "../store/txn.ts";
import { JsonSpace } from "../store/txn.ts";
import { DEDUPE, FLIGHT, GARBAGE, GROUP, LATER, MESSAGE, ordered, READY, TOPIC, TopicKeys } from "./keys.ts";

export interface TopicSettings {
  /** How long a message that was received stays invisible to others, unless the receiver says otherwise. */
  visibilityMs: number;
  /** After so many deliveries without an ack a message goes to `deadLetter`; null = never. */
  maxDeliveries: number | null;
  /** Another topic. */
  deadLetter: string | null;
  /** What waits for longer is dropped. */
  retentionMs: number;
  /** How long a dedupe id is remembered. */
  dedupeMs: number;
  /** What may wait, in flight included. */
  messagesMax: number;
  /** What may be in flight at a time. */
  inFlightMax: number;
}

const DAY_MS = 86_400_000;
export const TOPIC_DEFAULTS: TopicSettings = {
  visibilityMs: 30_000,
  maxDeliveries: null,
  deadLetter: null,
  retentionMs: 4 * DAY_MS,
  dedupeMs: 300_000,
  messagesMax: 10_000_000,
  inFlightMax: 20_000,
};
export const VISIBILITY_MAX_MS = DAY_MS / 2;
const RETENTION_MAX_MS = 30 * DAY_MS;
const DEDUPE_MAX_MS = DAY_MS;
const IN_FLIGHT_MAX = 100_000;

export interface TopicCounts {
  /** Ever; what came as a dead letter, too. */
  sent: number;
  acked: number;
  /** Moved to the dead-letter topic. */
  dead: number;
  expired: number;
  purged: number;
  delayed: number;
  /** Behind an earlier message of their group. */
  blocked: number;
  inFlight: number;
}

/** Messages of one priority that are to be delivered. */
interface Level {
  /** The first fresh one has this number or a higher one. */
  head: number;
  fresh: number;
  pointed: number;
}

/** A span in which dedupe ids were written; they go together. */
interface DedupeBucket {
  at: number;
  ms: number;
}

interface TopicRecord {
  settings: Partial<TopicSettings>;
  counts: TopicCounts;
  /** The number of the next message. */
  next: number;
  levels: Record<string, Level>;
  /** Of the dedupe ids, which a purge does not forget. */
  born: number;
  generation: number;
  dedupe: DedupeBucket[];
  /** When a delayed message is due; null = there is none. */
  laterAt: number | null;
  /** When there may be an expired message to drop. */
  expireAt: number | null;
}

export interface TopicStats extends TopicCounts {
  topic: string;
  settings: TopicSettings;
  ready: number;
  /** All that is not done with. */
  waiting: number;
}

export const topicSpace = new JsonSpace<TopicRecord>(TOPIC);
/** The spaces in which records of the generation are still to be removed, and how many have been. */
export const garbageSpace = new JsonSpace<{ spaces: string[]; removed: number }>(GARBAGE);

/** A topic in the hands of one command: changed as it goes, and written once by `save`. */
export class Topic {
  readonly name: string;
  readonly keys: TopicKeys;
  readonly record: TopicRecord;
  readonly settings: TopicSettings;

  private constructor(name: string, record: TopicRecord) {
    this.name = name;
    this.record = record;
    this.keys = new TopicKeys(name, record.generation);
    this.settings = { ...TOPIC_DEFAULTS, ...record.settings };
  }

  static find(reader: Reader, name: string): Topic | undefined {
    const record = topicSpace.get(reader, name);
    return record && new Topic(name, record);
  }

  /** Codes: `not_found`. */
  static require(reader: Reader, name: string): Topic {
    const topic = Topic.find(reader, name);
    if (!topic) throw new HoldfastError("not_found", `there is no topic "${name}"`, { topic: name });
    return topic;
  }

  static findOrMake(txn: Txn, name: string): Topic {
    return Topic.find(txn, name) ?? new Topic(name, freshRecord(txn.revision));
  }

  get counts(): TopicCounts {
    return this.record.counts;
  }

  get ready(): number {
    return readyOf(this.record);
  }

  get waiting(): number {
    const { delayed, blocked, inFlight } = this.counts;
    return this.ready + delayed + blocked + inFlight;
  }

  /** Priorities with something to deliver, the highest first. */
  get priorities(): number[] {
    return Object.keys(this.record.levels)
      .map(Number)
      .toSorted((a, b) => b - a);
  }

  level(priority: number): Level {
    return (this.record.levels[priority] ??= { head: this.record.next, fresh: 0, pointed: 0 });
  }

  /** Whether a message sent then is kept no longer. */
  isExpired(sentAt: number, now: number): boolean {
    return sentAt + this.settings.retentionMs <= now;
  }

  /** Something ready may expire from then on. */
  expectExpiry(sentAt: number): void {
    this.record.expireAt = Math.min(this.record.expireAt ?? Infinity, inSteps(sentAt + this.settings.retentionMs));
  }

  expectLater(at: number): void {
    this.record.laterAt = Math.min(this.record.laterAt ?? Infinity, at);
  }

  save(txn: Txn): void {
    const { levels } = this.record;
    for (const [priority, { fresh, pointed }] of Object.entries(levels))
      if (fresh + pointed === 0) delete levels[priority];
    topicSpace.put(txn, [this.name], this.record);
  }

  stats(): TopicStats {
    return { topic: this.name, settings: this.settings, ...this.counts, ready: this.ready, waiting: this.waiting };
  }
}

/** Many expire one after the other: they are looked for once in a second. */
const EXPIRY_STEP_MS = 1000;
const inSteps = (at: number): number => Math.ceil(at / EXPIRY_STEP_MS) * EXPIRY_STEP_MS;

function readyOf({ levels }: TopicRecord): number {
  let ready = 0;
  for (const { fresh, pointed } of Object.values(levels)) ready += fresh + pointed;
  return ready;
}

/** How many messages could be received now. */
export function availableIn(record: TopicRecord): number {
  const { inFlightMax = TOPIC_DEFAULTS.inFlightMax } = record.settings;
  return Math.max(0, Math.min(readyOf(record), inFlightMax - record.counts.inFlight));
}

/** When there is something to do about a topic though nobody asks; null = never. */
export function tendAt({ laterAt, expireAt, dedupe }: TopicRecord, settings: TopicSettings): number | null {
  const [oldest] = dedupe;
  const forgetAt = oldest ? oldest.at + oldest.ms + settings.dedupeMs : null;
  const instants = [laterAt, expireAt, forgetAt].filter((at) => at !== null);
  return instants.length === 0 ? null : Math.min(...instants);
}

function freshRecord(revision: number): TopicRecord {
  return {
    settings: {},
    counts: { sent: 0, acked: 0, dead: 0, expired: 0, purged: 0, delayed: 0, blocked: 0, inFlight: 0 },
    next: 1,
    levels: {},
    born: revision,
    generation: revision,
    dedupe: [],
    laterAt: null,
    expireAt: null,
  };
}

export interface ConfigureInput {
  topic: string;
  /** What is absent stays as it is. */
  settings: { [name in keyof TopicSettings]?: TopicSettings[name] | undefined };
}

/** Codes: `invalid_argument`. */
export function configure(txn: Txn, context: Context, input: ConfigureInput): TopicStats {
  assertName("topic", input.topic);
  const topic = Topic.findOrMake(txn, input.topic);
  for (const [name, value] of Object.entries(input.settings)) {
    if (!Object.hasOwn(TOPIC_DEFAULTS, name)) throw invalid(name.slice(0, 64), "is not a setting of a topic");
    if (value !== undefined) Object.assign(topic.settings, { [name]: value });
  }
  assertSettings(topic.name, topic.settings);
  topic.record.settings = { ...topic.settings };
  // Another retention: look at once.
  if (topic.ready > 0) topic.record.expireAt = context.now;
  topic.save(txn);
  return topic.stats();
}

function assertSettings(topic: string, settings: TopicSettings): void {
  const { visibilityMs, maxDeliveries, deadLetter, retentionMs, dedupeMs, messagesMax, inFlightMax } = settings;
  assertDuration("visibility", visibilityMs, 1000, VISIBILITY_MAX_MS);
  assertDuration("retention", retentionMs, 1000, RETENTION_MAX_MS);
  assertDuration("dedupeWindow", dedupeMs, 1000, DEDUPE_MAX_MS);
  assertWhole("messagesMax", messagesMax, 1, 100_000_000);
  assertWhole("inFlightMax", inFlightMax, 1, IN_FLIGHT_MAX);
  if ((maxDeliveries === null) !== (deadLetter === null))
    throw invalid("deadLetter", "goes with maxDeliveries: give both or neither");
  if (maxDeliveries === null || deadLetter === null) return;
  assertWhole("maxDeliveries", maxDeliveries, 1, 1000);
  assertName("deadLetter", deadLetter);
  if (deadLetter === topic) throw invalid("deadLetter", "must be another topic");
}

/** Drops all that waits, what is in flight too: its receipts count no more. Codes: `not_found`. */
export function purge(txn: Txn, _context: Context, input: { topic: string }): { purged: number } {
  assertName("topic", input.topic);
  const topic = Topic.require(txn, input.topic);
  const { record, counts } = topic;
  const purged = topic.waiting;
  if (purged === 0) return { purged };
  discard(txn, topic.name, record.generation, GENERATION_SPACES);
  Object.assign(counts, { purged: counts.purged + purged, delayed: 0, blocked: 0, inFlight: 0 });
  Object.assign(record, { generation: txn.revision, levels: {}, laterAt: null, expireAt: null });
  topic.save(txn);
  return { purged };
}

/** Ends a topic with all that is in it. Codes: `not_found`. */
export function deleteTopic(txn: Txn, _context: Context, input: { topic: string }): { purged: number } {
  assertName("topic", input.topic);
  const topic = Topic.require(txn, input.topic);
  const { born, generation } = topic.record;
  if (born === generation) discard(txn, topic.name, generation, [...GENERATION_SPACES, DEDUPE]);
  else {
    discard(txn, topic.name, generation, GENERATION_SPACES);
    discard(txn, topic.name, born, [DEDUPE]);
  }
  topicSpace.delete(txn, topic.name);
  return { purged: topic.waiting };
}

const GENERATION_SPACES = [MESSAGE, READY, LATER, FLIGHT, GROUP];

function discard(txn: Txn, topic: string, generation: number, spaces: string[]): void {
  const before = garbageSpace.get(txn, topic, ordered(generation));
  const all = [...new Set([...(before?.spaces ?? []), ...spaces])];
  garbageSpace.put(txn, [topic, ordered(generation)], { spaces: all, removed: before?.removed ?? 0 });
}

/** Codes: `not_found`. */
export function statsOf(reader: Reader, { topic }: { topic: string }): TopicStats {
  return Topic.require(reader, topic).stats();
}

const PAGE_TOPICS = 500;

export function listTopics(reader: Reader, { after = null }: PageInput): { items: TopicStats[]; after: string | null } {
  const records = topicSpace.under(reader, [], {
    limit: PAGE_TOPICS + 1,
    ...(after !== null && { after: topicSpace.key(after) }),
  });
  const items = records.slice(0, PAGE_TOPICS).flatMap(({ key }) => {
    const topic = Topic.find(reader, topicSpace.parts(key)[0]!);
    return topic ? [topic.stats()] : [];
  });
  return { items, after: records.length > PAGE_TOPICS ? items.at(-1)!.topic : null };
}
