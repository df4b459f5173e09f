/** Starting, memory, and what becomes of more load than can be served. */
import type { Row } from "../measure.ts";
import { load, median } from "../measure.ts";
import type { BenchOptions } from "../scenarios.ts";
import { Holdfast } from "../servers.ts";

export async function start(): Promise<Row[]> {
  const cold: number[] = [];
  const again: number[] = [];
  for (let i = 0; i < 3; i++) {
    await using holdfast = await Holdfast.start();
    cold.push(holdfast.startedMs);
    await holdfast.fill("default", 10_000, 100, 60);
    await holdfast.stop();
    await holdfast.boot();
    again.push(holdfast.startedMs);
  }
  const value = Number((median(cold) / 1000).toFixed(2));
  return [
    {
      name: "start",
      value,
      unit: "s",
      yardstick: `with 10,000 instances on disk: ${(median(again) / 1000).toFixed(2)} s`,
      ratio: null,
      goal: "< 10",
      pass: value < 10,
    },
  ];
}

export async function memory(): Promise<Row[]> {
  await using holdfast = await Holdfast.start();
  await (await holdfast.ask("GET", holdfast.path("default", "/status"))).arrayBuffer();
  const before = holdfast.memoryMb();
  await holdfast.fill("default", 100_000, 100, 600);
  const filled = holdfast.memoryMb();
  // From disk: what it needs to hold them, without what registering them took.
  await holdfast.stop();
  await holdfast.boot();
  await (await holdfast.ask("GET", holdfast.path("default", "/status"))).arrayBuffer();
  const held = Math.round(holdfast.memoryMb() - before);
  return [
    {
      name: "memory-100000",
      value: held,
      unit: "MB more",
      yardstick: `an empty one: ${Math.round(before)} MB; while registering: ${Math.round(filled)} MB`,
      ratio: null,
      goal: "< 128",
      pass: held < 128,
    },
  ];
}

/** One command takes 5 ms of the object's only thread, so what it can do is known; then twice and ten times that comes. */
export async function overload({ seconds }: BenchOptions): Promise<Row[]> {
  await using holdfast = await Holdfast.start();
  const options = {
    origin: holdfast.origin,
    method: "PUT",
    path: holdfast.path("default", "/kv/slow-{n}"),
    headers: { ...holdfast.headers, "x-holdfast-test-delay": "5" },
    body: "x",
    connections: 32,
    seconds: seconds * 2,
    withinMs: 1000,
  };
  const peak = await load(options, true);
  const rows: Row[] = [];
  for (const times of [2, 10]) {
    const result = await load({ ...options, perSecond: peak.perSecond * times, from: times * 1_000_000 }, true);
    const ratio = Number((result.perSecond / peak.perSecond).toFixed(2));
    rows.push({
      name: `overload-${times}x`,
      value: Math.round(result.perSecond),
      unit: "good/s",
      yardstick: `peak: ${Math.round(peak.perSecond)}/s; refused: ${result.statuses["503"] ?? 0}`,
      ratio,
      goal: ">= 0.85",
      pass: ratio >= 0.85,
    });
  }
  return rows;
}
