import { beforeEach, describe, expect, test } from "vitest";
import type { Coordinate } from "../../../objects/coordinates/vivaldi.ts";
import { distance, ORIGIN } from "../../../objects/coordinates/vivaldi.ts";
import { codeOf, World } from "../fixture.ts";

const at = (x: number, overrides: Partial<Coordinate> = {}): Coordinate => ({
  ...ORIGIN,
  vec: [x, 0, 0, 0, 0, 0, 0, 0],
  ...overrides,
});

describe("distance", () => {
  test.each([
    [at(0, { height: 0 }), at(0.03, { height: 0 }), 0.03],
    [at(0, { height: 0.01 }), at(0.03, { height: 0.02 }), 0.06],
    [at(0, { height: 0, adjustment: 0.01 }), at(0.03, { height: 0, adjustment: 0.02 }), 0.06],
    // An adjustment that would make it negative is left out.
    [at(0, { height: 0, adjustment: -0.1 }), at(0.03, { height: 0 }), 0.03],
  ])("case %#", (a, b, seconds) => {
    expect(distance(a, b)).toBeCloseTo(seconds, 9);
    expect(distance(b, a)).toBeCloseTo(seconds, 9);
  });
});

describe("coordinates of nodes", () => {
  let world: World;
  beforeEach(() => {
    world = new World();
    for (const name of ["Near", "far", "lost"]) {
      world.run("registry.apply", [{ type: "node.put", node: { name, address: "192.0.2.1" } }]);
    }
  });
  const update = (node: string, coordinate: Coordinate, segment = "") => ({ node, segment, coordinate });
  const near = (node: string, ...others: string[]) =>
    world.core.query("coordinates.near", { node, others }, world.now).distances;

  test("the latest counts, the same again is no change, an unknown node is left out", () => {
    const updates = [update("near", at(1)), update("near", at(2)), update("nobody", at(3))];
    expect(world.run("coordinates.update", updates)).toEqual({ applied: 1 });
    expect(world.core.query("coordinates.of", { node: "NEAR" }, world.now)).toEqual([
      { node: "Near", segment: "", coordinate: at(2) },
    ]);
    const { revision } = world.core;
    expect(world.run("coordinates.update", [update("Near", at(2))])).toEqual({ applied: 0 });
    expect(world.core.revision).toBe(revision);
  });

  test("distances in the order asked for; none without a coordinate of its own, or in other segments", () => {
    world.run("coordinates.update", [update("near", at(0)), update("far", at(0.5)), update("lost", at(0), "other")]);
    const [far, lost, self] = near("near", "far", "lost", "near")!;
    expect(far).toBeCloseTo(0.5, 3);
    expect(lost).toBeNull();
    expect(self).toBeCloseTo(0, 3);
    expect(near("nobody", "far")).toBeNull();
  });

  test("they go with their node", () => {
    world.run("coordinates.update", [update("far", at(1))]);
    world.run("registry.apply", [{ type: "node.delete", name: "FAR" }]);
    expect(world.core.query("coordinates.list", {}, world.now).coordinates).toEqual([]);
  });

  test.each([
    ["too few dimensions", { ...ORIGIN, vec: [0] }],
    ["no number", { ...ORIGIN, height: Number.NaN }],
  ])("%s is refused", (_what, coordinate) => {
    expect(codeOf(() => world.run("coordinates.update", [update("near", coordinate)]))).toBe("invalid_argument");
  });
});
