import { describe, expect, test } from "vitest";
import type { CheckState, HttpCheck } from "../../../objects/model.ts";
import { NOT_RUN_YET, PROBES_MAX, Plan, REFRESH_MS, RUNNING_MAX } from "../../../objects/probing/plan.ts";
import type { Probe, Run } from "../../../objects/probing/plan.ts";
import { intervalOf, slotAfter } from "../../../objects/probing/slots.ts";
import type { RunResult } from "../../../objects/probing/verdict.ts";

const T0 = Date.UTC(2026, 0, 1);
const MINUTE = 60_000;

function probe(instance: string, change: Partial<HttpCheck & CheckState> = {}): Probe {
  return {
    service: "web",
    instance,
    address: "10.0.0.1",
    check: {
      id: "c",
      name: "c",
      notes: "",
      type: "http",
      url: "http://10.0.0.1/",
      method: "GET",
      headers: {},
      body: "",
      redirects: true,
      intervalMs: 10_000,
      timeoutMs: 1000,
      successThreshold: 1,
      failureThreshold: 1,
      warningThreshold: change.failureThreshold ?? 1,
      deregisterAfterMs: null,
      status: "critical",
      output: "not run yet",
      sinceAt: T0,
      ...change,
    },
  };
}

const probes = (count: number, change?: Partial<HttpCheck & CheckState>): Probe[] =>
  Array.from({ length: count }, (_, i) => probe(`i${i}`, change));

const planOf = (list: Probe[], sinceAt = T0): Plan => {
  const plan = new Plan();
  plan.replace({ revision: 1, probes: list }, sinceAt);
  return plan;
};

const result = (status: RunResult["status"], output: string = status): RunResult => ({ status, output });

/** Runs the only check at its next instant; answers that instant. */
function runNext(plan: Plan, outcome: RunResult): number {
  const at = plan.nextDueAt()!;
  const [run] = plan.take(at);
  plan.settle(run!, outcome, at);
  return at;
}

/** The statuses reported, one for each result; "-" where nothing was. */
function reported(plan: Plan, outcomes: RunResult["status"][]): string[] {
  return outcomes.map((status) => {
    runNext(plan, result(status));
    const reports = plan.reports(10);
    plan.delivered(reports);
    return reports[0]?.status ?? "-";
  });
}

describe("instants", () => {
  test("first runs are spread over the whole interval", () => {
    const keys = Array.from({ length: 1000 }, (_, i) => `["web","i${i}","c"]`);
    const tenths = Array.from({ length: 10 }, () => 0);
    for (const key of keys) {
      const delay = slotAfter(key, 10_000, T0) - T0;
      expect(delay).toBeGreaterThan(0);
      expect(delay).toBeLessThanOrEqual(10_000);
      tenths[Math.min(9, Math.floor(delay / 1000))]!++;
    }
    for (const count of tenths) expect(count).toBeGreaterThan(60);
  });

  test("every instant is one interval after the last, wherever the count starts", () => {
    const first = slotAfter("k", 7000, T0);
    expect(slotAfter("k", 7000, first)).toBe(first + 7000);
    expect(slotAfter("k", 7000, first - 1)).toBe(first);
    expect(slotAfter("k", 7000, first + 6999)).toBe(first + 7000);
  });

  test("intervals are kept within a second and a day", () => {
    expect([0, -5, 1, 999, 1500.4, 1e12, Number.NaN].map(intervalOf)).toEqual([
      1000, 1000, 1000, 1000, 1500, 86_400_000, 60_000,
    ]);
  });
});

describe("what is due", () => {
  test("a check runs once per instant and waits one interval from there", () => {
    const plan = planOf([probe("a")]);
    const at = plan.nextDueAt()!;
    expect(plan.take(at - 1)).toEqual([]);
    const [run] = plan.take(at);
    expect(plan.take(at)).toEqual([]);
    plan.settle(run!, result("passing"), at + 40);
    expect(plan.nextDueAt()).toBe(at + 10_000);
  });

  test("a check that outlasts its interval never overlaps itself; missed instants are left out", () => {
    const plan = planOf([probe("a")]);
    const at = plan.nextDueAt()!;
    const [run] = plan.take(at);
    expect(plan.take(at + 25_000)).toEqual([]);
    plan.settle(run!, result("passing"), at + 25_000);
    expect(plan.nextDueAt()).toBe(at + 30_000);
  });

  test("a run that started late is not followed at once by the next", () => {
    const plan = planOf([probe("a")]);
    const at = plan.nextDueAt()!;
    const [run] = plan.take(at + 9900);
    plan.settle(run!, result("passing"), at + 9901);
    expect(plan.nextDueAt()).toBe(at + 20_000);
  });

  test("no more run at once than may, those that have waited longest first", () => {
    const plan = planOf(probes(20));
    const all = T0 + 10_000;
    const first = plan.take(all);
    expect(first).toHaveLength(RUNNING_MAX);
    expect(plan.take(all)).toEqual([]);
    expect(plan.nextDueAt()).toBeNull();
    const order = [...first];
    for (let running: Run[] = first; running.length > 0; running = plan.take(all)) {
      plan.settle(running[0]!, result("passing"), all);
      for (const rest of running.slice(1)) plan.settle(rest, result("passing"), all);
      if (running !== first) order.push(...running);
    }
    expect(order).toHaveLength(20);
    expect(order.map((run) => run.dueAt)).toEqual(order.map((run) => run.dueAt).toSorted((a, b) => a - b));
  });

  test("where more may run at once, more are handed out", () => {
    const plan = new Plan(15);
    plan.replace({ revision: 1, probes: probes(20) }, T0);
    expect(plan.take(T0 + 10_000)).toHaveLength(15);
  });

  test("after a wake-up, what fell due since the last run is due, and nothing else", () => {
    const list = probes(200, { intervalMs: MINUTE });
    const woken = planOf(list, T0 - 1000);
    const dueAt = list.map((p) => slotAfter(JSON.stringify([p.service, p.instance, p.check.id]), MINUTE, T0 - 1000));
    const overdue = dueAt.filter((at) => at <= T0).length;
    expect(overdue).toBeGreaterThan(0);
    let count = 0;
    for (let runs = woken.take(T0); runs.length > 0; runs = woken.take(T0)) {
      count += runs.length;
      for (const run of runs) woken.settle(run, result("passing"), T0);
    }
    expect(count).toBe(overdue);
  });

  test("an object that forgets everything between two runs still runs each check at every instant", () => {
    let sinceAt = T0;
    const instants: number[] = [];
    for (let i = 0; i < 5; i++) {
      const plan = planOf([probe("a", { intervalMs: MINUTE })], sinceAt);
      const armedAt = plan.nextDueAt()!;
      const woken = planOf([probe("a", { intervalMs: MINUTE })], armedAt - 250);
      const [run] = woken.take(armedAt);
      instants.push(run!.dueAt);
      sinceAt = armedAt;
    }
    expect(instants.map((at) => at - instants[0]!)).toEqual([0, MINUTE, 2 * MINUTE, 3 * MINUTE, 4 * MINUTE]);
  });

  test("a list over the limit is cut, and says by how much", () => {
    const plan = planOf(probes(PROBES_MAX + 5));
    expect([plan.size, plan.ignoredCount]).toEqual([PROBES_MAX, 5]);
  });
});

describe("thresholds", () => {
  const both = { successThreshold: 2, failureThreshold: 3 };
  const F = "critical";
  const P = "passing";

  test("turning critical takes that many failures in a row", () => {
    const plan = planOf([probe("a", { ...both, status: "passing" })]);
    expect(reported(plan, [F, F, P, F, F, F, F])).toEqual(["-", "-", "-", "-", "-", "critical", "-"]);
  });

  test("turning passing takes that many successes in a row", () => {
    const plan = planOf([probe("a", both)]);
    expect(reported(plan, [P, F, P, P, P])).toEqual(["-", "-", "-", "passing", "-"]);
  });

  test("warning counts as success, and passing and warning change places at once", () => {
    const plan = planOf([probe("a", both)]);
    expect(reported(plan, ["warning", P, "warning", "warning", P])).toEqual([
      "-",
      "passing",
      "warning",
      "-",
      "passing",
    ]);
  });

  test("a first result settles an unknown check", () => {
    expect(reported(planOf([probe("a", { status: "unknown" })]), [P])).toEqual(["passing"]);
    expect(reported(planOf([probe("a", { ...both, status: "unknown" })]), [F, F, F])).toEqual(["-", "-", "critical"]);
  });

  test("senseless thresholds count as one", () => {
    const plan = planOf([probe("a", { successThreshold: 0, failureThreshold: Number.NaN, status: "passing" })]);
    expect(reported(plan, [F, P])).toEqual(["critical", "passing"]);
  });

  test("a row of results survives an eviction", () => {
    const list = [probe("a", { ...both, status: "passing" })];
    let plan = planOf(list);
    const seen = (["critical", "critical", "critical"] as const).map((status) => {
      const next = new Plan();
      next.replace({ revision: 1, probes: list }, T0, JSON.parse(JSON.stringify(plan.remains())));
      plan = next;
      return reported(plan, [status])[0];
    });
    expect(seen).toEqual(["-", "-", "critical"]);
  });

  test("nothing remains to be kept while all is well, nor after a flip was delivered", () => {
    const plan = planOf([probe("a", { ...both, status: "passing" })]);
    reported(plan, [P, P]);
    expect(plan.remains()).toEqual({});
    reported(plan, [F]);
    expect(Object.values(plan.remains())).toMatchObject([{ status: "passing", failures: 1 }]);
    reported(plan, [F, F, F]);
    expect(plan.remains()).toEqual({});
  });
});

describe("reports", () => {
  test("a report stays until it was delivered, also across an eviction", () => {
    const list = [probe("a")];
    const plan = planOf(list);
    runNext(plan, result("passing", "fine"));
    const expected = [{ service: "web", instance: "a", check: "c", status: "passing", output: "fine" }];
    expect(plan.reports(10)).toEqual(expected);
    expect(plan.reports(10)).toEqual(expected);
    const woken = new Plan();
    woken.replace({ revision: 1, probes: list }, T0, plan.remains());
    expect(woken.reports(10)).toEqual(expected);
    woken.delivered(expected as never);
    expect(woken.reports(10)).toEqual([]);
  });

  test("a status that turned back before it was told is not told", () => {
    const plan = planOf([probe("a", { status: "passing" })]);
    runNext(plan, result("critical"));
    expect(plan.reports(10)).toHaveLength(1);
    runNext(plan, result("passing"));
    expect(plan.reports(10)).toEqual([]);
  });

  test("the namespace's status wins over memory: what it has lost is told again", () => {
    const plan = planOf([probe("a")]);
    reported(plan, ["passing"]);
    plan.replace({ revision: 2, probes: [probe("a", { status: "critical" })] }, T0);
    expect(plan.reports(10)).toMatchObject([{ status: "passing" }]);
  });

  test("a new text of a critical check is told at most once a minute", () => {
    const plan = planOf([probe("a")]);
    let count = 0;
    const firstAt = plan.nextDueAt()!;
    while (plan.nextDueAt()! < firstAt + 10 * MINUTE) {
      const at = runNext(plan, result("critical", `failed at ${plan.nextDueAt()}`));
      const reports = plan.reports(10);
      plan.delivered(reports);
      count += reports.length;
      if (reports.length > 0) expect(reports[0]!.output).toBe(`failed at ${at}`);
    }
    expect(count).toBe((10 * MINUTE) / REFRESH_MS);
  });

  test("the same text is told once, and a text of a passing check never", () => {
    const critical = planOf([probe("a", { output: "" })]);
    expect(
      reported(
        critical,
        Array.from({ length: 30 }, () => "critical" as const),
      ).filter((s) => s !== "-"),
    ).toEqual(["critical"]);
    const passing = planOf([probe("a", { status: "passing" })]);
    for (let i = 0; i < 30; i++) runNext(passing, result("passing", `request ${i}`));
    expect(passing.reports(10)).toEqual([]);
  });

  test("the first text is told whatever the status, where nothing has been found before", () => {
    for (const output of ["", NOT_RUN_YET]) {
      const plan = planOf([probe("a", { status: "passing", output })]);
      expect(reported(plan, ["passing", "passing"])).toEqual(["passing", "-"]);
    }
  });

  test("no more at once than asked for", () => {
    const plan = planOf(probes(5));
    for (const run of plan.take(T0 + 10_000)) plan.settle(run, result("passing"), T0 + 10_000);
    expect(plan.reports(2)).toHaveLength(2);
    expect(plan.reports(10)).toHaveLength(5);
  });
});

describe("a new list", () => {
  test("keeps the place and the count of what stays", () => {
    const plan = planOf([probe("a", { failureThreshold: 2, status: "passing" })]);
    reported(plan, ["critical"]);
    const dueAt = plan.nextDueAt();
    plan.replace({ revision: 2, probes: [probe("a", { failureThreshold: 2, status: "passing", sinceAt: 5 })] }, T0);
    expect(plan.nextDueAt()).toBe(dueAt);
    expect(reported(plan, ["critical"])).toEqual(["critical"]);
  });

  test("a changed check starts over, and the result of its former self counts for nothing", () => {
    const plan = planOf([probe("a")]);
    const at = plan.nextDueAt()!;
    const [run] = plan.take(at);
    plan.replace({ revision: 2, probes: [probe("a", { url: "http://10.0.0.2/" })] }, at);
    expect(plan.take(at + 20_000)).toEqual([]); // never two runs of one check
    plan.settle(run!, result("passing"), at + 20_000);
    expect(plan.reports(10)).toEqual([]);
    expect(plan.take(at + 20_000)).toHaveLength(1);
  });

  test("a check that was removed while it ran is forgotten, and its place is free", () => {
    const plan = planOf([probe("a")]);
    const [run] = plan.take(plan.nextDueAt()!);
    plan.replace({ revision: 2, probes: [] }, T0);
    plan.settle(run!, result("passing"), T0 + 20_000);
    expect([plan.size, plan.runningCount, plan.nextDueAt(), plan.reports(10)]).toEqual([0, 0, null, []]);
  });

  test("ids that only look alike when joined are different checks", () => {
    const a: Probe = { ...probe("x"), service: 'a","b', instance: "c" };
    const b: Probe = { ...probe("x"), service: "a", instance: 'b","c' };
    expect(planOf([a, b]).size).toBe(2);
  });
});
