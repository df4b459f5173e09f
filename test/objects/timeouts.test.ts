import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Timeouts } from "../../objects/timeouts.ts";

beforeEach(() => vi.useFakeTimers({ now: 1_700_000_000_030 }));
afterEach(() => vi.useRealTimers());

test("a wait ends not before its time, and at most a tenth of a second after", () => {
  const timeouts = new Timeouts();
  const ended: number[] = [];
  for (const ms of [0, 1, 69, 70, 71, 500]) {
    timeouts.add(Date.now(), ms, () => ended.push(ms));
    vi.advanceTimersByTime(0);
  }
  vi.advanceTimersByTime(69);
  expect(ended).toEqual([]);
  vi.advanceTimersByTime(1);
  expect(ended).toEqual([0, 1, 69, 70]);
  vi.advanceTimersByTime(429);
  expect(ended).toEqual([0, 1, 69, 70, 71]);
  vi.advanceTimersByTime(71);
  expect(ended).toEqual([0, 1, 69, 70, 71, 500]);
});

test("what is called off does not happen, and its neighbours do", () => {
  const timeouts = new Timeouts();
  const first = vi.fn<() => void>();
  const second = vi.fn<() => void>();
  const callOff = timeouts.add(Date.now(), 50, first);
  timeouts.add(Date.now(), 50, second);
  expect(vi.getTimerCount()).toBe(1);
  callOff();
  vi.runAllTimers();
  expect(first).not.toHaveBeenCalled();
  expect(second).toHaveBeenCalledOnce();
});
