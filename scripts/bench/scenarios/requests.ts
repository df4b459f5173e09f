/** Requests a second at 64 connections, beside a Worker that does next to nothing. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { startEtcd } from "../etcd.ts";
import type { LoadOptions } from "../load.ts";
import type { Row } from "../measure.ts";
import { compare, compareAll, load, ratioRow } from "../measure.ts";
import type { BenchOptions } from "../scenarios.ts";
import { Holdfast, startYardsticks } from "../servers.ts";

const ROUNDS = 5;
const CONNECTIONS = 64;

export async function resolve({ seconds }: BenchOptions): Promise<Row[]> {
  await using yardsticks = await startYardsticks("");
  await using holdfast = await Holdfast.start();
  await holdfast.fill("large", 100_000, 100);
  const empty = get(yardsticks.origin, "/empty", seconds, {});
  // The namespace is ten thousand times as large; the service that is asked for has ten instances in both.
  const sizes = { small: 10, large: 100_000 };
  for (const namespace of Object.keys(sizes)) await holdfast.fill(namespace, 10, 10, undefined, "asked");
  const subjects = Object.keys(sizes).map((namespace) =>
    get(holdfast.origin, holdfast.path(namespace, "/resolve/asked0"), seconds, holdfast.headers),
  );
  // In the same rounds: what differs between them is then the size, not the minute they were measured in.
  const compared = await compareAll(
    ROUNDS,
    subjects.map((subject) => () => load(subject)),
    () => load(empty),
  );
  return Object.values(sizes).map((size, at) => ratioRow(`resolve-${size}`, compared[at]!, "empty Worker", 0.75));
}

export async function kvPut({ seconds }: BenchOptions): Promise<Row[]> {
  await using yardsticks = await startYardsticks("");
  await using holdfast = await Holdfast.start();
  let round = 0;
  const subject = (): LoadOptions => ({
    ...get(holdfast.origin, holdfast.path("bench", "/kv/key-{n}"), seconds, holdfast.headers),
    method: "PUT",
    body: "a value of some thirty bytes {n}",
    from: 1_000_000 * ++round,
  });
  const rpc = {
    ...get(yardsticks.origin, "/rpc", seconds, {}),
    method: "PUT",
    body: "a value of some thirty bytes {n}",
  };
  const rows = [
    ratioRow(
      "kv-put",
      await compare(
        ROUNDS,
        () => load(subject()),
        () => load(rpc),
      ),
      "no-op RPC",
      0.8,
    ),
  ];
  const etcd = await startEtcd();
  if (etcd === null) return rows;
  const key = Buffer.from("key").toString("base64");
  const put = {
    ...get(etcd.origin, "/v3/kv/put", seconds, {}),
    method: "POST",
    body: `{"key":"${key}","value":"${key}"}`,
  };
  try {
    rows.push(
      ratioRow(
        "kv-put-etcd",
        await compare(
          3,
          () => load(subject()),
          () => load(put),
        ),
        "etcd JSON put",
        null,
      ),
    );
  } finally {
    etcd.stop();
  }
  return rows;
}

export async function register({ seconds }: BenchOptions): Promise<Row[]> {
  await using yardsticks = await startYardsticks("");
  await using holdfast = await Holdfast.start();
  const body = '{"address":"192.0.2.1","port":8080,"ttl":60,"tags":["v1"]}';
  let round = 0;
  const subject = (): LoadOptions => ({
    ...get(holdfast.origin, holdfast.path("bench", "/services/web/instances/i{n}"), seconds, holdfast.headers),
    method: "PUT",
    body,
    from: 1_000_000 * ++round,
  });
  const rpc = { ...get(yardsticks.origin, "/rpc", seconds, {}), method: "PUT", body };
  return [
    ratioRow(
      "register",
      await compare(
        ROUNDS,
        () => load(subject()),
        () => load(rpc),
      ),
      "no-op RPC",
      0.8,
    ),
  ];
}

export async function route({ seconds }: BenchOptions): Promise<Row[]> {
  const upstream = fork(fileURLToPath(new URL("../upstream.ts", import.meta.url)));
  const [port] = (await once(upstream, "message")) as [number];
  try {
    await using yardsticks = await startYardsticks(`http://127.0.0.1:${port}`);
    await using holdfast = await Holdfast.start();
    const instance = { address: "127.0.0.1", port };
    await (await holdfast.ask("PUT", holdfast.path("default", "/services/bench/instances/a"), instance)).arrayBuffer();
    const subject = get(holdfast.origin, "/route/bench/x", seconds, holdfast.headers);
    const pass = get(yardsticks.origin, "/x", seconds, {});
    return [
      ratioRow(
        "route",
        await compare(
          ROUNDS,
          () => load(subject),
          () => load(pass),
        ),
        "Worker with fetch",
        0.8,
      ),
    ];
  } finally {
    upstream.disconnect();
  }
}

function get(origin: string, path: string, seconds: number, headers: Record<string, string>): LoadOptions {
  return { origin, method: "GET", path, headers, connections: CONNECTIONS, seconds };
}
