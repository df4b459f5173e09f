/**
 * `npm run interop [-- FILTER]`: unmodified clients of other systems, in their own languages, against a started server.
 * What a client needs is installed where this machine can; what cannot be had is skipped, and said so.
 *
 * FILTER: only drivers with this in their names, `etcd` say. `--at HOST:PORT`: against a server that runs already, such as
 * the original, to see whether the steps are right. `--load`: those, too, that load the machine for a minute.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Edge, TOKEN } from "../edge.ts";
import { closedPort } from "../scripts/agent/checks/servers.ts";
import { consulCli } from "./consul/cli.ts";
import { etcdCtl, etcdCtlPerf } from "./etcd/ctl.ts";
import type { Outcome, Surroundings } from "./steps.ts";
import { runProgram, runSteps } from "./steps.ts";

interface Driver {
  name: string;
  /** Further arguments of `serve`. */
  args?: string[];
  /** It speaks to the agent's etcd port. */
  onEtcdPort?: true;
  /** Null when it can run; else why it cannot. */
  missing(): string | null;
  run(surroundings: Surroundings): Promise<Outcome>;
}

const here = (path: string): string => join(import.meta.dirname, path);
const works = (program: string, ...args: string[]): boolean =>
  spawnSync(program, args, { stdio: "ignore" }).status === 0;
const PYTHON = "/usr/bin/python3";

/** Installs the Debian package where it may. */
function missingPython(module: string, debian: string): string | null {
  if (!works(PYTHON, "--version")) return "no Python";
  if (!works(PYTHON, "-c", `import ${module}`) && process.getuid?.() === 0) {
    spawnSync("apt-get", ["install", "-y", debian], { stdio: "ignore" });
  }
  return works(PYTHON, "-c", `import ${module}`) ? null : `the package ${debian} is not installed`;
}

const runPython = (path: string, { env, cwd }: Surroundings): Promise<Outcome> =>
  runProgram([PYTHON, here(path)], { env: { ...env, PYTHONPATH: here(".") }, cwd });

const drivers: Driver[] = [
  {
    name: "consul: python3-consul",
    // Half of this client's calls take no token.
    args: ["--open"],
    missing: () => missingPython("consul", "python3-consul"),
    run: (surroundings) => runPython("consul/client.py", surroundings),
  },
  {
    name: "consul: Go client",
    missing() {
      if (!works("go", "version")) return "no Go";
      const built = spawnSync("go", ["build", "-o", BINARY, "."], { cwd: here("consul/go"), encoding: "utf8" });
      return built.status === 0 ? null : `it does not build: ${built.stderr.trim().split("\n").at(-1)}`;
    },
    run: (surroundings) => runProgram([BINARY], surroundings),
  },
  {
    name: "consul: command line",
    missing: () => (works("consul", "version") ? null : "no consul on the PATH"),
    run: (surroundings) => runSteps(consulCli, surroundings),
  },
  {
    name: "etcd: etcdctl",
    args: ["--open"],
    onEtcdPort: true,
    missing: () => (works("etcdctl", "version") ? null : "no etcdctl on the PATH"),
    run: (surroundings) => runSteps(etcdCtl, surroundings),
  },
  {
    name: "etcd: etcdctl check perf",
    args: ["--open"],
    onEtcdPort: true,
    missing() {
      if (!values.load) return "it takes a minute of load: --load";
      return works("etcdctl", "version") ? null : "no etcdctl on the PATH";
    },
    run: (surroundings) => runSteps(etcdCtlPerf, surroundings),
  },
  {
    name: "etcd: python3-etcd3",
    args: ["--open"],
    onEtcdPort: true,
    missing: () => missingPython("etcd3", "python3-etcd3"),
    run: (surroundings) => runPython("etcd/grpc_client.py", surroundings),
  },
  {
    name: "etcd: python3-etcd3gw",
    args: ["--open"],
    onEtcdPort: true,
    missing: () => missingPython("etcd3gw", "python3-etcd3gw"),
    run: (surroundings) => runPython("etcd/gateway_client.py", surroundings),
  },
];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { at: { type: "string" }, load: { type: "boolean", default: false } },
});
const [filter = ""] = positionals;
const chosen = drivers.filter(({ name }) => name.includes(filter));
if (chosen.length === 0) throw new Error(`no driver has "${filter}" in its name`);
const work = mkdtempSync(join(tmpdir(), "holdfast-interop-"));
const BINARY = join(work, "consul-go");
const total = { passed: 0, failed: 0, skipped: 0 };

for (const driver of chosen) {
  const { name } = driver;
  const reason = driver.missing();
  if (reason !== null) {
    total.skipped++;
    console.log(`skipped  ${name}: ${reason}`);
    continue;
  }
  await using server = values.at === undefined ? await startServer(driver) : runningServer(values.at);
  const { passed, failed, skipped } = await driver.run({ env: server.env, cwd: work });
  total.passed += passed;
  total.failed += failed.length;
  total.skipped += skipped.length;
  console.log(`${failed.length === 0 ? "passed " : "FAILED "}  ${name}: ${passed} steps`);
  for (const text of [...skipped, ...failed]) console.log(text);
}
rmSync(work, { recursive: true, force: true });
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exit(total.failed > 0 ? 1 : 0);

interface Server extends AsyncDisposable {
  env: Record<string, string>;
}

async function startServer({ args = [], onEtcdPort }: Driver): Promise<Server> {
  const port = onEtcdPort ? await closedPort() : null;
  const edge = await Edge.start([...args, ...(port === null ? [] : ["--etcd-port", String(port)])]);
  const host = port === null ? new URL(edge.address).host : `127.0.0.1:${port}`;
  return { env: environmentFor(host), [Symbol.asyncDispose]: () => edge[Symbol.asyncDispose]() };
}

function runningServer(host: string): Server {
  return { env: environmentFor(host), async [Symbol.asyncDispose]() {} };
}

function environmentFor(host: string): Record<string, string> {
  return { CONSUL_HTTP_ADDR: host, CONSUL_HTTP_TOKEN: TOKEN, ETCDCTL_API: "3", ETCDCTL_ENDPOINTS: host };
}
