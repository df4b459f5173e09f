import { expect, test } from "vitest";
import { ResponseRateLimit } from "../../../scripts/agent/dns-rate.ts";

const take = (limit: ResponseRateLimit, source: string, count: number, nowMs: number): string[] =>
  Array.from({ length: count }, () => limit.take(source, nowMs));

test("a source may burst to a second's worth, then every second query is truncated", () => {
  const limit = new ResponseRateLimit(3);
  expect(take(limit, "a", 7, 0)).toEqual(["answer", "answer", "answer", "drop", "truncate", "drop", "truncate"]);
});

test("sources do not share", () => {
  const limit = new ResponseRateLimit(1);
  take(limit, "a", 5, 0);
  expect(take(limit, "b", 1, 0)).toEqual(["answer"]);
});

test("time fills the bucket again, up to its size", () => {
  const limit = new ResponseRateLimit(2);
  take(limit, "a", 2, 0);
  expect(take(limit, "a", 2, 500)).toEqual(["answer", "drop"]);
  expect(take(limit, "a", 3, 3_600_000)).toEqual(["answer", "answer", "truncate"]);
});

test("a flood of forged sources forgets the oldest, not the newest", () => {
  const limit = new ResponseRateLimit(1);
  for (let i = 0; i <= 10_000; i++) limit.take(`source-${i}`, 0);
  expect(limit.take("source-10000", 0)).toBe("drop");
  expect(limit.take("source-0", 0)).toBe("answer");
});
