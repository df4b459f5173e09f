/**
 * Calls that concurrent requests make to one object, carried together: one RPC for all that begin in the same turn, since
 * an RPC costs more than most of what is asked by it.
 *
 * Requests share plain data here, never promises: the runtime may run what awaits another request's promise in the wrong
 * place once one of the two is gone. Whoever opens a batch carries it; who joins looks for its answer by a timer of its
 * own, set to what a batch takes usually; only the calls of one socket, which are one request, wait for each other. When the
 * one who carries is gone before it set out, another takes over.
 */
import { waitUntil } from "cloudflare:workers";
import type { Answered, BatchedCall } from "../../objects/calls.ts";
import type { Outcome } from "../../objects/errors.ts";
import type { Line } from "./line.ts";

/** The object's end. */
export interface Carrier {
  calls(calls: BatchedCall[]): Promise<Answered[]>;
  /** An answer that was too large to come with the others. */
  take(ticket: number): Promise<Outcome<unknown>>;
}

interface Batch {
  calls: BatchedCall[];
  openedAt: number;
  isSent: boolean;
  answers: Answered[] | null;
  /** Of the RPC as a whole. */
  failure: { error: unknown } | null;
  /** Of the socket that opened it: its own calls may wait for it. */
  line: Line | undefined;
  callsMax: number;
  carried: Promise<void>;
}

const CALLS_MAX = 256;
/**
 * A socket's calls go in two halves, unless they are few: while the object works on one, the answers of the other and the
 * calls that follow on them are on their way.
 */
const HALF_MIN = 32;
/** Milliseconds; what a batch takes until it is known. */
const USUAL_MS = 2;
/** Between two looks. */
const LOOK_MAX_MS = 16;
/** A batch sets out in the next turn; one that has not by then never will. */
const STALLED_MS = 50;
/** Whoever carried it is gone, and with it what would have been answered. */
const LOST_MS = 10_000;
const OBJECTS_MAX = 10_000;

export class Batcher {
  #open: Batch | null = null;
  #usualMs = USUAL_MS;

  /** Rejects as the call alone would. `carrier` is asked for only by who needs one; `line` is that of the caller's socket. */
  async call(call: BatchedCall, carrier: () => Carrier, line?: Line): Promise<Outcome<unknown>> {
    const open = this.#open;
    if (open && open.calls.length < open.callsMax) {
      const index = open.calls.push(call) - 1;
      await (line !== undefined && open.line === line ? open.carried : this.#watch(open, carrier));
      return answerOf(open, index, carrier);
    }
    const batch: Batch = {
      calls: [call],
      openedAt: Date.now(),
      isSent: false,
      answers: null,
      failure: null,
      line,
      callsMax: line ? Math.min(CALLS_MAX, Math.max(HALF_MIN, line.inside / 2)) : CALLS_MAX,
      carried: scheduler.wait(0).then(() => this.#carry(batch, carrier)),
    };
    this.#open = batch;
    // Others rely on it, when the client it began for is gone.
    waitUntil(batch.carried);
    await batch.carried;
    return answerOf(batch, 0, carrier);
  }

  async #carry(batch: Batch, carrier: () => Carrier): Promise<void> {
    if (batch.isSent) return this.#watch(batch, carrier);
    batch.isSent = true;
    if (this.#open === batch) this.#open = null;
    try {
      const answers = await carrier().calls(batch.calls);
      // Plain data; what the runtime keeps of the call can go at once.
      (answers as Partial<Disposable>)[Symbol.dispose]?.();
      batch.answers = answers;
      this.#usualMs += 0.1 * (Date.now() - batch.openedAt - this.#usualMs);
    } catch (error) {
      batch.failure = { error };
    }
  }

  /** Until the batch has come back. */
  async #watch(batch: Batch, carrier: () => Carrier): Promise<void> {
    const beganAt = Date.now();
    // The first look comes early: one more costs less than a place that waits for nothing.
    let waitMs = Math.max(1, 0.6 * this.#usualMs);
    for (;;) {
      await scheduler.wait(waitMs);
      if (batch.answers || batch.failure) return;
      const waitedMs = Date.now() - beganAt;
      if (!batch.isSent && waitedMs > STALLED_MS) return this.#carry(batch, carrier);
      if (waitedMs > LOST_MS) throw new Error("the answer was lost with the request that carried the call");
      waitMs = Math.min(LOOK_MAX_MS, Math.max(1, waitedMs / 16));
    }
  }
}

function answerOf(
  { answers, failure }: Batch,
  index: number,
  carrier: () => Carrier,
): Outcome<unknown> | Promise<Outcome<unknown>> {
  if (!answers) throw failure!.error;
  const answer = answers[index]!;
  return "ticket" in answer ? carrier().take(answer.ticket) : answer;
}

const batchers = new Map<string, Batcher>();

export function batcherOf(objectName: string): Batcher {
  let batcher = batchers.get(objectName);
  if (!batcher) {
    if (batchers.size >= OBJECTS_MAX) batchers.clear();
    batchers.set(objectName, (batcher = new Batcher()));
  }
  return batcher;
}
