/** Barriers and gates: when they open, when a round is over, and who does not count. */
import { beforeEach, describe, expect, test } from "vitest";
import { phaseRange } from "../../../objects/barriers/barriers.ts";
import { codeOf, World } from "../fixture.ts";

let world: World;
beforeEach(() => {
  world = new World();
});

const enter = (owner: string, parties = 3, ttlMs = 10_000) =>
  world.run("barrier.enter", { name: "b", owner, parties, ttlMs });
const leave = (owner: string, unlessOpen = false) => world.run("barrier.leave", { name: "b", owner, unlessOpen });
const info = () => world.core.query("barrier.get", { name: "b" }, world.now);

describe("a barrier for parties", () => {
  test("opens in the commit in which the last one comes, and begins anew when the last one has left", () => {
    expect(enter("a").barrier).toMatchObject({ open: false, present: 1 });
    enter("b");
    expect(enter("c").barrier).toMatchObject({ open: true, present: 3, openRevision: world.core.revision });
    expect(codeOf(() => enter("d"))).toBe("conflict");
    leave("a");
    expect(codeOf(() => enter("a"))).toBe("conflict");
    leave("b");
    expect(leave("c").barrier).toMatchObject({ kind: null, present: 0, open: true, openRevision: null });
    expect(enter("d", 2).barrier).toMatchObject({ parties: 2, present: 1, open: false });
  });

  test("whoever comes twice counts once", () => {
    enter("a");
    expect(enter("a").barrier.present).toBe(1);
  });

  test("who leaves before it opens, or whose lease lapses, does not count", () => {
    enter("a", 3, 2000);
    enter("b", 3, 60_000);
    world.pass(2000);
    expect(info()).toMatchObject({ present: 1, owners: ["b"], open: false });
    expect(leave("a").left).toBe(false);
    expect(leave("b").left).toBe(true);
    expect(world.core.query("leases.list", {}, world.now).ids).toEqual([]);
  });

  test("a lapse after the opening is a leaving", () => {
    for (const owner of ["a", "b", "c"]) enter(owner);
    world.pass(10_000);
    expect(info()).toMatchObject({ kind: null, present: 0 });
  });

  test("giving up does not end a place at a barrier that has opened meanwhile", () => {
    enter("a", 1);
    expect(leave("a", true)).toMatchObject({ left: false, barrier: { open: true, present: 1 } });
    expect(leave("a").left).toBe(true);
  });

  test("arrivals wake nobody: the phase changes when it opens, and when it is over", () => {
    const changes = (): number => world.core.changes({ since: 0, ranges: [phaseRange("b")] }).events.length;
    enter("a");
    enter("b");
    expect(changes()).toBe(0);
    enter("c");
    leave("a");
    leave("b");
    expect(changes()).toBe(1);
    leave("c");
    expect(changes()).toBe(2);
  });

  test("is for one number of parties, of at least one", () => {
    enter("a");
    expect(codeOf(() => enter("b", 4))).toBe("conflict");
    for (const parties of [0, -1, 1.5, 10_001]) expect(codeOf(() => enter("b", parties))).toBe("invalid_argument");
  });
});

test("a gate is closed until it is opened, and is no barrier for parties", () => {
  expect(info()).toMatchObject({ kind: null, open: true });
  expect(world.run("barrier.close", { name: "b" })).toMatchObject({ kind: "gate", open: false });
  const closedAt = world.core.revision;
  world.run("barrier.close", { name: "b" });
  expect(world.core.revision).toBe(closedAt);
  expect(codeOf(() => enter("a"))).toBe("conflict");
  expect(world.run("barrier.open", { name: "b" })).toEqual({ existed: true });
  expect(world.run("barrier.open", { name: "b" })).toEqual({ existed: false });
  enter("a");
  expect(codeOf(() => world.run("barrier.close", { name: "b" }))).toBe("conflict");
  expect(codeOf(() => world.run("barrier.open", { name: "b" }))).toBe("conflict");
});
