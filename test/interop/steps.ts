/** Commands of a foreign program, run one after the other against a started server. */
import { spawnSync } from "node:child_process";

export interface Step {
  command: [string, ...string[]];
  /** In what it prints, to either stream. */
  expect: RegExp;
}

export interface Outcome {
  passed: number;
  failed: string[];
}

const STEP_MS = 60_000;

export function runSteps(steps: readonly Step[], options: { env: Record<string, string>; cwd: string }): Outcome {
  const outcome: Outcome = { passed: 0, failed: [] };
  for (const { command, expect } of steps) {
    const [program, ...args] = command;
    const { stdout, stderr, status } = spawnSync(program, args, {
      ...options,
      env: { ...process.env, ...options.env },
      encoding: "utf8",
      timeout: STEP_MS,
    });
    if (expect.test(`${stdout}\n${stderr}`)) outcome.passed++;
    else outcome.failed.push(`${command.join(" ")}: exit ${status}\n${stdout}${stderr}`);
  }
  return outcome;
}

/** A program of ours around a foreign client: it prints `ok …` and `FAILED …` lines. */
export function runProgram(
  command: [string, ...string[]],
  options: { env: Record<string, string>; cwd: string },
): Outcome {
  const [program, ...args] = command;
  const { stdout, stderr, status } = spawnSync(program, args, {
    ...options,
    env: { ...process.env, ...options.env },
    encoding: "utf8",
    timeout: 5 * STEP_MS,
  });
  const passed = stdout.split("\n").filter((line) => line.startsWith("ok ")).length;
  const failed =
    status === 0 ? [] : [`${command.join(" ")}: exit ${status}\n${stdout.slice(-2000)}${stderr.slice(-2000)}`];
  return { passed, failed };
}
