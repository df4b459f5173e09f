/**
 * One namespace, whole and pure: store, rooms and deadlines put together, without a runtime.
 *
 * Commands come in batches; a batch is one storage transaction, each command in it a commit of its own or nothing. What
 * has lapsed is removed before anything else of the batch is looked at, so nothing dead is served because a timer ran
 * late. Renewals stay in memory.
 *
 * Clock, randomness, digests and the database are handed in. Refuses to know: RPC, alarms, other objects.
 */
import type { BatchPorts } from "./batches.ts";
import { Batches } from "./batches.ts";
import type { Call, QueryInput, QueryName, QueryOutput, Result } from "./commands.ts";
import { COMMANDS, foreseenOf, makesRoom, QUERIES } from "./commands.ts";
import { elections, forgetElections } from "./elections/elections.ts";
import { HoldfastError, invalid } from "./errors.ts";
import { Feed } from "./feed.ts";
import type { ClaimKind } from "./fences.ts";
import { assertFence } from "./fences.ts";
import { Lapses } from "./lapses.ts";
import type { Deadlines } from "./leases/deadlines.ts";
import { leaseSpace } from "./leases/leases.ts";
import type { Holding } from "./locks/arbiter.ts";
import { locks } from "./locks/locks.ts";
import type { Caller } from "./model.ts";
import { Guesses } from "./policy/guesses.ts";
import type { Stored } from "./policy/records.ts";
import { QUEUE_SPACES } from "./queues/keys.ts";
import { availableAfter, returnAll } from "./queues/tend.ts";
import { availableIn, topicSpace } from "./queues/topics.ts";
import type { InstanceName } from "./registry/registry.ts";
import type { Heartbeat, HeartbeatResult } from "./renewals.ts";
import { RENEWED_UNTIL, Renewals } from "./renewals.ts";
import type { Session } from "./sessions/sessions.ts";
import type { NamespaceSettings } from "./settings/settings.ts";
import { settingsOf, settingsSpace } from "./settings/settings.ts";
import type { Commit, LogRow } from "./store/backend.ts";
import type { Checksum, SqlDatabase } from "./store/sqlite.sql.ts";
import { SqliteBackend } from "./store/sqlite.sql.ts";
import type { Digest, StoreEvent, WatchRange } from "./store/store.ts";
import { Store } from "./store/store.ts";
import type { Context, Space, Txn } from "./store/txn.ts";
import { JsonSpace, keysBySpace } from "./store/txn.ts";
import { Timers } from "./timers.ts";
import type { Unsettled } from "./virtual-ips/entitlement.ts";
import { namesOf, nameTouched, unsettledOf } from "./virtual-ips/entitlement.ts";
import { virtualIpSpace } from "./virtual-ips/virtual-ip.ts";

export interface CorePorts extends BatchPorts {
  database: SqlDatabase;
  checksum: Checksum;
  digest: Digest;
  /** Bytes the database may grow to; beyond it only commands that make room are run. */
  sizeMax: number;
}

/** They turn over with every request, and nobody asks how they were: of them no history is kept. */
const TRANSIENT: ReadonlySet<Space> = new Set([...QUEUE_SPACES, ...locks.spaces, ...elections.spaces, leaseSpace.name]);

/** Commands whose records are read together: a batch may be cut, and what was read for the rest is lost. */
const FORESEEN_MAX = 64;
const COMPACT_EVERY_REVISIONS = 1000;
const COMPACT_EVERY_MS = 600_000;

export interface ChangesInput {
  /** Events after this revision. */
  since: number;
  ranges: WatchRange[];
  limit?: number | undefined;
  /** Of the batch, unless its only revision is larger. */
  bytesMax?: number | undefined;
  /** Answer the record before each change too. */
  previous?: boolean | undefined;
  /** Answer keys only. */
  keysOnly?: boolean | undefined;
  /** For who goes on where a batch ended: what there still is of compacted history is answered too. */
  resumes?: boolean | undefined;
}

export interface Changes {
  events: StoreEvent[];
  /** All matching events up to here have been answered: continue from it. */
  revision: number;
}

const EVENTS_MAX = 1000;
/** Far below what one RPC carries. */
const EVENT_BYTES_MAX = 8 * 1024 * 1024;

export class Core {
  readonly backend: SqliteBackend;
  readonly store: Store;
  readonly feed = new Feed();
  readonly guesses = new Guesses();
  readonly #ports: CorePorts;
  readonly #timers: Timers;
  readonly #batches: Batches;
  readonly #renewals: Renewals;
  readonly #lapses: Lapses;
  #settings: NamespaceSettings;
  #compactedAt = 0;
  #compactedRevision = 0;
  /** Names whose virtual address may be missing, or is to be given back. */
  #unsettled = new Set<string>();
  #held = { revision: 0, untilAt: 0 };
  #available = new Map<string, number>();

  constructor(ports: CorePorts, now: number) {
    this.#ports = ports;
    this.backend = new SqliteBackend(ports.database, ports.checksum, TRANSIENT);
    this.store = new Store(this.backend, ports.digest);
    this.#settings = settingsOf(this.store);
    this.#timers = new Timers(this.store);
    this.#batches = new Batches(this.store, this.backend, ports, (commit) => this.#follow(commit));
    this.#renewals = new Renewals(this.store, this.backend, this.#timers, this.#batches, now);
    this.#lapses = new Lapses(this.#timers, this.#renewals, this.#batches, () => this.#settings.selfPreservation);
    const { claims, releases } = unsettledOf(this.store, namesOf(this.store));
    this.#unsettled = new Set([...claims, ...releases]);
  }

  get revision(): number {
    return this.store.revision;
  }

  get deadlines(): Deadlines {
    return this.#timers.deadlines;
  }

  get selfPreservation(): boolean {
    return this.#timers.suspects.size > 0;
  }

  get settings(): NamespaceSettings {
    return this.#settings;
  }

  /**
   * Runs a batch; each call has its own result. When `isLate` says so after a call, the rest is left for the next batch.
   * Throws StorageFailure, after which this core must not be used.
   */
  execute(calls: readonly Call[], now: number, isLate: () => boolean = () => false): Result<unknown>[] {
    const results: Result<unknown>[] = [];
    if (now >= this.#held.untilAt) this.backend.keepUsual();
    this.#batches.run(() => {
      this.#lapses.expireFirst(now);
      const isFull = this.backend.sizeBytes() > this.#ports.sizeMax;
      for (const [at, call] of calls.entries()) {
        if (at % FORESEEN_MAX === 0) this.#foresee(calls.slice(at, at + FORESEEN_MAX));
        results.push(this.#run(call, now, isFull));
        if (isLate()) break;
      }
    });
    // A registration is a sign of life, even when it changes nothing.
    results.forEach(({ ok }, index) => {
      if (!ok) return;
      const { command, input } = calls[index]!;
      if (command === "registry.register") this.#renewals.instance(input as InstanceName, now);
      if (command === "registry.registerMany")
        for (const name of input as InstanceName[]) this.#renewals.instance(name, now);
    });
    return results;
  }

  /** Reads; what has lapsed is removed first. */
  query<N extends QueryName>(name: N, input: QueryInput<N>, now: number): QueryOutput<N> {
    this.#settleFirst(now);
    const query = QUERIES[name] as unknown as (context: object, input: QueryInput<N>) => QueryOutput<N>;
    const { store, deadlines, guesses, selfPreservation } = this;
    return query({ store, deadlines, guesses, selfPreservation, now }, input);
  }

  /** Events after a revision. Codes: `compacted`, `future_revision`. */
  changes(input: ChangesInput): Changes {
    const { since, ranges, limit = EVENTS_MAX, bytesMax = EVENT_BYTES_MAX } = input;
    const { previous = false, keysOnly = false, resumes = false } = input;
    if (!Number.isInteger(limit) || limit < 1 || limit > EVENTS_MAX)
      throw invalid("limit", `must be from 1 to ${EVENTS_MAX}`);
    const batch = this.store.eventsSince(since, ranges, { limit, bytesMax, resumes, previous });
    if (!keysOnly) return batch;
    const events = batch.events.map(({ record, ...event }): StoreEvent => ({
      ...event,
      record: record && { ...record, value: NOTHING },
    }));
    return { events, revision: batch.revision };
  }

  /** Renews instances in memory. */
  heartbeat(beats: readonly Heartbeat[], now: number): HeartbeatResult {
    this.#settleFirst(now);
    return this.#renewals.heartbeat(beats, now);
  }

  /** Renews a lease in memory. Codes: `not_found`. */
  renewLease(id: string, now: number): { id: string; ttlMs: number } {
    this.#settleFirst(now);
    return this.#renewals.lease(id, now);
  }

  /** Renews many; answers those that have ended. Codes: `invalid_argument`. */
  renewLeases(ids: readonly string[], now: number): { ended: string[] } {
    this.#settleFirst(now);
    return this.#renewals.leases(ids, now);
  }

  /** Renews the lease of a claim in memory, for who holds it. Codes: `fenced`. */
  renewClaim(kind: ClaimKind, holding: Holding, now: number): { id: string; ttlMs: number } {
    this.#settleFirst(now);
    return this.#renewals.claim(kind, holding, now);
  }

  /** Renews a session in memory, if it has a time to live. Codes: `not_found`. */
  renewSession(id: string, now: number): Stored<Session> {
    this.#settleFirst(now);
    return this.#renewals.session(id, now);
  }

  /** Removes what has lapsed, a slice at a time. Call again while it answers true: more is due. */
  settle(now: number): boolean {
    return this.#lapses.settle(now);
  }

  /** Whether something is to be removed before a request is looked at. */
  mustSettle(now: number): boolean {
    return this.#lapses.mustExpire(now);
  }

  /** When `settle` has something to do; null = never. */
  nextDeadlineAt(): number | null {
    return this.deadlines.nextAt();
  }

  /** Whether there is something for `maintain`, now or at `nextMaintenanceAt`. */
  needsMaintenance(now: number): boolean {
    return this.#renewals.checkpointAt !== null || this.#mustCompact(now);
  }

  /** When `maintain` wants to be called; null = as soon as it can be. */
  nextMaintenanceAt(): number | null {
    return this.#renewals.checkpointAt;
  }

  /** Keeps deadlines and forgets old history, in slices. Answers true while there is more to do at once. */
  maintain(now: number): boolean {
    const { checkpointAt } = this.#renewals;
    if (checkpointAt !== null && checkpointAt <= now) this.#renewals.checkpoint();
    if (now >= this.#held.untilAt) this.backend.keepUsual();
    if (this.backend.dropLeftovers()) return true;
    const { history, audit } = this.#settings;
    if (!this.#mustCompact(now)) return false;
    return this.#batches.run(() => {
      const target = this.#oldestKept(now, history.revisions, history.ms);
      const compacted = target <= this.store.compacted || this.store.compact(target);
      if (!compacted) return true;
      this.#compactedAt = now;
      this.#compactedRevision = this.revision;
      this.#trimAudit(now, audit.entries, audit.ms);
      return false;
    });
  }

  /**
   * Begins to forget history up to `revision`; `compactSome` does it. It is on record who wanted it, in a commit of its own.
   * Codes: `compacted`, `future_revision`.
   */
  beginCompaction(revision: number, caller: Caller, now: number): void {
    this.store.assertCompactable(revision);
    this.#batches.run(() =>
      this.#batches.commit({ command: "store.compact", caller }, now, (txn) =>
        compactionSpace.put(txn, ["last"], { revision }),
      ),
    );
  }

  /** A slice of it; true when it got there. */
  compactSome(revision: number): boolean {
    return this.#batches.run(() => this.store.compact(revision));
  }

  #mustCompact(now: number): boolean {
    const fresh = this.revision - this.#compactedRevision;
    return fresh >= COMPACT_EVERY_REVISIONS || (fresh > 0 && now - this.#compactedAt >= COMPACT_EVERY_MS);
  }

  /** History as of `revision` is kept until then, for who reads it in parts. */
  hold(revision: number, untilAt: number): void {
    this.#held = { revision, untilAt };
    this.backend.keepAll();
  }

  get isEmpty(): boolean {
    return this.backend.isEmpty();
  }

  /**
   * Puts the staged snapshot in the place of everything, and goes on above `floor`. Older revisions are compacted, the
   * audit log goes on. Afterwards this core must be made anew: its deadlines are of another time.
   */
  restore(floor: number, origin: { namespace: string; revision: number }, caller: Caller, now: number): void {
    this.#batches.run(() => {
      this.backend.stageCommit(floor);
      this.store.reload();
      // Whoever holds a lease has had no chance to renew it here: all of them begin anew.
      this.backend.setMeta(RENEWED_UNTIL, String(now));
      this.#batches.commit({ command: "snapshot.restore", caller }, now, (txn) => {
        restoredSpace.put(txn, ["last"], origin);
        // They may be another namespace's: the directory tells which are ours.
        for (const { key } of virtualIpSpace.under(txn, [])) txn.delete(virtualIpSpace.name, key);
        returnAll(txn, now);
        // What was held at the snapshot may have been another's since: all are free, for higher tokens.
        locks.forgetAll(txn);
        forgetElections(txn);
      });
    });
    this.feed.notifyAll();
  }

  /** Whether there may be virtual addresses to claim or to release. */
  get hasUnsettledNames(): boolean {
    return this.#unsettled.size > 0;
  }

  /** Some of them, and what there is to do about them; the rest stays. */
  takeUnsettled(limit: number): Unsettled {
    const names = [...this.#unsettled].slice(0, limit);
    for (const name of names) this.#unsettled.delete(name);
    return unsettledOf(this.store, names);
  }

  /** It could not be done yet. */
  putBackUnsettled({ claims, releases }: Unsettled): void {
    for (const name of [...claims, ...releases]) this.#unsettled.add(name);
  }

  /** Whether the list of pulled checks changed since the last time this was asked. */
  takePulledChange(): boolean {
    return this.#timers.takePulledChange();
  }

  /** How many messages of a topic may be received. */
  availableOf(topic: string): number {
    const record = topicSpace.get(this.store, topic);
    return record === undefined ? 0 : availableIn(record);
  }

  /** Topics that were touched since the last time this was asked, and how many messages of each may be received. */
  takeAvailable(): ReadonlyMap<string, number> {
    const available = this.#available;
    if (available.size > 0) this.#available = new Map();
    return available;
  }

  #settleFirst(now: number): void {
    if (this.mustSettle(now) || this.#timers.suspects.hasRevived) this.settle(now);
  }

  /** What commands are sure to look up is read for all of them: a call of the database costs more than a row. */
  #foresee(calls: readonly Call[]): void {
    for (const [space, keys] of keysBySpace(calls.map(foreseenOf).filter((place) => place !== null))) {
      if (keys.length > 1) this.backend.foresee(space, keys);
    }
  }

  #run(call: Call, now: number, isFull: boolean): Result<unknown> {
    const { command, input, caller, requestId, fence } = call;
    try {
      if (isFull && !makesRoom(call)) {
        throw new HoldfastError("quota_exceeded", "the namespace is full: only commands that make room are run");
      }
      if (!Object.hasOwn(COMMANDS, command)) throw new HoldfastError("unsupported", `no such command: ${command}`);
      const run = COMMANDS[command] as (txn: Txn, context: Context, input: unknown) => unknown;
      const value = this.#batches.commit({ command, caller, requestId }, now, (txn, context) => {
        if (fence) assertFence(txn, fence);
        return run(txn, context, input);
      });
      return { ok: true, value };
    } catch (error) {
      if (error instanceof HoldfastError) return { ok: false, error: error.toValue() };
      throw error;
    }
  }

  /** What was committed takes effect in memory. */
  #follow({ changes, revision }: Commit): void {
    for (const change of changes) {
      if (this.#timers.follow(change)) {
        const touched = availableAfter(change);
        if (touched) this.#available.set(touched.topic, touched.available);
      } else if (change.space === settingsSpace.name) {
        this.#settings = settingsOf(this.store);
      } else {
        const name = nameTouched(change);
        if (name !== null) this.#unsettled.add(name);
      }
    }
    this.feed.notify(changes, revision);
  }

  /** The revision up to which history may go: beyond the count kept, and beyond the age. */
  #oldestKept(now: number, revisions: number, ms: number): number {
    const kept = now < this.#held.untilAt ? this.#held.revision : this.revision;
    const byCount = Math.min(this.revision - revisions, kept);
    let target = this.store.compacted;
    while (target < byCount) {
      const rows = this.store.log(target, 1000);
      const old = rows.filter(({ revision, at }) => revision <= byCount && at < now - ms);
      const last = old.at(-1);
      if (last) target = last.revision;
      if (old.length < 1000) break;
    }
    return target;
  }

  #trimAudit(now: number, entries: number, ms: number): void {
    const isOld = ({ revision, at }: LogRow): boolean =>
      revision <= this.store.compacted && (revision <= this.revision - entries || at < now - ms);
    const base = this.backend.chainBase().revision;
    // Most times there is nothing to trim, and the oldest row tells so.
    if (!this.store.log(base, 1).some(isOld)) return;
    const row = this.store.log(base, COMPACT_EVERY_REVISIONS).findLast(isOld);
    if (row) this.backend.trimLog(row.revision);
  }
}

/** Where the present contents came from. */
const restoredSpace = new JsonSpace<{ namespace: string; revision: number }>("restored");
/** The last compaction that somebody asked for. */
const compactionSpace = new JsonSpace<{ revision: number }>("compaction");
const NOTHING = new Uint8Array();
