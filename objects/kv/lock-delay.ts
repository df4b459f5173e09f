/**
 * The pause after a holder was lost: until it is over nobody acquires the key, so that a holder who does not know yet that
 * it is none has the time to stop.
 *
 * It begins when a session ends while it holds the key, never by a release. A record, so that it outlives a crash.
 */
import { text, toBinaryString, fromBinaryString, utf8 } from "../bytes.ts";
import type { Timer } from "../leases/deadlines.ts";
import type { Context, Reader, StoredRecord, Txn } from "../store/txn.ts";

export const LOCK_DELAY = "lock_delay";
export const LOCK_DELAY_MAX_MS = 60_000;

interface LockDelay {
  sinceAt: number;
  untilAt: number;
}

export function startLockDelay(txn: Txn, { now }: Context, key: Uint8Array, delayMs: number): void {
  if (delayMs <= 0) return;
  const untilAt = now + Math.min(delayMs, LOCK_DELAY_MAX_MS);
  txn.put(LOCK_DELAY, key, utf8(JSON.stringify({ sinceAt: now, untilAt } satisfies LockDelay)));
}

/** Whether the pause goes on. */
export function isDelayed(reader: Reader, key: Uint8Array, now: number): boolean {
  const record = reader.get(LOCK_DELAY, key);
  return record !== undefined && decode(record).untilAt > now;
}

const TIMER = "lock_delay\0";

export const lockDelayTimerKey = (key: Uint8Array): string => TIMER + toBinaryString(key);

export function lockDelayTimer(record: StoredRecord): Timer {
  const { sinceAt, untilAt } = decode(record);
  return { key: lockDelayTimerKey(record.key), kind: "lockDelay", ttlMs: untilAt - sinceAt, sinceAt };
}

/** The pause is over. */
export function endLockDelay(txn: Txn, timerKey: string): void {
  txn.delete(LOCK_DELAY, fromBinaryString(timerKey.slice(TIMER.length)));
}

const decode = ({ value }: StoredRecord): LockDelay => JSON.parse(text(value)) as LockDelay;
