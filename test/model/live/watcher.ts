/** A watcher of keys that keeps everything it is told, connection by connection, and hangs up now and then. */
import type { Sse } from "../../edge.ts";
import type { Random } from "../random.ts";
import type { WatchConnection, WatchItem, WatchRecord } from "../watch.ts";
import type { LogEvent } from "../witness.ts";
import { Follower } from "./follower.ts";
import type { Ordeal } from "./ordeal.ts";

export interface WatcherOptions {
  name: string;
  namespace?: string;
  prefix: string;
  since: number;
  /** After how many items it hangs up, at most; absent = never by itself. */
  patience?: { random: Random; items: number };
}

export class Watcher extends Follower {
  readonly connections: WatchConnection[] = [];
  /** With what only a log needs. */
  readonly log: LogEvent[] = [];
  readonly #options: WatcherOptions;
  #items: WatchItem[] = [];
  #itemsMax = Infinity;

  constructor(ordeal: Ordeal, options: WatcherOptions) {
    const { namespace = "default", prefix, since } = options;
    const query = `previous=true&prefix=${encodeURIComponent(prefix)}`;
    super(ordeal, `/api/v1/namespaces/${namespace}/watch?${query}`, since);
    this.#options = options;
    this.start();
  }

  /** Everything it was told, once it has been told everything up to a revision. */
  async until(revision: number): Promise<WatchRecord> {
    await this.follow(revision);
    const { name, prefix } = this.#options;
    return { name, matches: (key) => key.startsWith(prefix), connections: this.connections, until: revision };
  }

  protected override begun(since: number): void {
    const { patience } = this.#options;
    this.#items = [];
    this.#itemsMax = patience ? 1 + patience.random.below(patience.items) : Infinity;
    this.connections.push({ since, items: this.#items, end: { type: "closed" } });
  }

  protected override told({ id, event, data }: Sse): boolean {
    if (event === "progress") this.#items.push({ type: "progress", revision: data.revision });
    else {
      this.#items.push(eventItem(data, id !== undefined));
      this.log.push(logEvent(data));
    }
    return this.#items.length < this.#itemsMax;
  }

  protected override refused(since: number, compacted: number): void {
    this.connections.push({ since, items: [], end: { type: "compacted", compacted } });
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
