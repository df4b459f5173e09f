/** Deadlines against a list that is looked through: whatever is set, moved and removed, the same is due. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Deadline } from "../../../objects/leases/deadlines.ts";
import { Deadlines } from "../../../objects/leases/deadlines.ts";

const name = fc.nat({ max: 120 }).map((n) => `lease\0${n}`);
const step = fc.oneof(
  { weight: 5, arbitrary: fc.record({ type: fc.constant("set"), name, ms: fc.integer({ min: 1, max: 50 }) }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constantFrom("remove", "renew"), name, ms: fc.constant(0) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("postpone"), name, ms: fc.integer({ min: 1, max: 50 }) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("pass"), name, ms: fc.integer({ min: 1, max: 60 }) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("extend"), name, ms: fc.constant(0) }) },
  { weight: 4, arbitrary: fc.record({ type: fc.constant("lapse"), name, ms: fc.integer({ min: 1, max: 8 }) }) },
);

test("what is handed out is due and still there, and all of it comes", () => {
  const property = fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
    const deadlines = new Deadlines();
    let now = 0;
    const isDue = ({ deadlineAt }: Deadline): boolean => deadlineAt <= now;
    for (const { type, name: key, ms } of steps) {
      if (type === "set") deadlines.set({ key, kind: "lease", ttlMs: ms, sinceAt: now });
      else if (type === "remove") deadlines.remove(key);
      else if (type === "renew") deadlines.renew(key, now);
      else if (type === "pass") now += ms;
      else if (type === "extend") deadlines.extend(now);
      else if (type === "postpone") {
        const entry = deadlines.get(key);
        if (entry) deadlines.postpone(entry, now + ms);
      } else {
        const all = [...deadlines.values()];
        const found = deadlines.due(now, ms);
        expect(new Set(found).size).toBe(found.length);
        for (const entry of found) expect(deadlines.get(entry.key)).toBe(entry);
        expect(found.every(isDue)).toBe(true);
        expect(found.length > 0).toBe(all.some(isDue));
        // What is handed out and not removed comes again.
        for (const entry of found.slice(1)) deadlines.remove(entry.key);
      }
      const earliestAt = Math.min(...[...deadlines.values()].map(({ deadlineAt }) => deadlineAt));
      const nextAt = deadlines.nextAt();
      if (earliestAt === Infinity) expect(nextAt).toBeNull();
      else if (earliestAt > now) expect(nextAt).toBe(earliestAt);
      else expect(nextAt).toBeLessThanOrEqual(now);
    }
    const left = [...deadlines.values()].filter(isDue).length;
    let count = 0;
    for (let found = deadlines.due(now, 7); found.length > 0; found = deadlines.due(now, 7)) {
      for (const { key } of found) deadlines.remove(key);
      count += found.length;
    }
    expect(count).toBe(left);
  });
  fc.assert(property, { numRuns: 300 });
});

describe("thousands that are due together", () => {
  const set = (deadlines: Deadlines, n: number, atMs: number): void =>
    deadlines.set({ key: `lease\0${String(n).padStart(5, "0")}`, kind: "lease", ttlMs: atMs, sinceAt: 0 });

  test("come in the order of their keys, whatever the order of their deadlines", () => {
    const deadlines = new Deadlines();
    for (let n = 0; n < 1000; n++) set(deadlines, n, 1 + ((n * 7919) % 1000));
    const keys: string[] = [];
    for (let found = deadlines.due(1000, 100); found.length > 0; found = deadlines.due(1000, 100)) {
      keys.push(...found.map(({ key }) => key));
      for (const { key } of found) deadlines.remove(key);
    }
    expect(keys).toHaveLength(1000);
    expect(keys).toEqual(keys.toSorted());
  });

  test("are not overtaken by what becomes due later", () => {
    const deadlines = new Deadlines();
    for (let n = 1000; n < 2000; n++) set(deadlines, n, 10);
    expect(deadlines.due(10, 100)).toHaveLength(100);
    for (let n = 0; n < 1000; n++) set(deadlines, n, 20);
    for (let left = 1000; left > 0; left -= 100) {
      for (const { key } of deadlines.due(20, 100)) {
        expect(key >= "lease\x0001000").toBe(true);
        deadlines.remove(key);
      }
    }
    expect(deadlines.due(20, 2000)).toHaveLength(1000);
  });

  test("stay where they are when they are renewed meanwhile", () => {
    const deadlines = new Deadlines();
    for (let n = 0; n < 100; n++) set(deadlines, n, 10);
    expect(deadlines.due(10, 10)).toHaveLength(10);
    for (let n = 0; n < 100; n++) deadlines.renew(`lease\0${String(n).padStart(5, "0")}`, 10);
    expect(deadlines.due(10, 10)).toEqual([]);
    expect(deadlines.nextAt()).toBe(20);
  });
});
