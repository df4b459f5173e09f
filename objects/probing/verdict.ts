/**
 * From single results to the status of a check: a status flips only after enough consecutive results agree.
 *
 * `passing` and `warning` both count as success, so that a service that wavers between them does recover; from one to
 * the other it moves at once.
 *
 * Refuses to know: time, and how a result came about.
 */
import type { HealthStatus } from "../model.ts";

/** What one run of a check found. */
export interface RunResult {
  status: "passing" | "warning" | "critical";
  output: string;
}

export interface Verdict {
  status: HealthStatus;
  output: string;
  /** The latest results in a row that were all successes, or all failures. */
  successes: number;
  failures: number;
}

export interface Thresholds {
  successThreshold: number;
  failureThreshold: number;
  /** From so many failures in a row on it is a warning already. */
  warningThreshold: number;
}

/** Counters stop here: no threshold is higher. */
const COUNT_MAX = 1000;

export function judge(verdict: Verdict, result: RunResult, thresholds: Thresholds): Verdict {
  const success = result.status !== "critical";
  const successes = success ? Math.min(verdict.successes + 1, COUNT_MAX) : 0;
  const failures = success ? 0 : Math.min(verdict.failures + 1, COUNT_MAX);
  const enough = success
    ? isSuccess(verdict.status) || successes >= atLeastOne(thresholds.successThreshold)
    : failures >= atLeastOne(thresholds.failureThreshold);
  if (!enough && !success && failures >= atLeastOne(thresholds.warningThreshold) && verdict.status !== "critical") {
    return { status: "warning", output: result.output, successes, failures };
  }
  // A result that does not decide leaves the old text: the text has to explain the status it stands beside.
  return enough
    ? { status: result.status, output: result.output, successes, failures }
    : { ...verdict, successes, failures };
}

/** Whether it holds more than the namespace's own record of the check tells, and so has to survive an eviction. */
export function isUndecided(verdict: Verdict, thresholds: Thresholds): boolean {
  const { status, successes, failures } = verdict;
  return successes > 0
    ? !isSuccess(status) && successes < atLeastOne(thresholds.successThreshold)
    : failures > 0 && status !== "critical" && failures < atLeastOne(thresholds.failureThreshold);
}

const isSuccess = (status: HealthStatus): boolean => status === "passing" || status === "warning";

const atLeastOne = (threshold: number): number => (threshold >= 1 ? Math.min(Math.ceil(threshold), COUNT_MAX) : 1);
