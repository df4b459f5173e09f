/** etcd's own calls, at the agent's port and at a real etcd beside it: over the JSON gateway, and over gRPC. */
import { Etcd3 } from "etcd3";
import { startEtcd } from "../etcd.ts";
import type { LoadOptions } from "../load.ts";
import type { Row } from "../measure.ts";
import { compare, load, ratioRow } from "../measure.ts";
import type { BenchOptions } from "../scenarios.ts";
import { freePort, Holdfast } from "../servers.ts";

const ROUNDS = 5;
const CLIENTS = 64;
const KEYS = 1000;
const VALUE = Buffer.alloc(100, "v");
/** Any digits are base64 too, four at a time: so many numbers have eight of them. */
const FIRST = 10_000_000;
const VALUE_BASE64 = VALUE.toString("base64");

type Target = Pick<LoadOptions, "origin" | "headers">;

export function etcdPut(options: BenchOptions): Promise<Row[]> {
  const body = `{"key":"a2V5{n}","value":"${VALUE_BASE64}"}`;
  return gateway("etcd-put", "/v3/kv/put", 1, options, () => body);
}

export function etcdRange(options: BenchOptions): Promise<Row[]> {
  return gateway("etcd-range", "/v3/kv/range", 1.5, options, async (target) => {
    for (let n = 0; n < KEYS; n++) await post(target, "/v3/kv/put", { key: keyOf(n), value: VALUE_BASE64 });
    return JSON.stringify({ key: keyOf(KEYS / 2) });
  });
}

const keyOf = (n: number): string => Buffer.from(`key-${n}`).toString("base64");

async function gateway(
  name: string,
  path: string,
  goal: number,
  { seconds }: BenchOptions,
  bodyFor: (target: Target) => string | Promise<string>,
): Promise<Row[]> {
  const port = await freePort();
  await using holdfast = await Holdfast.start(["--etcd-port", String(port), "--dns-port", "0"]);
  const agent = { origin: `http://127.0.0.1:${port}`, headers: holdfast.headers };
  const etcd = await startEtcd();
  let from = FIRST;
  const loadOn = async (target: Target): Promise<() => Promise<{ perSecond: number }>> => {
    const body = await bodyFor(target);
    const { origin, headers } = target;
    // Each round has numbers of its own.
    return () =>
      load({ origin, headers, method: "POST", path, body, connections: CLIENTS, seconds, from: (from += 1_000_000) });
  };
  try {
    const subject = await loadOn(agent);
    if (etcd === null) return [withoutEtcd(name, (await subject()).perSecond)];
    const yardstick = await loadOn({ origin: etcd.origin, headers: {} });
    return [ratioRow(name, await compare(ROUNDS, subject, yardstick), "etcd's JSON gateway", goal)];
  } finally {
    etcd?.stop();
  }
}

export async function etcdGrpcPut({ seconds }: BenchOptions): Promise<Row[]> {
  const port = await freePort();
  await using _holdfast = await Holdfast.start(["--open", "--etcd-port", String(port)]);
  const etcd = await startEtcd();
  const ours = clientsOf(`http://127.0.0.1:${port}`);
  const theirs = etcd && clientsOf(etcd.origin);
  try {
    const subject = () => puts(ours, seconds);
    if (theirs === null) return [withoutEtcd("etcd-grpc-put", (await subject()).perSecond)];
    return [
      ratioRow("etcd-grpc-put", await compare(ROUNDS, subject, () => puts(theirs, seconds)), "etcd's gRPC", null),
    ];
  } finally {
    for (const client of [...ours, ...(theirs ?? [])]) client.close();
    etcd?.stop();
  }
}

/** Each with a connection of its own: by default they would share one. */
const clientsOf = (hosts: string): Etcd3[] =>
  Array.from({ length: CLIENTS }, () => new Etcd3({ hosts, grpcOptions: { "grpc.use_local_subchannel_pool": 1 } }));

async function puts(clients: Etcd3[], seconds: number): Promise<{ perSecond: number }> {
  const endAt = performance.now() + seconds * 1000;
  let count = 0;
  await Promise.all(
    clients.map(async (client, n) => {
      while (performance.now() < endAt) {
        await client.put(`key-${n}-${count % KEYS}`).value(VALUE);
        count++;
      }
    }),
  );
  return { perSecond: count / seconds };
}

async function post({ origin, headers }: Target, path: string, body: object): Promise<void> {
  const response = await fetch(origin + path, { method: "POST", headers, body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  await response.arrayBuffer();
}

const withoutEtcd = (name: string, perSecond: number): Row => ({
  name,
  value: Math.round(perSecond),
  unit: "1/s",
  yardstick: "no etcd here",
  ratio: null,
  goal: "",
  pass: null,
});
