/**
 * Locks: mutexes, read-write locks and semaphores, fair and fenced. Order, hand-over and tokens are the arbiter's; here is
 * what each kind means.
 *
 * A lock is there as long as somebody holds it or waits for it, and so long it is of one kind. A token is good as long as it
 * holds the lock: what is done with an older one is refused (`fenced`), here and in every command with a fence
 * (`../fences.ts`).
 */
import { invalid } from "../errors.ts";
import { requireLease } from "../leases/leases.ts";
import type { Page, PageInput } from "../policy/records.ts";
import { pageOf } from "../policy/records.ts";
import { assertName, assertWhole } from "../registry/limits.ts";
import type { Context, Reader, Txn } from "../store/txn.ts";
import type { Claim, ClaimRequest, Contest, EndLease, Holding, WithdrawInput } from "./arbiter.ts";
import { Arbiter, nameOfContest } from "./arbiter.ts";

export const LOCK_KINDS = ["mutex", "readWrite", "semaphore"] as const;
export type LockKind = (typeof LOCK_KINDS)[number];

/** The kind of the lock, and what is wanted of it. */
export type LockTerms =
  | { kind: "mutex" }
  | { kind: "readWrite"; mode: "read" | "write" }
  /** `limit` permits in all. */
  | { kind: "semaphore"; permits: number; limit: number };

export type AcquireInput = LockTerms & {
  name: string;
  /** Who acquires: the same owner may do so again and again. Default: a fresh one. */
  owner?: string | undefined;
  /** The acquisition's own lease; or `lease`, one that is there. */
  ttlMs?: number | undefined;
  lease?: string | undefined;
  /** Queue when it is not free. Who waits watches its claim (`lock.claim`, `claimRange(locks, …)`), from `ticket` on. */
  wait: boolean;
  /** Goes on with a request of before: who holds it already does not count once more. */
  resume?: boolean | undefined;
};

export type LockClaim = LockTerms & {
  name: string;
  owner: string;
  /** Null: it waits. */
  token: number | null;
  /** Releases that are due. */
  count: number;
  lease: string;
  /** Of the lease. */
  ttlMs: number;
  /** The lease was granted for it, and ends with it. */
  ownsLease: boolean;
  /** The revision of the request that waits for it: what `lock.withdraw` names. */
  ticket: number;
  sinceAt: number;
};

/** Permits of a semaphore, and readers at once. */
export const LOCK_LIMIT_MAX = 10_000;

export const locks = new Arbiter("lock");

/** Null: it is not free, and was not to wait. Codes: as `Arbiter.enter`. */
export function acquireLock(txn: Txn, context: Context, input: AcquireInput): LockClaim | null {
  const { name, owner, ttlMs, lease, wait, resume } = input;
  const claim = locks.enter(txn, context, { name, owner, ttlMs, lease, wait, resume, ...extentOf(input) });
  return claim && lockClaim(txn, claim);
}

/** Gives up waiting. Answers the claim when there still is one: it was granted, or taken up by a later request. */
export function withdrawLock(txn: Txn, context: Context, input: WithdrawInput, endLease: EndLease): LockClaim | null {
  const claim = locks.withdraw(txn, context, input, endLease);
  return claim && lockClaim(txn, claim);
}

export interface ReleaseInput extends Holding {
  /** However often it was acquired. */
  all?: boolean | undefined;
}

/** Codes: `fenced` when this token does not hold the lock. */
export function releaseLock(
  txn: Txn,
  context: Context,
  { all = false, ...holding }: ReleaseInput,
  endLease: EndLease,
): { count: number } {
  const claim = locks.requireHeld(txn, holding);
  const count = all ? 0 : claim.count - 1;
  if (count > 0) locks.update(txn, claim, { count });
  else locks.end(txn, context, claim, endLease);
  return { count };
}

export interface LockInfo {
  name: string;
  /** Null: nobody holds it or waits for it. */
  kind: LockKind | null;
  /** Of a semaphore. */
  limit: number | null;
  holderCount: number;
  waiterCount: number;
  /** In the order of their tokens; the first thousand. */
  holders: LockClaim[];
  /** In the order in which they will have it; the first thousand. */
  waiters: LockClaim[];
}

export function describeLock(reader: Reader, { name }: { name: string }): LockInfo {
  assertName("name", name);
  const contest = locks.contests.get(reader, name);
  return {
    ...summaryOf(name, contest),
    holders: locks.holders(reader, name).map((claim) => lockClaim(reader, claim)),
    waiters: locks.waiters(reader, name).map((claim) => lockClaim(reader, claim)),
  };
}

export type LockSummary = Omit<LockInfo, "holders" | "waiters">;

/** Those that are held or waited for. */
export function listLocks(reader: Reader, input: PageInput): Page<LockSummary> {
  return pageOf(locks.contests, reader, input, (record) =>
    summaryOf(nameOfContest(locks, record), locks.contests.decode(record)),
  );
}

export function findLockClaim(reader: Reader, input: { name: string; owner: string }): LockClaim | null {
  const claim = locks.claimOf(reader, input);
  return claim && lockClaim(reader, claim);
}

/** Kind, capacity and weight. A writer takes all that readers could. */
function extentOf(input: AcquireInput): Pick<ClaimRequest, "kind" | "capacity" | "weight" | "extent"> {
  const { kind } = input;
  switch (kind) {
    case "mutex":
      return { kind, capacity: 1, weight: 1, extent: "kind" };
    case "readWrite":
      if (input.mode !== "read" && input.mode !== "write") throw invalid("mode", "must be read or write");
      return { kind, capacity: LOCK_LIMIT_MAX, weight: input.mode === "read" ? 1 : LOCK_LIMIT_MAX, extent: "mode" };
    case "semaphore":
      assertWhole("limit", input.limit, 1, LOCK_LIMIT_MAX);
      assertWhole("permits", input.permits, 1, input.limit);
      return { kind, capacity: input.limit, weight: input.permits, extent: "permits" };
    default:
      throw invalid("kind", `must be one of ${LOCK_KINDS.join(", ")}`);
  }
}

function termsOf({ kind, capacity }: Contest, weight: number): LockTerms {
  switch (kind as LockKind) {
    case "mutex":
      return { kind: "mutex" };
    case "readWrite":
      return { kind: "readWrite", mode: weight === capacity ? "write" : "read" };
    case "semaphore":
      return { kind: "semaphore", permits: weight, limit: capacity };
  }
}

function lockClaim(reader: Reader, claim: Claim): LockClaim {
  const { name, owner, weight, token, count, lease, ownsLease, ticket, sinceAt } = claim;
  const { ttlMs } = requireLease(reader, lease);
  const terms = termsOf(locks.contests.get(reader, name)!, weight);
  return { ...terms, name, owner, token, count, lease, ttlMs, ownsLease, ticket, sinceAt };
}

function summaryOf(name: string, contest: Contest | undefined): LockSummary {
  return {
    name,
    kind: (contest?.kind as LockKind | undefined) ?? null,
    limit: contest?.kind === "semaphore" ? contest.capacity : null,
    holderCount: contest?.holders ?? 0,
    waiterCount: contest?.waiters ?? 0,
  };
}
