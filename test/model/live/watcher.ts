/**
 * A watcher over server-sent events that keeps everything it is told, connection by connection. It comes again by
 * `Last-Event-ID` whenever a connection ends, and ends one itself now and then.
 */
import { events } from "../../edge.ts";
import type { Random } from "../random.ts";
import type { WatchConnection, WatchItem, WatchRecord } from "../watch.ts";
import type { LogEvent } from "../witness.ts";
import type { Ordeal } from "./ordeal.ts";

export interface WatcherOptions {
  name: string;
  namespace?: string;
  prefix: string;
  since: number;
  /** After how many items it hangs up, at most; absent = never by itself. */
  patience?: { random: Random; items: number };
}

export class Watcher {
  readonly connections: WatchConnection[] = [];
  /** With what only a log needs. */
  readonly log: LogEvent[] = [];
  readonly #options: WatcherOptions;
  readonly #ordeal: Ordeal;
  readonly #stop = new AbortController();
  readonly #following: Promise<void>;
  #complete: number;
  #progressed = Promise.withResolvers<void>();

  constructor(ordeal: Ordeal, options: WatcherOptions) {
    this.#ordeal = ordeal;
    this.#options = options;
    this.#complete = options.since;
    this.#following = this.#follow();
  }

  /** Everything it was told, once it has been told everything up to a revision. */
  async until(revision: number): Promise<WatchRecord> {
    while (this.#complete < revision) await Promise.race([this.#progressed.promise, this.#following]);
    this.#stop.abort();
    await this.#following;
    const { name, prefix } = this.#options;
    return { name, matches: (key) => key.startsWith(prefix), connections: this.connections, until: revision };
  }

  async #follow(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      await this.#ordeal.up;
      const items: WatchItem[] = [];
      const since = this.#complete;
      const end = await this.#connect(since, items);
      if (end) this.connections.push({ since, items, end });
    }
  }

  /** One connection; null when there was none. */
  async #connect(since: number, items: WatchItem[]): Promise<WatchConnection["end"] | null> {
    const { namespace = "default", prefix, patience } = this.#options;
    const hangUp = new AbortController();
    const signal = AbortSignal.any([hangUp.signal, this.#stop.signal]);
    const itemsMax = patience ? 1 + patience.random.below(patience.items) : Infinity;
    const path = `/api/v1/namespaces/${namespace}/watch?previous=true&prefix=${encodeURIComponent(prefix)}`;
    let isOpen = false;
    try {
      const response = await this.#ordeal.edge.request(path, { headers: { "last-event-id": String(since) }, signal });
      if (response.status === 410) {
        const { compacted } = (await response.json()) as { compacted: number };
        this.#advance(compacted);
        return { type: "compacted", compacted };
      }
      if (response.status !== 200) {
        await response.body?.cancel();
        return null;
      }
      isOpen = true;
      for await (const { id, event, data } of events(response)) {
        if (event === "error") break;
        items.push(
          event === "progress" ? { type: "progress", revision: data.revision } : eventItem(data, id !== undefined),
        );
        if (event !== "progress") this.log.push(logEvent(data));
        if (id !== undefined) this.#advance(Number(id));
        if (items.length >= itemsMax) break;
      }
    } catch {
      // It broke, or was never there: the next one goes on.
    } finally {
      hangUp.abort();
    }
    return isOpen ? { type: "closed" } : null;
  }

  #advance(revision: number): void {
    this.#complete = Math.max(this.#complete, revision);
    const progressed = this.#progressed;
    this.#progressed = Promise.withResolvers();
    progressed.resolve();
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
