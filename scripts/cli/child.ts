/** A command that is run on somebody's behalf: its end as an exit code, and signals on the way to it. */
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { CommandError } from "./exit.ts";

export interface Child {
  /** Rejects with a CommandError when it cannot be started. */
  exit: Promise<number>;
  kill(signal: NodeJS.Signals): void;
}

/** With our own terminal; `env` is added to our environment. */
export function start(program: string, args: readonly string[], env: Record<string, string> = {}): Child {
  const child = spawn(program, args, { stdio: "inherit", env: { ...process.env, ...env } });
  const exit = new Promise<number>((resolve, reject) => {
    child.on("error", (error) => reject(new CommandError(`cannot run ${program}: ${error.message}`)));
    // As shells tell an end by signal.
    child.on("exit", (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])));
  });
  return { exit, kill: (signal) => child.kill(signal) };
}
