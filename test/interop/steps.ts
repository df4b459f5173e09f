/** Commands of a foreign program, run one after the other against a started server. */
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { once } from "node:events";

export interface Step {
  /** `{name}` stands for what an earlier step caught under that name. */
  command: [string, ...string[]];
  /** In what it prints, to either stream. What its named groups catch, later commands can use. */
  expect: RegExp;
  stdin?: string;
  /** It does not end by itself. These are run beside it; once it has said what is expected, it is interrupted. */
  beside?: Step[];
}

export interface Outcome {
  passed: number;
  failed: string[];
  skipped: string[];
}

export interface Surroundings {
  env: Record<string, string>;
  cwd: string;
}

/** Of one command, or of a program of many steps. */
const COMMAND_MS = 300_000;
/** Of what a failed one said, the end. */
const SAID_CHARS_MAX = 2000;

export async function runSteps(steps: readonly Step[], surroundings: Surroundings): Promise<Outcome> {
  const outcome: Outcome = { passed: 0, failed: [], skipped: [] };
  await runInto(outcome, steps, surroundings, new Map());
  return outcome;
}

async function runInto(
  outcome: Outcome,
  steps: readonly Step[],
  surroundings: Surroundings,
  caught: Map<string, string>,
): Promise<void> {
  for (const { command, expect, stdin = "", beside } of steps) {
    const fill = (text: string): string => text.replaceAll(/\{(\w+)\}/g, (all, name) => caught.get(name) ?? all);
    const filled = command.map(fill);
    const running = new Running(filled, surroundings, COMMAND_MS);
    running.child.stdin?.write(fill(stdin));
    if (beside) {
      await runInto(outcome, beside, surroundings, caught);
      await running.says(expect);
      running.child.kill("SIGINT");
    } else running.child.stdin?.end();
    await running.ended;
    const match = expect.exec(running.said);
    for (const [name, text] of Object.entries(match?.groups ?? {})) caught.set(name, text);
    if (match) outcome.passed++;
    else outcome.failed.push(`${filled.join(" ")}: ${running.end}\n${running.said.slice(-SAID_CHARS_MAX)}`);
  }
}

/** A program of ours around a foreign client: it prints `ok …`, `FAILED …` and `skipped …: why` lines. */
export async function runProgram(command: readonly string[], surroundings: Surroundings): Promise<Outcome> {
  const running = new Running(command, surroundings, COMMAND_MS);
  running.child.stdin?.end();
  await running.ended;
  const linesOf = (kind: string): string[] => running.stdout.split("\n").filter((line) => line.startsWith(`${kind} `));
  const passed = linesOf("ok").length;
  const failed =
    running.child.exitCode === 0
      ? []
      : [
          `${command.join(" ")}: ${running.end}\n${running.stdout.slice(-SAID_CHARS_MAX)}${running.stderr.slice(-SAID_CHARS_MAX)}`,
        ];
  return { passed, failed, skipped: linesOf("skipped") };
}

class Running {
  readonly child: ChildProcess;
  readonly ended: Promise<unknown>;
  stdout = "";
  stderr = "";
  #hasEnded = false;
  #more = Promise.withResolvers<void>();

  constructor([program, ...args]: readonly string[], { env, cwd }: Surroundings, timeout: number) {
    this.child = spawn(program!, args, { cwd, env: { ...process.env, ...env }, timeout, stdio: "pipe" });
    // Who ends without reading is judged by what it says.
    this.child.stdin?.on("error", () => {});
    this.child.stdout?.setEncoding("utf8").on("data", (text: string) => this.#tell(() => (this.stdout += text)));
    this.child.stderr?.setEncoding("utf8").on("data", (text: string) => this.#tell(() => (this.stderr += text)));
    const tellEnd = (): void => this.#tell(() => (this.#hasEnded = true));
    this.ended = once(this.child, "close").then(tellEnd, (error: Error) => {
      this.stderr += error.message;
      tellEnd();
    });
  }

  get said(): string {
    return `${this.stdout}\n${this.stderr}`;
  }

  get end(): string {
    return `exit ${this.child.exitCode ?? this.child.signalCode}`;
  }

  /** Resolves once it has, or has ended without. */
  async says(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.said) && !this.#hasEnded) await this.#more.promise;
  }

  #tell(change: () => void): void {
    change();
    this.#more.resolve();
    this.#more = Promise.withResolvers();
  }
}
