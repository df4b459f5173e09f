/**
 * The end of a session: destroyed, not renewed in time, or what it was bound to is gone. In the commit that ends it every
 * key it holds is released or deleted, and kept from others for the lock delay.
 */
import { putAttributes, attributesOf, keysHeldBy } from "../kv/attributes.ts";
import { KV } from "../kv/key.ts";
import { deleteKey } from "../kv/kv.ts";
import { startLockDelay } from "../kv/lock-delay.ts";
import type { Check } from "../model.ts";
import { instanceSpace, nodeKey, nodeSpace } from "../registry/spaces.ts";
import type { Change, Context, Txn } from "../store/txn.ts";
import type { Session } from "./sessions.ts";
import { checkStatus, describeSession, sessionSpace, sessionsOnCheck, sessionsOnNode } from "./sessions.ts";

/** Told in the same commit when a session has ended: what else depended on it goes with it. */
export type SessionFollower = (txn: Txn, context: Context, session: string) => void;

/** False when there is no such session. */
export function endSession(txn: Txn, context: Context, id: string, followers: readonly SessionFollower[]): boolean {
  const session = describeSession(txn, { id });
  if (!session) return false;
  const key = nodeKey(session.node);
  sessionSpace.delete(txn, id);
  sessionsOnNode.delete(txn, key, id);
  for (const check of session.checks) sessionsOnCheck.delete(txn, key, check, id);
  for (const held of keysHeldBy(txn, id)) letGo(txn, context, session, held);
  for (const follow of followers) follow(txn, context, id);
  return true;
}

function letGo(txn: Txn, context: Context, { behavior, lockDelayMs }: Session, key: Uint8Array): void {
  if (behavior === "delete") deleteKey(txn, key);
  else {
    const record = txn.get(KV, key)!;
    // Written again, so that whoever watches the key learns of it.
    txn.put(KV, key, record.value, record.lease);
    putAttributes(txn, key, { ...attributesOf(txn, key), session: null, token: 0 });
  }
  startLockDelay(txn, context, key, lockDelayMs);
}

/** Ends the sessions whose node, or a check they are bound to, these changes have taken away or made critical. */
export function endUnbound(
  txn: Txn,
  context: Context,
  changes: readonly Change[],
  followers: readonly SessionFollower[],
): void {
  // What is new has nothing to lose.
  const touched = changes.filter(
    ({ space, before }) => before !== null && (space === nodeSpace.name || space === instanceSpace.name),
  );
  if (touched.length === 0 || sessionsOnNode.under(txn, [], { limit: 1 }).length === 0) return;
  for (const change of touched) {
    for (const [node, check] of suspects(change)) {
      const bound = check === null ? sessionsOnNode.under(txn, [node]) : sessionsOnCheck.under(txn, [node, check]);
      if (bound.length === 0) continue;
      const status = check === null ? undefined : checkStatus(txn, node, check);
      if (status !== undefined && status !== "critical") continue;
      const space = check === null ? sessionsOnNode : sessionsOnCheck;
      for (const { key } of bound) endSession(txn, context, space.parts(key).at(-1)!, followers);
    }
  }
}

/** A node, and a check on it or null for the node itself, that may be no more or no longer well. */
function suspects({ space, before, after }: Change): [node: string, check: string | null][] {
  if (space === nodeSpace.name) {
    const node = nodeSpace.decode((after ?? before)!);
    const checks = before ? lost(nodeSpace.decode(before).checks, after ? node.checks : []) : [];
    const name = nodeKey(node.name);
    return [
      ...(after ? [] : [[name, null] as [string, null]]),
      ...checks.map((check): [string, string] => [name, check]),
    ];
  }
  if (!before) return [];
  const was = instanceSpace.decode(before);
  const is = after ? instanceSpace.decode(after) : null;
  const stays = is !== null && nodeKey(is.node) === nodeKey(was.node);
  return lost(was.checks, stays ? is.checks : []).map((check) => [nodeKey(was.node), check]);
}

/** The checks that are critical or gone now. */
function lost(before: readonly Check[], after: readonly Check[]): string[] {
  const well = new Set(after.filter(({ status }) => status !== "critical").map(({ id }) => id));
  return before.map(({ id }) => id).filter((id) => !well.has(id));
}
