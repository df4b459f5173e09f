/** The plan of an agent, with an edge, checks and a clock that only the test moves. */
import { expect, test } from "vitest";
import type { CheckState, UdpCheck } from "../../../../objects/model.ts";
import { NOT_RUN_YET, type Probe, type ProbeList, type ProbeResult } from "../../../../objects/probing/plan.ts";
import type { RunResult } from "../../../../objects/probing/verdict.ts";
import { CheckRunner, type CheckSource, type Clock } from "../../../../scripts/agent/checks/runner.ts";

const T0 = Date.UTC(2026, 0, 1);
type Udp = UdpCheck & CheckState;

function probe(instance: string, change: Partial<Udp> = {}): Probe<UdpCheck> {
  return {
    service: "web",
    instance,
    address: "192.0.2.1",
    check: {
      id: "c",
      name: "c",
      notes: "",
      type: "udp",
      host: "",
      port: 53,
      successThreshold: 1,
      failureThreshold: 1,
      warningThreshold: 1,
      deregisterAfterMs: null,
      intervalMs: 10_000,
      timeoutMs: 1000,
      status: "critical",
      output: NOT_RUN_YET,
      sinceAt: T0,
      ...change,
    },
  };
}

class FakeClock implements Clock {
  #now = T0;
  #timers = new Map<symbol, { at: number; act: () => void }>();

  now = (): number => this.#now;

  after(ms: number, act: () => void): () => void {
    const key = Symbol();
    this.#timers.set(key, { at: this.#now + ms, act });
    return () => void this.#timers.delete(key);
  }

  get waiting(): number {
    return this.#timers.size;
  }

  /** Each timer at its time, with what follows from it done before the next. */
  async pass(ms: number): Promise<void> {
    const until = this.#now + ms;
    for (;;) {
      await settled();
      const next = [...this.#timers].filter(([, { at }]) => at <= until).toSorted(([, a], [, b]) => a.at - b.at)[0];
      if (!next) break;
      this.#timers.delete(next[0]);
      this.#now = Math.max(this.#now, next[1].at);
      next[1].act();
    }
    this.#now = until;
  }
}

/** Everything that is already resolved has had its effect. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** An edge whose lists and failures the test sets, and which keeps what it is told. */
class FakeEdge implements CheckSource {
  readonly asked: number[] = [];
  readonly told: ProbeResult[][] = [];
  isDown = false;
  #list: ProbeList<UdpCheck> = { revision: 0, probes: [] };
  #changed = Promise.withResolvers<void>();

  set(...probes: Probe<UdpCheck>[]): void {
    this.#list = { revision: this.#list.revision + 1, probes };
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  async list(revision: number, signal: AbortSignal): Promise<ProbeList<UdpCheck>> {
    this.asked.push(revision);
    if (this.isDown) throw new Error("the edge is down");
    if (revision >= this.#list.revision) {
      await Promise.race([this.#changed.promise, new Promise((resolve) => signal.addEventListener("abort", resolve))]);
    }
    signal.throwIfAborted();
    return this.#list;
  }

  async report(results: ProbeResult[]): Promise<void> {
    if (this.isDown) throw new Error("the edge is down");
    this.told.push(results);
  }

  /** `instance status` of everything told since this was last asked. */
  news(): string[] {
    return this.told.splice(0).flatMap((results) => results.map(({ instance, status }) => `${instance} ${status}`));
  }
}

class World implements AsyncDisposable {
  readonly clock = new FakeClock();
  readonly edge = new FakeEdge();
  readonly troubles: string[] = [];
  readonly runs: string[] = [];
  result: RunResult = { status: "passing", output: "fine" };
  /** While set, runs do not end. */
  hold: Promise<void> | undefined;
  readonly runner = new CheckRunner({
    source: this.edge,
    clock: this.clock,
    run: async (check, address, signal) => {
      this.runs.push(`${address}:${"port" in check ? check.port : ""}`);
      await Promise.race([this.hold, new Promise((resolve) => signal.addEventListener("abort", resolve))]);
      return this.result;
    },
    onTrouble: (message) => this.troubles.push(message),
  });

  async [Symbol.asyncDispose](): Promise<void> {
    await this.runner.close();
  }
}

test("a check runs once in each interval, and only what changes is told", async () => {
  await using world = new World();
  const { clock, edge, runs } = world;
  edge.set(probe("a"), probe("b", { port: 54 }));
  await clock.pass(10_000);
  expect(runs.toSorted()).toEqual(["192.0.2.1:53", "192.0.2.1:54"]);
  expect(edge.news().toSorted()).toEqual(["a passing", "b passing"]);
  await clock.pass(30_000);
  expect([runs.length, edge.news()]).toEqual([8, []]);
  world.result = { status: "critical", output: "refused" };
  await clock.pass(10_000);
  expect(edge.news().toSorted()).toEqual(["a critical", "b critical"]);
});

test("a list that changes is taken over: new ones begin, gone ones end, the rest keeps its place", async () => {
  await using world = new World();
  const { clock, edge, runs } = world;
  edge.set(probe("a"));
  await clock.pass(10_000);
  edge.set(probe("a", { status: "passing", output: "fine" }), probe("b", { port: 54 }));
  await clock.pass(10_000);
  expect(runs.toSorted()).toEqual(["192.0.2.1:53", "192.0.2.1:53", "192.0.2.1:54"]);
  edge.set();
  await clock.pass(20_000);
  expect(runs).toHaveLength(3);
  expect(edge.asked).toEqual([0, 1, 2, 3]);
});

test("many changes in a row are asked for together", async () => {
  await using world = new World();
  const { clock, edge } = world;
  await clock.pass(0);
  for (let n = 0; n < 50; n++) {
    edge.set(probe("a", { port: n + 1 }));
    await clock.pass(10);
  }
  expect(edge.asked.length).toBeLessThan(6);
  await clock.pass(1000);
  expect(edge.asked.at(-1)).toBe(50);
});

test("a status that somebody else has set is told again", async () => {
  await using world = new World();
  const { clock, edge } = world;
  edge.set(probe("a"));
  await clock.pass(10_000);
  edge.news();
  edge.set(probe("a", { status: "critical", output: NOT_RUN_YET }));
  await clock.pass(0);
  expect(edge.news()).toEqual(["a passing"]);
});

test("without an edge the checks go on, and what they found is told when it is back; the operator hears it once", async () => {
  await using world = new World();
  const { clock, edge, runs } = world;
  edge.set(probe("a"));
  await clock.pass(10_000);
  edge.news();
  edge.isDown = true;
  edge.set(probe("a", { status: "passing", output: "fine" }));
  world.result = { status: "critical", output: "refused" };
  await clock.pass(120_000);
  expect([runs.length, edge.news(), world.troubles]).toEqual([13, [], ["the edge is down"]]);
  // Asked ever less often: at 1, 2, 4 … seconds, with the reports together.
  expect(edge.asked.length).toBeLessThan(15);
  edge.isDown = false;
  await clock.pass(30_000);
  expect(edge.news()).toEqual(["a critical"]);
});

test("an end breaks off what runs, tells nothing of it, and leaves nothing behind", async () => {
  const world = new World();
  const { clock, edge, runs } = world;
  world.hold = new Promise(() => {});
  edge.set(probe("a"));
  await clock.pass(10_000);
  expect(runs).toHaveLength(1);
  await world.runner.close();
  await settled();
  expect([edge.news(), clock.waiting]).toEqual([[], 0]);
});
