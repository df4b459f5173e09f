/** Counters: 64 bits, whole numbers, and nothing drawn twice. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { codeOf, World } from "../fixture.ts";

const MIN = -(2n ** 63n);
const MAX = 2n ** 63n - 1n;

test("adds as 64-bit numbers do, and refuses what does not fit", () => {
  const number = fc.bigInt({ min: MIN, max: MAX });
  fc.assert(
    fc.property(number, fc.array(number, { maxLength: 8 }), (start, deltas) => {
      const world = new World();
      world.run("counter.set", { name: "c", value: String(start) });
      let value = start;
      for (const delta of deltas) {
        const fits = value + delta >= MIN && value + delta <= MAX;
        const code = codeOf(() => world.run("counter.add", { name: "c", delta: String(delta) }));
        expect(code).toBe(fits ? "none" : "invalid_argument");
        if (fits) value += delta;
        expect(world.core.query("counter.get", { name: "c" }, world.now).value).toBe(String(value));
      }
    }),
    { numRuns: 40 },
  );
});

test("a sequence gives each number once, over crashes as well", () => {
  const world = new World();
  const drawn: bigint[] = [];
  for (const count of [1, 3, 2]) {
    const { first, last } = world.run("counter.next", { name: "c", count });
    for (let number = BigInt(first); number <= BigInt(last); number++) drawn.push(number);
    world.crash();
  }
  expect(drawn).toEqual([1n, 2n, 3n, 4n, 5n, 6n]);
});

test("is set and deleted only at the revision that was told", () => {
  const world = new World();
  const set = (value: string, cas?: number) => world.run("counter.set", { name: "c", value, cas });
  expect(codeOf(() => set("5", 1))).toBe("conflict");
  const { modRevision } = set("5", 0);
  expect(codeOf(() => set("6", 0))).toBe("conflict");
  expect(set("6", modRevision).value).toBe("6");
  expect(codeOf(() => world.run("counter.delete", { name: "c", cas: modRevision }))).toBe("conflict");
  expect(world.run("counter.delete", { name: "c" })).toEqual({ existed: true });
  expect(world.core.query("counter.get", { name: "c" }, world.now)).toMatchObject({ value: "0", modRevision: 0 });
});

test("what is no such number is refused by name", () => {
  const world = new World();
  for (const value of ["", "1.5", "0x1", "01", "-0", "1e3", " 1", String(MAX + 1n), String(MIN - 1n)])
    expect(codeOf(() => world.run("counter.set", { name: "c", value }))).toBe("invalid_argument");
  for (const count of [0, -1, 1.5, 1_000_001])
    expect(codeOf(() => world.run("counter.next", { name: "c", count }))).toBe("invalid_argument");
});
