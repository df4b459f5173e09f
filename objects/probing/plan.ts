/**
 * The plan of one namespace's checks: which are due, which run, and what the namespace has yet to be told.
 *
 * The namespace is the truth: its list replaces the plan's at any time, and a status it does not share is reported until
 * it does. What cannot be derived from that list (a row of results that has not flipped the status yet, a flip that was
 * not delivered) is handed out by `remains` to be kept across an eviction.
 *
 * Refuses to know: clocks, timers, alarms, the network, RPC. Instants are handed in as epoch milliseconds.
 */
import type { AgentCheck, CheckState, HealthStatus, PullCheck } from "../model.ts";
import { INTERVAL_MIN_MS, intervalOf, slotAfter } from "./slots.ts";
import { isUndecided, judge } from "./verdict.ts";
import type { RunResult, Verdict } from "./verdict.ts";

type RunCheck = PullCheck | AgentCheck;

/** One check to run, with the address of its instance. */
export interface Probe<C extends RunCheck = PullCheck> {
  /** Empty for a check of a node. */
  service: string;
  /** The instance's id; the node's key. */
  instance: string;
  address: string;
  check: C & CheckState;
}

export interface ProbeList<C extends RunCheck = PullCheck> {
  revision: number;
  probes: Probe<C>[];
}

/** A check's new status, or a new text of a critical one. */
export interface ProbeResult {
  service: string;
  instance: string;
  /** The check's id. */
  check: string;
  status: HealthStatus;
  output: string;
}

/** A run that was handed out by `take`; give it back to `settle`. */
export interface Run<C extends RunCheck = PullCheck> {
  key: string;
  probe: Probe<C>;
  /** Set apart from later definitions of the same check. */
  definition: string;
  /** The instant it was due at; it may have started later. */
  dueAt: number;
  startedAt: number;
}

/** A verdict that outlives the object's memory. */
export type Remains = Record<string, Verdict>;

/** More than one object can serve; what is over is counted and not run. */
export const PROBES_MAX = 10_000;
/** Connections that may wait at once in one object (platform limit). */
export const RUNNING_MAX = 6;
/** The output of an agent's check until its first result: without an agent it stays. */
export const NOT_RUN_YET = "no agent has run this check yet";
/** A changed text of a check that stays critical is reported at most once in each such period. */
export const REFRESH_MS = 60_000;
const REMAINS_MAX = 1000;
const REMAINS_OUTPUT_LENGTH = 256;

interface Entry<C extends RunCheck> {
  key: string;
  probe: Probe<C>;
  definition: string;
  intervalMs: number;
  dueAt: number;
  verdict: Verdict;
  /** What the namespace holds. */
  known: { status: HealthStatus; output: string };
  /** A changed text of the same status may be reported. */
  refresh: boolean;
}

export class Plan<C extends RunCheck = PullCheck> {
  revision = 0;
  /** Checks of the list that are over the limit. */
  ignoredCount = 0;
  readonly #runningMax: number;
  #entries = new Map<string, Entry<C>>();
  #running = new Set<string>();

  constructor(runningMax = RUNNING_MAX) {
    this.#runningMax = runningMax;
  }

  get size(): number {
    return this.#entries.size;
  }

  get runningCount(): number {
    return this.#running.size;
  }

  /**
   * Takes over the namespace's list. New checks run at their first instant after `sinceAt`: now, or on a wake-up the
   * instant up to which everything has been run. A changed definition starts over; the rest keeps its place.
   */
  replace(list: ProbeList<C>, sinceAt: number, remains: Remains = {}): void {
    const before = this.#entries;
    this.#entries = new Map();
    this.revision = list.revision;
    this.ignoredCount = Math.max(0, list.probes.length - PROBES_MAX);
    for (const probe of list.probes.slice(0, PROBES_MAX)) {
      const key = keyOf(probe);
      const definition = definitionOf(probe);
      const intervalMs = intervalOf(probe.check.intervalMs);
      const known = { status: probe.check.status, output: probe.check.output };
      const old = before.get(key);
      this.#entries.set(
        key,
        old?.definition === definition
          ? { ...old, probe, known }
          : {
              key,
              probe,
              definition,
              intervalMs,
              dueAt: slotAfter(key, intervalMs, sinceAt),
              verdict: (old === undefined ? remains[key] : undefined) ?? { ...known, successes: 0, failures: 0 },
              known,
              refresh: isUntold(known.output),
            },
      );
    }
  }

  /** The checks to start now, longest due first, as many as may run at once. They count as running until settled. */
  take(nowAt: number): Run<C>[] {
    const free = this.#runningMax - this.#running.size;
    if (free <= 0) return [];
    const due: Entry<C>[] = [];
    for (const entry of this.#entries.values()) {
      if (entry.dueAt <= nowAt && !this.#running.has(entry.key)) due.push(entry);
    }
    due.sort((a, b) => a.dueAt - b.dueAt);
    return due.slice(0, free).map(({ key, probe, definition, dueAt }) => {
      this.#running.add(key);
      return { key, probe, definition, dueAt, startedAt: nowAt };
    });
  }

  /** A run is over. A result of a definition that was replaced or removed meanwhile counts for nothing. */
  settle(run: Run<C>, result: RunResult, nowAt: number): void {
    this.#running.delete(run.key);
    const entry = this.#entries.get(run.key);
    if (entry === undefined || entry.definition !== run.definition) return;
    entry.verdict = judge(entry.verdict, result, entry.probe.check);
    entry.refresh ||= isFirstInPeriod(run.dueAt, entry.intervalMs);
    // Half an interval's distance, so that a run that started late is not followed at once by the next.
    const spacing = Math.max(INTERVAL_MIN_MS, entry.intervalMs / 2);
    entry.dueAt = slotAfter(entry.key, entry.intervalMs, Math.max(nowAt, run.startedAt + spacing));
  }

  /** When the next check is due, or null: then all run already, or there are none. */
  nextDueAt(): number | null {
    let next: number | null = null;
    if (this.#running.size >= this.#runningMax) return null;
    for (const entry of this.#entries.values()) {
      if (!this.#running.has(entry.key) && (next === null || entry.dueAt < next)) next = entry.dueAt;
    }
    return next;
  }

  /** What the namespace has to be told now, at most `countMax`. It stays so until `delivered`. */
  reports(countMax: number): ProbeResult[] {
    const out: ProbeResult[] = [];
    for (const entry of this.#entries.values()) {
      if (out.length >= countMax) break;
      if (!isNews(entry)) continue;
      const { service, instance, check } = entry.probe;
      out.push({ service, instance, check: check.id, status: entry.verdict.status, output: entry.verdict.output });
    }
    return out;
  }

  delivered(results: readonly ProbeResult[]): void {
    for (const result of results) {
      const entry = this.#entries.get(keyOf({ ...result, check: { id: result.check } }));
      if (entry === undefined) continue;
      entry.known = { status: result.status, output: result.output };
      entry.refresh = false;
    }
  }

  /** What an eviction must not lose. Empty most of the time: nothing is written while all is well. */
  remains(): Remains {
    const out: Remains = {};
    let count = 0;
    for (const { key, verdict, known, probe } of this.#entries.values()) {
      if (verdict.status === known.status && !isUndecided(verdict, probe.check)) continue;
      if (++count > REMAINS_MAX) break;
      out[key] = { ...verdict, output: verdict.output.slice(0, REMAINS_OUTPUT_LENGTH) };
    }
    return out;
  }
}

function isNews({ verdict, known, refresh }: Pick<Entry<never>, "verdict" | "known" | "refresh">): boolean {
  if (verdict.status !== known.status) return true;
  if (verdict.output === known.output) return false;
  return isUntold(known.output) || (refresh && verdict.status === "critical");
}

/** Nothing has been found yet: the first text is told whatever the status is. */
const isUntold = (output: string): boolean => output === "" || output === NOT_RUN_YET;

/** Told from the instant alone: the time of the last report would be lost whenever the object leaves memory. */
function isFirstInPeriod(dueAt: number, intervalMs: number): boolean {
  return Math.floor(dueAt / REFRESH_MS) !== Math.floor((dueAt - intervalMs) / REFRESH_MS);
}

const keyOf = (probe: { service: string; instance: string; check: { id: string } }): string =>
  JSON.stringify([probe.service, probe.instance, probe.check.id]);

/** All of a probe but its state. */
function definitionOf({ address, check }: { address: string; check: CheckState }): string {
  const { status: _status, output: _output, sinceAt: _sinceAt, ...definition } = check;
  return JSON.stringify([address, definition]);
}
