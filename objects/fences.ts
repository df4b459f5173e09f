/**
 * Fences: any command may carry one, and is refused unless its token holds the lock, or the leadership, in the commit that
 * would carry it out. So whoever was paused while its lease ended changes nothing when it wakes (rule M4).
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
}

/** Codes: `fenced`, `invalid_argument`. */
export function assertFence(reader: Reader, { kind, name, token }: Fence): void {
  if (!arbiters[kind].isHeld(reader, name, token)) throw arbiters[kind].fenced(name, token);
}
