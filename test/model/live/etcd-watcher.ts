/**
 * A watcher by etcd's Watch service, over whichever transport. It resumes with the revision after the last that was told whole,
 * and on each connection asks for progress. A response without fragments holds whole revisions.
 */
import { Watch, type WatchResponse } from "../../../workers/dialects/etcd/gen/etcdserverpb_pb.js";
import { type Event, Event_EventType as EventType } from "../../../workers/dialects/etcd/gen/mvccpb_pb.js";
import { Unanswered } from "../history.ts";
import type { WatchItem, WatchRecord } from "../watch.ts";
import { below, type EtcdTransport, text } from "./etcd-transport.ts";
import { Follower } from "./follower.ts";
import type { Ordeal } from "./ordeal.ts";
import { type WatcherOptions, WatchNotes } from "./watcher.ts";

/** As the id of a watch in a mark of progress: of all. */
const ALL = -1n;

export class EtcdWatcher extends Follower {
  readonly #transport: EtcdTransport;
  readonly #range: ReturnType<typeof below>;
  readonly #notes: WatchNotes;

  constructor(ordeal: Ordeal, transport: EtcdTransport, options: WatcherOptions) {
    super(ordeal, options.since);
    this.#transport = transport;
    this.#range = below(options.prefix);
    this.#notes = new WatchNotes(options);
    this.start();
  }

  /** Everything it was told, once it has been told everything up to a revision. */
  async until(revision: number): Promise<WatchRecord> {
    await this.follow(revision);
    return this.#notes.record(revision);
  }

  protected override async connect(since: number, signal: AbortSignal): Promise<void> {
    const create = { ...this.#range, startRevision: BigInt(since + 1), prevKv: true };
    const asked = [
      { requestUnion: { case: "createRequest" as const, value: create } },
      { requestUnion: { case: "progressRequest" as const, value: {} } },
    ];
    try {
      for await (const response of this.#transport.stream(Watch.method.watch, asked, signal)) {
        if (!this.#heard(response, since)) return;
      }
    } catch (error) {
      if (!(error instanceof Unanswered)) throw error;
    }
  }

  #heard({ header, watchId, created, canceled, cancelReason, compactRevision, events }: WatchResponse, since: number) {
    if (compactRevision > 0n) {
      this.#notes.refused(since, Number(compactRevision));
      this.advance(Number(compactRevision));
      return false;
    }
    if (canceled) throw new Error(`a watch was cancelled: ${cancelReason}`);
    if (created) {
      this.#notes.begin(since);
      return true;
    }
    const items = events.map((event, at) => itemOf(event, events[at + 1]));
    const isProgress = watchId === ALL;
    if (isProgress) items.push({ type: "progress", revision: Number(header!.revision) });
    const last = items.at(-1);
    if (!last) throw new Error("a response of a watch that says nothing");
    const goesOn = this.#notes.add(...items);
    this.advance(last.revision);
    return goesOn;
  }
}

function itemOf({ type, kv, prevKv }: Event, next: Event | undefined): WatchItem {
  const { key, value, modRevision } = kv!;
  return {
    type: "event",
    revision: Number(modRevision),
    key: text(key),
    value: type === EventType.PUT ? text(value) : null,
    previous: prevKv ? text(prevKv.value) : null,
    isLast: next?.kv?.modRevision !== modRevision,
  };
}
