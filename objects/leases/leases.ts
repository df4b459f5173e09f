/**
 * Leases as records: granted for a time, renewed in memory, gone with all that hangs on them.
 *
 * A lease is the common ground of etcd leases and of sessions. Instances with a time to live do without a record of
 * their own: the instance says it all (see registry/timers.ts).
 */
import { HoldfastError, invalid } from "../errors.ts";
import type { Context, Place, Reader, Space, Txn } from "../store/txn.ts";
import { JsonSpace, keysBySpace } from "../store/txn.ts";
import type { Deadlines, Timer } from "./deadlines.ts";

export interface LeaseRecord {
  ttlMs: number;
  grantedAt: number;
}

export interface LeaseInfo {
  /** A 64-bit number with its sign, in decimal, and not 0. */
  id: string;
  ttlMs: number;
  /** Until it lapses; never negative. */
  remainingMs: number;
  grantedAt: number;
  /** Names in the records' own spaces; keys as bytes. */
  attached: Place[];
}

export const leaseSpace = new JsonSpace<LeaseRecord>("lease");

export const LEASE_TTL_MIN_MS = 1000;
/** Of what is kept alive by somebody. */
export const LEASE_TTL_MAX_MS = 366 * 86_400_000;
/** Of a lease, which may be there for what never ends. Source: etcd. */
export const GRANT_TTL_MAX_MS = 9_000_000_000_000;
const [ID_MIN, ID_MAX] = [-(2n ** 63n), 2n ** 63n - 1n];

export interface GrantInput {
  ttlMs: number;
  /** Chosen by the caller; absent = a random one. */
  id?: string | undefined;
}

export interface Granted {
  id: string;
  ttlMs: number;
}

/** Codes: `invalid_argument`, `already_exists`. */
export function grantLease(txn: Txn, context: Context, { ttlMs, id: wanted }: GrantInput): Granted {
  assertTtl("ttl", ttlMs, GRANT_TTL_MAX_MS);
  const id = wanted ?? freshId(txn, context);
  assertLeaseId(id);
  if (leaseSpace.get(txn, id)) throw new HoldfastError("already_exists", `lease ${id} already exists`, { lease: id });
  leaseSpace.put(txn, [id], { ttlMs, grantedAt: context.now });
  return { id, ttlMs };
}

/** How the records of one space go when their lease goes; a space without one has them deleted. */
export type DetachHandlers = Partial<Record<Space, (txn: Txn, context: Context, key: Uint8Array) => void>>;

/** Ends a lease and everything on it, in one commit. Codes: `not_found`. */
export function revokeLease(txn: Txn, context: Context, id: string, handlers: DetachHandlers): { detached: number } {
  if (!leaseSpace.delete(txn, id)) throw noLease(id);
  const attached = txn.leased(id);
  for (const { space, key } of attached) {
    const handler = handlers[space];
    if (handler) handler(txn, context, key);
    else txn.delete(space, key);
  }
  return { detached: attached.length };
}

/**
 * Has at hand what the ends of these will read of them: one by one that takes longer than all else. Answers what hangs on
 * them, by space; nothing when it is so much that each is better looked at by itself.
 */
export function readAhead(reader: Reader, ids: readonly string[]): ReadonlyMap<Space, Uint8Array[]> {
  const attached = reader.leasedMany(ids, AHEAD_MAX);
  if (!attached) return new Map();
  const keys = keysBySpace(attached.flat());
  for (const [space, known] of keys) reader.getMany(space, known);
  reader.getMany(
    leaseSpace.name,
    ids.map((id) => leaseSpace.key(id)),
  );
  return keys;
}

const AHEAD_MAX = { records: 1000, bytes: 8 * 1024 * 1024 };

/** Throws `not_found` unless the lease lives: asked in the commit that leans on it (rule M3). */
export function requireLease(reader: Reader, id: string): LeaseRecord {
  const record = leaseSpace.get(reader, id);
  if (!record) throw noLease(id);
  return record;
}

export function describeLease(reader: Reader, deadlines: Deadlines, nowAt: number, id: string): LeaseInfo {
  const { ttlMs, grantedAt } = requireLease(reader, id);
  const deadlineAt = deadlines.get(leaseTimerKey(id))?.deadlineAt ?? grantedAt + ttlMs;
  return { id, ttlMs, grantedAt, remainingMs: Math.max(0, deadlineAt - nowAt), attached: reader.leased(id) };
}

export interface LeasePage {
  ids: string[];
  /** When each of them lapses. */
  deadlinesAt: number[];
  /** Where to go on; null at the end. */
  after: string | null;
}

/** In the order of their ids as text. */
export function listLeases(reader: Reader, deadlines: Deadlines, after: string | null): LeasePage {
  const from = after === null ? {} : { after: leaseSpace.key(after) };
  const records = leaseSpace.under(reader, [], { limit: PAGE + 1, ...from });
  const page = records.slice(0, PAGE);
  const ids = page.map(({ key }) => leaseSpace.parts(key)[0]!);
  const deadlinesAt = page.map((record, index) => {
    const { grantedAt, ttlMs } = leaseSpace.decode(record);
    return deadlines.get(leaseTimerKey(ids[index]!))?.deadlineAt ?? grantedAt + ttlMs;
  });
  return { ids, deadlinesAt, after: records.length > PAGE ? ids.at(-1)! : null };
}

const PAGE = 1000;
const TIMER = "lease\0";

export const leaseTimerKey = (id: string): string => TIMER + id;
export const leaseOf = (timerKey: string): string => timerKey.slice(TIMER.length);

export function leaseTimer(id: string, { ttlMs, grantedAt }: LeaseRecord): Timer {
  return { key: leaseTimerKey(id), kind: "lease", ttlMs, sinceAt: grantedAt };
}

export function noLease(id: string): HoldfastError {
  return new HoldfastError("not_found", `lease ${id} does not exist, or has expired`, { lease: id });
}

export function assertTtl(field: string, ttlMs: number, maxMs = LEASE_TTL_MAX_MS): void {
  if (!Number.isFinite(ttlMs) || ttlMs < LEASE_TTL_MIN_MS || ttlMs > maxMs) {
    throw invalid(field, `must be between ${LEASE_TTL_MIN_MS / 1000} and ${maxMs / 1000} seconds`);
  }
}

export function assertLeaseId(id: string): void {
  if (!/^-?[1-9]\d{0,18}$/.test(id) || BigInt(id) > ID_MAX || BigInt(id) < ID_MIN) {
    throw invalid("lease", "must be a whole number from -2^63 to 2^63-1, and not 0");
  }
}

function freshId(txn: Txn, context: Context): string {
  for (;;) {
    const bytes = context.random(8);
    const id = (new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0) & ID_MAX).toString();
    if (id !== "0" && !leaseSpace.get(txn, id)) return id;
  }
}
