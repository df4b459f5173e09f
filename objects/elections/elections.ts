/**
 * Elections: candidates queue, the first leads, and the next in the commit in which the leader goes. Order and tokens are the
 * arbiter's (`../locks/arbiter.ts`).
 *
 * The leader is a record of its own beside the candidates, written when there is another, or the same says something else: so
 * its history is the history of leaders, in the order of revisions, and who observes is not woken by who queues.
 */
import { keyAfter } from "../bytes.ts";
import { requireLease } from "../leases/leases.ts";
import type { Claim, EndLease, Holding, WithdrawInput } from "../locks/arbiter.ts";
import { Arbiter } from "../locks/arbiter.ts";
import { HoldfastError, invalid } from "../errors.ts";
import type { Page, PageInput } from "../policy/records.ts";
import { pageOf } from "../policy/records.ts";
import { assertName } from "../registry/limits.ts";
import type { WatchRange } from "../store/store.ts";
import type { Context, Reader, StoredRecord, Txn } from "../store/txn.ts";
import { JsonSpace } from "../store/txn.ts";

export interface CampaignInput {
  name: string;
  /** Default: a fresh one. */
  owner?: string | undefined;
  /** What everybody is told once it leads; free text. */
  value: string;
  /** The candidate's own lease; or `lease`, one that is there. */
  ttlMs?: number | undefined;
  lease?: string | undefined;
  /** Queue behind who leads. Who waits watches its claim (`election.candidate`, `claimRange(elections, …)`), from `ticket` on. */
  wait: boolean;
}

export interface Candidate {
  name: string;
  owner: string;
  value: string;
  /** Of its leadership. Null: it does not lead. */
  token: number | null;
  lease: string;
  /** Of the lease. */
  ttlMs: number;
  /** The lease was granted for it, and ends with it. */
  ownsLease: boolean;
  /** The revision of the request that waits for it: what `election.withdraw` names. */
  ticket: number;
  sinceAt: number;
}

export interface Leader {
  owner: string;
  token: number;
  value: string;
  /** Since it leads. */
  sinceAt: number;
}

export const ELECTION_VALUE_CHARACTERS_MAX = 65_536;

export const elections = new Arbiter("election");

/** By name; none while nobody leads. */
export const leaderSpace = new JsonSpace<Leader>("election_leader");

/**
 * Who leads already goes on to, with this value. Null: another leads, and it was not to wait. Codes: as `Arbiter.enter`,
 * `too_large`.
 */
export function campaign(txn: Txn, context: Context, input: CampaignInput): Candidate | null {
  const { name, owner, value, ttlMs, lease, wait } = input;
  assertValue(value);
  const claim = elections.enter(txn, context, { name, owner, value, ttlMs, lease, wait, ...ONE });
  if (!claim) return null;
  crown(txn, name);
  return candidateOf(txn, claim);
}

/** Gives up waiting. Answers the candidate when there still is one: it leads, or was taken up by a later request. */
export function withdrawCandidate(
  txn: Txn,
  context: Context,
  input: WithdrawInput,
  endLease: EndLease,
): Candidate | null {
  const claim = elections.withdraw(txn, context, input, endLease);
  return claim && candidateOf(txn, claim);
}

/** The leader says something else. Codes: `fenced` when this token does not lead, `too_large`. */
export function proclaim(txn: Txn, _context: Context, { value, ...holding }: Holding & { value: string }): Candidate {
  assertValue(value);
  const claim = elections.update(txn, elections.requireHeld(txn, holding), { value });
  crown(txn, claim.name);
  return candidateOf(txn, claim);
}

/** Codes: `fenced` when this token does not lead. */
export function resign(txn: Txn, context: Context, holding: Holding, endLease: EndLease): { successor: Leader | null } {
  elections.end(txn, context, elections.requireHeld(txn, holding), endLease);
  crown(txn, holding.name);
  return { successor: findLeader(txn, holding) };
}

/** A candidate's lease has gone. */
export function detachCandidate(txn: Txn, context: Context, key: Uint8Array): void {
  const name = elections.detach(txn, context, key);
  if (name !== null) crown(txn, name);
}

/** Nobody leads and nobody is a candidate. */
export function forgetElections(txn: Txn): void {
  elections.forgetAll(txn);
  for (const { key } of leaderSpace.under(txn, [])) txn.delete(leaderSpace.name, key);
}

export function findLeader(reader: Reader, { name }: { name: string }): Leader | null {
  assertName("name", name);
  return leaderSpace.get(reader, name) ?? null;
}

export interface ElectionInfo {
  name: string;
  leader: Leader | null;
  candidateCount: number;
  /** Who waits, in the order in which they will lead; the first thousand. */
  candidates: Candidate[];
}

export function describeElection(reader: Reader, { name }: { name: string }): ElectionInfo {
  const leader = findLeader(reader, { name });
  const candidateCount = elections.contests.get(reader, name)?.waiters ?? 0;
  const candidates = elections.waiters(reader, name).map((claim) => candidateOf(reader, claim));
  return { name, leader, candidateCount, candidates };
}

/** Those that somebody leads. */
export function listElections(reader: Reader, input: PageInput): Page<{ name: string; leader: Leader }> {
  return pageOf(leaderSpace, reader, input, (record) => ({
    name: leaderSpace.parts(record.key)[0]!,
    leader: leaderSpace.decode(record),
  }));
}

export function findCandidate(reader: Reader, input: { name: string; owner: string }): Candidate | null {
  const claim = elections.claimOf(reader, input);
  return claim && candidateOf(reader, claim);
}

/** What to watch for who leads. */
export function leaderRange(name: string): WatchRange {
  const from = leaderSpace.key(name);
  return { space: leaderSpace.name, from, to: keyAfter(from) };
}

/** Who leads by a record of `leaderRange`. */
export const leaderIn = (record: StoredRecord): Leader => leaderSpace.decode(record);

const ONE = { kind: "election", capacity: 1, weight: 1, extent: "kind" } as const;

/** Writes down who leads now, if that is another or says something else. */
function crown(txn: Txn, name: string): void {
  const before = leaderSpace.get(txn, name);
  const [first] = elections.holders(txn, name, 1);
  if (!first) {
    if (before) leaderSpace.delete(txn, name);
    return;
  }
  const { owner, token, value, sinceAt } = first;
  if (before?.token === token && before.value === value) return;
  leaderSpace.put(txn, [name], { owner, token: token!, value, sinceAt });
}

function candidateOf(reader: Reader, claim: Claim): Candidate {
  const { name, owner, value, token, lease, ownsLease, ticket, sinceAt } = claim;
  const { ttlMs } = requireLease(reader, lease);
  return { name, owner, value, token, lease, ttlMs, ownsLease, ticket, sinceAt };
}

function assertValue(value: unknown): asserts value is string {
  if (typeof value !== "string" || !value.isWellFormed()) throw invalid("value", "must be a text");
  if (value.length > ELECTION_VALUE_CHARACTERS_MAX) {
    throw new HoldfastError("too_large", `value: more than ${ELECTION_VALUE_CHARACTERS_MAX} characters`, {
      field: "value",
      limit: ELECTION_VALUE_CHARACTERS_MAX,
    });
  }
}
