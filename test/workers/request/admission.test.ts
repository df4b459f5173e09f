import { expect, test } from "vitest";
import { Gate } from "../../../workers/request/admission.ts";

/** A second of an object that answers `perSecond`, with so many callers who ask again at once. */
function second(gate: Gate, startAt: number, perSecond: number, callers: number): void {
  const inside: number[] = [];
  const fill = (nowAt: number): void => {
    while (inside.length < callers && !gate.isFull(nowAt)) inside.push(gate.enter(nowAt));
  };
  for (let n = 1; n <= perSecond; n++) {
    const nowAt = startAt + (n * 1000) / perSecond;
    fill(nowAt);
    gate.leave(inside.shift()!, nowAt);
  }
  for (const entered of inside) gate.leave(entered, startAt + 1000);
}

function limitAfter(perSecond: number, callers: number): number {
  const gate = new Gate();
  for (let at = 0; at < 5; at++) second(gate, 1_000_000 + at * 1000, perSecond, callers);
  return gate.limit;
}

test("a slow object that is full has as many places as it answers in a quarter of a second", () => {
  expect(limitAfter(100, 1000)).toBeGreaterThanOrEqual(25);
  expect(limitAfter(100, 1000)).toBeLessThan(35);
  expect(limitAfter(4, 1000)).toBe(8);
});

test("a fast one has what it answers in a tenth of a second; one that nobody fills keeps its places for a burst", () => {
  expect(limitAfter(5000, 1000)).toBeGreaterThanOrEqual(500);
  expect(limitAfter(100_000, 5000)).toBe(2000);
  expect(limitAfter(5, 1)).toBe(64);
  expect(limitAfter(300, 64)).toBe(64);
});

test("a gate that was narrow is wide again when the object is fast again", () => {
  const gate = new Gate();
  for (let at = 0; at < 3; at++) second(gate, 1_000_000 + at * 1000, 10, 1000);
  expect(gate.limit).toBe(8);
  for (let at = 3; at < 6; at++) second(gate, 1_000_000 + at * 1000, 2000, 1000);
  expect(gate.limit).toBeGreaterThanOrEqual(200);
});

test("no more are let in than there are places, and the refusal can be repeated", () => {
  const gate = new Gate();
  const entered = Array.from({ length: 64 }, () => gate.enter(1));
  expect(gate.isFull(1)).toBe(true);
  expect(() => gate.enter(1)).toThrow("too many requests");
  gate.leave(entered[0]!, 1);
  expect(gate.isFull(1)).toBe(false);
});

test("a place that was never given back is free again after half a minute, and counts once", () => {
  const gate = new Gate();
  const entered = Array.from({ length: 64 }, () => gate.enter(0));
  expect(gate.isFull(15_000)).toBe(true);
  expect(gate.isFull(30_000)).toBe(false);
  for (let n = 0; n < 64; n++) gate.enter(30_000);
  for (const one of entered) gate.leave(one, 30_001);
  expect(gate.isFull(30_001)).toBe(true);
});
