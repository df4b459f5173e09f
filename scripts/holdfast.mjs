#!/usr/bin/env node
/**
 * The launcher of the `holdfast` command. Plain JavaScript that an old Node can parse: where the running Node cannot strip
 * types, it starts itself again with the Node 24 that `npm ci` put into the checkout, and passes signals and the exit
 * code through. Knows nothing of the commands.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import module from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const checkout = dirname(dirname(fileURLToPath(import.meta.url)));

// Types are stripped without a flag and without a warning from these versions on.
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
const stripsTypes = major > 24 || (major === 24 && minor >= 3) || (major === 22 && minor >= 18);

if (stripsTypes) {
  delete process.env.HOLDFAST_REEXEC;
  // Most of the start is compiling Miniflare; the cache saves about a third of it. A read-only checkout goes without.
  module.enableCompileCache?.(join(checkout, "node_modules", ".cache", "holdfast"));
  const { main } = await import("./cli/main.ts");
  process.exitCode = await main(process.argv.slice(2), checkout);
} else {
  runUnder(join(checkout, "node_modules", "node", "bin", process.platform === "win32" ? "node.exe" : "node"));
}

/** The IPC channel carries no messages: its end tells the child that this process is gone, even after a kill -9. */
function runUnder(node) {
  if (!existsSync(node) || process.env.HOLDFAST_REEXEC === "1") {
    console.error(`holdfast: Node ${process.versions.node} is too old; run \`npm ci\` in ${checkout} first`);
    process.exitCode = 1;
    return;
  }
  const child = spawn(node, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], {
    stdio: ["inherit", "inherit", "inherit", "ipc"],
    env: { ...process.env, HOLDFAST_REEXEC: "1" },
  });
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"];
  for (const signal of signals) process.on(signal, () => child.kill(signal));
  child.on("error", (error) => {
    console.error(`holdfast: cannot run ${node}: ${error.message}`);
    process.exitCode = 1;
  });
  child.on("exit", (code, signal) => {
    if (signal === null) process.exit(code ?? 1);
    for (const name of signals) process.removeAllListeners(name);
    process.kill(process.pid, signal);
  });
}
