/** One run of any check that an agent runs, with its time limit, told in the words that Consul's clients know. */
import type { EgressPolicy } from "../../../objects/egress.ts";
import type { AgentCheck } from "../../../objects/model.ts";
import { cleanOutput, hostAndPort, reasonOf, timeoutOf } from "../../../objects/probing/output.ts";
import type { RunResult } from "../../../objects/probing/verdict.ts";
import { assertServing } from "./grpc-health.ts";
import { ping } from "./http2-ping.ts";
import { runScript } from "./script.ts";
import { judgedTarget } from "./target.ts";
import { knock } from "./udp.ts";

export interface RunOptions {
  policy: EgressPolicy;
  /** The operator allows scripts. */
  scripts: boolean;
  /** Breaks off the run. */
  signal: AbortSignal;
}

/** Never rejects. `address` is the subject's, used by a check that names no host. */
export async function runAgentCheck(check: AgentCheck, address: string, options: RunOptions): Promise<RunResult> {
  const timeoutMs = timeoutOf(check.timeoutMs);
  const timeout = AbortSignal.timeout(timeoutMs);
  const signal = AbortSignal.any([options.signal, timeout]);
  try {
    return await run(check, address, { ...options, signal }, timeoutMs);
  } catch (error) {
    const reason = timeout.aborted ? `no answer within ${timeoutMs} ms` : reasonIn(error);
    return { status: "critical", output: cleanOutput(`${labelOf(check, address)}: ${reason}`) };
  }
}

async function run(
  check: AgentCheck,
  address: string,
  { policy, scripts, signal }: RunOptions,
  timeoutMs: number,
): Promise<RunResult> {
  if (check.type === "script") {
    if (!scripts) throw new Error("scripts are disabled on this agent (--enable-script-checks)");
    return runScript(check.args, signal);
  }
  const { port } = check;
  const protocol = check.type === "udp" ? "udp" : "tcp";
  const target = await judgedTarget({ protocol, host: check.host || address, port }, policy, signal);
  const label = labelOf(check, address);
  switch (check.type) {
    case "udp":
      await knock(target, signal);
      return { status: "passing", output: cleanOutput(`${label}: Success`) };
    case "grpc":
      await assertServing(check.grpcService, target, { ...check, timeoutMs }, signal);
      return { status: "passing", output: cleanOutput(`${label}: success`) };
    case "h2ping":
      await ping(target, check, signal);
      return { status: "passing", output: "HTTP2 ping was successful" };
  }
}

function labelOf(check: AgentCheck, address: string): string {
  if (check.type === "script") return `Script ${check.args[0] ?? ""}`;
  const host = check.host || address;
  const at = hostAndPort(host, check.port);
  switch (check.type) {
    case "udp":
      return `UDP connect ${at}`;
    case "grpc":
      return `gRPC check ${check.grpcService === "" ? at : `${at}/${check.grpcService}`}`;
    case "h2ping":
      return `HTTP2 ping ${at}`;
  }
}

/** Of a host with several addresses the first failure; all of them say much the same. */
function reasonIn(error: unknown): string {
  return reasonOf(error instanceof AggregateError ? (error.errors[0] ?? error) : error);
}
