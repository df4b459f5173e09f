/**
 * What ends with what. Rooms do not know each other; here is put together what goes with a lease, with a session, and when
 * a deadline has passed.
 */
import { detachParty, partySpace } from "./barriers/barriers.ts";
import { detachCandidate, elections } from "./elections/elections.ts";
import { KEY_ATTRIBUTES } from "./kv/attributes.ts";
import { KV } from "./kv/key.ts";
import { deleteKey } from "./kv/kv.ts";
import { endLockDelay } from "./kv/lock-delay.ts";
import type { Deadline } from "./leases/deadlines.ts";
import type { DetachHandlers } from "./leases/leases.ts";
import { leaseOf, leaseSpace, readAhead, revokeLease } from "./leases/leases.ts";
import type { EndLease } from "./locks/arbiter.ts";
import { locks } from "./locks/locks.ts";
import { deleteLookupsOf } from "./lookups/lookups.ts";
import { lapseQueue } from "./queues/tend.ts";
import * as registry from "./registry/lapse.ts";
import type { SessionFollower } from "./sessions/ending.ts";
import * as sessions from "./sessions/ending.ts";
import { sessionOf } from "./sessions/sessions.ts";
import type { Change, Context, Reader, Txn } from "./store/txn.ts";

/** How records that hang on a lease go with it. */
export const detachHandlers: DetachHandlers = {
  ...registry.detachHandlers,
  [KV]: (txn, _context, key) => deleteKey(txn, key),
  [locks.claims.name]: (txn, context, key) => void locks.detach(txn, context, key),
  [elections.claims.name]: detachCandidate,
  [partySpace.name]: detachParty,
};

/** Codes: `not_found`. */
export const endLease = ((txn, context, id) => revokeLease(txn, context, id, detachHandlers)) satisfies EndLease;

const sessionFollowers: readonly SessionFollower[] = [deleteLookupsOf];

export const endSession = (txn: Txn, context: Context, id: string): boolean =>
  sessions.endSession(txn, context, id, sessionFollowers);

/** Reads together what `lapse` will read for each of these. */
export function readLapsing(reader: Reader, deadlines: readonly Deadline[]): void {
  const leases = deadlines.filter(({ kind }) => kind === "lease").map(({ key }) => leaseOf(key));
  if (leases.length < 2) return;
  const keys = readAhead(reader, leases).get(KV);
  if (keys) reader.getMany(KEY_ATTRIBUTES, keys);
}

/** Applies a deadline that has passed. */
export function lapse(txn: Txn, context: Context, deadline: Deadline): void {
  const { kind, key } = deadline;
  switch (kind) {
    case "lease": {
      const id = leaseOf(key);
      if (leaseSpace.get(txn, id)) endLease(txn, context, id);
      return;
    }
    case "session":
      endSession(txn, context, sessionOf(key));
      return;
    case "lockDelay":
      endLockDelay(txn, key);
      return;
    case "queue":
    case "queueFlight":
    case "queueGarbage":
      lapseQueue(txn, context, { ...deadline, kind });
      return;
    case "instance":
    case "check":
    case "deregister":
      registry.lapse(txn, context, deadline);
  }
}

/** What follows, in the same commit, from what a command has changed. */
export function follow(txn: Txn, context: Context, changes: readonly Change[]): void {
  sessions.endUnbound(txn, context, changes, sessionFollowers);
}
