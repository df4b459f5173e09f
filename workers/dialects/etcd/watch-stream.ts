/**
 * One stream of watches: requests in, replies out, everything in one order.
 *
 * Watches that have been told all there is wait together, with one call to the namespace; those that begin in the past, or
 * have joined since, are brought up to them first, with calls of their own in between. What happens (a request, changes, a
 * tick) is taken one at a time, and the next only when its replies have been taken: a slow reader holds one batch, reads
 * history later, and is told `compacted` when that is gone.
 *
 * Rights are asked for again with every batch. Refuses to know the transport.
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { HoldfastError } from "../../../objects/errors.ts";
import type { StoreEvent, WatchRange } from "../../../objects/store/store.ts";
import { WAIT_MAX_MS } from "../../../objects/waiting.ts";
import type { Authorizer } from "../../request/authorizer.ts";
import type { Answer, Following, NamespaceClient } from "../../request/namespace-client.ts";
import type { Demand } from "../../request/permission.ts";
import { assertDemands } from "../../request/permission.ts";
import { GRPC } from "../../tunnel/wire/status.ts";
import type { Changes } from "../../../objects/core.ts";
import type { Code } from "./errors.ts";
import { compacted, EtcdError, etcdErrorOf, inGo, tooManyRequests } from "./errors.ts";
import type { WatchCreateRequest, WatchRequest, WatchResponseSchema } from "./gen/etcdserverpb_pb.js";
import { WatchCreateRequest_FilterType as Filter } from "./gen/etcdserverpb_pb.js";
import type { EventSchema } from "./gen/mvccpb_pb.js";
import { Event_EventType as EventType } from "./gen/mvccpb_pb.js";
import type { Call } from "./call.ts";
import { keyValueOf } from "./key-value.ts";
import { near } from "./numbers.ts";
import type { Target } from "./ranges.ts";
import { demandOf, isEmptyRange, targetOf } from "./ranges.ts";
import type { Watch } from "./watch-set.ts";
import { oneKey, unionOf, WatchSet } from "./watch-set.ts";
import { MESSAGE_BYTES_MAX } from "./wire.ts";

/** What a stream needs of its call. */
export interface WatchCall extends Pick<Call, "header" | "headerWithoutRevision" | "signal"> {
  client: Pick<NamespaceClient, "follow" | "query">;
  identify(): Promise<{ authorizer: Authorizer }>;
}

type Response = MessageInitShape<typeof WatchResponseSchema>;
type Event = MessageInitShape<typeof EventSchema>;

/** etcd's; with a little more, so that not all streams speak at once. */
const PROGRESS_MS = 600_000;
const PROGRESS_JITTER = 0.1;
/** Of one batch, and besides that one revision: so much a stream holds. */
const BATCH = { limit: 500, bytesMax: 1024 * 1024 };
/** Requests that are answered before there is another look at changes. */
const BURST_MAX = 100;
/** As the id of a watch: all of them, or none. */
const NO_WATCH = -1n;
/** What an event takes besides keys and values. */
const EVENT_BYTES = 64;

/** Who is told by one call, and of what. */
interface Group {
  watches: ReadonlySet<Watch>;
  ranges: WatchRange[];
  previous: boolean;
}

interface Pending {
  group: Group;
  /** The watches of it are brought up to the others. */
  isCatchUp: boolean;
  isWaiting: boolean;
  following: Following;
  /** Progress that its answer can tell of: how often it was asked for, and whether it is time. */
  asked: number;
  isDue: boolean;
}

type Happening =
  | { type: "request"; request: WatchRequest }
  | { type: "changes"; pending: Pending; answer: Answer<Changes> }
  | { type: "refused"; pending: Pending; error: unknown }
  | { type: "tick" }
  | { type: "failed"; error: unknown }
  | { type: "gone" };

export class WatchStream {
  readonly #call: WatchCall;
  readonly #progressMs: number;
  readonly #watches = new WatchSet();
  readonly #happened: Happening[] = [];
  #wake = (): void => {};
  #pending: Pending | null = null;
  /** Null: who is where has to be looked at anew. */
  #groups: { joined: Group; behind: Group } | null = null;
  /** Watches with a later `next` have joined: they have been told all up to here. */
  #through = 0;
  /** The newest revision that was seen. */
  #newest = 0;
  /** History begins there, as far as is known. */
  #compacted = 0;
  #hasCaughtUp = false;
  #burst = 0;
  #asked = 0;
  #isDue = false;
  #ticks: ReturnType<typeof setInterval> | undefined;
  #authorizer: Authorizer | null = null;

  constructor(call: WatchCall, progressMs = PROGRESS_MS * (1 + PROGRESS_JITTER * Math.random())) {
    this.#call = call;
    this.#progressMs = progressMs;
  }

  /** Ends when the caller has gone, and no sooner: watches last when there is nothing more to ask for. */
  async *replies(requests: AsyncIterable<WatchRequest>): AsyncGenerator<Response, undefined> {
    const { signal } = this.#call;
    const onGone = (): void => this.#post({ type: "gone" });
    signal.addEventListener("abort", onGone, { once: true });
    const asked = requests[Symbol.asyncIterator]();
    this.#ask(asked);
    try {
      while (!signal.aborted) {
        const happening = await this.#next();
        if (happening.type === "gone") return;
        yield* this.#repliesTo(happening);
        if (happening.type === "request") {
          this.#ask(asked);
          await nextTurn();
        }
        this.#follow();
      }
    } finally {
      signal.removeEventListener("abort", onGone);
      clearInterval(this.#ticks);
      this.#nudge();
    }
  }

  #ask(asked: AsyncIterator<WatchRequest>): void {
    void asked.next().then(
      ({ done, value }) => {
        if (!done) this.#post({ type: "request", request: value });
      },
      (error: unknown) => this.#post({ type: "failed", error }),
    );
  }

  #post(happening: Happening): void {
    this.#happened.push(happening);
    this.#wake();
  }

  async #next(): Promise<Happening> {
    for (;;) {
      const happening = this.#happened.shift();
      if (happening) return happening;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  async *#repliesTo(happening: Exclude<Happening, { type: "gone" }>): AsyncGenerator<Response, undefined> {
    switch (happening.type) {
      case "request":
        return yield* this.#answer(happening.request);
      case "changes":
        this.#pending = null;
        return yield* this.#tell(happening.pending, happening.answer);
      case "refused":
        this.#pending = null;
        return yield* this.#endCompacted(happening.pending, happening.error);
      case "tick":
        this.#isDue = true;
        this.#nudge();
        return;
      case "failed":
        throw happening.error;
    }
  }

  async *#answer({ requestUnion: asked }: WatchRequest): AsyncGenerator<Response, undefined> {
    switch (asked.case) {
      case "createRequest":
        yield await this.#create(asked.value);
        return;
      case "cancelRequest": {
        const { watchId } = asked.value;
        if (this.#remove(watchId)) yield { header: this.#call.header(this.#newest), watchId, canceled: true };
        return;
      }
      case "progressRequest":
        if (this.#watches.size > 0) this.#asked++;
        this.#nudge();
        return;
      case undefined:
    }
  }

  async #create(request: WatchCreateRequest): Promise<Response> {
    const target = targetOf(request.key.length === 0 ? ZERO : request.key, request.rangeEnd);
    const reason = await this.#denial(demandsOn(target, request.prevKv));
    const { revision } = await this.#call.client.query("store.nothing", {});
    this.#newest = Math.max(this.#newest, revision);
    const header = this.#call.header(revision);
    const refusal = reason ?? this.#refusal(request, target);
    if (refusal !== null) {
      return { header, watchId: NO_WATCH, created: true, canceled: true, cancelReason: refusal };
    }
    if (this.#watches.size === 0) this.#through = Math.max(this.#through, revision);
    const watch = watchOf(request, target, revision);
    if (watch.id === 0n) watch.id = this.#watches.freeId();
    this.#watches.add(watch);
    this.#groups = null;
    if (watch.wantsProgress) this.#ticks ??= setInterval(() => this.#post({ type: "tick" }), this.#progressMs);
    this.#nudge();
    return { header, watchId: watch.id, created: true };
  }

  /** In the order in which etcd finds fault. */
  #refusal({ watchId, startRevision }: WatchCreateRequest, target: Target): string | null {
    if (startRevision < 0n) return compacted().message;
    if (isEmptyRange(target)) return "mvcc: watcher range is empty";
    if (watchId !== 0n && this.#watches.has(watchId)) return "mvcc: duplicate watch ID provided on the WatchStream";
    return this.#watches.hasRoomFor(rangeOf(target)) ? null : inGo(tooManyRequests());
  }

  /** Null: it may. */
  async #denial(demands: readonly Demand[]): Promise<string | null> {
    try {
      const { authorizer } = await this.#call.identify();
      if (!authorizer.isUnbounded) assertDemands(authorizer, demands);
      return null;
    } catch (error) {
      return denialOf(error);
    }
  }

  #remove(id: bigint): boolean {
    this.#groups = null;
    return this.#watches.remove(id);
  }

  /** What is waited for has changed: the call under way is to come back. */
  #nudge(): void {
    if (this.#pending?.isWaiting) this.#pending.following.leave();
  }

  /** One call at a time. With watches behind, theirs and those of the others take turns, and none waits. */
  #follow(): void {
    if (this.#pending || this.#isBurst()) return;
    if (this.#watches.size === 0) {
      this.#asked = 0;
      return;
    }
    const { joined, behind } = (this.#groups ??= this.#grouped());
    const isCatchUp = behind.watches.size > 0 && (joined.watches.size === 0 || !this.#hasCaughtUp);
    this.#hasCaughtUp = isCatchUp;
    const group = isCatchUp ? behind : joined;
    const since = isCatchUp ? firstOf(behind) - 1 : this.#through;
    // Of a past that is compacted only the mark itself may be asked for; who follows has more.
    const resumes = !isCatchUp || since === this.#compacted - 1;
    const canTell = behind.watches.size === 0;
    const asked = canTell ? this.#asked : 0;
    const isDue = canTell && this.#isDue;
    const isWaiting = canTell && asked === 0 && !isDue;
    const { ranges, previous } = group;
    const input = { since, ranges, previous, resumes, ...BATCH };
    const following = this.#call.client.follow(input, isWaiting ? WAIT_MAX_MS : 0);
    const pending: Pending = { group, isCatchUp, isWaiting, following, asked, isDue };
    this.#pending = pending;
    following.answer.then(
      (answer) => this.#post({ type: "changes", pending, answer }),
      (error: unknown) => this.#post({ type: "refused", pending, error }),
    );
  }

  /** Requests come one upon the other: what they ask for is looked after together, but not much later. */
  #isBurst(): boolean {
    const isBurst = this.#happened[0]?.type === "request" && this.#burst < BURST_MAX;
    this.#burst = isBurst ? this.#burst + 1 : 0;
    return isBurst;
  }

  #grouped(): { joined: Group; behind: Group } {
    const [joined, behind]: [Watch[], Watch[]] = [[], []];
    for (const watch of this.#watches) (watch.next > this.#through ? joined : behind).push(watch);
    return { joined: groupOf(joined), behind: groupOf(behind) };
  }

  async *#tell(pending: Pending, answer: Answer<Changes>): AsyncGenerator<Response, undefined> {
    const { group, isCatchUp } = pending;
    const { events, revision } = answer.value;
    this.#newest = Math.max(this.#newest, answer.revision);
    yield* this.#endDenied();
    for (const [watch, concerned] of this.#watches.concerned(events)) {
      if (!group.watches.has(watch)) continue;
      const told = concerned.filter((event) => isFor(watch, event));
      if (told.length > 0) yield* this.#told(watch, told, revision);
    }
    for (const watch of group.watches) watch.next = Math.max(watch.next, revision + 1);
    if (isCatchUp) this.#groups = null;
    else this.#through = Math.max(this.#through, revision);
    if (revision >= answer.revision) yield* this.#progress(pending, revision);
  }

  *#told(watch: Watch, told: StoreEvent[], revision: number): Generator<Response, undefined> {
    watch.hasSpoken = true;
    const header = this.#call.header(revision);
    const parts = watch.takesFragments ? fragmentsOf(told) : [told];
    for (const [index, part] of parts.entries()) {
      const hasPrevious = ({ revision: at }: StoreEvent): boolean => watch.wantsPrevious && at > this.#compacted;
      const events = part.map((event) => eventOf(event, hasPrevious(event)));
      yield { header, watchId: watch.id, events, fragment: index < parts.length - 1 };
    }
  }

  /** As of the call that was made after it was asked for, if every watch has been told all up to there. */
  *#progress({ asked, isDue }: Pending, revision: number): Generator<Response, undefined> {
    if (asked === 0 && !isDue) return;
    for (const { next } of this.#watches) if (next <= revision) return;
    const header = this.#call.header(revision);
    this.#asked -= asked;
    if (this.#watches.size > 0) for (let i = 0; i < asked; i++) yield { header, watchId: NO_WATCH };
    if (!isDue) return;
    this.#isDue = false;
    for (const watch of this.#watches) {
      if (watch.wantsProgress && !watch.hasSpoken) yield { header, watchId: watch.id };
      watch.hasSpoken = false;
    }
  }

  /** Those whose caller has lost the right. */
  async *#endDenied(): AsyncGenerator<Response, undefined> {
    let reasonForAll: string | null = null;
    try {
      const { authorizer } = await this.#call.identify();
      if (authorizer === this.#authorizer) return;
      this.#authorizer = authorizer;
    } catch (error) {
      reasonForAll = denialOf(error);
    }
    for (const watch of this.#watches) {
      const cancelReason = reasonForAll ?? denialBy(this.#authorizer!, watch);
      if (cancelReason === null) continue;
      this.#remove(watch.id);
      yield { header: this.#call.header(this.#newest), watchId: watch.id, canceled: true, cancelReason };
    }
  }

  /** Those that would have to be told what is forgotten; the others go on. */
  async *#endCompacted({ group, isCatchUp }: Pending, error: unknown): AsyncGenerator<Response, undefined> {
    if (!(error instanceof HoldfastError && error.code === "compacted")) throw error;
    const mark = Number(error.details?.["compacted"]);
    this.#compacted = mark;
    if (!isCatchUp) this.#through = Math.max(this.#through, mark - 1);
    const header = this.#call.headerWithoutRevision;
    for (const { id, next } of group.watches) {
      if (next >= mark || !this.#remove(id)) continue;
      yield { header, watchId: id, canceled: true, compactRevision: BigInt(mark) };
    }
  }
}

const ZERO = new Uint8Array(1);

/** What has come meanwhile is there then. */
const nextTurn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));

const rangeOf = ({ key, to }: Target): Watch["range"] => (to === undefined ? oneKey(key) : { from: key, to });

/** Values of before take the right to read as well. */
const demandsOn = (target: Target, withPrevious: boolean): Demand[] => [
  demandOf("watch", target),
  ...(withPrevious ? [demandOf("read", target)] : []),
];

function watchOf(request: WatchCreateRequest, target: Target, revision: number): Watch {
  const { watchId, startRevision, filters, prevKv, progressNotify, fragment } = request;
  return {
    id: watchId,
    range: rangeOf(target),
    isOneKey: target.to === undefined,
    next: startRevision === 0n ? revision + 1 : near(startRevision),
    wantsPuts: !filters.includes(Filter.NOPUT),
    wantsDeletes: !filters.includes(Filter.NODELETE),
    wantsPrevious: prevKv,
    wantsProgress: progressNotify,
    takesFragments: fragment,
    hasSpoken: false,
  };
}

const groupOf = (watches: readonly Watch[]): Group => ({
  watches: new Set(watches),
  ranges: unionOf(watches),
  previous: watches.some(({ wantsPrevious }) => wantsPrevious),
});

function firstOf({ watches }: Group): number {
  let first = Infinity;
  for (const { next } of watches) first = Math.min(first, next);
  return first;
}

const isFor = ({ next, wantsPuts, wantsDeletes }: Watch, { revision, record }: StoreEvent): boolean =>
  revision >= next && (record ? wantsPuts : wantsDeletes);

function eventOf({ key, revision, record, before }: StoreEvent, withPrevious: boolean): Event {
  const prevKv = withPrevious && before ? { prevKv: keyValueOf(before) } : {};
  if (record) return { type: EventType.PUT, kv: keyValueOf(record), ...prevKv };
  return { type: EventType.DELETE, kv: { key, modRevision: BigInt(revision) }, ...prevKv };
}

/** As much together as a message may have; more only where it is one event. */
function fragmentsOf(events: readonly StoreEvent[]): StoreEvent[][] {
  const fragments: StoreEvent[][] = [];
  let room = 0;
  for (const event of events) {
    const size = sizeOf(event);
    if (fragments.length > 0 && size <= room) fragments.at(-1)!.push(event);
    else {
      fragments.push([event]);
      room = MESSAGE_BYTES_MAX;
    }
    room -= size;
  }
  return fragments;
}

const sizeOf = ({ key, record, before }: StoreEvent): number =>
  EVENT_BYTES + key.length + (record?.value.length ?? 0) + (before ? key.length + before.value.length : 0);

function denialBy(authorizer: Authorizer, { range, isOneKey, wantsPrevious }: Watch): string | null {
  if (authorizer.isUnbounded) return null;
  try {
    assertDemands(
      authorizer,
      demandsOn(isOneKey ? { key: range.from } : { key: range.from, to: range.to }, wantsPrevious),
    );
    return null;
  } catch (error) {
    return denialOf(error);
  }
}

/** Why a watch is not to be; what says nothing about rights is thrown on. */
function denialOf(error: unknown): string {
  const denial = error instanceof HoldfastError ? etcdErrorOf(error) : error;
  if (!(denial instanceof EtcdError && DENIALS.has(denial.code))) throw error;
  return inGo(denial);
}

const DENIALS: ReadonlySet<Code> = new Set([GRPC.permissionDenied, GRPC.unauthenticated, GRPC.invalidArgument]);
