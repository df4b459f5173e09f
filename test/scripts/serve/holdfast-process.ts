/** The `holdfast` command as a real process, for tests: its lines, its end, and a promise for both. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { AGENT_PORTS } from "../../../scripts/serve/options.ts";

const CHECKOUT = resolve(fileURLToPath(import.meta.url), "../../../..");
export const LAUNCHER = join(CHECKOUT, "scripts", "holdfast.mjs");
export const PLACEHOLDER = join(CHECKOUT, "test", "scripts", "serve", "placeholder-edge.ts");

export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

export class HoldfastProcess {
  readonly child: ChildProcess;
  stdout = "";
  stderr = "";
  readonly ended: Promise<Ended>;
  #more = Promise.withResolvers<void>();

  constructor(args: readonly string[], options: { env?: Record<string, string>; node?: string; cwd?: string } = {}) {
    this.child = spawn(options.node ?? process.execPath, [LAUNCHER, ...args], {
      stdio: ["pipe", "pipe", "pipe"],
      env: { ...cleanEnvironment(), ...options.env },
      cwd: options.cwd ?? CHECKOUT,
    });
    this.child.stdout?.on("data", (chunk: Buffer) => this.#said(() => (this.stdout += chunk.toString())));
    this.child.stderr?.on("data", (chunk: Buffer) => this.#said(() => (this.stderr += chunk.toString())));
    this.ended = once(this.child, "close").then(([code]) => ({
      code: code as number | null,
      stdout: this.stdout,
      stderr: this.stderr,
    }));
  }

  get pid(): number {
    return this.child.pid as number;
  }

  /** Resolves with the match once stdout or stderr holds the pattern; rejects when the process ends without it. */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    const find = (): RegExpExecArray | null => pattern.exec(this.stdout) ?? pattern.exec(this.stderr);
    for (;;) {
      const match = find();
      if (match !== null) return match;
      const isOver = await Promise.race([this.#more.promise.then(() => false), this.ended.then(() => true)]);
      if (isOver && find() === null) throw new Error(`ended without ${pattern}:\n${this.stdout}\n${this.stderr}`);
    }
  }

  #said(keep: () => void): void {
    keep();
    this.#more.resolve();
    this.#more = Promise.withResolvers();
  }

  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<Ended> {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill(signal);
    return this.ended;
  }
}

export class RunningServe extends HoldfastProcess {
  address = "";

  /**
   * With the placeholder Worker and a free port; without an agent, until a port of its own is named, and then without its
   * other ports. Resolves when it is ready.
   */
  static async start(
    data: string,
    args: readonly string[] = [],
    options: { env?: Record<string, string>; node?: string; entry?: string | null } = {},
  ): Promise<RunningServe> {
    const entry = options.entry === null ? [] : ["--entry", options.entry ?? PLACEHOLDER];
    const port = args.includes("--port") ? [] : ["--port", "0"];
    const isNamed = (name: string): boolean => args.includes(`--${name}-port`);
    const names = Object.keys(AGENT_PORTS);
    const agent = names.some(isNamed)
      ? names.filter((name) => !isNamed(name)).flatMap((name) => [`--${name}-port`, "0"])
      : ["--no-agent"];
    const serve = new RunningServe(["serve", "--data", data, ...agent, ...port, ...entry, ...args], options);
    serve.address = (await serve.says(/^holdfast ready on (\S+)/m))[1] as string;
    return serve;
  }

  async get(path: string): Promise<string> {
    return (await fetch(`${this.address}${path}`)).text();
  }
}

/** Process ids of the workerd processes that `pid` started, at any depth. Linux only. */
export function runtimesOf(pid: number): number[] {
  const parents = new Map<number, { parent: number; name: string }>();
  for (const entry of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const [, name = "", parent = "0"] = /\((.*)\) \S (\d+)/s.exec(readFileSync(`/proc/${entry}/stat`, "utf8")) ?? [];
      parents.set(Number(entry), { parent: Number(parent), name });
    } catch {
      // It ended meanwhile.
    }
  }
  const descends = (child: number): boolean =>
    child === pid || (child > 1 && descends(parents.get(child)?.parent ?? 0));
  return [...parents].filter(([child, { name }]) => name === "workerd" && descends(child)).map(([child]) => child);
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}

/** A folder of its own, gone at the end of the scope. */
export function temporaryFolder(): Disposable & { path: string } {
  const path = mkdtempSync(join(tmpdir(), "holdfast-test-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** Settings of the person who runs the tests must not reach into them. */
function cleanEnvironment(): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("HOLDFAST_")));
}
