/** The edge as a source of checks: the native API's seconds and instants to the plan's milliseconds, and results back. */
import type { AgentCheck, CheckState } from "../../../objects/model.ts";
import type { Probe } from "../../../objects/probing/plan.ts";
import { HoldfastClient, type AgentTask } from "../../cli/client.ts";
import type { CheckSource } from "./runner.ts";

const WAIT_S = 30;
/** For an answer, beyond the waiting. */
const ANSWER_MS = 15_000;
const KINDS: ReadonlySet<string> = new Set<AgentCheck["type"]>(["udp", "grpc", "h2ping", "script"]);

export interface EdgeSourceOptions {
  edge: string;
  token: string | null;
  namespace: string;
  node: string;
  onTrouble: (message: string) => void;
}

/** The agent stands in for instances that name no node. */
export function edgeSource({ edge, token, namespace, node, onTrouble }: EdgeSourceOptions): CheckSource {
  const timeoutMs = WAIT_S * 1000 + ANSWER_MS;
  const client = new HoldfastClient({ address: edge, token: token ?? undefined, namespace, timeoutMs });
  let wasTruncated = false;
  return {
    async list(since, signal) {
      const query = { revision: since, wait: `${WAIT_S}s`, nodeless: true };
      const { revision, truncated, checks } = (await client.agentChecks(node, query, signal)).value;
      if (truncated && !wasTruncated) onTrouble(`only the first ${checks.length} checks of node ${node} are run`);
      wasTruncated = truncated;
      return { revision, probes: checks.filter(({ check }) => KINDS.has(check.type)).map(probeOf) };
    },
    async report(results, signal) {
      const wire = results.map(({ instance, ...result }) => ({ ...result, id: instance }));
      await client.reportAgentChecks(node, wire, signal);
    },
  };
}

function probeOf({ service, id, address, check }: AgentTask): Probe<AgentCheck> {
  const { since, interval, timeout, deregisterAfter: _after, ...rest } = check;
  const times = { intervalMs: Number(interval) * 1000, timeoutMs: Number(timeout) * 1000 };
  const whole = { ...rest, ...times, deregisterAfterMs: null, sinceAt: Date.parse(since) };
  // The edge's answer is as its own document describes it; what it does not know is left out before.
  return { service, instance: id, address, check: whole as unknown as AgentCheck & CheckState };
}
