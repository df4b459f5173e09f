import { setTimeout } from "node:timers/promises";
import { beforeAll, expect, test, vi } from "vitest";
import { Gate } from "../../../workers/request/admission.ts";
import { Line } from "../../../workers/request/line.ts";

// The runtime's own; the clock is the test's.
beforeAll(() => void vi.stubGlobal("scheduler", { wait: (ms: number) => setTimeout(ms) }));

/** A line with so many who want a place, and what has become of them. */
function queued(gate: Gate, count: number): { line: Line; entered: number[]; all: Promise<number>[] } {
  const line = new Line();
  const entered: number[] = [];
  const all = Array.from({ length: count }, async (_, n) => {
    const period = await line.enter(gate);
    entered.push(n);
    return period;
  });
  return { line, entered, all };
}

test("takes a part of the places at once, and the others as they come free, in order", async () => {
  const gate = new Gate();
  const { line, entered, all } = queued(gate, 60);
  const periods = await Promise.all(all.slice(0, 48));
  expect(entered).toEqual(Array.from({ length: 48 }, (_, n) => n));
  expect(gate.isFull(Date.now())).toBe(false);
  for (const period of periods) {
    gate.leave(period, Date.now());
    line.leave();
  }
  await Promise.all(all);
  expect(entered).toEqual(Array.from({ length: 60 }, (_, n) => n));
});

test("waits where others have filled the gate", async () => {
  const gate = new Gate();
  const period = gate.enter(Date.now());
  while (!gate.isFull(Date.now())) gate.enter(Date.now());
  const { entered, all } = queued(gate, 1);
  await setTimeout(0);
  expect(entered).toEqual([]);
  gate.leave(period, Date.now());
  await Promise.all(all);
  expect(entered).toEqual([0]);
});
