/** A real etcd beside us, where this machine has one (`ETCD_BIN`, else on the PATH). */
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Null when there is no etcd on this machine. */
export async function startEtcd(): Promise<{ origin: string; stop: () => void } | null> {
  const binary = process.env["ETCD_BIN"] ?? "etcd";
  if (spawnSync(binary, ["--version"]).status !== 0) return null;
  const data = mkdtempSync(join(tmpdir(), "holdfast-bench-etcd-"));
  const origin = "http://127.0.0.1:23790";
  const urls = [
    "--listen-client-urls",
    origin,
    "--advertise-client-urls",
    origin,
    "--listen-peer-urls",
    "http://127.0.0.1:23800",
  ];
  const child = spawn(binary, ["--data-dir", data, ...urls, "--log-level", "error"], { stdio: "ignore" });
  for (let tries = 0; tries < 100; tries++) {
    const isUp = await fetch(`${origin}/health`).then(
      ({ ok }) => ok,
      () => false,
    );
    if (isUp) break;
    await new Promise((done) => setTimeout(done, 100));
  }
  return {
    origin,
    stop: () => {
      child.on("close", () => rmSync(data, { recursive: true, force: true }));
      child.kill();
    },
  };
}
