/**
 * A claim on a name, as long as it is wanted: waits for its turn, keeps it by renewing, and knows when it can be kept no
 * more. Knows no terminal and no signals.
 *
 * While it waits, its place outlasts connections and restarts of the edge (`stay`); each request is a short one. Once held, a
 * claim is taken for lost before the edge could give it to another: a quarter of its time to live is left for an end in
 * order.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { ApiError, type Answer, type ClaimOutput } from "./client.ts";
import { EXIT, exitCodeOf } from "./exit.ts";
import { waited } from "./pause.ts";

/** What is asked of the edge for one claim. */
export interface ClaimCalls {
  /** Asks for it, or goes on waiting; a claim without a token waits. */
  ask(waitSeconds: number, options: CallOptions): Promise<Answer<ClaimOutput>>;
  renew(token: number, options: CallOptions): Promise<unknown>;
  /** Gives back what is held. */
  release(token: number): Promise<unknown>;
  /** Gives up waiting; answers what is held all the same. */
  withdraw(): Promise<ClaimOutput | null>;
}

interface CallOptions {
  signal?: AbortSignal;
  timeoutMs?: number;
}

/** A claim that is held. */
export type Held = ClaimOutput & { token: number };

export interface ObtainOptions {
  /** Milliseconds; 0 = only try, null = as long as it takes. */
  waitMs: number | null;
  signal: AbortSignal;
  /** The edge was lost, or found again. */
  onNote: (note: string) => void;
}

/** One request while waiting: short, because a broken connection may show only at its end. */
const SLICE_SECONDS = 20;
const RETRY_MS = 1000;
const RENEWALS_PER_TTL = 3;
/** Of the time to live, after which a claim that could not be renewed is given up. */
const LOST_AFTER = 0.75;

/** Null: not in that time, or the signal came. Nothing of it is left then. */
export async function obtain(calls: ClaimCalls, { waitMs, signal, onNote }: ObtainOptions): Promise<Held | null> {
  const untilMs = waitMs === null ? Infinity : performance.now() + waitMs;
  let isLost = false;
  try {
    for (;;) {
      const remainingSeconds = Math.max(0, Math.ceil(untilMs - performance.now())) / 1000;
      const waitSeconds = Math.min(remainingSeconds, SLICE_SECONDS);
      try {
        const { value } = await calls.ask(waitSeconds, {
          signal,
          timeoutMs: Math.ceil((waitSeconds + SLICE_SECONDS) * 1000),
        });
        if (isLost) onNote("the edge is back");
        isLost = false;
        if (value.token !== null) return { ...value, token: value.token };
      } catch (error) {
        if (signal.aborted) return await giveUp(calls);
        if (isHeldByAnother(error)) return null;
        // Its lease ended while the edge was out of reach: it queues anew.
        const isOver = error instanceof ApiError && error.code === "expired";
        if (!isOver && !isUnreachable(error)) throw error;
        if (!isLost) onNote(`${(error as Error).message}; trying on`);
        isLost = true;
        if (remainingSeconds > 0) await sleep(RETRY_MS, undefined, { signal }).catch(() => {});
        else throw error;
      }
      if (signal.aborted || remainingSeconds === 0) return await giveUp(calls);
    }
  } catch (error) {
    await giveUp(calls).catch(() => {});
    throw error;
  }
}

async function giveUp(calls: ClaimCalls): Promise<null> {
  const held = await calls.withdraw();
  if (held?.token) await calls.release(held.token);
  return null;
}

export interface Loss {
  reason: string;
  /** By then whatever relied on the claim must have ended; in milliseconds from now. */
  graceMs: number;
}

/** Renews from now on until the signal (null), or until it is lost. */
export async function keep(calls: ClaimCalls, { token, ttl }: Held, signal: AbortSignal): Promise<Loss | null> {
  const ttlMs = ttl * 1000;
  // Granted after a wait, it may have been renewed so long ago.
  let confirmedAt = performance.now() - ttlMs / RENEWALS_PER_TTL;
  while (await waited(ttlMs / RENEWALS_PER_TTL, signal)) {
    const loss = await renewed();
    if (loss) return loss;
  }
  return null;

  async function renewed(): Promise<Loss | null> {
    for (;;) {
      const sentAt = performance.now();
      const leftMs = confirmedAt + ttlMs * LOST_AFTER - sentAt;
      try {
        if (leftMs <= 0) return { reason: "it could not be renewed in time", graceMs: ttlMs * (1 - LOST_AFTER) };
        await calls.renew(token, { signal, timeoutMs: Math.max(1, Math.ceil(leftMs)) });
        confirmedAt = sentAt;
        return null;
      } catch (error) {
        if (signal.aborted) return null;
        if (!isUnreachable(error)) return { reason: (error as Error).message, graceMs: GRACE_MS };
        if (!(await waited(Math.min(RETRY_MS, ttlMs / 10), signal))) return null;
      }
    }
  }
}

/** It is another's already: an end in order is worth more than an end at once. */
const GRACE_MS = 5000;

const isHeldByAnother = (error: unknown): boolean =>
  error instanceof ApiError && error.code === "conflict" && error.problem["reason"] === "held";

const isUnreachable = (error: unknown): boolean =>
  error instanceof ApiError && exitCodeOf(error.code, error.status) === EXIT.unavailable;
