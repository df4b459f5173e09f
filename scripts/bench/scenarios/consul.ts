/** Discovery as Consul's clients ask for it: stale reads, default reads, and thousands that wait. */
import { connect } from "node:net";
import type { Row } from "../measure.ts";
import { compare, load, median, ratioRow } from "../measure.ts";
import type { LoadOptions } from "../load.ts";
import type { BenchOptions } from "../scenarios.ts";
import { Holdfast, startYardsticks } from "../servers.ts";

const ROUNDS = 5;
const CONNECTIONS = 64;

const get = (
  holdfast: { origin: string; headers?: Record<string, string> },
  path: string,
  seconds: number,
): LoadOptions => ({
  origin: holdfast.origin,
  method: "GET",
  path,
  headers: holdfast.headers ?? {},
  connections: CONNECTIONS,
  seconds,
});

/** The service that is asked for has ten instances, among ten thousand others. */
async function withServices(): Promise<Holdfast> {
  const holdfast = await Holdfast.start();
  await holdfast.fill("default", 10_000, 100);
  await holdfast.fill("default", 10, 10, undefined, "asked");
  return holdfast;
}

export async function consulHealthStale({ seconds }: BenchOptions): Promise<Row[]> {
  await using yardsticks = await startYardsticks("");
  await using holdfast = await withServices();
  const subject = get(holdfast, "/v1/health/service/asked0?passing&stale", seconds);
  const compared = await compare(
    ROUNDS,
    () => load(subject),
    () => load(get(yardsticks, "/empty", seconds)),
  );
  return [ratioRow("consul-health-stale", compared, "empty Worker", 0.7)];
}

export async function consulHealth({ seconds }: BenchOptions): Promise<Row[]> {
  await using yardsticks = await startYardsticks("");
  await using holdfast = await withServices();
  const subject = get(holdfast, "/v1/health/service/asked0?passing", seconds);
  const compared = await compare(
    ROUNDS,
    () => load(subject),
    () => load(get(yardsticks, "/rpc", seconds)),
  );
  return [ratioRow("consul-health", compared, "no-op RPC", 0.8)];
}

const WAITING = 5000;
const SERVICES = 500;
const CHANGES = 20;

/** Ten wait for each of 500 services; a change of one wakes its own ten, and nobody else. */
export async function consulBlocking(): Promise<Row[]> {
  await using holdfast = await Holdfast.start();
  await holdfast.fill("default", SERVICES, 1);
  const indexes = await Promise.all(
    Array.from({ length: SERVICES }, async (_, at) => {
      const response = await holdfast.ask("GET", `/v1/health/service/s${at}`);
      await response.arrayBuffer();
      return response.headers.get("x-consul-index")!;
    }),
  );
  const waiters = Array.from({ length: WAITING }, (_, at) => new Waiter(holdfast, at % SERVICES));
  await Promise.all(waiters.map((waiter) => waiter.ask(indexes[waiter.service]!)));
  // All of them have to be waiting before the first change.
  while ((await waitersOf(holdfast)) < WAITING) await new Promise((resolve) => setTimeout(resolve, 50));
  const delays: number[] = [];
  for (let change = 0; change < CHANGES; change++) {
    const service = change * 7;
    const own = waiters.filter((waiter) => waiter.service === service);
    const woken = own.map((waiter) => waiter.answer);
    const beganAt = performance.now();
    const address = { address: "192.0.2.200", port: change + 1 };
    await (
      await holdfast.ask("PUT", holdfast.path("default", `/services/s${service}/instances/i${service}`), address)
    ).arrayBuffer();
    for (const at of await Promise.all(woken)) delays.push(at - beganAt);
  }
  const extra = waiters.filter((waiter) => waiter.isWoken).length - (CHANGES * WAITING) / SERVICES;
  for (const waiter of waiters) waiter.end();
  delays.sort((a, b) => a - b);
  const p99 = Math.round(delays[Math.floor(delays.length * 0.99)]!);
  return [
    {
      name: "consul-blocking",
      value: p99,
      unit: "ms p99",
      yardstick: `${WAITING} wait; median ${Math.round(median(delays))} ms; ${extra} woken for nothing`,
      ratio: null,
      goal: "< 250",
      pass: p99 < 250 && extra === 0,
    },
  ];
}

async function waitersOf(holdfast: Holdfast): Promise<number> {
  const response = await holdfast.ask("GET", holdfast.path("default", "/status"));
  return ((await response.json()) as { waiters: number }).waiters;
}

/** One connection, one waiting request: a plain socket, because thousands of them share this process. */
class Waiter {
  readonly service: number;
  readonly #socket: ReturnType<typeof connect>;
  readonly #host: string;
  readonly #token: string;
  readonly #answer = Promise.withResolvers<number>();
  isWoken = false;

  constructor(holdfast: Holdfast, service: number) {
    const { hostname, port, host } = new URL(holdfast.origin);
    this.service = service;
    this.#host = host;
    this.#token = holdfast.headers.authorization;
    this.#socket = connect(Number(port), hostname);
    this.#socket.on("error", () => {});
    this.#socket.once("data", () => {
      this.isWoken = true;
      this.#answer.resolve(performance.now());
    });
  }

  /** When the answer came. */
  get answer(): Promise<number> {
    return this.#answer.promise;
  }

  ask(index: string): Promise<void> {
    const head = `GET /v1/health/service/s${this.service}?index=${index}&wait=5m HTTP/1.1\r\nhost: ${this.#host}\r\n`;
    return new Promise((resolve) => {
      this.#socket.write(`${head}authorization: ${this.#token}\r\n\r\n`, () => resolve());
    });
  }

  end(): void {
    this.#socket.destroy();
  }
}
