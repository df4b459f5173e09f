/**
 * Waiting for one's turn at the edge: for a lock, for leadership, for a barrier to open. The place is a record in the object;
 * here is the request that stands for it.
 *
 * While a request waits, each answer of the object renews the lease that was granted for its claim, since an open connection
 * is a sign of life; so whoever's turn has come has it from then on. A request that ends without its turn withdraws: when time
 * is up, when the client goes away, when its token is revoked. With `stay` it does not; then the place lasts as long as its
 * lease, and the same owner takes it up by asking again. What this cannot do any more (the edge itself has ended) the lapse of
 * the lease does.
 *
 * A request with an id (`Idempotency-Key`) that breaks off leaves its place likewise: its client asks again under the same id,
 * perhaps already has, and has been told that its turn has come. That repeat takes part in the place of the first. What it
 * answers is so when it answers: its command is not run again, so what became of the claim since is looked up.
 *
 * A client that only closes its end may still read, for all that TCP says: workerd takes it for gone when the connection is
 * reset. Until then, or until its time is up, it keeps its place; so a wait is short, and a long one is many with `stay`.
 */
import { waitUntil } from "cloudflare:workers";
import { HoldfastError } from "../../objects/errors.ts";
import type { QueryInput, QueryName, QueryOutput } from "../../objects/commands.ts";
import type { WatchRange } from "../../objects/store/store.ts";
import { WAIT_MAX_MS } from "../../objects/waiting.ts";
import type { Verb } from "../../objects/policy/statements.ts";
import type { NamespaceClient } from "../request/namespace-client.ts";
import type { ApiRequest } from "./route.ts";

export interface Waiter {
  client: NamespaceClient;
  /** Aborted when the client has gone. */
  signal: AbortSignal;
  /** Throws when the caller has no right to it any more. */
  reauthorize: () => Promise<unknown>;
}

/** The request itself, which needs this right on the lock in its path until it is answered. */
export function waiterOf({ client, request, params, reauthorize }: ApiRequest<unknown, unknown>, verb: Verb): Waiter {
  return {
    client,
    signal: request.signal,
    reauthorize: async () => (await reauthorize()).assert(verb, "lock", params["name"]!),
  };
}

/** The lease that is kept while its owner waits. */
export interface OwnLease {
  lease: string;
  ttlMs: number;
  ownsLease: boolean;
}

export interface Awaited<N extends QueryName> {
  query: N;
  input: QueryInput<N>;
  /** What the answer depends on. */
  ranges: WatchRange[];
  /** The state is known as of this revision. */
  since: number;
  waitMs: number;
  own?: OwnLease | undefined;
  isOver: (value: QueryOutput<N>) => boolean;
}

/** The value with which the waiting was over; else the last one, when time was up or the client gone. */
export async function waitFor<N extends QueryName>(
  { client, signal, reauthorize }: Waiter,
  { query, input, ranges, since, waitMs, own, isOver }: Awaited<N>,
): Promise<QueryOutput<N>> {
  const untilAt = Date.now() + waitMs;
  const sliceMs = own?.ownsLease ? own.ttlMs / RENEWALS_PER_TTL : WAIT_MAX_MS;
  const gone = new Promise<null>((resolve) => signal.addEventListener("abort", () => resolve(null), { once: true }));
  for (let known = since; ;) {
    const remainingMs = Math.max(0, untilAt - Date.now());
    const isLast = signal.aborted || remainingMs === 0;
    const renews = own?.ownsLease && !signal.aborted ? own.lease : undefined;
    const options = { ranges, since: known, waitMs: isLast ? 0 : Math.min(remainingMs, sliceMs), renews };
    const answer = await Promise.race([client.read(query, input, options), ...(isLast ? [] : [gone])]);
    if (answer === null) continue;
    const { value, index } = answer.value;
    if (isLast || isOver(value)) return value;
    known = Math.max(known, index);
    await reauthorize();
  }
}

/** A claim that waits, or has been granted. */
export interface Turn extends OwnLease {
  name: string;
  token: number | null;
  ticket: number;
}

export interface Queued<T extends Turn, N extends QueryName> extends Pick<Awaited<N>, "query" | "input" | "waitMs"> {
  /** As it queued. */
  claim: T;
  range: WatchRange;
  /** The place outlasts the time to wait. */
  stay: boolean;
  /** And a request that breaks off. */
  lasts: boolean;
  /** Gives the place up; answers what has been granted meanwhile. */
  withdraw: () => Promise<T | null>;
  /** Gives back what was granted too late. */
  giveBack: (claim: T) => Promise<unknown>;
}

/**
 * The claim when it was granted, or still waits and is to stay; null when its time was up. Codes: `expired` (its lease has
 * ended), `conflict` (the same owner has asked again), those of `reauthorize`.
 */
export function awaitTurn<T extends Turn, N extends "lock.claim" | "election.candidate">(
  waiter: Waiter,
  queued: Queued<T, N>,
): Promise<T | null> {
  return orLeave(takeTurn(waiter, queued), queued.lasts, async () => {
    const left = await leftOf(queued);
    if (left) await queued.giveBack(left);
  });
}

async function takeTurn<T extends Turn, N extends "lock.claim" | "election.candidate">(
  waiter: Waiter,
  queued: Queued<T, N>,
): Promise<T | null> {
  const { claim, query, input, range, stay, lasts } = queued;
  // What is granted already is looked up alone.
  const waitMs = claim.token === null ? queued.waitMs : 0;
  const isOver = (value: Turn | null): boolean => value?.ticket !== claim.ticket || value.token !== null;
  const awaited = { query, input, ranges: [range], since: claim.ticket, waitMs, own: claim, isOver };
  let found = (await waitFor(waiter, awaited)) as T | null;
  if (found === null) throw lapsed(claim);
  if (found.ticket !== claim.ticket) throw takenUp(claim);
  if (found.token === null && !stay) {
    if (lasts) assertThere(waiter);
    found = await leftOf(queued);
  }
  if (found === null || found.token === null) return found;
  await begin(waiter);
  return found;
}

/** Gives the place up; what was granted before that is the answer. */
async function leftOf<T extends Turn, N extends QueryName>({ claim, withdraw }: Queued<T, N>): Promise<T | null> {
  const left = await withdraw();
  return left?.ticket === claim.ticket && left.token !== null ? left : null;
}

/** What was waited for begins: its caller is there, and has the right of now. */
export async function begin(waiter: Waiter): Promise<void> {
  if (waiter.signal.aborted) throw clientGone();
  await waiter.reauthorize();
}

/** Codes: `unavailable` when the connection is lost; who has cancelled the call is there. */
export function assertThere({ signal }: Waiter): void {
  if (signal.aborted && signal.reason !== CANCELLED) throw clientGone();
}

/** Why a call is aborted whose client is there, and waits no longer. */
export const CANCELLED = "cancelled";

const clientGone = (): HoldfastError => new HoldfastError("unavailable", "the client has gone");

/**
 * Leaves when the waiting fails, also by the client's going; not when the place lasts and can be taken up again. Goes on when
 * the client has gone: what it has left behind is put right.
 */
export function orLeave<T>(waiting: Promise<T>, lasts: boolean, leave: () => Promise<unknown>): Promise<T> {
  const settled = waiting.catch(async (error: unknown) => {
    if (lasts && isUnavailable(error)) throw ofUnknownOutcome(error);
    if (error instanceof HoldfastError && error.code === "expired") throw error;
    try {
      await leave();
    } catch (failure) {
      // The lapse of the lease does it later; until then the place is there, and may have its turn.
      console.warn("a place could not be given up", failure);
      throw isUnavailable(error) ? ofUnknownOutcome(error) : error;
    }
    throw error;
  });
  waitUntil(settled.catch(() => {}));
  return settled;
}

const isUnavailable = (error: unknown): error is HoldfastError =>
  error instanceof HoldfastError && error.code === "unavailable";

/** The waiting was a read, and reads change nothing; what it waited for had been asked for by a command, which has run. */
const ofUnknownOutcome = ({ code, message, details, retryAfterMs }: HoldfastError): HoldfastError =>
  new HoldfastError(code, message, { ...details, outcome: "unknown" }, retryAfterMs);

/** As often as a holder is to renew. */
const RENEWALS_PER_TTL = 3;

export const lapsed = ({ name, lease }: OwnLease & { name: string }): HoldfastError =>
  new HoldfastError("expired", `the place at "${name}" is gone: withdrawn, or its lease has ended`, { lease });

const takenUp = ({ name }: Turn): HoldfastError =>
  new HoldfastError("conflict", `a later request of the same owner waits for "${name}" now`, { reason: "taken_up" });
