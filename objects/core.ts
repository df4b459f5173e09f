/**
 * One namespace, whole and pure: store, rooms and deadlines put together, without a runtime.
 *
 * Commands come in batches; a batch is one storage transaction, each command in it a commit of its own or nothing. What
 * has lapsed is removed before anything else of the batch is looked at, so nothing dead is served because a timer ran
 * late. Renewals stay in memory.
 *
 * Clock, randomness, digests and the database are handed in. Refuses to know: RPC, alarms, other objects.
 */
import type { Call, CommandName, QueryInput, QueryName, QueryOutput, Result } from "./commands.ts";
import { COMMANDS, makesRoom, QUERIES } from "./commands.ts";
import { follow, lapse, readLapsing } from "./endings.ts";
import { HoldfastError, invalid } from "./errors.ts";
import { Feed } from "./feed.ts";
import type { ClaimKind } from "./fences.ts";
import { arbiters, assertFence } from "./fences.ts";
import { LOCK_DELAY, lockDelayTimer, lockDelayTimerKey } from "./kv/lock-delay.ts";
import { packCheckpoint, unpackCheckpoint } from "./leases/checkpoint.ts";
import type { Deadline, Timer } from "./leases/deadlines.ts";
import { Deadlines } from "./leases/deadlines.ts";
import { leaseSpace, leaseTimer, leaseTimerKey, noLease } from "./leases/leases.ts";
import { Preservation } from "./leases/preservation.ts";
import { elections, forgetElections } from "./elections/elections.ts";
import type { Holding } from "./locks/arbiter.ts";
import { locks } from "./locks/locks.ts";
import type { Caller, HealthStatus, Instance, Node } from "./model.ts";
import { isPulled } from "./model.ts";
import { Guesses } from "./policy/guesses.ts";
import type { Stored } from "./policy/records.ts";
import { QUEUE_SPACES } from "./queues/keys.ts";
import { availableAfter, isQueueSpace, QUEUE_TIMER_SPACES, queueTimer, returnAll } from "./queues/tend.ts";
import { availableIn, topicSpace } from "./queues/topics.ts";
import type { CheckReport, InstanceName } from "./registry/registry.ts";
import { markSuspect, report } from "./registry/registry.ts";
import type { CheckSubject } from "./registry/spaces.ts";
import { instanceSpace, nodeSpace, nodeSubject } from "./registry/spaces.ts";
import { checkTimerKey, checkTimers, instanceTimerKey, instanceTimers, subjectOf } from "./registry/timers.ts";
import type { Checked } from "./registry/write.ts";
import { checksOf, tasksOf } from "./registry/write.ts";
import type { Session } from "./sessions/sessions.ts";
import { requireSession, sessionSpace, sessionTimer, sessionTimerKey } from "./sessions/sessions.ts";
import type { NamespaceSettings } from "./settings/settings.ts";
import { settingsOf, settingsSpace } from "./settings/settings.ts";
import type { Commit } from "./store/backend.ts";
import type { Checksum, SqlDatabase } from "./store/sqlite.sql.ts";
import { SqliteBackend } from "./store/sqlite.sql.ts";
import type { Digest, StoreEvent, WatchRange } from "./store/store.ts";
import { Store } from "./store/store.ts";
import type { Context, KeyRange, OverlayTxn, Space, StoredRecord, Txn } from "./store/txn.ts";
import { JsonSpace } from "./store/txn.ts";
import type { Unsettled } from "./virtual-ips/entitlement.ts";
import { namesOf, nameTouched, unsettledOf } from "./virtual-ips/entitlement.ts";
import { virtualIpSpace } from "./virtual-ips/virtual-ip.ts";

export interface CorePorts {
  database: SqlDatabase;
  /** Runs `act` in one storage transaction; rolls back when it throws. */
  transaction<T>(act: () => T): T;
  checksum: Checksum;
  digest: Digest;
  random(length: number): Uint8Array;
  /** Bytes the database may grow to; beyond it only commands that make room are run. */
  sizeMax: number;
}

/** The database failed in the middle of a batch: memory and disk may differ, the object must start again. */
export class StorageFailure extends Error {}

/** They turn over with every request, and nobody asks how they were: of them no history is kept. */
const TRANSIENT: ReadonlySet<Space> = new Set([...QUEUE_SPACES, ...locks.spaces, ...elections.spaces, leaseSpace.name]);

/** What runs without a client. */
const SYSTEM: Caller = { principal: "holdfast:namespace", source: "", dialect: "internal" };

/** Lapses handled in one turn, so that others get their turn between. */
export const LAPSE_SLICE = 200;
/** And before somebody is answered, who waits for it. */
export const LAPSE_SLICE_FIRST = 50;
/** And records written by them, more or less. */
const LAPSE_CHANGES_MAX = 5000;
/** A deadline met this late was held up by us: a stall, an outage, a clock that jumped. */
export const LATE_MS = 2000;
const CHECKPOINT_MS = 5000;
/** With many leases a checkpoint is larger, and made less often. */
const LEASES_PER_CHECKPOINT_MS = 10;
const COMPACT_EVERY_REVISIONS = 1000;
const COMPACT_EVERY_MS = 600_000;
const HEARTBEATS_MAX = 10_000;
export const RENEWALS_MAX = 10_000;

export interface Heartbeat extends InstanceName {
  /** One pushed check; absent = the instance's time to live and all its pushed checks. */
  check?: string | undefined;
  status?: HealthStatus | undefined;
  output?: string | undefined;
}

export interface HeartbeatResult {
  renewed: number;
  /** Places in the batch of those that are not registered. */
  unknown: number[];
}

export interface ChangesInput {
  /** Events after this revision. */
  since: number;
  ranges: WatchRange[];
  limit?: number | undefined;
  /** The batch ends with the first revision with which it has so many bytes. */
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
  readonly deadlines = new Deadlines();
  readonly guesses = new Guesses();
  readonly #ports: CorePorts;
  readonly #preservation = new Preservation();
  /** Instances and nodes with pushed checks: their heartbeats need a look at the record. */
  readonly #pushed = new Set<string>();
  #settings: NamespaceSettings;
  /** Instances past their deadline that self-preservation keeps, by their timer's key. */
  readonly #suspects = new Set<string>();
  /** Suspects that were renewed: their mark is still to be taken off. */
  readonly #revived = new Map<string, InstanceName>();
  /** Renewals since the last checkpoint: it does not tell all. */
  #dirty = false;
  #checkpointAt: number | null = null;
  /** When lapsed ones were last removed. */
  #expiredAt = -Infinity;
  #compactedAt = 0;
  #compactedRevision = 0;
  #pulledChanged = false;
  /** Names whose virtual address may be missing, or is to be given back. */
  #unsettled = new Set<string>();
  #held = { revision: 0, untilAt: 0 };
  #available = new Map<string, number>();
  #inTransaction = false;

  constructor(ports: CorePorts, now: number) {
    this.#ports = ports;
    this.backend = new SqliteBackend(ports.database, ports.checksum, TRANSIENT);
    this.store = new Store(this.backend, ports.digest);
    this.#settings = settingsOf(this.store);
    this.#load(now);
  }

  get revision(): number {
    return this.store.revision;
  }

  get selfPreservation(): boolean {
    return this.#suspects.size > 0;
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
    this.#batch(now, () => {
      this.#expire(now, LAPSE_SLICE_FIRST);
      const isFull = this.backend.sizeBytes() > this.#ports.sizeMax;
      for (const call of calls) {
        results.push(this.#run(call, now, isFull));
        if (isLate()) break;
      }
    });
    // A registration is a sign of life, even when it changes nothing.
    results.forEach(({ ok }, index) => {
      if (!ok) return;
      const { command, input } = calls[index]!;
      if (command === "registry.register") this.#renewInstance(input as InstanceName, now);
      if (command === "registry.registerMany")
        for (const name of input as InstanceName[]) this.#renewInstance(name, now);
    });
    return results;
  }

  /** Reads; what has lapsed is removed first. */
  query<N extends QueryName>(name: N, input: QueryInput<N>, now: number): QueryOutput<N> {
    this.settle(now, LAPSE_SLICE_FIRST);
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
    const batch = this.store.eventsSince(since, ranges, { limit, bytesMax, resumes });
    if (previous && !keysOnly) return batch;
    const events = batch.events.map((event): StoreEvent => {
      const before = previous ? event.before : null;
      return keysOnly
        ? { ...event, record: event.record && { ...event.record, value: NOTHING }, before }
        : { ...event, before };
    });
    return { events, revision: batch.revision };
  }

  /** Renews instances in memory. A pushed check whose status changes by it is a commit. */
  heartbeat(beats: readonly Heartbeat[], now: number): HeartbeatResult {
    if (beats.length > HEARTBEATS_MAX) throw invalid("instances", `must have at most ${HEARTBEATS_MAX} entries`);
    this.settle(now, LAPSE_SLICE_FIRST);
    const unknown: number[] = [];
    const slow: Heartbeat[] = [];
    beats.forEach((beat, index) => {
      const subject = `${beat.service}\0${beat.id}`;
      const isPlain = beat.check === undefined && beat.status === undefined && !this.#pushed.has(subject);
      if (isPlain && this.#renewInstance(beat, now)) return;
      if (checksOf(this.store, beat)) slow.push(beat);
      else unknown.push(index);
    });
    if (slow.length > 0) this.#push(slow, now);
    return { renewed: beats.length - unknown.length, unknown };
  }

  /** Renews a lease in memory. Codes: `not_found`. */
  renewLease(id: string, now: number): { id: string; ttlMs: number } {
    this.settle(now, LAPSE_SLICE_FIRST);
    const entry = this.deadlines.renew(leaseTimerKey(id), now);
    if (!entry) throw noLease(id);
    this.#soil(now);
    return { id, ttlMs: entry.ttlMs };
  }

  /** Renews many; answers those that have ended. Codes: `invalid_argument`. */
  renewLeases(ids: readonly string[], now: number): { ended: string[] } {
    if (ids.length > RENEWALS_MAX) throw invalid("leases", `must have at most ${RENEWALS_MAX} entries`);
    this.settle(now, LAPSE_SLICE_FIRST);
    const ended = ids.filter((id) => !this.deadlines.renew(leaseTimerKey(id), now));
    if (ended.length < ids.length) this.#soil(now);
    return { ended };
  }

  /** Renews the lease of a claim in memory, for who holds it. Codes: `fenced`. */
  renewClaim(kind: ClaimKind, holding: Holding, now: number): { id: string; ttlMs: number } {
    this.settle(now, LAPSE_SLICE_FIRST);
    return this.renewLease(arbiters[kind].requireHeld(this.store, holding).lease, now);
  }

  /** Renews a session in memory, if it has a time to live. Codes: `not_found`. */
  renewSession(id: string, now: number): Stored<Session> {
    this.settle(now, LAPSE_SLICE_FIRST);
    const session = requireSession(this.store, id);
    if (this.deadlines.renew(sessionTimerKey(id), now)) this.#soil(now);
    return session;
  }

  /** Removes what has lapsed, a slice at a time. Call again while it answers true: more is due. */
  settle(now: number, slice = LAPSE_SLICE): boolean {
    if (this.#revived.size > 0) this.#batch(now, () => this.#clearSuspects(now));
    const nextAt = this.deadlines.nextAt();
    if (nextAt === null || nextAt > now) return false;
    this.#batch(now, () => this.#expire(now, slice));
    const laterAt = this.deadlines.nextAt();
    return laterAt !== null && laterAt <= now;
  }

  /** When `settle` has something to do; null = never. */
  nextDeadlineAt(): number | null {
    return this.deadlines.nextAt();
  }

  /** Whether there is something for `maintain`, now or at `nextMaintenanceAt`. */
  needsMaintenance(now: number): boolean {
    return this.#checkpointAt !== null || this.#mustCompact(now);
  }

  /** When `maintain` wants to be called; null = as soon as it can be. */
  nextMaintenanceAt(): number | null {
    return this.#checkpointAt;
  }

  /** Keeps deadlines and forgets old history, in slices. Answers true while there is more to do at once. */
  maintain(now: number): boolean {
    if (this.#checkpointAt !== null && this.#checkpointAt <= now) this.checkpoint();
    if (now >= this.#held.untilAt) this.backend.keepUsual();
    if (this.backend.dropLeftovers()) return true;
    const { history, audit } = this.#settings;
    if (!this.#mustCompact(now)) return false;
    return this.#batch(now, () => {
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
    this.#batch(now, () =>
      this.#commit("store.compact", caller, undefined, now, (txn) => compactionSpace.put(txn, ["last"], { revision })),
    );
  }

  /** A slice of it; true when it got there. */
  compactSome(revision: number, now: number): boolean {
    return this.#batch(now, () => this.store.compact(revision));
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
    this.#batch(now, () => {
      this.backend.stageCommit(floor);
      this.store.reload();
      // Whoever holds a lease has had no chance to renew it here: all of them begin anew.
      this.backend.setMeta(RENEWED_UNTIL, String(now));
      this.#commit("snapshot.restore", caller, undefined, now, (txn) => {
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

  /** Writes down what renewals have moved; after it, memory may be lost. */
  checkpoint(): void {
    this.#transaction(() => {
      this.backend.saveCheckpoint(packCheckpoint(this.deadlines.values()));
      this.backend.setMeta(RENEWED_UNTIL, "");
    });
    this.#dirty = false;
    this.#checkpointAt = null;
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
    const changed = this.#pulledChanged;
    this.#pulledChanged = false;
    return changed;
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

  #load(now: number): void {
    for (const space of QUEUE_TIMER_SPACES) {
      for (const record of this.store.range(space, EVERYTHING)) this.#trackQueue(space, record.key, record);
    }
    for (const record of leaseSpace.under(this.store, [])) {
      this.deadlines.set(leaseTimer(leaseSpace.parts(record.key)[0]!, leaseSpace.decode(record)));
    }
    for (const record of sessionSpace.under(this.store, [])) this.#trackSession(sessionSpace.decode(record));
    for (const record of this.store.range(LOCK_DELAY, EVERYTHING)) this.deadlines.set(lockDelayTimer(record));
    let after: Uint8Array | undefined;
    for (;;) {
      const records = instanceSpace.under(this.store, [], { limit: 1000, ...(after && { after }) });
      for (const record of records) this.#track(null, instanceSpace.decode(record));
      after = records.at(-1)?.key;
      if (records.length < 1000) break;
    }
    for (const record of nodeSpace.under(this.store, [])) this.#trackNode(null, nodeSpace.decode(record));
    for (const [key, deadlineAt, extensions] of unpackCheckpoint(this.backend.loadCheckpoint())) {
      this.deadlines.restore(key, deadlineAt, extensions);
    }
    this.#pulledChanged = true;
    const { claims, releases } = unsettledOf(this.store, namesOf(this.store));
    this.#unsettled = new Set([...claims, ...releases]);
    // Ended without a last checkpoint: renewals were acknowledged of which nothing is written.
    const renewedUntil = this.backend.meta(RENEWED_UNTIL) ?? "";
    if (renewedUntil === "") return;
    this.deadlines.assure(Math.min(now, Number(renewedUntil)));
    this.checkpoint();
  }

  #run(call: Call, now: number, isFull: boolean): Result<unknown> {
    const { command, input, caller, requestId, fence } = call;
    try {
      if (isFull && !makesRoom(call)) {
        throw new HoldfastError("quota_exceeded", "the namespace is full: only commands that make room are run");
      }
      if (!Object.hasOwn(COMMANDS, command)) throw new HoldfastError("unsupported", `no such command: ${command}`);
      const run = COMMANDS[command] as (txn: Txn, context: Context, input: unknown) => unknown;
      const value = this.#commit(command, caller, requestId, now, (txn, context) => {
        if (fence) assertFence(txn, fence);
        return run(txn, context, input);
      });
      return { ok: true, value };
    } catch (error) {
      if (error instanceof HoldfastError) return { ok: false, error: error.toValue() };
      throw error;
    }
  }

  #commits: Commit[] = [];

  #commit<T>(
    command: CommandName | "leases.expire" | "leases.suspect" | "snapshot.restore" | "store.compact",
    caller: Caller,
    requestId: string | undefined,
    now: number,
    act: (txn: OverlayTxn, context: Context) => T,
  ): T {
    const context: Context = { now, caller, random: (length) => this.#ports.random(length) };
    const { value, commit } = this.store.run({ command, requestId }, context, (txn) => {
      const answer = act(txn, context);
      follow(txn, context, txn.changes());
      return answer;
    });
    if (commit) this.#commits.push(commit);
    return value;
  }

  /** One storage transaction; what was committed in it takes effect in memory afterwards. */
  #batch<T>(now: number, act: () => T): T {
    const value = this.#transaction(act);
    const commits = this.#commits;
    this.#commits = [];
    for (const commit of commits) {
      for (const change of commit.changes) {
        const { space, key, before, after } = change;
        if (space === instanceSpace.name) {
          this.#track(before && instanceSpace.decode(before), after && instanceSpace.decode(after));
        } else if (space === nodeSpace.name) {
          this.#trackNode(before && nodeSpace.decode(before), after && nodeSpace.decode(after));
        } else if (space === leaseSpace.name) {
          const id = leaseSpace.parts(key)[0]!;
          if (after) this.deadlines.set(leaseTimer(id, leaseSpace.decode(after)));
          else this.deadlines.remove(leaseTimerKey(id));
        } else if (space === sessionSpace.name) {
          if (after) this.#trackSession(sessionSpace.decode(after));
          else this.deadlines.remove(sessionTimerKey(sessionSpace.parts(key)[0]!));
        } else if (space === LOCK_DELAY) {
          if (after) this.deadlines.set(lockDelayTimer(after));
          else this.deadlines.remove(lockDelayTimerKey(key));
        } else if (isQueueSpace(space)) {
          this.#trackQueue(space, key, after);
          const touched = availableAfter(change);
          if (touched) this.#available.set(touched.topic, touched.available);
        } else if (space === settingsSpace.name) {
          this.#settings = settingsOf(this.store);
        } else {
          const name = nameTouched(change);
          if (name !== null) this.#unsettled.add(name);
        }
      }
      this.feed.notify(commit.changes, commit.revision);
    }
    return value;
  }

  #transaction<T>(act: () => T): T {
    if (this.#inTransaction) return act();
    this.#inTransaction = true;
    try {
      return this.#ports.transaction(() => this.backend.batch(act));
    } catch (error) {
      throw new StorageFailure("the storage transaction failed", { cause: error });
    } finally {
      this.#inTransaction = false;
    }
  }

  /** Deadlines follow from records. */
  #track(before: Instance | null, after: Instance | null): void {
    const { service, id } = (after ?? before)!;
    this.#trackTimers(before ? instanceTimers(before) : [], after ? instanceTimers(after) : []);
    this.#trackChecks({ service, id }, before, after);
    const key = instanceTimerKey(service, id);
    if (after?.suspect) this.#suspects.add(key);
    else this.#suspects.delete(key);
    if (after === null) this.#revived.delete(key);
  }

  #trackNode(before: Node | null, after: Node | null): void {
    const subject = nodeSubject((after ?? before)!.name);
    this.#trackTimers(
      before ? checkTimers(subject, before.checks) : [],
      after ? checkTimers(subject, after.checks) : [],
    );
    this.#trackChecks(subject, before, after);
  }

  #trackQueue(space: Space, key: Uint8Array, record: StoredRecord | null): void {
    const deadline = queueTimer(space, key, record);
    if (!deadline) return;
    if (!deadline.timer) this.deadlines.remove(deadline.key);
    else if (this.deadlines.get(deadline.key)?.deadlineAt !== deadline.timer.sinceAt)
      this.deadlines.set(deadline.timer);
  }

  #trackSession(session: Session): void {
    const timer = sessionTimer(session);
    if (timer) this.deadlines.set(timer);
  }

  #trackTimers(before: Timer[], after: Timer[]): void {
    const keys = new Set(after.map(({ key }) => key));
    for (const { key } of before) if (!keys.has(key)) this.deadlines.remove(key);
    for (const timer of after) this.deadlines.set(timer);
  }

  #trackChecks({ service, id }: CheckSubject, before: Checked | null, after: Checked | null): void {
    if (after?.checks.some(({ type }) => type === "ttl")) this.#pushed.add(`${service}\0${id}`);
    else this.#pushed.delete(`${service}\0${id}`);
    if (tasksOf(before, isPulled) !== tasksOf(after, isPulled)) this.#pulledChanged = true;
  }

  #renewInstance(name: InstanceName, now: number): boolean {
    const key = instanceTimerKey(name.service, name.id);
    const promisedAt = this.deadlines.get(key)?.deadlineAt;
    const entry = this.deadlines.renew(key, now);
    if (!entry) return false;
    if (entry.deadlineAt === promisedAt) return true;
    if (this.#suspects.has(key)) this.#revived.set(key, { service: name.service, id: name.id });
    this.#soil(now);
    return true;
  }

  /** Heartbeats that are also results of pushed checks. */
  #push(beats: readonly Heartbeat[], now: number): void {
    const reports: CheckReport[] = [];
    for (const { service, id, check: wanted, status = "passing", output = "" } of beats) {
      const checks = checksOf(this.store, { service, id });
      if (!checks) continue;
      if (wanted === undefined) this.#renewInstance({ service, id }, now);
      for (const check of checks) {
        if (check.type !== "ttl" || (wanted !== undefined && check.id !== wanted)) continue;
        if (check.status === status && check.output === output) {
          if (this.deadlines.renew(checkTimerKey(service, id, check.id), now)) this.#soil(now);
        } else {
          reports.push({ service, id, check: check.id, status, output });
        }
      }
    }
    if (reports.length === 0) return;
    this.#batch(now, () =>
      this.#commit("registry.report", SYSTEM, undefined, now, (txn, context) => report(txn, context, reports)),
    );
    for (const { service, id, check } of reports) this.deadlines.renew(checkTimerKey(service, id, check), now);
  }

  /** Something was renewed that no record and no checkpoint tells. */
  #soil(now: number): void {
    if (this.#dirty) return;
    this.#dirty = true;
    this.#checkpointAt = now + Math.max(CHECKPOINT_MS, this.deadlines.size / LEASES_PER_CHECKPOINT_MS);
    // No renewal is later than this that no checkpoint tells: by then there is one, or nothing runs any more.
    this.backend.setMeta(RENEWED_UNTIL, String(this.#checkpointAt + LATE_MS));
  }

  #clearSuspects(now: number): void {
    const marks = [...this.#revived.values()].slice(0, LAPSE_SLICE).map((name) => ({ ...name, suspect: false }));
    for (const { service, id } of marks) this.#revived.delete(instanceTimerKey(service, id));
    this.#commit("leases.suspect", SYSTEM, undefined, now, (txn, context) => markSuspect(txn, context, marks));
  }

  #expire(now: number, slice: number): void {
    const nextAt = this.deadlines.nextAt();
    if (nextAt === null || nextAt > now) return;
    // Not what waits only because so many have lapsed with it: slices of them are removed all the time.
    const missedFrom = Math.max(nextAt, this.#expiredAt);
    this.#expiredAt = now;
    if (now - missedFrom > LATE_MS && this.deadlines.extend(now)) {
      this.#dirty = true;
      this.#checkpointAt = now;
    }
    const due = this.deadlines.due(now, slice);
    const lapsed = this.#spare(due, now);
    if (lapsed.length === 0) return;
    let done = 0;
    this.#commit("leases.expire", SYSTEM, undefined, now, (txn, context) => {
      readLapsing(txn, lapsed);
      for (const entry of lapsed) {
        // What hangs on one deadline may be much: then the others are for the next slice.
        if (txn.changeCount >= LAPSE_CHANGES_MAX) break;
        lapse(txn, context, entry);
        done++;
      }
    });
    // What no record stands behind any more goes all the same.
    for (const { key } of lapsed.slice(0, done)) this.deadlines.remove(key);
  }

  /** Takes out the instances that self-preservation keeps; they are marked and looked at again. */
  #spare(due: Deadline[], now: number): Deadline[] {
    const instances = due.filter(({ kind }) => kind === "instance");
    if (instances.length === 0) return due;
    const settings = this.#settings.selfPreservation;
    const overdue = this.#overdueCount(now);
    if (!this.#preservation.mustKeep(overdue, this.deadlines.count("instance"), now, settings)) {
      this.#preservation.expired(instances.length, now);
      return due;
    }
    const fresh = instances
      .filter(({ key }) => !this.#suspects.has(key))
      .map(({ key }) => ({ ...nameOf(key), suspect: true }));
    this.#commit("leases.suspect", SYSTEM, undefined, now, (txn, context) => markSuspect(txn, context, fresh));
    for (const entry of instances) this.deadlines.postpone(entry, now + Math.max(entry.ttlMs, SUSPECT_LOOK_MS));
    return due.filter(({ kind }) => kind !== "instance");
  }

  /** Instances nobody renewed: the suspects, and those that lapse now. */
  #overdueCount(now: number): number {
    let count = 0;
    for (const entry of this.deadlines.values()) {
      if (
        entry.kind === "instance" &&
        (entry.deadlineAt <= now || (this.#suspects.has(entry.key) && !this.#revived.has(entry.key)))
      )
        count++;
    }
    return count;
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
    const base = this.backend.chainBase().revision;
    const row = this.store.log(base, COMPACT_EVERY_REVISIONS).findLast(({ revision, at }) => {
      const isKept = revision > this.store.compacted || (revision > this.revision - entries && at >= now - ms);
      return !isKept;
    });
    if (row) this.backend.trimLog(row.revision);
  }
}

/** While there are renewals that no checkpoint tells: until when there may be; else empty. */
const RENEWED_UNTIL = "renewed_until";
/** Where the present contents came from. */
const restoredSpace = new JsonSpace<{ namespace: string; revision: number }>("restored");
/** The last compaction that somebody asked for. */
const compactionSpace = new JsonSpace<{ revision: number }>("compaction");
/** How often a suspect is looked at again, at most. */
const SUSPECT_LOOK_MS = 5000;
const NOTHING = new Uint8Array();
const EVERYTHING: KeyRange = { from: NOTHING, to: null };

function nameOf(timerKey: string): InstanceName {
  const { service, id } = subjectOf(timerKey);
  return { service, id };
}
