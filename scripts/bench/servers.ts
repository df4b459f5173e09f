/** What is measured, and what it is measured beside: a started Holdfast, and Workers that do next to nothing. */
import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Log, LogLevel, Miniflare } from "miniflare";
import { COMPATIBILITY_DATE, COMPATIBILITY_FLAGS, NETWORK } from "../serve/worker-settings.ts";

const TOKEN = "bench-root-token-0123456789abcdef";
const LAUNCHER = fileURLToPath(new URL("../holdfast.mjs", import.meta.url));

export class Holdfast {
  readonly data = mkdtempSync(join(tmpdir(), "holdfast-bench-"));
  readonly headers = { authorization: `Bearer ${TOKEN}` };
  origin = "";
  startedMs = 0;
  #options: string[] = [];
  #child: ChildProcess | undefined;

  static async start(options: string[] = ["--no-agent"]): Promise<Holdfast> {
    const holdfast = new Holdfast();
    holdfast.#options = options;
    await holdfast.boot();
    return holdfast;
  }

  async boot(): Promise<void> {
    const beganAt = performance.now();
    const token = this.#options.includes("--open") ? [] : ["--root-token", TOKEN];
    const args = ["serve", "--port", "0", "--data", this.data, ...token, ...this.#options];
    const child = spawn(process.execPath, [LAUNCHER, ...args], {
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, HOLDFAST_TEST: "1" },
    });
    this.#child = child;
    let said = "";
    this.origin = await new Promise<string>((resolve, reject) => {
      child.stdout!.on("data", (chunk: Buffer) => {
        said += chunk.toString();
        const ready = /^holdfast ready on (\S+)/m.exec(said);
        if (ready) resolve(ready[1]!);
      });
      child.on("close", () => reject(new Error(`serve ended: ${said}`)));
    });
    this.startedMs = performance.now() - beganAt;
  }

  async stop(): Promise<void> {
    await this.#end((child) => child.kill("SIGTERM"));
  }

  /** `kill -9`, of the runtime first: it is in the middle of whatever it does. */
  async kill(): Promise<void> {
    await this.#end((child) => {
      process.kill(this.#runtimePid(), "SIGKILL");
      child.kill("SIGKILL");
    });
  }

  async #end(signal: (child: ChildProcess) => void): Promise<void> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.on("close", resolve));
    signal(child);
    await ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    rmSync(this.data, { recursive: true, force: true });
  }

  path(namespace: string, below: string): string {
    return `/api/v1/namespaces/${namespace}${below}`;
  }

  async ask(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<Response> {
    const response = await fetch(this.origin + path, {
      method,
      headers: this.headers,
      ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
      ...(signal && { signal }),
    });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return response;
  }

  /** `count` instances, `perService` to a service. */
  async fill(namespace: string, count: number, perService: number, ttl?: number, prefix = "s"): Promise<void> {
    for (let from = 0; from < count; from += 1000) {
      const instances = Array.from({ length: Math.min(1000, count - from) }, (_, at) => {
        const n = from + at;
        return {
          service: `${prefix}${Math.floor(n / perService)}`,
          id: `i${n}`,
          address: `10.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`,
          port: 8080,
          ...(ttl !== undefined && { ttl }),
        };
      });
      await (await this.ask("POST", this.path(namespace, "/instances:batch"), { instances })).arrayBuffer();
    }
  }

  /** Resident memory of the runtime, in MB. */
  memoryMb(): number {
    const pid = this.#runtimePid();
    const kb = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return Number(kb) / 1024;
  }

  #runtimePid(): number {
    const parents = new Map<number, { parent: number; name: string }>();
    for (const entry of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
      try {
        const [, name = "", parent = "0"] =
          /\((.*)\) \S (\d+)/s.exec(readFileSync(`/proc/${entry}/stat`, "utf8")) ?? [];
        parents.set(Number(entry), { parent: Number(parent), name });
      } catch {
        // It ended meanwhile.
      }
    }
    const isBelow = (pid: number): boolean =>
      pid === this.#child!.pid || (pid > 1 && isBelow(parents.get(pid)?.parent ?? 0));
    const found = [...parents].find(([pid, { name }]) => name === "workerd" && isBelow(pid));
    if (!found) throw new Error("workerd is not running");
    return found[0];
  }
}

const YARDSTICKS = `
  import { DurableObject } from "cloudflare:workers";
  export class Nothing extends DurableObject {
    nothing() { return { ok: true, value: null, revision: 1 }; }
  }
  export default {
    async fetch(request, env) {
      const { pathname } = new URL(request.url);
      if (pathname === "/empty") return new Response("ok");
      if (pathname === "/rpc") {
        // A body is read, as from a write.
        await request.arrayBuffer();
        return Response.json(await env.NOTHING.getByName("one").nothing());
      }
      return fetch(env.UPSTREAM + pathname, request);
    },
  };`;

export interface Yardsticks extends AsyncDisposable {
  origin: string;
}

/** On the same workerd, with the same settings. `/empty`, `/rpc` to an object that does nothing, everything else passed on. */
export async function startYardsticks(upstream: string): Promise<Yardsticks> {
  const port = await freePort();
  const runtime = new Miniflare({
    modules: true,
    script: YARDSTICKS,
    compatibilityDate: COMPATIBILITY_DATE,
    compatibilityFlags: COMPATIBILITY_FLAGS,
    bindings: { UPSTREAM: upstream },
    durableObjects: { NOTHING: { className: "Nothing", useSQLite: true } },
    unsafeDirectSockets: [{ host: "127.0.0.1", port }],
    outboundService: { network: NETWORK },
    cf: false,
    telemetry: { enabled: false },
    log: new Log(LogLevel.NONE),
  });
  await runtime.ready;
  return { origin: `http://127.0.0.1:${port}`, [Symbol.asyncDispose]: () => runtime.dispose() };
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
