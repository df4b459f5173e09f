/**
 * One run of a script: a command with its arguments, without a shell. Exit code 0 passes, 1 warns, anything else fails.
 *
 * It gets a process group of its own, which is killed whole when its time is over, and none of our settings: the root
 * token is among them. Whether scripts may be run at all is the operator's to say.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { OUTPUT_BYTES_MAX, cleanOutput } from "../../../objects/probing/output.ts";
import type { RunResult } from "../../../objects/probing/verdict.ts";

const STATUSES: Record<number, RunResult["status"]> = { 0: "passing", 1: "warning" };

/** Rejects when the command cannot be started, and when `signal` ends it. The output is the last 4 KiB of it. */
export async function runScript([command = "", ...args]: readonly string[], signal: AbortSignal): Promise<RunResult> {
  signal.throwIfAborted();
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], detached: true, env: environment() });
  const output = new Tail();
  child.stdout.on("data", (chunk: Buffer) => output.add(chunk));
  child.stderr.on("data", (chunk: Buffer) => output.add(chunk));
  let exitCode: number | null = null;
  const kill = (): void => killGroup(child);
  signal.addEventListener("abort", kill, { once: true });
  try {
    await new Promise<void>((resolve, reject) => {
      child.on("error", reject);
      child.on("exit", (code) => (exitCode = code));
      // Later than the exit: what it left behind may still write, until its time is over too.
      child.on("close", () => resolve());
    });
  } finally {
    signal.removeEventListener("abort", kill);
  }
  if (exitCode === null) {
    signal.throwIfAborted();
    return { status: "critical", output: cleanOutput(`ended by ${child.signalCode}\n${output.text()}`) };
  }
  return { status: STATUSES[exitCode] ?? "critical", output: cleanOutput(output.text()) };
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch {
    // The group is gone already, or this system has none.
    child.kill("SIGKILL");
  }
  // Whoever left the group may still hold them open.
  child.stdout?.destroy();
  child.stderr?.destroy();
}

function environment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("HOLDFAST_")));
}

/** The end of what was written: there a script says why. */
class Tail {
  #kept = Buffer.alloc(0);
  #isCut = false;

  add(chunk: Buffer): void {
    const all = Buffer.concat([this.#kept, chunk]);
    this.#isCut ||= all.length > OUTPUT_BYTES_MAX;
    this.#kept = Buffer.from(all.subarray(-OUTPUT_BYTES_MAX));
  }

  text(): string {
    let start = 0;
    while (this.#isCut && (this.#kept[start]! & 0xc0) === 0x80) start++; // not from within a character
    return this.#kept.subarray(start).toString();
  }
}
