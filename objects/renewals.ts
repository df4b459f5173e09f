/**
 * Renewals stay in memory, and are acknowledged so: a checkpoint every few seconds tells the disk. Until it is written a mark
 * there says up to when renewals may have been acknowledged; so after a crash nothing ends early (rule L1).
 *
 * Refuses to know: what a lapse does.
 */
import type { Batches } from "./batches.ts";
import { invalid } from "./errors.ts";
import type { ClaimKind } from "./fences.ts";
import { arbiters } from "./fences.ts";
import { packCheckpoint, unpackCheckpoint } from "./leases/checkpoint.ts";
import { LATE_MS } from "./leases/deadlines.ts";
import { leaseTimerKey, noLease } from "./leases/leases.ts";
import type { Holding } from "./locks/arbiter.ts";
import type { HealthStatus } from "./model.ts";
import type { Stored } from "./policy/records.ts";
import type { CheckReport, InstanceName } from "./registry/registry.ts";
import { report } from "./registry/registry.ts";
import { checkTimerKey, instanceTimerKey } from "./registry/timers.ts";
import { checksOf } from "./registry/write.ts";
import type { Session } from "./sessions/sessions.ts";
import { requireSession, sessionTimerKey } from "./sessions/sessions.ts";
import type { SqliteBackend } from "./store/sqlite.sql.ts";
import type { Reader } from "./store/txn.ts";
import type { Timers } from "./timers.ts";

const CHECKPOINT_MS = 5000;
/** With many leases a checkpoint is larger, and made less often. */
const LEASES_PER_CHECKPOINT_MS = 10;
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

export class Renewals {
  readonly #reader: Reader;
  readonly #backend: SqliteBackend;
  readonly #timers: Timers;
  readonly #batches: Batches;
  /** Renewals since the last checkpoint: it does not tell all. */
  #dirty = false;
  #checkpointAt: number | null = null;

  /** With what was written of renewals before. */
  constructor(reader: Reader, backend: SqliteBackend, timers: Timers, batches: Batches, now: number) {
    this.#reader = reader;
    this.#backend = backend;
    this.#timers = timers;
    this.#batches = batches;
    const { deadlines } = timers;
    for (const [key, deadlineAt, extensions] of unpackCheckpoint(backend.loadCheckpoint())) {
      deadlines.restore(key, deadlineAt, extensions);
    }
    // Ended without a last checkpoint: renewals were acknowledged of which nothing is written.
    const renewedUntil = backend.meta(RENEWED_UNTIL) ?? "";
    if (renewedUntil === "") return;
    deadlines.assure(Math.min(now, Number(renewedUntil)));
    this.checkpoint();
  }

  /** When the next checkpoint is to be made; null = there is nothing to tell. */
  get checkpointAt(): number | null {
    return this.#checkpointAt;
  }

  /** Writes down what renewals have moved; after it, memory may be lost. */
  checkpoint(): void {
    this.#batches.transaction(() => {
      this.#backend.saveCheckpoint(packCheckpoint(this.#timers.deadlines.values()));
      this.#backend.setMeta(RENEWED_UNTIL, "");
    });
    this.#dirty = false;
    this.#checkpointAt = null;
  }

  /** Deadlines were moved though nobody renewed: a checkpoint is due at once. */
  extended(now: number): void {
    this.#dirty = true;
    this.#checkpointAt = now;
  }

  /** A pushed check whose status changes by it is a commit. */
  heartbeat(beats: readonly Heartbeat[], now: number): HeartbeatResult {
    if (beats.length > HEARTBEATS_MAX) throw invalid("instances", `must have at most ${HEARTBEATS_MAX} entries`);
    const unknown: number[] = [];
    const slow: Heartbeat[] = [];
    beats.forEach((beat, index) => {
      const isPlain = beat.check === undefined && beat.status === undefined && !this.#timers.hasPushed(beat);
      if (isPlain && this.instance(beat, now)) return;
      if (checksOf(this.#reader, beat)) slow.push(beat);
      else unknown.push(index);
    });
    if (slow.length > 0) this.#push(slow, now);
    return { renewed: beats.length - unknown.length, unknown };
  }

  /** Codes: `not_found`. */
  lease(id: string, now: number): { id: string; ttlMs: number } {
    const entry = this.#timers.deadlines.renew(leaseTimerKey(id), now);
    if (!entry) throw noLease(id);
    this.#soil(now);
    return { id, ttlMs: entry.ttlMs };
  }

  /** Renews many; answers those that have ended. Codes: `invalid_argument`. */
  leases(ids: readonly string[], now: number): { ended: string[] } {
    if (ids.length > RENEWALS_MAX) throw invalid("leases", `must have at most ${RENEWALS_MAX} entries`);
    const ended = ids.filter((id) => !this.#timers.deadlines.renew(leaseTimerKey(id), now));
    if (ended.length < ids.length) this.#soil(now);
    return { ended };
  }

  /** The lease of a claim, for who holds it. Codes: `fenced`. */
  claim(kind: ClaimKind, holding: Holding, now: number): { id: string; ttlMs: number } {
    return this.lease(arbiters[kind].requireHeld(this.#reader, holding).lease, now);
  }

  /** Renews a session, if it has a time to live. Codes: `not_found`. */
  session(id: string, now: number): Stored<Session> {
    const session = requireSession(this.#reader, id);
    if (this.#timers.deadlines.renew(sessionTimerKey(id), now)) this.#soil(now);
    return session;
  }

  /** False: it has no time to live, or is not there. */
  instance({ service, id }: InstanceName, now: number): boolean {
    const { deadlines, suspects } = this.#timers;
    const key = instanceTimerKey(service, id);
    const promisedAt = deadlines.get(key)?.deadlineAt;
    const entry = deadlines.renew(key, now);
    if (!entry) return false;
    if (entry.deadlineAt === promisedAt) return true;
    suspects.renewed(key);
    this.#soil(now);
    return true;
  }

  /** Heartbeats that are also results of pushed checks. */
  #push(beats: readonly Heartbeat[], now: number): void {
    const { deadlines } = this.#timers;
    const reports: CheckReport[] = [];
    for (const { service, id, check: wanted, status = "passing", output = "" } of beats) {
      const checks = checksOf(this.#reader, { service, id });
      if (!checks) continue;
      if (wanted === undefined) this.instance({ service, id }, now);
      for (const check of checks) {
        if (check.type !== "ttl" || (wanted !== undefined && check.id !== wanted)) continue;
        if (check.status === status && check.output === output) {
          if (deadlines.renew(checkTimerKey(service, id, check.id), now)) this.#soil(now);
        } else {
          reports.push({ service, id, check: check.id, status, output });
        }
      }
    }
    if (reports.length === 0) return;
    this.#batches.run(() =>
      this.#batches.commitOwn("registry.report", now, (txn, context) => report(txn, context, reports)),
    );
    for (const { service, id, check } of reports) deadlines.renew(checkTimerKey(service, id, check), now);
  }

  /** Something was renewed that no record and no checkpoint tells. */
  #soil(now: number): void {
    if (this.#dirty) return;
    this.#dirty = true;
    this.#checkpointAt = now + Math.max(CHECKPOINT_MS, this.#timers.deadlines.size / LEASES_PER_CHECKPOINT_MS);
    // No renewal is later than this that no checkpoint tells: by then there is one, or nothing runs any more.
    this.#backend.setMeta(RENEWED_UNTIL, String(this.#checkpointAt + LATE_MS));
  }
}

/** While there are renewals that no checkpoint tells: until when there may be; else empty. */
export const RENEWED_UNTIL = "renewed_until";
