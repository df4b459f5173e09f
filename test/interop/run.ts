/**
 * `npm run interop`: unmodified clients of other systems, in their own languages, against a started server. What a client
 * needs is installed where this machine can; what cannot be had is skipped, and said so.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Edge, TOKEN } from "../edge.ts";
import { consulCli } from "./consul/cli.ts";
import type { Outcome } from "./steps.ts";
import { runProgram, runSteps } from "./steps.ts";

interface Driver {
  name: string;
  /** Further arguments of `serve`. */
  args?: string[];
  /** Null when it can run; else why it cannot. */
  missing(): string | null;
  run(options: { env: Record<string, string>; cwd: string }): Outcome;
}

const here = (path: string): string => join(import.meta.dirname, path);
const works = (program: string, ...args: string[]): boolean =>
  spawnSync(program, args, { stdio: "ignore" }).status === 0;
const PYTHON = "/usr/bin/python3";

const drivers: Driver[] = [
  {
    name: "consul: python3-consul",
    // Half of this client's calls take no token.
    args: ["--open"],
    missing() {
      if (!works(PYTHON, "--version")) return "no Python";
      if (!works(PYTHON, "-c", "import consul") && process.getuid?.() === 0) {
        spawnSync("apt-get", ["install", "-y", "python3-consul"], { stdio: "ignore" });
      }
      return works(PYTHON, "-c", "import consul") ? null : "the package python3-consul is not installed";
    },
    run: (options) => runProgram([PYTHON, here("consul/client.py")], options),
  },
  {
    name: "consul: Go client",
    missing() {
      if (!works("go", "version")) return "no Go";
      const built = spawnSync("go", ["build", "-o", BINARY, "."], { cwd: here("consul/go"), encoding: "utf8" });
      return built.status === 0 ? null : `it does not build: ${built.stderr.trim().split("\n").at(-1)}`;
    },
    run: (options) => runProgram([BINARY], options),
  },
  {
    name: "consul: command line",
    missing: () => (works("consul", "version") ? null : "no consul on the PATH"),
    run: (options) => runSteps(consulCli, options),
  },
];

const work = mkdtempSync(join(tmpdir(), "holdfast-interop-"));
const BINARY = join(work, "consul-go");
const total = { passed: 0, failed: 0, skipped: 0 };

for (const driver of drivers) {
  const { name } = driver;
  const reason = driver.missing();
  if (reason !== null) {
    total.skipped++;
    console.log(`skipped  ${name}: ${reason}`);
    continue;
  }
  await using edge = await Edge.start(driver.args);
  const env = { CONSUL_HTTP_ADDR: new URL(edge.address).host, CONSUL_HTTP_TOKEN: TOKEN };
  const { passed, failed } = driver.run({ env, cwd: work });
  total.passed += passed;
  total.failed += failed.length;
  console.log(`${failed.length === 0 ? "passed " : "FAILED "}  ${name}: ${passed} steps`);
  for (const text of failed) console.log(text);
}
rmSync(work, { recursive: true, force: true });
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exit(total.failed > 0 ? 1 : 0);
