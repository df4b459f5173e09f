/**
 * Waiting for one's turn at the edge: for a lock, for leadership, for a barrier to open. The place is a record in the object;
 * here is the request that stands for it.
 *
 * While a request waits it renews the lease that was granted for its claim, since an open connection is a sign of life. A
 * request that ends without its turn withdraws: when time is up, when the client goes away, when its token is revoked. With
 * `stay` it does not; then the place lasts as long as its lease, and the same owner takes it up by asking again. What this
 * cannot do any more (the edge itself has ended) the lapse of the lease does.
 */
import { waitUntil } from "cloudflare:workers";
import { HoldfastError } from "../../objects/errors.ts";
import type { QueryInput, QueryName, QueryOutput } from "../../objects/commands.ts";
import type { WatchRange } from "../../objects/store/store.ts";
import { WAIT_MAX_MS } from "../../objects/waiting.ts";
import type { NamespaceClient } from "../request/namespace-client.ts";

export interface Waiter {
  client: NamespaceClient;
  /** Aborted when the client has gone. */
  signal: AbortSignal;
  /** Throws when the caller has no right to it any more. */
  reauthorize: () => Promise<unknown>;
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
  isOver(value: QueryOutput<N>): boolean;
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
    const options = { ranges, since: known, waitMs: isLast ? 0 : Math.min(remainingMs, sliceMs) };
    const answer = await Promise.race([client.read(query, input, options), ...(isLast ? [] : [gone])]);
    if (answer === null) continue;
    const { value, index } = answer.value;
    if (isLast || isOver(value)) return value;
    known = Math.max(known, index);
    await reauthorize();
    if (own?.ownsLease) await renewed(client, own.lease);
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
  /** The place outlasts the request. */
  stay: boolean;
  /** Gives the place up; answers what has been granted meanwhile. */
  withdraw(): Promise<T | null>;
  /** Gives back what was granted too late. */
  giveBack(claim: T): Promise<unknown>;
}

/**
 * The claim when it was granted, or still waits and is to stay; null when its time was up. Codes: `expired` (its lease has
 * ended), `conflict` (the same owner has asked again), those of `reauthorize`.
 */
export function awaitTurn<T extends Turn, N extends "lock.claim" | "election.candidate">(
  waiter: Waiter,
  queued: Queued<T, N>,
): Promise<T | null> {
  const turn = takeTurn(waiter, queued);
  // Also when the client has gone: what it has left behind is put right.
  waitUntil(turn.catch(() => {}));
  return turn;
}

async function takeTurn<T extends Turn, N extends "lock.claim" | "election.candidate">(
  waiter: Waiter,
  { claim, query, input, range, waitMs, stay, withdraw, giveBack }: Queued<T, N>,
): Promise<T | null> {
  const isMine = (found: Turn): boolean => found.ticket === claim.ticket;
  const leave = async (): Promise<T | null> => {
    const left = await withdraw();
    return left && isMine(left) && left.token !== null ? left : null;
  };
  try {
    const isOver = (value: Turn | null): boolean => value === null || !isMine(value) || value.token !== null;
    const awaited = { query, input, ranges: [range], since: claim.ticket, waitMs, own: claim, isOver };
    let found = (await waitFor(waiter, awaited)) as T | null;
    if (found === null) throw lapsed(claim);
    if (!isMine(found)) throw takenUp(claim);
    if (found.token === null) {
      if (stay) return found;
      found = await leave();
      if (found === null) return null;
    }
    if (waiter.signal.aborted) throw new HoldfastError("unavailable", "the client has gone");
    // Its time begins with the answer, and its right is that of now.
    const isAlive = found.ownsLease ? renewed(waiter.client, found.lease) : true;
    if (!(await Promise.all([isAlive, waiter.reauthorize()]))[0]) throw lapsed(claim);
    return found;
  } catch (error) {
    const isToStay = stay && error instanceof HoldfastError && error.code === "unavailable";
    if (!isToStay) await leave().then((left) => left && giveBack(left), noteFailure);
    throw error;
  }
}

/** The lapse of the lease does it later. */
const noteFailure = (error: unknown): void => console.warn("a place in a queue could not be given up", error);

/** As often as a holder is to renew. */
const RENEWALS_PER_TTL = 3;
/** False: it has ended. */
async function renewed(client: NamespaceClient, lease: string): Promise<boolean> {
  try {
    await client.renewLease(lease);
    return true;
  } catch (error) {
    if (error instanceof HoldfastError && error.code === "not_found") return false;
    throw error;
  }
}

const lapsed = ({ name, lease }: Turn): HoldfastError =>
  new HoldfastError("expired", `the place in the queue for "${name}" is gone: withdrawn, or its lease has ended`, {
    lease,
  });

const takenUp = ({ name }: Turn): HoldfastError =>
  new HoldfastError("conflict", `a later request of the same owner waits for "${name}" now`, { reason: "taken_up" });
