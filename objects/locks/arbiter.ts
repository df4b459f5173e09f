/**
 * Who has a name, and who waits for it: claims in the order in which they came. Locks and elections are made of it.
 *
 * A name has a capacity, a claim a weight; what fits is held, what does not waits behind all that came before. So nothing
 * overtakes: a reader does not pass the writer who waits before it. In the commit that frees capacity whoever is next has it,
 * with the commit's revision as fencing token; revisions never go back, so neither do tokens. What is granted by one commit
 * together has one token; so whoever may hold beside others shows its token with its name.
 *
 * A claim hangs on a lease and goes with it, and is granted only while that lives (rule M3). Its record changes when it is
 * granted and when it goes, so whoever waits watches one key, which nobody else's fate touches.
 *
 * Refuses to know: what kinds there are, and what a lease carries besides.
 */
import { keyAfter } from "../bytes.ts";
import { HoldfastError, invalid } from "../errors.ts";
import { assertLeaseId, grantLease, leaseSpace, requireLease } from "../leases/leases.ts";
import { freshId } from "../policy/records.ts";
import { assertName } from "../registry/limits.ts";
import type { WatchRange } from "../store/store.ts";
import type { Context, Reader, Space, StoredRecord, Txn } from "../store/txn.ts";
import { assertRevision, EVERYTHING, JsonSpace } from "../store/txn.ts";

export interface Claim {
  name: string;
  owner: string;
  /** The part of the capacity that it takes. */
  weight: number;
  lease: string;
  /** The lease was granted for it, and ends with it. */
  ownsLease: boolean;
  value: string;
  /** How often the owner asked for what it has; each has to be given back. */
  count: number;
  /** Fencing token: the revision that granted it. Null: it waits. */
  token: number | null;
  /** The revision at which it queued. */
  place: number;
  /** The revision of the request that waits, or waited: what an earlier one of the same owner must not withdraw. */
  ticket: number;
  /** Granted then; while it waits, queued then. */
  sinceAt: number;
}

/** A name somebody holds or waits for; there is none of the others. */
export interface Contest {
  kind: string;
  capacity: number;
  /** Of the capacity. */
  used: number;
  holders: number;
  waiters: number;
  /** Who is next; null: nobody waits. */
  next: Place | null;
}

/** A place in the line. */
interface Place {
  place: number;
  owner: string;
}

export interface ClaimRequest {
  name: string;
  /** Absent: nobody before; a fresh one is made. */
  owner?: string | undefined;
  kind: string;
  capacity: number;
  weight: number;
  /** The field by which the caller says the weight. */
  extent: string;
  value?: string | undefined;
  /** The lease to hang on; absent: one of its own, of `ttlMs`. */
  lease?: string | undefined;
  ttlMs?: number | undefined;
  /** Queue when it cannot be granted now. */
  wait: boolean;
  /** Goes on with a request of before, whatever became of it: who holds it already does not count once more. */
  resume?: boolean | undefined;
}

/** Who says that it holds something. */
export interface Holding {
  name: string;
  owner: string;
  token: number;
}

/** What is shown by whoever is to hold it; the owner may be missing where it holds it alone. */
export type ShownToken = Omit<Holding, "owner"> & { owner?: string | undefined };

/** Ends a lease with all that hangs on it. */
export type EndLease = (txn: Txn, context: Context, lease: string) => void;

export const WAITERS_MAX = 1000;
/** Of one answer. */
export const CLAIMS_SHOWN_MAX = 1000;

type Contender = Record<never, never>;

export class Arbiter {
  /** As errors call what is contested: `lock`, `election`. */
  readonly what: string;
  /** By name. */
  readonly contests: JsonSpace<Contest>;
  /** Name, owner; on the claim's lease. */
  readonly claims: JsonSpace<Claim>;
  /** Name, token, owner. */
  readonly #holding: JsonSpace<Contender>;
  /** Name, place, owner. */
  readonly #waiting: JsonSpace<Contender>;

  constructor(what: string) {
    this.what = what;
    this.contests = new JsonSpace(what);
    this.claims = new JsonSpace(`${what}_claim`);
    this.#holding = new JsonSpace(`${what}_holder`);
    this.#waiting = new JsonSpace(`${what}_waiter`);
  }

  get spaces(): Space[] {
    return [this.contests, this.claims, this.#holding, this.#waiting].map(({ name }) => name);
  }

  /**
   * Null: it could not be granted, and was not to wait. Codes: `invalid_argument`, `not_found` (the lease), `conflict` (the
   * name is in use as another kind, or its owner has it in another way), `quota_exceeded`.
   */
  enter(txn: Txn, context: Context, request: ClaimRequest): Claim | null {
    const { name, owner = freshId(context), kind, capacity, weight, value = "", wait } = request;
    assertName("name", name);
    assertName("owner", owner);
    const contest = this.contests.get(txn, name) ?? newContest(kind, capacity);
    this.#assertSame(name, contest, request);
    const before = this.claims.get(txn, name, owner);
    if (before) return this.#again(txn, before, request);
    const fits = contest.waiters === 0 && contest.used + weight <= capacity;
    if (!fits && !wait) return null;
    if (!fits && contest.waiters >= WAITERS_MAX) {
      const message = `${WAITERS_MAX} wait for ${this.what} "${name}" already`;
      throw new HoldfastError("quota_exceeded", message, { limit: WAITERS_MAX });
    }
    const ownsLease = request.lease === undefined;
    const claim: Claim = {
      name,
      owner,
      weight,
      lease: this.#leaseOf(txn, context, request),
      ownsLease,
      value,
      count: 1,
      token: null,
      place: txn.revision,
      ticket: txn.revision,
      sinceAt: context.now,
    };
    if (fits) this.#grant(txn, context, contest, claim);
    else {
      contest.waiters++;
      contest.next ??= { place: claim.place, owner };
      this.#waiting.create(txn, placeKey(claim), {});
      this.#put(txn, claim);
    }
    this.contests.put(txn, [name], contest);
    return claim;
  }

  /** Takes a claim out, held or waiting, and hands on what becomes free. False when there is none. */
  leave(txn: Txn, context: Context, name: string, owner: string): boolean {
    const claim = this.claims.get(txn, name, owner);
    if (!claim) return false;
    const contest = this.contests.get(txn, name)!;
    const wasNext = claim.token === null && contest.next?.place === claim.place;
    this.#remove(txn, contest, claim);
    if (wasNext) contest.next = this.#behind(txn, contest, claim);
    // Who was further back in the line held nobody up.
    if (wasNext || claim.token !== null) this.#handOn(txn, context, contest, name);
    if (contest.holders + contest.waiters === 0) this.contests.delete(txn, name);
    else this.contests.put(txn, [name], contest);
    return true;
  }

  /** Ends a claim, and with it the lease that was granted for it. */
  end(txn: Txn, context: Context, { name, owner, lease, ownsLease }: Claim, endLease: EndLease): void {
    if (ownsLease) endLease(txn, context, lease);
    else this.leave(txn, context, name, owner);
  }

  /**
   * Takes a claim out that still waits; with a ticket, unless a later request of its owner has taken it up. Answers what is
   * left: a claim that has been granted meanwhile.
   */
  withdraw(txn: Txn, context: Context, input: WithdrawInput, endLease: EndLease): Claim | null {
    const claim = this.claimOf(txn, input);
    if (!claim || claim.token !== null) return claim;
    if (input.ticket !== undefined && input.ticket !== claim.ticket) return claim;
    this.end(txn, context, claim, endLease);
    return null;
  }

  /** Writes what has changed of a claim besides its place. */
  update(txn: Txn, claim: Claim, change: Partial<Pick<Claim, "value" | "count">>): Claim {
    const changed = { ...claim, ...change };
    this.#put(txn, changed);
    return changed;
  }

  /** A claim's lease has gone. Answers the name; null: it has been passed over already. */
  detach(txn: Txn, context: Context, key: Uint8Array): string | null {
    const [name, owner] = this.claims.parts(key) as [string, string];
    return this.leave(txn, context, name, owner) ? name : null;
  }

  claimOf(reader: Reader, { name, owner }: { name: string; owner: string }): Claim | null {
    assertName("name", name);
    assertName("owner", owner);
    return this.claims.get(reader, name, owner) ?? null;
  }

  /** Throws `fenced` unless this is held with this token, now. */
  requireHeld(reader: Reader, { name, owner, token }: Holding): Claim {
    assertRevision("token", token);
    const claim = this.claimOf(reader, { name, owner });
    if (!claim || claim.token !== token) throw this.fenced(name, token);
    return claim;
  }

  /**
   * Whether the name is held with this token, by this owner. Only who holds all of the capacity may leave its name out: with
   * others beside it the token may be theirs. Codes: `invalid_argument`, naming the owner by `ownerField`.
   */
  isHeld(reader: Reader, { name, token, owner }: ShownToken, ownerField: string): boolean {
    assertName("name", name);
    assertRevision("token", token);
    if (owner !== undefined) {
      assertName(ownerField, owner);
      return this.claims.get(reader, name, owner)?.token === token;
    }
    const [found] = this.#holding.under(reader, [name, digits(token)], { limit: 1 });
    if (!found) return false;
    const { weight } = this.claims.get(reader, name, this.#holding.parts(found.key)[2]!)!;
    if (weight === this.contests.get(reader, name)!.capacity) return true;
    throw invalid(
      ownerField,
      `is needed: ${this.what} "${name}" is shared, and others may hold it with the same token`,
    );
  }

  fenced(name: string, token: number): HoldfastError {
    const message = `token ${token} does not hold ${this.what} "${name}"`;
    return new HoldfastError("fenced", message, { [this.what]: name, token });
  }

  /** In the order of their tokens. */
  holders(reader: Reader, name: string, limit = CLAIMS_SHOWN_MAX): Claim[] {
    return this.#claimsIn(this.#holding, reader, name, limit);
  }

  /** In the order in which they will be served. */
  waiters(reader: Reader, name: string, limit = CLAIMS_SHOWN_MAX): Claim[] {
    return this.#claimsIn(this.#waiting, reader, name, limit);
  }

  /** Nobody holds or waits for anything: after a restore, what was held then may have been another's since (rule M5). */
  forgetAll(txn: Txn): void {
    for (const space of this.spaces) {
      for (const { key } of txn.range(space, EVERYTHING)) txn.delete(space, key);
    }
  }

  /** From the head of the line, as far as it fits. */
  #handOn(txn: Txn, context: Context, contest: Contest, name: string): void {
    while (contest.next && contest.used < contest.capacity) {
      const next = this.claims.get(txn, name, contest.next.owner)!;
      // Its lease may be the very one whose end frees this.
      const isAlive = leaseSpace.get(txn, next.lease) !== undefined;
      if (isAlive && contest.used + next.weight > contest.capacity) return;
      this.#remove(txn, contest, next);
      contest.next = this.#behind(txn, contest, next);
      if (isAlive) this.#grant(txn, context, contest, next);
    }
  }

  /** Looked for from there on: what is before may be thousands that have left in this same commit. */
  #behind(txn: Txn, { waiters }: Contest, claim: Claim): Place | null {
    if (waiters === 0) return null;
    const after = this.#waiting.key(...placeKey(claim));
    const [found] = this.#waiting.under(txn, [claim.name], { limit: 1, after });
    const [, place, owner] = this.#waiting.parts(found!.key) as [string, string, string];
    return { place: Number(place), owner };
  }

  #claimsIn(index: JsonSpace<Contender>, reader: Reader, name: string, limit: number): Claim[] {
    return index.under(reader, [name], { limit }).map(({ key }) => {
      return this.claims.get(reader, name, index.parts(key)[2]!)!;
    });
  }

  /** The owner has a claim already: it counts once more, or goes on waiting in its place. */
  #again(txn: Txn, claim: Claim, { weight, extent, value, lease, resume }: ClaimRequest): Claim {
    const differs = (field: string, what: string): HoldfastError =>
      new HoldfastError("conflict", `"${claim.owner}" has ${this.what} "${claim.name}" ${what}`, { field });
    if (lease !== undefined && lease !== claim.lease) throw differs("lease", "on another lease");
    const isHeld = claim.token !== null;
    if (isHeld ? weight > claim.weight : weight !== claim.weight) throw differs(extent, `with another ${extent}`);
    const change = isHeld ? { count: claim.count + (resume ? 0 : 1) } : { ticket: txn.revision };
    const changed = { ...claim, value: value ?? claim.value, ...change };
    this.#put(txn, changed);
    return changed;
  }

  #grant(txn: Txn, { now }: Context, contest: Contest, claim: Claim): void {
    contest.used += claim.weight;
    contest.holders++;
    claim.token = txn.revision;
    claim.sinceAt = now;
    this.#holding.create(txn, [claim.name, digits(txn.revision), claim.owner], {});
    this.#put(txn, claim);
  }

  #remove(txn: Txn, contest: Contest, claim: Claim): void {
    const { name, owner, weight, token } = claim;
    this.claims.delete(txn, name, owner);
    if (token === null) {
      contest.waiters--;
      this.#waiting.delete(txn, ...placeKey(claim));
    } else {
      contest.used -= weight;
      contest.holders--;
      this.#holding.delete(txn, name, digits(token), owner);
    }
  }

  #put(txn: Txn, claim: Claim): void {
    this.claims.put(txn, [claim.name, claim.owner], claim, claim.lease);
  }

  #assertSame(name: string, contest: Contest, { kind, capacity }: ClaimRequest): void {
    if (contest.kind !== kind) {
      const message = `${this.what} "${name}" is in use as ${contest.kind}`;
      throw new HoldfastError("conflict", message, { field: "kind", kind: contest.kind });
    }
    if (contest.capacity !== capacity) {
      const message = `${this.what} "${name}" is in use with a limit of ${contest.capacity}`;
      throw new HoldfastError("conflict", message, { field: "limit", limit: contest.capacity });
    }
  }

  #leaseOf(txn: Txn, context: Context, { lease, ttlMs }: ClaimRequest): string {
    if ((lease === undefined) === (ttlMs === undefined)) throw invalid("ttl", "give either ttl or lease");
    if (lease === undefined) return grantLease(txn, context, { ttlMs: ttlMs! }).id;
    assertLeaseId(lease);
    requireLease(txn, lease);
    return lease;
  }
}

export interface WithdrawInput {
  name: string;
  owner: string;
  ticket?: number | undefined;
}

/** What to watch for the fate of one claim. */
export function claimRange(arbiter: Arbiter, name: string, owner: string): WatchRange {
  const from = arbiter.claims.key(name, owner);
  return { space: arbiter.claims.name, from, to: keyAfter(from) };
}

export const nameOfContest = (arbiter: Arbiter, record: StoredRecord): string => arbiter.contests.parts(record.key)[0]!;

const newContest = (kind: string, capacity: number): Contest => ({
  kind,
  capacity,
  used: 0,
  holders: 0,
  waiters: 0,
  next: null,
});

const placeKey = ({ name, place, owner }: Claim): [string, string, string] => [name, digits(place), owner];

const DIGITS = 16;
const digits = (revision: number): string => String(revision).padStart(DIGITS, "0");
