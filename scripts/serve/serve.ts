/**
 * Everything on one machine: the edge in workerd, the agent's listeners, one data folder. Starts them in the order in
 * which a failure costs least, and ends them in the opposite one.
 */
import { join } from "node:path";
import { CommandError, EXIT, type ExitCode } from "../cli/exit.ts";
import { errorLine } from "../cli/output.ts";
import { onStop } from "../cli/stop.ts";
import { parseEgressPolicy } from "../../objects/egress.ts";
import { AgentChecks } from "../agent/checks/checks.ts";
import { checkAgentPorts, loadAgent, startAgent, type RunningListener } from "./agent.ts";
import { checkedToken, DataFolder } from "./data-folder.ts";
import type { ServeOptions } from "./options.ts";
import { addressOf, freePort, isLoopback, originOf } from "./ports.ts";
import type { Runtime } from "./runtime.ts";
import { surfaceLines } from "./surfaces.ts";

const STOP_WITHIN_MS = 5000;

/** Runs until it is asked to stop (exit code 0) or the runtime is lost for good (1). Prints to stdout. */
export async function serve(options: ServeOptions, checkout: string): Promise<ExitCode> {
  const startedAt = performance.now();
  // All that is written from here on, by workerd too, is the owner's alone.
  process.umask(0o077);
  // A reader of our output that goes away does not end the edge.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
  const host = await checkedHost(options);
  if (options.rootToken !== null) checkedToken(options.rootToken, "--root-token");
  const policy = parseEgressPolicy({ ...options.egress, HOLDFAST_DOMAIN: options.domain });
  const port = await freePort(host, options.port, ["tcp"]);
  await checkAgentPorts(host, options.agentPorts);
  const folder = await DataFolder.open(options.dataFolder);

  const stop = new AbortController();
  const stopped = new Promise<ExitCode>((resolve) => {
    stop.signal.addEventListener("abort", () => resolve(stop.signal.reason as ExitCode));
  });
  const stopListening = onStop(() => stop.abort(EXIT.ok));
  const edge = originOf(host, port);
  let runtime: Runtime | undefined;
  let listeners: RunningListener[] = [];
  let checks: AgentChecks | undefined;
  const complain = (line: string): void => void process.stderr.write(errorLine(line));
  try {
    const token = tokenOf(options, folder);
    // Miniflare takes a third of a second to load; the bundler works meanwhile in its own process.
    const [{ startRuntime }, script] = await Promise.all([import("./runtime.ts"), bundle(options, checkout)]);
    const starting = startRuntime({
      host,
      port,
      script,
      bindings: bindingsOf(options, token),
      statePath: folder.statePath,
      signal: stop.signal,
      onLine: complain,
      onDead: (reason) => {
        complain(reason);
        stop.abort(EXIT.error);
      },
    });
    loadAgent(options.agentPorts);
    runtime = await starting;
    listeners = await startAgent({ host, edge, token }, options.agentPorts);
    if (options.agentChecks) {
      const { node, agentChecks } = options;
      checks = new AgentChecks({ edge, token, policy, node, ...agentChecks, onLine: complain });
    }
    folder.announce(edge, options.rootToken);
    for (const line of surfaceLines(edge, host, listeners)) say(line);
    if (options.isOpen) say(`  open: whoever reaches ${edge} may do everything, without a token`);
    say(`holdfast ready on ${edge} after ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
    return await stopped;
  } catch (error) {
    // Asked to stop while it was starting: whatever failed for it is no failure.
    if (stop.signal.aborted) return await stopped;
    throw error instanceof CommandError ? error : new CommandError((error as Error).message);
  } finally {
    const overdue = setTimeout(() => {
      process.stderr.write(errorLine(`not stopped after ${STOP_WITHIN_MS / 1000} s; giving up`));
      process.exit(EXIT.error);
    }, STOP_WITHIN_MS);
    await Promise.allSettled([...listeners, ...(checks ? [checks] : [])].map((part) => part.close()));
    await runtime?.dispose();
    folder.close();
    stopListening();
    clearTimeout(overdue);
  }
}

async function checkedHost(options: ServeOptions): Promise<string> {
  const host = await addressOf(options.host);
  if (options.isOpen && !isLoopback(host)) {
    throw new CommandError(`--open is for loopback only, and --host is ${options.host}`);
  }
  return host;
}

/** In open mode a stored token goes on working, but none is created. */
function tokenOf(options: ServeOptions, folder: DataFolder): string | null {
  if (options.rootToken !== null) return options.rootToken;
  if (options.isOpen) return folder.storedToken();
  const { token, isNew } = folder.rootToken();
  if (isNew) say(`  root token, shown this once and kept in ${join(folder.path, "root-token")}: ${token}`);
  return token;
}

function bindingsOf(options: ServeOptions, token: string | null): Record<string, string> {
  return {
    ...options.egress,
    HOLDFAST_LOCAL: "1",
    HOLDFAST_DATACENTER: options.datacenter,
    ...(options.datacenters !== "" && { HOLDFAST_DATACENTERS: options.datacenters }),
    HOLDFAST_DOMAIN: options.domain,
    HOLDFAST_NODE: options.node,
    ...(token !== null && { HOLDFAST_ROOT_TOKEN: token }),
    ...(options.isOpen && { HOLDFAST_OPEN: "1" }),
    ...(options.agentChecks?.scripts && { HOLDFAST_ENABLE_SCRIPT_CHECKS: "1" }),
    ...(options.isTest && { HOLDFAST_TEST: "1" }),
  };
}

async function bundle(options: ServeOptions, checkout: string): Promise<string> {
  const { bundleEdge } = await import("./bundle.ts");
  return bundleEdge(options.entry ?? join(checkout, "workers", "edge.ts"));
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
