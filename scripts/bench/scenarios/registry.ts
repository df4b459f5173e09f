/** Heartbeats, and how fast a change reaches those who wait for it or ask for it. */
import type { Row } from "../measure.ts";
import { load, median } from "../measure.ts";
import type { BenchOptions } from "../scenarios.ts";
import { Holdfast } from "../servers.ts";
import { Watchers } from "../watchers.ts";

export async function heartbeats({ seconds }: BenchOptions): Promise<Row[]> {
  await using holdfast = await Holdfast.start();
  await holdfast.fill("beat", 10_000, 100, 600);
  const instances = Array.from({ length: 100 }, (_, at) => ({ service: `s${at}`, id: `i${at * 100}` }));
  const result = await load({
    origin: holdfast.origin,
    method: "POST",
    path: holdfast.path("beat", "/heartbeats"),
    headers: holdfast.headers,
    body: JSON.stringify({ instances }),
    connections: 16,
    seconds: seconds * 2,
  });
  const value = Math.round(result.perSecond * 100);
  const goal = 100_000;
  return [
    {
      name: "heartbeats",
      value,
      unit: "1/s",
      yardstick: "in batches of 100",
      ratio: value / goal,
      goal: `>= ${goal}`,
      pass: value >= goal,
    },
  ];
}

export async function watchFanout(): Promise<Row[]> {
  await using holdfast = await Holdfast.start();
  const watchers = 1000;
  const changes = 20;
  const delays: number[] = [];
  let wroteAt = 0;
  let arrived = 0;
  let all = Promise.withResolvers<void>();
  const onChange = (): void => {
    delays.push(performance.now() - wroteAt);
    if (++arrived === watchers) all.resolve();
  };
  using _watchers = await Watchers.open(holdfast, holdfast.path("fan", "/watch?prefix=x/"), watchers, onChange);
  for (let change = 0; change < changes; change++) {
    arrived = 0;
    all = Promise.withResolvers();
    wroteAt = performance.now();
    await (await holdfast.ask("PUT", holdfast.path("fan", "/kv/x/a"), String(change))).arrayBuffer();
    await all.promise;
  }
  delays.sort((a, b) => a - b);
  const p99 = Math.round(delays[Math.floor(delays.length * 0.99)]!);
  const isWhole = delays.length === watchers * changes;
  return [
    {
      name: "watch-fanout",
      value: p99,
      unit: "ms p99",
      yardstick: `median ${Math.round(median(delays))} ms; ${delays.length} of ${watchers * changes} delivered`,
      ratio: null,
      goal: "< 250",
      pass: isWhole && p99 < 250,
    },
  ];
}

export async function changeVisible(): Promise<Row[]> {
  await using holdfast = await Holdfast.start();
  const path = holdfast.path("default", "/services/web/instances/a");
  const delays: number[] = [];
  await (await holdfast.ask("PUT", path, { address: "192.0.2.1", port: 1 })).arrayBuffer();
  for (let weight = 2; weight < 102; weight++) {
    await (await holdfast.ask("PATCH", path, { weight })).arrayBuffer();
    const beganAt = performance.now();
    for (;;) {
      const response = await holdfast.ask("GET", holdfast.path("default", "/resolve/web"));
      const { instances } = (await response.json()) as { instances: { weight: number }[] };
      if (instances[0]?.weight === weight) break;
    }
    delays.push(performance.now() - beganAt);
  }
  const value = Number(median(delays).toFixed(1));
  return [
    {
      name: "change-visible",
      value,
      unit: "ms p50",
      yardstick: `longest of ${delays.length}: ${Math.max(...delays).toFixed(1)} ms`,
      ratio: null,
      goal: "<= 50",
      pass: value <= 50,
    },
  ];
}
