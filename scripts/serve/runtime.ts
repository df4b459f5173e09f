/**
 * workerd with the edge in it, run through Miniflare. Knows what the Worker is bound to, nothing of what it does.
 *
 * The socket is a direct one: requests reach the Worker without Miniflare's entry in between, which costs three quarters
 * of the throughput.
 */
import { readFileSync } from "node:fs";
import http from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { Log, LogLevel, Miniflare } from "miniflare";
import { CommandError } from "../cli/exit.ts";
import { originOf } from "./ports.ts";
import { reapRuntimes } from "./reaper.ts";
import { RuntimeLogFilter } from "./runtime-log.ts";
import { COMPATIBILITY_DATE, COMPATIBILITY_FLAGS, DURABLE_OBJECTS, NETWORK } from "./worker-settings.ts";

export interface RuntimeOptions {
  /** An IP address. */
  host: string;
  port: number;
  script: string;
  bindings: Record<string, string>;
  statePath: string;
  /** One line for the operator. */
  onLine: (line: string) => void;
  /** The runtime is gone and does not come back. */
  onDead: (reason: string) => void;
  /** Gives up waiting for readiness. */
  signal: AbortSignal;
}

export interface Runtime {
  /** Ends workerd. Acknowledged writes are on disk already; requests under way are cut. */
  dispose(): Promise<void>;
}

const READY_WITHIN_MS = 8000;
const RESTART_WITHIN_MS = 10_000;
const RESTARTS_MAX = 5;
const RESTARTS_WINDOW_MS = 60_000;

/** Resolves when the edge answers `/health/ready`; rejects with a CommandError of one line. */
export async function startRuntime(options: RuntimeOptions): Promise<Runtime> {
  const watch = new CrashWatch(options);
  const stopReaping = reapRuntimes(() => watch.ended());
  const miniflare = withoutSignalHandlers(() => createMiniflare(options, watch));
  const dispose = async (): Promise<void> => {
    watch.close();
    await miniflare.dispose();
    stopReaping();
  };
  try {
    await miniflare.ready;
    watch.started();
    await untilReady(`${originOf(options.host, options.port)}/health/ready`, options.signal);
    return { dispose };
  } catch (error) {
    await dispose().catch(() => {});
    throw error instanceof CommandError ? error : new CommandError(`the edge did not start: ${reason(error)}`);
  }
}

function createMiniflare(options: RuntimeOptions, watch: CrashWatch): Miniflare {
  const log = new RuntimeLogFilter(options.onLine);
  return new Miniflare({
    name: "holdfast",
    modules: [{ type: "ESModule", path: "edge.js", contents: options.script }],
    compatibilityDate: COMPATIBILITY_DATE,
    compatibilityFlags: COMPATIBILITY_FLAGS,
    bindings: options.bindings,
    durableObjects: Object.fromEntries(
      Object.entries(DURABLE_OBJECTS).map(([name, className]) => [name, { className, useSQLite: true }]),
    ),
    defaultPersistRoot: options.statePath,
    unsafeDirectSockets: [{ host: options.host, port: options.port }],
    outboundService: {
      network: { ...NETWORK, tlsOptions: { ...NETWORK.tlsOptions, trustedCertificates: ownAuthorities() } },
    },
    // Otherwise Miniflare asks Cloudflare for a sample of request.cf at the start.
    cf: false,
    telemetry: { enabled: false },
    log: new Log(LogLevel.NONE),
    logRequests: false,
    structuredWorkerdLogs: true,
    handleStructuredLogs: log.accept,
    unsafeHandleRuntimeRestart: () => watch.restarted(),
  });
}

/** The operator's own certificate authorities, from where Node takes them too: Worker and agent trust the same. */
function ownAuthorities(): string[] {
  const file = process.env["NODE_EXTRA_CA_CERTS"];
  if (!file) return [];
  try {
    return readFileSync(file, "utf8").match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  } catch (error) {
    throw new CommandError(`NODE_EXTRA_CA_CERTS: ${reason(error)}`);
  }
}

/** Miniflare's own handlers exit at once with 143; ending is the business of `serve`. */
function withoutSignalHandlers<T>(create: () => T): T {
  const signals = ["SIGINT", "SIGTERM"] as const;
  const before = signals.map((signal) => new Set(process.listeners(signal)));
  const made = create();
  signals.forEach((signal, index) => {
    for (const listener of process.listeners(signal)) {
      if (!before[index]?.has(listener)) process.off(signal, listener);
    }
  });
  return made;
}

/** Miniflare restarts a workerd that ended, on the same port and state. This notices when it cannot, or has to too often. */
class CrashWatch {
  readonly #options: RuntimeOptions;
  #isWatching = false;
  #endedAt: number[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(options: RuntimeOptions) {
    this.#options = options;
  }

  started(): void {
    this.#isWatching = true;
  }

  ended(): void {
    if (!this.#isWatching) return;
    const now = performance.now();
    this.#endedAt = [...this.#endedAt.filter((at) => at > now - RESTARTS_WINDOW_MS), now];
    if (this.#endedAt.length > RESTARTS_MAX) return this.#dead("workerd ends again and again");
    this.#options.onLine("workerd ended unexpectedly; starting it again");
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#dead("workerd ended and could not be started again"), RESTART_WITHIN_MS);
  }

  restarted(): void {
    if (!this.#isWatching) return;
    clearTimeout(this.#timer);
    this.#options.onLine("workerd is back");
  }

  close(): void {
    this.#isWatching = false;
    clearTimeout(this.#timer);
  }

  #dead(reason: string): void {
    this.close();
    this.#options.onDead(reason);
  }
}

/** Asked until it says yes: an object may need its first moment, and the first request warms the isolate. */
async function untilReady(url: string, signal: AbortSignal): Promise<void> {
  const deadlineAt = performance.now() + READY_WITHIN_MS;
  let last = "no answer";
  while (performance.now() < deadlineAt) {
    if (signal.aborted) throw new CommandError("stopped before the edge was ready");
    try {
      const status = await statusOf(url);
      if (status === 200) return;
      last = `HTTP ${status}`;
    } catch (error) {
      last = reason(error);
    }
    await sleep(50);
  }
  throw new CommandError(`the edge is not ready after ${READY_WITHIN_MS / 1000} s: ${last} from ${url}`);
}

function statusOf(url: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const request = http.get(url, { agent: false, timeout: READY_WITHIN_MS }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    request.on("timeout", () => request.destroy(new Error("timeout")));
    request.on("error", reject);
  });
}

function reason(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  // Miniflare wraps what workerd said; the last lines hold the cause.
  const said = message.split("Runtime stderr:\n")[1] ?? message;
  return said.split("\nstack: ")[0]?.slice(0, 600) ?? said;
}
