/**
 * Runs one namespace's checks of one node: the same plan as the prober's, with a process instead of a Durable Object.
 *
 * The edge is the truth: its list replaces the plan's whenever it changes, and a status it does not share is reported until
 * it does. Without an edge the checks go on, and what they found is told when it is back.
 *
 * Refuses to know: HTTP, and how a check is run. The clock is handed in.
 */
import type { AgentCheck } from "../../../objects/model.ts";
import { Plan, type ProbeList, type ProbeResult, type Run } from "../../../objects/probing/plan.ts";
import { reasonOf } from "../../../objects/probing/output.ts";
import type { RunResult } from "../../../objects/probing/verdict.ts";

export interface CheckSource {
  /** Answers when the list is another than at that revision, or after a while; 0 = at once. */
  list(revision: number, signal: AbortSignal): Promise<ProbeList<AgentCheck>>;
  report(results: ProbeResult[], signal: AbortSignal): Promise<void>;
}

export interface Clock {
  now(): number;
  /** Calls once, after so long; what it answers takes that back. */
  after(ms: number, act: () => void): () => void;
}

export interface RunnerOptions {
  source: CheckSource;
  clock: Clock;
  /** Must not reject. */
  run: (check: AgentCheck, address: string, signal: AbortSignal) => Promise<RunResult>;
  /** For the operator, when the edge cannot be reached or has something to say. */
  onTrouble: (message: string) => void;
}

/** Sockets and processes at once. */
const RUNNING_MAX = 64;
const REPORTS_PER_CALL_MAX = 256;
/** Between two lists: many changes in a row are one. */
const LIST_SPACING_MS = 200;
const RETRY_MIN_MS = 1000;
const RETRY_MAX_MS = 30_000;

export class CheckRunner {
  readonly #options: RunnerOptions;
  readonly #plan = new Plan<AgentCheck>(RUNNING_MAX);
  readonly #ending = new AbortController();
  readonly #running = new Set<Promise<void>>();
  #cancelTimer = (): void => {};
  #reporting = false;
  #retryMs = RETRY_MIN_MS;
  #trouble = "";

  constructor(options: RunnerOptions) {
    this.#options = options;
    void this.#follow();
  }

  /** Breaks off what is under way; resolves when it has ended. */
  async close(): Promise<void> {
    this.#ending.abort(new Error("the agent ends"));
    this.#cancelTimer();
    await Promise.allSettled(this.#running);
  }

  async #follow(): Promise<void> {
    const { source, clock } = this.#options;
    while (!this.#isEnding) {
      let pauseMs = LIST_SPACING_MS;
      try {
        const list = await source.list(this.#plan.revision, this.#ending.signal);
        if (this.#isEnding) return;
        this.#plan.replace(list, clock.now());
        this.#reached();
        this.#launch();
        void this.#report();
      } catch (error) {
        pauseMs = this.#failed(error);
      }
      await this.#pause(pauseMs);
    }
  }

  #launch(): void {
    const { clock } = this.#options;
    for (const run of this.#plan.take(clock.now())) {
      const ended = this.#run(run).finally(() => this.#running.delete(ended));
      this.#running.add(ended);
    }
    this.#cancelTimer();
    const dueAt = this.#plan.nextDueAt();
    if (dueAt !== null) this.#cancelTimer = clock.after(Math.max(0, dueAt - clock.now()), () => this.#launch());
  }

  async #run(run: Run<AgentCheck>): Promise<void> {
    const result = await this.#options.run(run.probe.check, run.probe.address, this.#ending.signal);
    // What was broken off says nothing about the check.
    if (this.#isEnding) return;
    this.#plan.settle(run, result, this.#options.clock.now());
    this.#launch();
    void this.#report();
  }

  /** One call at a time; what comes meanwhile goes along. */
  async #report(): Promise<void> {
    if (this.#reporting) return;
    this.#reporting = true;
    while (!this.#isEnding) {
      const results = this.#plan.reports(REPORTS_PER_CALL_MAX);
      if (results.length === 0) break;
      try {
        await this.#options.source.report(results, this.#ending.signal);
        this.#plan.delivered(results);
        this.#reached();
      } catch (error) {
        await this.#pause(this.#failed(error));
      }
    }
    this.#reporting = false;
  }

  get #isEnding(): boolean {
    return this.#ending.signal.aborted;
  }

  #reached(): void {
    this.#retryMs = RETRY_MIN_MS;
    this.#trouble = "";
  }

  /** Says it once, until the edge is reached again. Answers how long to wait. */
  #failed(error: unknown): number {
    if (this.#isEnding) return 0;
    const message = reasonOf(error);
    if (message !== this.#trouble) this.#options.onTrouble(message);
    this.#trouble = message;
    const pauseMs = this.#retryMs;
    this.#retryMs = Math.min(RETRY_MAX_MS, pauseMs * 2);
    return pauseMs;
  }

  /** Ends early with the runner. */
  #pause(ms: number): Promise<void> {
    const { signal } = this.#ending;
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const cancel = this.#options.clock.after(ms, () => {
        signal.removeEventListener("abort", end);
        resolve();
      });
      const end = (): void => {
        cancel();
        resolve();
      };
      signal.addEventListener("abort", end, { once: true });
    });
  }
}

export const SYSTEM_CLOCK: Clock = {
  now: Date.now,
  after(ms, act) {
    const timer = setTimeout(act, ms);
    return () => clearTimeout(timer);
  },
};
