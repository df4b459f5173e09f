/** Elections: who leads, when, and what the record of leaders says. Rules E1 to E4. */
import fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import type { Candidate, Leader } from "../../../objects/elections/elections.ts";
import { leaderIn, leaderRange } from "../../../objects/elections/elections.ts";
import { CALLER } from "../store/memory.ts";
import { codeOf, World } from "../fixture.ts";

let world: World;
beforeEach(() => {
  world = new World();
});

const NAME = "e";
const campaign = (owner: string, value = owner, ttlMs = 10_000): Candidate =>
  world.run("election.campaign", { name: NAME, owner, value, ttlMs, wait: true })!;
const leader = (): Leader | null => world.core.query("election.leader", { name: NAME }, world.now);
const resign = (owner: string, token = leader()!.token) => world.run("election.resign", { name: NAME, owner, token });
const proclaim = (owner: string, value: string, token = leader()!.token) =>
  world.run("election.proclaim", { name: NAME, owner, token, value });

/** As an observer from the beginning is told. */
function told(): (string | null)[] {
  const { events } = world.core.changes({ since: 0, ranges: [leaderRange(NAME)] });
  return events.map(({ record }) => record && leaderIn(record).value);
}

describe("leadership", () => {
  test("is the first candidate's, and the next one's in the commit in which it ends (E1, E4)", () => {
    const a = campaign("a");
    expect(leader()).toMatchObject({ owner: "a", token: a.token });
    expect(campaign("b").token).toBeNull();
    campaign("c");
    const { successor } = resign("a");
    expect(successor).toMatchObject({ owner: "b", token: world.core.revision });
    world.pass(10_000);
    expect(leader()).toBeNull();
  });

  test("changes hands when its lease lapses", () => {
    campaign("a", "a", 2000);
    campaign("b", "b", 60_000);
    world.pass(2000);
    expect(leader()).toMatchObject({ owner: "b", token: world.core.revision });
  });

  test("only the present token proclaims and resigns (E3)", () => {
    const { token } = campaign("a");
    campaign("b");
    resign("a");
    expect(codeOf(() => proclaim("a", "late", token!))).toBe("fenced");
    expect(codeOf(() => resign("a", token!))).toBe("fenced");
    expect(codeOf(() => proclaim("b", "early", token!))).toBe("fenced");
    expect(proclaim("b", "news").value).toBe("news");
    expect(leader()!.value).toBe("news");
  });

  test("whoever leads and campaigns again says something else, under the same token", () => {
    const { token } = campaign("a");
    expect(campaign("a", "other")).toMatchObject({ token, value: "other" });
    expect(leader()).toMatchObject({ token, value: "other" });
    resign("a");
    expect(leader()).toBeNull();
  });

  test("a candidate who waits says what it will say", () => {
    campaign("a");
    campaign("b", "old");
    campaign("b", "new");
    resign("a");
    expect(leader()!.value).toBe("new");
  });

  test("observers are told of leaders only, in order, and of the last (E2)", () => {
    campaign("a");
    campaign("b");
    world.run("election.withdraw", { name: NAME, owner: "b" });
    campaign("c");
    proclaim("a", "a2");
    proclaim("a", "a2");
    resign("a");
    resign("c");
    expect(told()).toEqual(["a", "a2", "c", null]);
  });

  test("is nobody's after a restore", () => {
    const { token } = campaign("a");
    const { records } = world.core.store.snapshotPage(world.core.revision, null, 1_000_000);
    world.core.backend.stageBegin();
    world.core.backend.stage(records);
    world.core.restore(world.core.revision + 5, { namespace: "x", revision: 1 }, CALLER, world.now);
    world.crash();
    expect(leader()).toBeNull();
    expect(codeOf(() => proclaim("a", "x", token!))).toBe("fenced");
    expect(campaign("b").token).toBeGreaterThan(token!);
  });

  test("values are texts of bounded length", () => {
    expect(codeOf(() => campaign("a", "x".repeat(65_537)))).toBe("too_large");
    expect(codeOf(() => campaign("a", "\ud800"))).toBe("invalid_argument");
  });
});

test("whatever happens, the record of the leader is the one who holds the election", () => {
  const owner = fc.constantFrom("a", "b", "c");
  const step = fc.oneof(
    fc.record({ type: fc.constantFrom("campaign", "resign", "withdraw", "proclaim"), owner }),
    fc.record({ type: fc.constantFrom("pass", "crash"), owner }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40, size: "max" }), (steps) => {
      world = new World();
      let last = 0;
      for (const { type, owner } of steps) {
        if (type === "campaign") campaign(owner, `${owner}${world.core.revision}`, 3000);
        else if (type === "withdraw") world.run("election.withdraw", { name: NAME, owner });
        else if (type === "pass") world.pass(1100);
        else if (type === "crash") world.crash();
        else if (leader()) codeOf(() => (type === "resign" ? resign(owner) : proclaim(owner, String(world.now))));
        const found = leader();
        const holds = ["a", "b", "c"]
          .map((name) => world.core.query("election.candidate", { name: NAME, owner: name }, world.now))
          .filter((candidate) => candidate !== null && candidate.token !== null);
        expect(holds.map((candidate) => [candidate!.owner, candidate!.token, candidate!.value])).toEqual(
          found ? [[found.owner, found.token, found.value]] : [],
        );
        if (found) expect(found.token).toBeGreaterThanOrEqual(last);
        last = found?.token ?? last;
      }
    }),
    { numRuns: 40 },
  );
});
