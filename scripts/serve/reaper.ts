/**
 * Takes the runtime along when `serve` is killed without a chance to clean up: workerd does not notice that its parent is
 * gone, and would keep the port and the state.
 *
 * A shell waits on a pipe from this process; the pipe ends however this process ends, and the shell kills workerd.
 */
import { spawn, type ChildProcess } from "node:child_process";
import diagnostics from "node:diagnostics_channel";
import { basename } from "node:path";

/** Watches every workerd that this process starts from now on, and calls back when one ends. */
export function reapRuntimes(onExit: () => void): () => void {
  const seen = (message: unknown): void => {
    const { process: child } = message as { process: ChildProcess };
    child.once("spawn", () => {
      if (!basename(child.spawnfile).startsWith("workerd")) return;
      const reaper = process.platform === "win32" ? null : startReaper(child.pid as number);
      child.once("exit", () => {
        // First, so that a reused process id is never hit.
        reaper?.kill("SIGKILL");
        onExit();
      });
    });
  };
  diagnostics.subscribe("child_process", seen);
  return () => diagnostics.unsubscribe("child_process", seen);
}

function startReaper(pid: number): ChildProcess {
  const reaper = spawn("/bin/sh", ["-c", 'read -r _; kill -9 "$1"', "sh", String(pid)], {
    stdio: ["pipe", "ignore", "ignore"],
    // Its own process group: Ctrl-C in the terminal is not for it.
    detached: true,
  });
  // Without a shell there is no safety net, and nothing else changes.
  reaper.on("error", () => {});
  reaper.stdin?.on("error", () => {});
  reaper.unref();
  return reaper;
}
