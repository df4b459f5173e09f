import { expect, test } from "vitest";
import { RuntimeLogFilter } from "../../../scripts/serve/runtime-log.ts";

function filtered(entries: { timestamp?: number; level?: string; message?: string }[]): string[] {
  const lines: string[] = [];
  const filter = new RuntimeLogFilter((line) => lines.push(line));
  for (const entry of entries) filter.accept({ timestamp: 0, level: "error", message: "m", ...entry });
  return lines;
}

test("warnings and errors pass, the rest does not", () => {
  const levels = ["debug", "info", "log", "warn", "error"];
  expect(filtered(levels.map((level) => ({ level })))).toEqual(["edge: warn: m", "edge: error: m"]);
});

test("native stacks are left out and long messages cut", () => {
  expect(filtered([{ message: "failed: x\nstack: /bin/workerd@1 /bin/workerd@2" }])).toEqual([
    "edge: error: failed: x",
  ]);
  expect(filtered([{ message: "x".repeat(10_000) }])[0]).toHaveLength("edge: error: ".length + 500);
});

test("20 lines a second pass, and the next second tells how many did not", () => {
  const lines = filtered([...Array.from({ length: 50 }, (_, n) => ({ timestamp: n })), { timestamp: 1000 }]);
  expect(lines).toHaveLength(22);
  expect(lines.slice(-2)).toEqual(["edge: 30 further lines dropped", "edge: error: m"]);
});
