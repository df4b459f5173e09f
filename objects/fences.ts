/**
 * Fences: any command may carry one, and is refused unless its token holds the lock, or the leadership, in the commit that
 * would carry it out. So whoever was paused while its lease ended changes nothing when it wakes (rule M4). Where several hold
 * at once the token alone does not tell them apart: the fence names its owner.
 */
import { elections } from "./elections/elections.ts";
import type { Arbiter } from "./locks/arbiter.ts";
import { locks } from "./locks/locks.ts";
import type { Reader } from "./store/txn.ts";

/** What may be held under a token. */
export type ClaimKind = "lock" | "election";

export const arbiters: Record<ClaimKind, Arbiter> = { lock: locks, election: elections };

export interface Fence {
  kind: ClaimKind;
  name: string;
  token: number;
  /** Needed where the lock is shared. */
  owner?: string | undefined;
}

/** Codes: `fenced`, `invalid_argument`. */
export function assertFence(reader: Reader, { kind, name, token, owner }: Fence): void {
  const arbiter = arbiters[kind];
  if (!arbiter.isHeld(reader, { name, token, owner }, "fence.owner")) throw arbiter.fenced(name, token);
}
