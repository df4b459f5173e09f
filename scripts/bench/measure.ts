/** What scenarios measure with: load from a process of its own, and comparison in rounds, because machines are noisy. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { LoadOptions, LoadResult } from "./load.ts";

export interface Row {
  name: string;
  value: number;
  unit: string;
  /** What it is measured beside, and what that did in the same run. */
  yardstick: string;
  ratio: number | null;
  goal: string;
  pass: boolean | null;
}

/** Rejects when an answer was not a success, unless that is expected. */
export async function load(options: LoadOptions, expectsRefusals = false): Promise<LoadResult> {
  const child = fork(fileURLToPath(new URL("./load.ts", import.meta.url)), [JSON.stringify(options)]);
  const [result] = (await once(child, "message")) as [LoadResult];
  const refused = Object.keys(result.statuses).filter((status) => !status.startsWith("2"));
  if (!expectsRefusals && (refused.length > 0 || result.good === 0)) {
    throw new Error(`${options.method} ${options.path}: ${JSON.stringify(result.statuses)}, ${result.broken} broken`);
  }
  return result;
}

export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

export interface Compared {
  value: number;
  yardstick: number;
  ratio: number;
}

type Measured = () => Promise<{ perSecond: number }>;

/** Requests a second of one against the other; the ratio is the median of the rounds' ratios. */
export async function compare(rounds: number, subject: Measured, yardstick: Measured): Promise<Compared> {
  const [compared] = await compareAll(rounds, [subject], yardstick);
  return compared!;
}

/** Of several, each against the same. Each round begins with another one, A B C B C A …: a place in it is nobody's own. */
export async function compareAll(rounds: number, subjects: Measured[], yardstick: Measured): Promise<Compared[]> {
  const measured = [yardstick, ...subjects];
  const rates = measured.map((): number[] => []);
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < measured.length; turn++) {
      const at = (round + turn) % measured.length;
      rates[at]!.push((await measured[at]!()).perSecond);
    }
  }
  const [yardsticks, ...values] = rates as [number[], ...number[][]];
  return values.map((of) => ({
    value: median(of),
    yardstick: median(yardsticks),
    ratio: median(of.map((value, round) => value / yardsticks[round]!)),
  }));
}

export function ratioRow(name: string, { value, yardstick, ratio }: Compared, what: string, goal: number | null): Row {
  return {
    name,
    value: Math.round(value),
    unit: "1/s",
    yardstick: `${what}: ${Math.round(yardstick)}/s`,
    ratio: Number(ratio.toFixed(2)),
    goal: goal === null ? "" : `>= ${goal}`,
    pass: goal === null ? null : ratio >= goal,
  };
}
