/**
 * Durable Object: one namespace in one datacenter, named `<namespace>@<datacenter>`.
 *
 * Wiring only: it queues commands and runs the queue in one turn (group commit), holds the alarm at the earliest
 * deadline, and lets callers wait for changes. What is decided is decided in `core.ts` and the rooms.
 *
 * Errors cross RPC as values, because a thrown class loses its type on the way.
 */
import { createHash, randomBytes } from "node:crypto";
import { crc32 } from "node:zlib";
import { DurableObject } from "cloudflare:workers";
import type { Answered, BatchedCall } from "./calls.ts";
import { LargeAnswers } from "./calls.ts";
import type { Call, CommandName, CommandOutput, QueryInput, QueryName, QueryOutput, Result } from "./commands.ts";
import { StorageFailure } from "./batches.ts";
import type { Changes, ChangesInput, CorePorts } from "./core.ts";
import { Core } from "./core.ts";
import type { Directory, Reservation } from "./directory.ts";
import { DIRECTORY_NAME } from "./directory.ts";
import type { ClaimKind } from "./fences.ts";
import type { Outcome } from "./errors.ts";
import { HoldfastError } from "./errors.ts";
import type { Holding } from "./locks/arbiter.ts";
import type { Caller } from "./model.ts";
import type { Prober } from "./prober.ts";
import { PROBES_MAX } from "./probing/plan.ts";
import type { ProbeList, ProbeResult } from "./probing/plan.ts";
import type { Heartbeat, HeartbeatResult } from "./renewals.ts";
import type { Received } from "./queues/receive.ts";
import { assertReceive } from "./queues/receive.ts";
import { Receivers } from "./queues/receivers.ts";
import { pulledChecks } from "./registry/views.ts";
import { NOBODY } from "./policy/guesses.ts";
import { RESOLVED_FROM } from "./policy/principal.ts";
import type { Stored } from "./policy/records.ts";
import type { Session } from "./sessions/sessions.ts";
import type { SnapshotCursor, SnapshotPage, SpacedRecord } from "./store/backend.ts";
import { sha256Short, SHORT_MAX } from "./store/sha256.ts";
import { databaseOf } from "./store/storage.ts";
import type { WatchRange } from "./store/store.ts";
import { Timeouts } from "./timeouts.ts";
import { CLAIMS_MAX } from "./virtual-ips/allocation.ts";
import { WAIT_MAX_MS } from "./waiting.ts";

export interface NamespaceEnv {
  DIRECTORY: DurableObjectNamespace<Directory>;
  PROBER: DurableObjectNamespace<Prober>;
  /** Only in tests: lets a caller slow a command down, or end the object in the middle of one. */
  HOLDFAST_TEST?: string;
  /** Bytes a namespace may keep; default 8 GiB, below what the platform stores. */
  HOLDFAST_STORE_BYTES_MAX?: string;
}

export interface ReadOptions {
  /** What the answer depends on. */
  ranges: WatchRange[];
  /** Wait for an index above this one; 0 or absent = answer at once. */
  since?: number | undefined;
  /** At most 60,000. */
  waitMs?: number | undefined;
  /** Proven current, as in `query`. */
  strong?: boolean | undefined;
  /** The lease of who waits: being there to be answered is a sign of life. */
  renews?: string | undefined;
}

export interface ReceiveOptions {
  /** At most 60,000. */
  waitMs?: number | undefined;
  /** A name for the place in the line. */
  place?: string | undefined;
}

export interface IndexedValue<T> {
  value: T;
  /** The revision of the last change in the ranges; at least 1. */
  index: number;
}

export interface NamespaceStatus {
  namespace: string;
  datacenter: string;
  revision: number;
  compacted: number;
  /** Hash of the audit chain at this revision; hex. */
  hash: string;
  /** Leases and times to live being kept. */
  leases: number;
  waiters: number;
  selfPreservation: boolean;
  sizeBytes: number;
  /** Beyond it only commands that make room are run. */
  sizeBytesMax: number;
  /** Since when this object has been in memory. */
  startedAt: number;
  /** Of this life of the object. */
  commands: number;
  batches: number;
  renewals: number;
}

export interface SnapshotPart extends SnapshotPage {
  revision: number;
}

/** A call as it comes over RPC; the failpoint counts in tests only. */
export type ExecuteInput<N extends CommandName = CommandName> = Call<N> & { failpoint?: Failpoint | undefined };

export interface Failpoint {
  delayMs?: number;
  abort?: "before_commit" | "after_commit";
}

interface Pending {
  call: ExecuteInput;
  resolve: (outcome: Outcome<unknown>) => void;
}

const PROBER: Caller = { principal: "holdfast:prober", source: "", dialect: "internal" };
const DIRECTORY: Caller = { principal: "holdfast:directory", source: "", dialect: "internal" };
/** More than a long poll needs; what asks for more comes again. */
const WAITERS_MAX = 20_000;
const QUEUE_MAX = 5000;
/** A batch that takes longer is cut here, so that others get their turn; what is left is the next one. */
const BATCH_MS = 10;
/**
 * On one machine edge and object share a thread, which takes a few arrivals in each turn: after a cut, or a slice of what
 * has lapsed, they come first.
 */
const TURNS_AFTER_CUT = 6;
/** Revisions a batch may need besides its commands': expiry and marks. */
const SPARE_REVISIONS = 1000;
const SNAPSHOT_PAGE_BYTES = 1024 * 1024;
const SNAPSHOT_HOLD_MS = 60_000;
const SETTLE_PAUSE_MS = 5000;
const STORE_BYTES_MAX = 8 * 1024 ** 3;

export class Namespace extends DurableObject<NamespaceEnv> {
  #core: Core;
  readonly #startedAt = Date.now();
  #lastNow = 0;
  #pending: Pending[] = [];
  /** Who waits for the end of the next batch. */
  #turns: (() => void)[] = [];
  /** The next batch has to touch the disk, whatever is in it. */
  #fence = false;
  #flushing = false;
  /** The flush that is to come in the next turn. */
  #nextFlush: ReturnType<typeof setTimeout> | undefined;
  #armedAt: number | null = null;
  #maintenance: ReturnType<typeof setTimeout> | undefined;
  /** Revisions up to this one may be issued; 0 = the directory has not been asked since the start. */
  #ceiling = 0;
  /** The restore that is open, by number. */
  #restore = 0;
  readonly #timeouts = new Timeouts();
  readonly #receivers = new Receivers();
  /** How those give up who wait at a place with a name. */
  readonly #places = new Map<string, () => void>();
  /** After the directory was out of reach. */
  #settleAgainAt = 0;
  #counts = { commands: 0, batches: 0, renewals: 0 };
  readonly #large = new LargeAnswers();

  constructor(ctx: DurableObjectState, env: NamespaceEnv) {
    super(ctx, env);
    this.#core = this.#makeCore();
    this.#afterTurn();
  }

  protected get revision(): number {
    return this.#core.revision;
  }

  /** The revision of the last change of what callers are resolved from. */
  protected get rightsRevision(): number {
    return this.#core.store.lastChange(RESOLVED_FROM);
  }

  get #sizeBytesMax(): number {
    return Number(this.env.HOLDFAST_STORE_BYTES_MAX ?? STORE_BYTES_MAX);
  }

  #makeCore(): Core {
    const { storage } = this.ctx;
    const ports: CorePorts = {
      database: databaseOf(storage),
      transaction: (act) => storage.transactionSync(act),
      checksum: crc32,
      digest: sha256,
      random: (length) => randomBytes(length),
      sizeMax: this.#sizeBytesMax,
    };
    return new Core(ports, this.#now());
  }

  execute<N extends CommandName>(call: ExecuteInput<N>): Promise<Outcome<CommandOutput<N>>> {
    if (this.#pending.length >= QUEUE_MAX) return Promise.resolve(this.#overloaded());
    return new Promise((resolve) => {
      this.#pending.push({ call, resolve: resolve as Pending["resolve"] });
      this.#scheduleFlush();
    });
  }

  /** `strong`: proven current by a write of its own batch, in case another copy of this object lives. */
  async query<N extends QueryName>(
    name: N,
    input: QueryInput<N>,
    options: { strong?: boolean } = {},
  ): Promise<Outcome<QueryOutput<N>>> {
    if (options.strong || this.#isDue()) await this.#turn(options.strong ?? false);
    return this.#answer(() => this.#core.query(name, input, this.#now()));
  }

  async heartbeat(beats: Heartbeat[]): Promise<Outcome<HeartbeatResult>> {
    if (this.#isDue()) await this.#turn(false);
    return this.#answer(() => {
      this.#counts.renewals += beats.length;
      return this.#core.heartbeat(beats, this.#now());
    });
  }

  async renewLease(id: string): Promise<Outcome<{ id: string; ttlMs: number }>> {
    if (this.#isDue()) await this.#turn(false);
    return this.#answer(() => {
      this.#counts.renewals++;
      return this.#core.renewLease(id, this.#now());
    });
  }

  async renewLeases(ids: string[]): Promise<Outcome<{ ended: string[] }>> {
    if (this.#isDue()) await this.#turn(false);
    return this.#answer(() => this.#renew(ids));
  }

  #renew(ids: string[]): { ended: string[] } {
    this.#counts.renewals += ids.length;
    return this.#core.renewLeases(ids, this.#now());
  }

  async renewClaim(kind: ClaimKind, holding: Holding): Promise<Outcome<{ id: string; ttlMs: number }>> {
    if (this.#isDue()) await this.#turn(false);
    return this.#answer(() => {
      this.#counts.renewals++;
      return this.#core.renewClaim(kind, holding, this.#now());
    });
  }

  async renewSession(id: string): Promise<Outcome<Stored<Session>>> {
    if (this.#isDue()) await this.#turn(false);
    return this.#answer(() => {
      this.#counts.renewals++;
      return this.#core.renewSession(id, this.#now());
    });
  }

  /** A password that was shown for a user was wrong; null = there is nobody of that name. */
  guessedWrong(user: string | null): Outcome<null> {
    return this.#answer(() => {
      this.#core.guesses.countWrong(user ?? NOBODY, this.#now());
      return null;
    });
  }

  /** Calls that came together, each answered as if it had come alone. */
  calls(calls: BatchedCall[]): Promise<Answered[]> {
    const answers = calls.map(async (call) => this.#large.leave(await this.#called(call), this.#now()));
    // They have waited for each other already.
    if (this.#nextFlush !== undefined) this.#flushNow(this.#nextFlush);
    return Promise.all(answers);
  }

  /** What `calls` left behind. */
  async take(ticket: number): Promise<Outcome<unknown>> {
    const outcome = this.#large.take(ticket);
    return (
      outcome ??
      this.#answer(() => {
        throw new HoldfastError("unavailable", "the answer is not kept any more", { outcome: "unknown" }, 1000);
      })
    );
  }

  #called(call: BatchedCall): Promise<Outcome<unknown>> {
    switch (call.method) {
      case "execute":
        return this.execute(...call.args);
      case "query":
        return this.query(...call.args);
      case "read":
        return this.read(...call.args);
      case "heartbeat":
        return this.heartbeat(...call.args);
      case "renewLease":
        return this.renewLease(...call.args);
      case "renewClaim":
        return this.renewClaim(...call.args);
      case "renewSession":
        return this.renewSession(...call.args);
    }
  }

  /**
   * Events after a revision; with `waitMs`, waits so long for the first. No event: the revision says how far was looked. Who
   * gave a name for its place gets an answer at once when that is given up.
   */
  async changes(input: ChangesInput, waitMs = 0, place?: string): Promise<Outcome<Changes>> {
    const until = this.#now() + Math.min(waitMs, WAIT_MAX_MS);
    let { since, resumes } = input;
    for (let isLeft = false; ;) {
      const outcome = this.#answer(() => this.#core.changes({ ...input, since, resumes }));
      if (!outcome.ok || outcome.value.events.length > 0) return outcome;
      since = outcome.value.revision;
      if (since < this.#core.revision) continue;
      const remainingMs = until - this.#now();
      if (isLeft || remainingMs <= 0) return outcome;
      if (this.#core.feed.size >= WAITERS_MAX) return this.#overloaded();
      const change = await this.#nextChange(input.ranges, remainingMs, place);
      isLeft = change.isLeft;
      // What happened elsewhere meanwhile may have been compacted.
      since = Math.max(since, change.through);
      resumes = true;
    }
  }

  /**
   * A query, and the index of what it read: the last change in `ranges`. With `since`, waits up to `waitMs` for that index
   * to become larger, and answers the present state when it does not. What is answered renews the lease that is named, if
   * that has not ended.
   */
  async read<N extends QueryName>(
    name: N,
    input: QueryInput<N>,
    { ranges, since = 0, waitMs = 0, strong = false, renews }: ReadOptions,
  ): Promise<Outcome<IndexedValue<QueryOutput<N>>>> {
    if (strong || this.#isDue()) await this.#turn(strong);
    const until = this.#now() + Math.min(waitMs, WAIT_MAX_MS);
    for (;;) {
      const index = this.#core.store.lastChange(ranges);
      const remainingMs = until - this.#now();
      if (since === 0 || index > since || remainingMs <= 0) {
        return this.#answer(() => {
          const value = this.#core.query(name, input, this.#now());
          if (renews !== undefined) this.#renew([renews]);
          return { value, index: this.#core.store.lastChange(ranges) };
        });
      }
      if (this.#core.feed.size >= WAITERS_MAX) return this.#overloaded();
      await this.#nextChange(ranges, remainingMs);
    }
  }

  /**
   * Messages of a topic as soon as there are some, for one that waits after the other, at most `waitMs`; else none. Who
   * gave a name for its place can give that up.
   */
  async receive(
    call: ExecuteInput<"queue.receive">,
    { waitMs = 0, place }: ReceiveOptions = {},
  ): Promise<Outcome<Received>> {
    const asked = this.#answer(() => assertReceive(call.input));
    if (!asked.ok) return asked;
    const { topic, max = 1 } = call.input;
    const until = this.#now() + Math.min(waitMs, WAIT_MAX_MS);
    if (this.#receivers.size >= WAITERS_MAX) return this.#overloaded();
    for (let isBack = false; ; isBack = true) {
      if (this.#isDue()) await this.#turn(false);
      if (!(await this.#turnToReceive(topic, max, { isBack, place, waitMs: until - this.#now() }))) {
        return this.#answer(() => ({ messages: [] }));
      }
      const outcome = await this.execute(call);
      this.#receivers.done(topic, max);
      this.#receivers.serve(topic, this.#core.availableOf(topic));
      if (!outcome.ok || outcome.value.messages.length > 0) return outcome;
    }
  }

  /** Who waits there is gone. */
  async leave(place: string): Promise<void> {
    this.#places.get(place)?.();
  }

  async status(): Promise<Outcome<NamespaceStatus>> {
    const { store, backend, deadlines, feed } = this.#core;
    return this.#answer(() => ({
      ...this.name,
      revision: store.revision,
      compacted: store.compacted,
      hash: Buffer.from(store.hash).toString("hex"),
      leases: deadlines.size,
      waiters: feed.size + this.#receivers.size,
      selfPreservation: this.#core.selfPreservation,
      sizeBytes: backend.sizeBytes(),
      sizeBytesMax: this.#sizeBytesMax,
      startedAt: this.#startedAt,
      ...this.#counts,
    }));
  }

  /** Forgets history up to a revision; answers when it is gone. Codes: `compacted`, `future_revision`. */
  async compact(revision: number, caller: Caller): Promise<Outcome<null>> {
    await this.#ensureRevisions(SPARE_REVISIONS);
    const begun = this.#answer(() => {
      this.#core.beginCompaction(revision, caller, this.#now());
      return null;
    });
    while (begun.ok && !this.#core.compactSome(revision)) await scheduler.wait(0);
    return begun;
  }

  /** A part of a snapshot; the first call fixes its revision, and the history it needs is kept while parts are asked for. */
  async snapshotPage(
    cursor: { revision: number; after: SnapshotCursor | null } | null,
  ): Promise<Outcome<SnapshotPart>> {
    if (cursor === null && this.#isDue()) await this.#turn(false);
    return this.#answer(() => {
      const revision = cursor?.revision ?? this.#core.revision;
      this.#core.hold(revision, this.#now() + SNAPSHOT_HOLD_MS);
      return { ...this.#core.store.snapshotPage(revision, cursor?.after ?? null, SNAPSHOT_PAGE_BYTES), revision };
    });
  }

  /** Opens a restore; a later one takes its place. Codes: `conflict` when the namespace holds something. */
  async restoreBegin(force: boolean): Promise<Outcome<{ restore: number }>> {
    return this.#answer(() => {
      this.#assertRestorable(force);
      this.#core.backend.stageBegin();
      return { restore: ++this.#restore };
    });
  }

  async restoreStage(restore: number, records: SpacedRecord[]): Promise<Outcome<null>> {
    return this.#answer(() => {
      this.#assertRestore(restore);
      this.#core.backend.stage(records);
      return null;
    });
  }

  /** Takes over what was staged, once the snapshot has proved whole. Everything older counts as compacted. */
  async restoreCommit(
    restore: number,
    origin: { namespace: string; revision: number; count: number },
    options: { force: boolean; caller: Caller },
  ): Promise<Outcome<{ records: number }>> {
    await this.#ensureRevisions(SPARE_REVISIONS);
    const { namespace, revision, count } = origin;
    const floor = Math.max(this.#ceiling, revision);
    const { ceiling } = await this.#reserve(this.#ceiling, floor);
    return this.#answer(() => {
      this.#assertRestore(restore);
      this.#assertRestorable(options.force);
      const staged = this.#core.backend.stagedCount();
      if (staged !== count)
        throw new HoldfastError("unavailable", `${staged} of ${count} records have come; try again`);
      this.#restore++;
      this.#core.backend.setMeta(CEILING, String(ceiling));
      this.#core.restore(floor, { namespace, revision }, options.caller, this.#now());
      this.#ceiling = ceiling;
      this.#core = this.#makeCore();
      for (const topic of this.#receivers.topics) this.#receivers.serve(topic, this.#core.availableOf(topic));
      return { records: count };
    });
  }

  #assertRestorable(force: boolean): void {
    if (force || this.#core.isEmpty) return;
    throw new HoldfastError("conflict", "the namespace is not empty: a restore would replace what it holds (force)");
  }

  #assertRestore(restore: number): void {
    if (restore !== this.#restore)
      throw new HoldfastError("conflict", "another restore has taken the place of this one");
  }

  /** For the prober: the checks it is to run. */
  async probes(): Promise<Outcome<ProbeList>> {
    return this.#answer(() => ({
      revision: this.#core.revision,
      probes: pulledChecks(this.#core.store, PROBES_MAX),
    }));
  }

  /** From the prober: checks that have another status. */
  report(results: ProbeResult[]): Promise<Outcome<{ applied: number; ignored: number }>> {
    const input = results.map(({ instance, ...result }) => ({ ...result, id: instance }));
    return this.execute({ command: "registry.report", input, caller: PROBER });
  }

  override async alarm(): Promise<void> {
    this.#armedAt = null;
    try {
      await this.#ensureRevisions(SPARE_REVISIONS);
      while (this.#core.settle(this.#now())) await turns(TURNS_AFTER_CUT);
    } catch (error) {
      this.#failed(error);
    }
    this.#afterTurn();
  }

  /** Until a change, until time is up, or until the place is given up; in the ranges nothing has changed up to `through`. */
  #nextChange(ranges: WatchRange[], waitMs: number, place?: string): Promise<{ through: number; isLeft: boolean }> {
    return new Promise((resolve) => {
      const end = (through: number, isLeft = false): void => {
        leave();
        callOff();
        if (place !== undefined) this.#places.delete(place);
        resolve({ through, isLeft });
      };
      const leave = this.#core.feed.wait(ranges, (revision) => end(revision === null ? 0 : revision - 1));
      const callOff = this.#timeouts.add(Date.now(), waitMs, () => end(this.#core.revision));
      if (place !== undefined) this.#places.set(place, () => end(this.#core.revision, true));
    });
  }

  /** False: its time was up, or its place was given up. */
  #turnToReceive(
    topic: string,
    max: number,
    { isBack, place, waitMs }: ReceiveOptions & { isBack: boolean; waitMs: number },
  ): Promise<boolean> {
    return new Promise((resolve) => {
      let callOff = (): void => {};
      const end = (isCalled: boolean): void => {
        callOff();
        if (place !== undefined) this.#places.delete(place);
        resolve(isCalled);
      };
      let isCalled = false;
      const leave = this.#receivers.join(topic, max, isBack, () => {
        isCalled = true;
        end(true);
      });
      this.#receivers.serve(topic, this.#core.availableOf(topic));
      if (isCalled) return;
      const giveUp = (): void => {
        leave();
        end(false);
      };
      if (waitMs <= 0) return giveUp();
      callOff = this.#timeouts.add(Date.now(), waitMs, giveUp);
      if (place !== undefined) this.#places.set(place, giveUp);
    });
  }

  #isDue(): boolean {
    return this.#core.mustSettle(this.#now());
  }

  /** Resolves after the next batch, which removes what has lapsed. */
  #turn(fence: boolean): Promise<void> {
    if (fence) this.#fence = true;
    return new Promise((resolve) => {
      this.#turns.push(resolve);
      this.#scheduleFlush();
    });
  }

  /** Everything that arrives before the next turn of the event loop is one batch, and one write to disk. */
  #scheduleFlush(turns = 1): void {
    if (this.#flushing) return;
    this.#flushing = true;
    if (turns === 1) this.#nextFlush = setTimeout(() => void this.#flush(), 0);
    else this.#flushAfter(turns);
  }

  #flushAfter(turns: number): void {
    setTimeout(() => (turns > 1 ? this.#flushAfter(turns - 1) : void this.#flush()), 0);
  }

  #flushNow(next: ReturnType<typeof setTimeout>): void {
    clearTimeout(next);
    void this.#flush();
  }

  async #flush(): Promise<void> {
    this.#nextFlush = undefined;
    try {
      const needed = this.#pending.length + SPARE_REVISIONS;
      if (this.#core.revision + needed > this.#ceiling) await this.#ensureRevisions(needed);
    } catch (error) {
      this.#refuseAll(error);
      return;
    } finally {
      this.#flushing = false;
    }
    const batch = this.#pending;
    const turns = this.#turns;
    this.#pending = [];
    this.#turns = [];
    try {
      const results = this.#runBatch(batch);
      const revision = this.#core.revision;
      const answer = (): void => {
        results.forEach((result, index) => batch[index]!.resolve({ ...result, revision }));
        for (const resolve of turns) resolve();
      };
      if (results.length < batch.length) {
        this.#pending = [...batch.slice(results.length), ...this.#pending];
        this.#scheduleFlush(TURNS_AFTER_CUT);
      }
      // Whoever brought a name into the mesh finds its address afterwards.
      if (this.#mustSettleNames()) void this.#settleNames().then(answer);
      // Who waited for a change is told first: it is news to them.
      else queueMicrotask(answer);
    } catch (error) {
      this.#failed(error);
    }
    this.#afterTurn();
  }

  #runBatch(batch: Pending[]): Result<unknown>[] {
    const endAt = Date.now() + BATCH_MS;
    const calls = batch.map(({ call }) => call);
    const failpoints = this.env.HOLDFAST_TEST ? calls.map(({ failpoint }) => failpoint) : [];
    let done = 0;
    this.#abortAt(failpoints, "before_commit");
    const results = this.#core.execute(calls, this.#now(), () => {
      delay(failpoints[done++]?.delayMs ?? 0);
      return Date.now() > endAt;
    });
    this.#abortAt(failpoints, "after_commit");
    if (this.#fence) this.#core.backend.setMeta("fence", String(this.#lastNow));
    this.#fence = false;
    this.#counts.commands += results.length;
    this.#counts.batches++;
    return results;
  }

  #answer<T>(act: () => T): Outcome<T> {
    try {
      const value = act();
      this.#afterTurn();
      return { ok: true, value, revision: this.#core.revision };
    } catch (error) {
      if (error instanceof HoldfastError) return { ok: false, error: error.toValue(), revision: this.#core.revision };
      return this.#failed(error);
    }
  }

  /** Memory and disk may differ now, or there is a bug: only a new start is sure. */
  #failed(error: unknown): never {
    const cause = error instanceof StorageFailure ? error.cause : error;
    console.error("namespace failed", cause);
    this.ctx.abort(cause instanceof Error ? cause.message : String(cause));
    throw error;
  }

  #refuseAll(error: unknown): void {
    const message = `revisions cannot be drawn from the directory: ${error instanceof Error ? error.message : String(error)}`;
    const value = new HoldfastError("unavailable", message, undefined, 1000).toValue();
    for (const { resolve } of this.#pending.splice(0)) {
      resolve({ ok: false, error: value, revision: this.#core.revision });
    }
    // Reads go on without: what they find is on record.
    for (const resolve of this.#turns.splice(0)) resolve();
  }

  #overloaded(): Outcome<never> {
    const error = new HoldfastError(
      "unavailable",
      "the namespace is overloaded",
      { reason: "overload" },
      1000,
    ).toValue();
    return { ok: false, error, revision: this.#core.revision };
  }

  async #ensureRevisions(needed: number): Promise<void> {
    const { store, backend } = this.#core;
    if (store.revision + needed <= this.#ceiling) return;
    const known = Number(backend.meta(CEILING) ?? 0);
    const { floor, ceiling } = await this.#reserve(known, store.revision);
    if (floor > store.revision) {
      backend.raiseFloor(floor);
      store.reload();
    } else if (store.revision === 0) {
      // Index 1 is that of nothing: who waits for more must not miss the first commit.
      backend.setMeta("revision_floor", "1");
      store.reload();
    }
    if (ceiling !== known) backend.setMeta(CEILING, String(ceiling));
    this.#ceiling = ceiling;
  }

  #mustSettleNames(): boolean {
    return this.#core.hasUnsettledNames && Date.now() >= this.#settleAgainAt;
  }

  /** Claims virtual addresses, and gives them back; what could not be done is tried again later. */
  async #settleNames(): Promise<void> {
    while (this.#mustSettleNames()) {
      const core = this.#core;
      const unsettled = core.takeUnsettled(CLAIMS_MAX);
      const { claims, releases } = unsettled;
      if (claims.length + releases.length === 0) continue;
      try {
        const directory = this.env.DIRECTORY.getByName(DIRECTORY_NAME);
        const claimed = await directory.settleVirtualIps({ ...this.name, claims, releases });
        await this.#ensureRevisions(SPARE_REVISIONS);
        if (core !== this.#core) return;
        const input = { claimed, released: releases };
        const [result] = core.execute([{ command: "virtualIp.settle", input, caller: DIRECTORY }], this.#now());
        if (!result!.ok) throw HoldfastError.fromValue(result!.error);
      } catch (error) {
        if (error instanceof StorageFailure) return this.#failed(error);
        console.warn("virtual addresses could not be settled", error);
        core.putBackUnsettled(unsettled);
        this.#settleAgainAt = Date.now() + SETTLE_PAUSE_MS;
      }
    }
    this.#afterTurn();
  }

  #reserve(ceiling: number, revision: number): Promise<Reservation> {
    return this.env.DIRECTORY.getByName(DIRECTORY_NAME).reserve({ ...this.name, ceiling, revision });
  }

  /** What every turn may have changed: the next deadline, the next checkpoint, the prober's list, who waits. */
  #afterTurn(): void {
    const deadlineAt = this.#core.nextDeadlineAt();
    // Never moved back: a renewal costs no write, the alarm finds nothing due and sets itself anew.
    if (deadlineAt !== null && (this.#armedAt === null || deadlineAt < this.#armedAt)) {
      this.#armedAt = deadlineAt;
      void this.ctx.storage.setAlarm(Math.max(deadlineAt, Date.now() + 1));
    }
    if (this.#maintenance === undefined && this.#core.needsMaintenance(this.#lastNow)) {
      const at = this.#core.nextMaintenanceAt() ?? this.#lastNow;
      this.#maintenance = setTimeout(() => this.#maintain(), Math.max(0, at - this.#lastNow));
    }
    if (this.#mustSettleNames()) this.ctx.waitUntil(this.#settleNames());
    if (this.#core.takePulledChange()) this.ctx.waitUntil(this.#pokeProber());
    for (const [topic, available] of this.#core.takeAvailable()) this.#receivers.serve(topic, available);
  }

  #maintain(): void {
    this.#maintenance = undefined;
    try {
      this.#core.maintain(this.#now());
    } catch (error) {
      this.#failed(error);
    }
    this.#afterTurn();
  }

  async #pokeProber(): Promise<void> {
    try {
      await this.env.PROBER.getByName(this.ctx.id.name!).sync();
    } catch (error) {
      // It looks again by itself within a minute.
      console.warn("the prober was not reached", error);
    }
  }

  /** Never goes back, whatever the machine's clock does (rule L5). */
  #now(): number {
    this.#lastNow = Math.max(this.#lastNow, Date.now());
    return this.#lastNow;
  }

  protected get name(): { namespace: string; datacenter: string } {
    const [namespace = "", datacenter = ""] = (this.ctx.id.name ?? "").split("@");
    return { namespace, datacenter };
  }

  #abortAt(failpoints: (Failpoint | undefined)[], at: Failpoint["abort"]): void {
    if (failpoints.some((failpoint) => failpoint?.abort === at)) this.#failed(new Error(`failpoint ${at}`));
  }
}

async function turns(count: number): Promise<void> {
  for (let left = count; left > 0; left--) await scheduler.wait(0);
}

/** Takes the thread for so long, as a slow command would. */
function delay(ms: number): void {
  const until = Date.now() + Math.min(ms, 1000);
  while (Date.now() < until);
}

const CEILING = "revision_ceiling";

/** Very many chunks cost more than their copy. */
const JOINED_MAX = 1024 * 1024;

function joined(chunks: readonly Uint8Array[], length: number): Uint8Array {
  const whole = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

/** Node's hash for what is long, because a commit is one synchronous turn. */
function sha256(...chunks: Uint8Array[]): Uint8Array {
  let length = 0;
  for (const chunk of chunks) length += chunk.length;
  if (length <= SHORT_MAX) return sha256Short(chunks);
  const hash = createHash("sha256");
  if (length > JOINED_MAX) for (const chunk of chunks) hash.update(chunk);
  else hash.update(joined(chunks, length));
  return hash.digest();
}
