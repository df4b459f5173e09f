/**
 * The agent's checks: those of its node, in every namespace of the edge's datacenter. New namespaces are found as they come.
 *
 * Refuses to know: how a check is run, and when.
 */
import type { EgressPolicy } from "../../../objects/egress.ts";
import { HoldfastClient } from "../../cli/client.ts";
import { edgeSource } from "./edge.ts";
import { runAgentCheck } from "./run.ts";
import { CheckRunner, SYSTEM_CLOCK } from "./runner.ts";

export interface AgentChecksOptions {
  /** The edge's origin. */
  edge: string;
  token: string | null;
  /** Whose agent it is. */
  node: string;
  /** The operator allows scripts. */
  scripts: boolean;
  /** What checks may reach. */
  policy: EgressPolicy;
  /** One line for the operator. */
  onLine: (line: string) => void;
}

/** There before anybody has written anything. */
const DEFAULT_NAMESPACE = "default";
/** Each holds a connection to the edge. */
const NAMESPACES_MAX = 256;
const LOOK_EVERY_MS = 5000;

export class AgentChecks {
  readonly #options: AgentChecksOptions;
  readonly #client: HoldfastClient;
  readonly #runners = new Map<string, CheckRunner>();
  readonly #ending = new AbortController();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: AgentChecksOptions) {
    this.#options = options;
    this.#client = new HoldfastClient({ address: options.edge, token: options.token ?? undefined });
    this.#take(DEFAULT_NAMESPACE);
    void this.#look();
  }

  /** Breaks off what is under way; resolves when it has ended. */
  async close(): Promise<void> {
    this.#ending.abort();
    clearTimeout(this.#timer);
    await Promise.all([...this.#runners.values()].map((runner) => runner.close()));
  }

  async #look(): Promise<void> {
    try {
      const { value } = await this.#client.namespaces(this.#ending.signal);
      for (const { name } of value.namespaces) this.#take(name);
    } catch {
      // The runners say it when the edge cannot be reached; until it can, there is nothing new.
    }
    if (!this.#ending.signal.aborted) this.#timer = setTimeout(() => void this.#look(), LOOK_EVERY_MS);
  }

  #take(namespace: string): void {
    if (this.#ending.signal.aborted || this.#runners.has(namespace) || this.#runners.size >= NAMESPACES_MAX) return;
    const { edge, token, node, scripts, policy, onLine } = this.#options;
    const onTrouble = (message: string): void => onLine(`checks of namespace ${namespace}: ${message}`);
    const runner = new CheckRunner({
      source: edgeSource({ edge, token, namespace, node, onTrouble }),
      clock: SYSTEM_CLOCK,
      run: (check, address, signal) => runAgentCheck(check, address, { policy, scripts, signal }),
      onTrouble,
    });
    this.#runners.set(namespace, runner);
    if (this.#runners.size === NAMESPACES_MAX) onLine(`checks are run in the first ${NAMESPACES_MAX} namespaces only`);
  }
}
