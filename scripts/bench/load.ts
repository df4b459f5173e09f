/**
 * The load generator: many kept connections, one request in flight on each, over plain sockets. It runs as a process of its
 * own and does as little as it can for each answer, since it shares two cores with what it measures.
 *
 * Closed loop (`connections`) tells what a server can do; open loop (`perSecond`) what becomes of more than that.
 */
import { connect, type Socket } from "node:net";
import { argv, send } from "node:process";

export interface LoadOptions {
  origin: string;
  method: string;
  /** `{n}` becomes a number that no other request has. */
  path: string;
  headers: Record<string, string>;
  /** `{n}` as in the path. */
  body?: string;
  connections: number;
  seconds: number;
  /** Not counted, before the rest. */
  warmupSeconds?: number;
  /** Open loop: so many requests are begun in a second, whatever becomes of them; a connection for each in flight. */
  perSecond?: number;
  /** Open loop: an answer after this time does not count. */
  withinMs?: number;
  /** Where counting begins, so that two runs do not write the same. */
  from?: number;
}

export interface LoadResult {
  perSecond: number;
  /** Milliseconds. */
  p50: number;
  p99: number;
  good: number;
  /** Status → answers. */
  statuses: Record<string, number>;
  broken: number;
}

const HEAD_END = Buffer.from("\r\n\r\n");
const CHUNKS_END = Buffer.from("0\r\n\r\n");

class Connection {
  readonly socket: Socket;
  #rest: Buffer = Buffer.alloc(0);
  #onAnswer: ((status: number) => void) | null = null;

  constructor(host: string, port: number, onBroken: () => void) {
    this.socket = connect(port, host);
    this.socket.setNoDelay(true);
    this.socket.on("data", (chunk) => this.#take(chunk));
    this.socket.on("error", () => {});
    this.socket.on("close", onBroken);
  }

  ask(request: string, onAnswer: (status: number) => void): void {
    this.#onAnswer = onAnswer;
    this.socket.write(request, "latin1");
  }

  #take(chunk: Buffer): void {
    const data = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk;
    const head = data.indexOf(HEAD_END);
    if (head === -1) {
      this.#rest = data;
      return;
    }
    const text = data.toString("latin1", 0, head);
    const length = /content-length: (\d+)/i.exec(text);
    const isWhole = length ? data.length >= head + 4 + Number(length[1]) : data.subarray(-5).equals(CHUNKS_END);
    if (!isWhole) {
      this.#rest = data;
      return;
    }
    this.#rest = Buffer.alloc(0);
    const answer = this.#onAnswer;
    this.#onAnswer = null;
    answer?.(Number(text.slice(9, 12)));
  }
}

async function run(options: LoadOptions): Promise<LoadResult> {
  const { hostname, port, host } = new URL(options.origin);
  const warmupMs = (options.warmupSeconds ?? 0.5) * 1000;
  const startAt = performance.now() + warmupMs;
  const endAt = startAt + options.seconds * 1000;
  let n = options.from ?? 0;
  const latencies: number[] = [];
  const statuses: Record<string, number> = {};
  let good = 0;
  let broken = 0;

  const head = Object.entries({ host, ...options.headers })
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join("");
  const isFixed = !options.path.includes("{n}") && !options.body?.includes("{n}");
  const make = (): string => {
    const number = String(n++);
    const body = options.body?.replaceAll("{n}", number) ?? "";
    const length = options.body === undefined ? "" : `content-length: ${Buffer.byteLength(body)}\r\n`;
    return `${options.method} ${options.path.replaceAll("{n}", number)} HTTP/1.1\r\n${head}${length}\r\n${body}`;
  };
  const fixed = isFixed ? make() : "";
  const next = isFixed ? () => fixed : make;

  const count = (status: number, beganAt: number): void => {
    const now = performance.now();
    if (beganAt < startAt || beganAt > endAt) return;
    statuses[status] = (statuses[status] ?? 0) + 1;
    const tookMs = now - beganAt;
    if (status >= 200 && status < 300) {
      if (tookMs <= (options.withinMs ?? Infinity)) good++;
      latencies.push(tookMs);
    }
  };

  if (options.perSecond === undefined) {
    await Promise.all(
      Array.from({ length: options.connections }, () => {
        const { promise, resolve } = Promise.withResolvers<void>();
        const open = (): void => {
          const connection = new Connection(hostname, Number(port), () => {
            if (performance.now() >= endAt) return resolve();
            broken++;
            setTimeout(open, 10);
          });
          const loop = (): void => {
            if (performance.now() >= endAt) {
              connection.socket.destroy();
              return resolve();
            }
            const beganAt = performance.now();
            connection.ask(next(), (status) => {
              count(status, beganAt);
              loop();
            });
          };
          loop();
        };
        open();
        return promise;
      }),
    );
  } else {
    await openLoop(options.perSecond, hostname, Number(port), endAt, next, count, () => broken++);
  }
  latencies.sort((a, b) => a - b);
  const at = (share: number): number => latencies[Math.floor(latencies.length * share)] ?? Number.NaN;
  return { perSecond: good / options.seconds, p50: at(0.5), p99: at(0.99), good, statuses, broken };
}

/** Idle connections are used again; when all are busy another is opened. */
async function openLoop(
  perSecond: number,
  host: string,
  port: number,
  endAt: number,
  next: () => string,
  count: (status: number, beganAt: number) => void,
  onBroken: () => void,
): Promise<void> {
  const idle: Connection[] = [];
  const all = new Set<Connection>();
  const beganAt = performance.now();
  let begun = 0;
  const begin = (): void => {
    const askedAt = performance.now();
    let connection = idle.pop();
    if (!connection) {
      if (all.size >= 8000) return;
      const opened: Connection = new Connection(host, port, () => {
        all.delete(opened);
        const at = idle.indexOf(opened);
        if (at !== -1) idle.splice(at, 1);
        if (performance.now() < endAt) onBroken();
      });
      all.add(opened);
      connection = opened;
    }
    const used = connection;
    used.ask(next(), (status) => {
      count(status, askedAt);
      idle.push(used);
    });
  };
  while (performance.now() < endAt) {
    const due = ((performance.now() - beganAt) / 1000) * perSecond;
    while (begun < due) {
      begin();
      begun++;
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await new Promise((resolve) => setTimeout(resolve, 1000));
  for (const { socket } of all) socket.destroy();
}

if (send !== undefined && argv[2] !== undefined) {
  const result = await run(JSON.parse(argv[2]) as LoadOptions);
  process.send!(result, () => process.exit(0));
}
