/**
 * Histories of concurrent clients on a started server, while it is killed and started again and its object ends in the middle
 * of commits; all of them have to check. How long it runs can be set: README.md.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { Edge } from "../../edge.ts";
import { closedPort } from "../../scripts/agent/checks/servers.ts";
import { type AnyCall, type Call, historyText, violationsText } from "../history.ts";
import { Random } from "../random.ts";
import { checkDeliveries } from "../deliveries.ts";
import { checkFencing } from "../fencing.ts";
import { counter } from "../models/counter.ts";
import { election, withTermEnds } from "../models/election.ts";
import { type LockInput, type LockOutput, locksOf, withLapses } from "../models/lock.ts";
import { byGroup, queueOf, withTimeouts } from "../models/queue.ts";
import { type Verdict, search } from "../search.ts";
import { checkObserver, type Observation } from "../terms.ts";
import { checkWatch, type WatchRecord } from "../watch.ts";
import { checkWitnesses, Log, type LogEvent } from "../witness.ts";
import { CounterWorkload } from "./counters.ts";
import { ELECTIONS, ElectionWorkload, NativeElections } from "./elections.ts";
import { EtcdGateway } from "./etcd-gateway.ts";
import { EtcdGrpc } from "./etcd-grpc.ts";
import { EtcdKeyWorkload } from "./etcd-keys.ts";
import { EtcdObserver } from "./etcd-observer.ts";
import { EtcdElections, EtcdLocks } from "./etcd-recipes.ts";
import { EtcdWatcher } from "./etcd-watcher.ts";
import { KeyWorkload } from "./keys.ts";
import { LockWorkload, NATIVE_LOCKS, NativeLocks } from "./locks.ts";
import { type Observed, Observer } from "./observer.ts";
import { DELIVERIES_MAX, QueueWorkload } from "./queues.ts";
import { callerInTurns, Ordeal, planFromEnvironment } from "./ordeal.ts";
import { StreamCaller } from "./stream-caller.ts";
import { Watcher } from "./watcher.ts";

const plan = planFromEnvironment();
let edge: Edge;
let keys: KeyWorkload;
let locks: LockWorkload;
let elections: ElectionWorkload;
let queues: QueueWorkload;
let counters: CounterWorkload;
let etcdKeys: Record<"gateway" | "grpc", EtcdKeyWorkload>;
let etcdLocks: LockWorkload;
let etcdElections: ElectionWorkload;
let recipes: { locks: EtcdLocks; elections: EtcdElections };
let keyLog: LogEvent[];
let watches: Record<(typeof WATCHERS)[number], WatchRecord>;
let observed: Map<string, readonly Observed[]>;
let etcdObserved: Map<string, readonly (readonly Observation[])[]>;

const WATCHERS = ["patient", "hasty", "of one key", "by etcd's gateway", "by gRPC"] as const;
const ETCD_LOCKS = { one: NATIVE_LOCKS.mutex, two: NATIVE_LOCKS.mutex };

beforeAll(
  async () => {
    const etcdPort = await closedPort();
    edge = await Edge.start(["--etcd-port", String(etcdPort)]);
    const ordeal = new Ordeal(edge, plan);
    keys = new KeyWorkload(ordeal);
    using stream = new StreamCaller(ordeal);
    const caller = callerInTurns([ordeal, stream]);
    locks = new LockWorkload("locks", ordeal, new NativeLocks(caller), NATIVE_LOCKS);
    elections = new ElectionWorkload("elections", ordeal, new NativeElections(caller));
    queues = new QueueWorkload(ordeal, caller);
    await queues.configure();
    counters = new CounterWorkload(ordeal, caller);
    using grpc = new EtcdGrpc(etcdPort);
    const gateway = new EtcdGateway(ordeal);
    etcdKeys = {
      gateway: new EtcdKeyWorkload("etcd-gateway", ordeal, gateway),
      grpc: new EtcdKeyWorkload("etcd-grpc", ordeal, grpc),
    };
    recipes = {
      locks: new EtcdLocks("model/etcd-locks/", [gateway, grpc]),
      elections: new EtcdElections("model/etcd-elections/", [grpc, gateway]),
    };
    etcdLocks = new LockWorkload("etcd-locks", ordeal, recipes.locks, ETCD_LOCKS);
    etcdElections = new ElectionWorkload("etcd-elections", ordeal, recipes.elections);
    const { json } = await edge.put("/kv/begin", "");
    const since: number = json.modRevision;
    const hasty = () => ({ random: new Random(plan.seed), items: 20 });
    const ofKeys = { prefix: keys.prefix, since };
    const ofAll = { prefix: "model/", since };
    const watchers = {
      patient: new Watcher(ordeal, { name: "patient", ...ofKeys }),
      hasty: new Watcher(ordeal, { name: "hasty", ...ofKeys, patience: hasty() }),
      "of one key": new Watcher(ordeal, { name: "of one key", prefix: `${keys.prefix}b`, since }),
      "by etcd's gateway": new EtcdWatcher(ordeal, gateway, { name: "gateway", ...ofAll, patience: hasty() }),
      "by gRPC": new EtcdWatcher(ordeal, grpc, { name: "grpc", ...ofAll, patience: hasty() }),
    };
    const observers = new Map(ELECTIONS.map((name) => [name, new Observer(ordeal, name, since)]));
    const etcdObservers = new Map(
      ELECTIONS.map((name, at) => {
        const transport = at % 2 === 0 ? gateway : grpc;
        return [name, new EtcdObserver(ordeal, transport, recipes.elections.nameOf(name))];
      }),
    );
    const all = [keys, locks, elections, queues, counters, etcdKeys.gateway, etcdKeys.grpc, etcdLocks, etcdElections];
    await ordeal.run(all);
    // Everybody's end: a change that all of them are told of.
    const end: number = (await edge.put(`/kv/${keys.prefix}b-end`, "")).json.modRevision;
    const records = WATCHERS.map(async (name) => [name, await watchers[name].until(end)] as const);
    watches = Object.fromEntries(await Promise.all(records)) as typeof watches;
    // What was granted over it is renewed no longer.
    stream[Symbol.dispose]();
    // Nothing happens in an election without somebody, but leases lapse: what an observer is told last is a leader for good.
    observed = await lastOf(elections, observers);
    etcdObserved = await lastOf(etcdElections, etcdObservers);
    const last: number = (await edge.put("/kv/model/last", "")).json.modRevision;
    const reader = new Watcher(ordeal, { name: "log", ...ofAll });
    await reader.until(last);
    keyLog = reader.log;
  },
  plan.kills * 60_000 + 60_000,
);

afterAll(() => edge?.[Symbol.asyncDispose]());

test("K1 to K4, K7 to K11: every answer over keys stands where it says in the one order", () => {
  const violations = checkWitnesses(keys.witnesses, logOf(keys));
  expect(violationsText(violations)).toBe("");
});

test.each(["gateway", "grpc"] as const)("the same by etcd's KV: %s", (transport) => {
  const workload = etcdKeys[transport];
  const log = logOf(workload);
  expect(violationsText(checkWitnesses(workload.witnesses(log), log))).toBe("");
});

test.each(WATCHERS)("W1 to W9: the watcher %s was told everything once and in order, over all connections", (name) => {
  const watch = watches[name];
  expect(violationsText(checkWatch(watch, new Log(keyLog)))).toBe("");
  // Each kill ended a connection at least.
  expect(watch.connections.length).toBeGreaterThan(plan.kills);
});

test.each(Object.entries(NATIVE_LOCKS))(
  "M1, M2, M4, M5, M7: the %s has holders within its bounds, with tokens that rise",
  (name, { permits }) => expectLocked(locks.history, name, permits),
);

test.each(Object.keys(ETCD_LOCKS))("M1, M2, M4, M5: etcd's lock %s has one holder, with tokens that rise", (name) => {
  const log = logOf({ prefix: "model/etcd-locks/" });
  const calls = etcdLocks.settledBy(({ input }) => recipes.locks.wasCarriedOut(input, log));
  expectLocked(calls, name, 1);
});

test("E1 to E4: elections have one leader, who alone proclaims", () => {
  const calls = elections.history;
  expectLinearizable(search(election, withTermEnds(calls), LIMITS), calls);
});

test("the same by etcd's Election service", () => {
  const log = logOf({ prefix: "model/etcd-elections/" });
  const calls = etcdElections.settledBy(({ input }) => recipes.elections.wasCarriedOut(input, log));
  expectLinearizable(search(election, withTermEnds(calls), LIMITS), calls);
});

test.each(ELECTIONS)("E1, E2: an observer of etcd's %s election was told of leaders alone, in order", (name) => {
  const connections = etcdObserved.get(name)!;
  const log = logOf({ prefix: `${recipes.elections.nameOf(name)}/` });
  expect(violationsText(checkObserver(connections, log))).toBe("");
  expect(connections.length).toBeGreaterThan(plan.kills);
});

test.each(ELECTIONS)(
  "E2: an observer of the %s election was told of every leader, in order, over all connections",
  (name) => {
    const seen = observed.get(name)!;
    const revisions = seen.map(({ revision }) => revision);
    expect(revisions).toEqual([...new Set(revisions)].toSorted((a, b) => a - b));
    const leaders = seen.flatMap(({ leader }) => (leader ? [leader] : []));
    const tokens = leaders.map(({ token }) => token);
    expect(tokens).toEqual(tokens.toSorted((a, b) => a - b));
    const owners = new Map(leaders.map(({ token, owner }) => [token, owner]));
    for (const { input, output } of elections.history) {
      if (input.kind !== "campaign" || input.election !== name || !output || !("token" in output)) continue;
      if (output.token !== null)
        expect([output.token, owners.get(output.token)]).toEqual([output.token, input.candidacy]);
    }
  },
);

test("Q1 to Q9: nothing sent is lost, nothing comes too early or once too often, groups keep their order", () => {
  const calls = queues.history;
  const options = { isBlocking: true, deliveriesMax: DELIVERIES_MAX };
  const { violations, ...report } = checkDeliveries(calls, options, queues.dead);
  expect(violationsText(violations)).toBe("");
  expectLinearizable(search(queueOf(options), withTimeouts(byGroup(calls, queues.dead)), LIMITS), calls);
  console.info(`queue: ${JSON.stringify(report)}`);
});

test("counters lose no addition and count none twice", () => {
  const calls = counters.history;
  expectLinearizable(search(counter, calls, LIMITS), calls);
});

test("most of it has met with faults, else it has proved little", () => {
  const all = [keys, locks, elections, queues, counters, etcdKeys.gateway, etcdKeys.grpc, etcdLocks, etcdElections];
  for (const { name, recorder, unanswered } of all)
    console.info(`${name}: ${recorder.calls.length} calls, ${unanswered} of them without an answer at first`);
  expect(all.filter(({ unanswered }) => unanswered > 0).length).toBeGreaterThan(all.length / 2);
});

/** The changes of a workload's keys. */
const logOf = ({ prefix }: { prefix: string }): Log =>
  new Log(keyLog.filter(({ key }) => key.startsWith(prefix) && !key.endsWith("-end")));

/** What each observer was told, once that was of a leader that stays. */
async function lastOf<T>(
  workload: ElectionWorkload,
  observers: ReadonlyMap<string, { until: (token: number) => Promise<T> }>,
): Promise<Map<string, T>> {
  const told = [...observers].map(
    async ([name, observer]) => [name, await observer.until(await workload.lead(name))] as const,
  );
  return new Map(await Promise.all(told));
}

function expectLocked(history: readonly Call<LockInput, LockOutput>[], name: string, permits: number): void {
  const calls = history.filter(({ input }) => input.lock === name);
  expect(violationsText(checkFencing(calls, permits))).toBe("");
  expectLinearizable(search(locksOf(permits), withLapses(calls), LIMITS), calls);
}

const LIMITS = { ms: 20_000, configurations: 5_000_000 };

/** A search that gives up has not passed. */
function expectLinearizable(verdict: Verdict, calls: readonly AnyCall[]): void {
  const text = verdict.type === "violation" ? violationsText([verdict.violation]) : "";
  if (verdict.type !== "linearizable") console.info(historyText(calls));
  expect([verdict.type, text]).toEqual(["linearizable", ""]);
}
