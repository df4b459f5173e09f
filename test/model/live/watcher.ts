/** A watcher of keys that keeps everything it is told, connection by connection, and hangs up now and then. */
import type { Sse } from "../../edge.ts";
import type { Random } from "../random.ts";
import type { WatchConnection, WatchItem, WatchRecord } from "../watch.ts";
import type { LogEvent } from "../witness.ts";
import { SseFollower } from "./follower.ts";
import { API, type Ordeal } from "./ordeal.ts";

export interface WatcherOptions {
  name: string;
  prefix: string;
  since: number;
  /** After how many items it hangs up, at most; absent = never by itself. */
  patience?: { random: Random; items: number };
}

/** What a watcher has been told. */
export class WatchNotes {
  readonly #options: WatcherOptions;
  readonly #connections: WatchConnection[] = [];
  #items: WatchItem[] = [];
  #itemsMax = Infinity;

  constructor(options: WatcherOptions) {
    this.#options = options;
  }

  begin(since: number): void {
    const { patience } = this.#options;
    this.#items = [];
    this.#itemsMax = patience ? 1 + patience.random.below(patience.items) : Infinity;
    this.#connections.push({ since, items: this.#items, end: { type: "closed" } });
  }

  /** False: it has lost its patience. */
  add(...items: readonly WatchItem[]): boolean {
    this.#items.push(...items);
    return this.#items.length < this.#itemsMax;
  }

  refused(since: number, compacted: number): void {
    this.#connections.push({ since, items: [], end: { type: "compacted", compacted } });
  }

  record(until: number): WatchRecord {
    const { name, prefix } = this.#options;
    return { name, matches: (key) => key.startsWith(prefix), connections: this.#connections, until };
  }
}

export class Watcher extends SseFollower {
  /** With what only a log needs. */
  readonly log: LogEvent[] = [];
  readonly #notes: WatchNotes;

  constructor(ordeal: Ordeal, options: WatcherOptions) {
    super(ordeal, `${API}/watch?previous=true&prefix=${encodeURIComponent(options.prefix)}`, options.since);
    this.#notes = new WatchNotes(options);
    this.start();
  }

  /** Everything it was told, once it has been told everything up to a revision. */
  async until(revision: number): Promise<WatchRecord> {
    await this.follow(revision);
    return this.#notes.record(revision);
  }

  protected override begun(since: number): void {
    this.#notes.begin(since);
  }

  protected override told({ id, event, data }: Sse): boolean {
    if (event === "progress") return this.#notes.add({ type: "progress", revision: data.revision });
    this.log.push(logEvent(data));
    return this.#notes.add(eventItem(data, id !== undefined));
  }

  protected override refused(since: number, compacted: number): void {
    this.#notes.refused(since, compacted);
  }
}

interface WireEvent {
  key: string;
  value?: string;
  modRevision: number;
  createRevision?: number;
  version?: number;
  previous?: { value: string };
}

function eventItem({ key, value, modRevision, previous }: WireEvent, isLast: boolean): WatchItem {
  return {
    type: "event",
    revision: modRevision,
    key,
    value: value === undefined ? null : atob(value),
    previous: previous ? atob(previous.value) : null,
    isLast,
  };
}

function logEvent({ key, value, modRevision, createRevision, version }: WireEvent): LogEvent {
  const event = { revision: modRevision, key, value: value === undefined ? null : atob(value) };
  return event.value === null || createRevision === undefined || version === undefined
    ? event
    : { ...event, createRevision, version };
}
