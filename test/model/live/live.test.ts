/**
 * Histories of concurrent clients on a started server, while it is killed and started again and its object ends in the middle
 * of commits; all of them have to check. How long it runs can be set: README.md.
 */
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Edge } from "../../edge.ts";
import { type AnyCall, historyText, violationsText } from "../history.ts";
import { Random } from "../random.ts";
import { checkDeliveries } from "../deliveries.ts";
import { checkFencing } from "../fencing.ts";
import { counter } from "../models/counter.ts";
import { election, withTermEnds } from "../models/election.ts";
import { locksOf, withLapses } from "../models/lock.ts";
import { byGroup, queueOf, withTimeouts } from "../models/queue.ts";
import { type Verdict, search } from "../search.ts";
import { checkWatch, type WatchRecord } from "../watch.ts";
import { checkWitnesses, Log, type LogEvent } from "../witness.ts";
import { CounterWorkload } from "./counters.ts";
import { ELECTIONS, ElectionWorkload } from "./elections.ts";
import { EtcdGateway } from "./etcd-gateway.ts";
import { EtcdGrpc } from "./etcd-grpc.ts";
import { EtcdKeyWorkload } from "./etcd-keys.ts";
import { KeyWorkload } from "./keys.ts";
import { LOCK_NAMES, LockWorkload } from "./locks.ts";
import { type Observed, Observer } from "./observer.ts";
import { QueueWorkload } from "./queues.ts";
import { Ordeal, planFromEnvironment } from "./ordeal.ts";
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
let keyLog: LogEvent[];
let watches: WatchRecord[];
let observed: Map<string, readonly Observed[]>;

beforeAll(
  async () => {
    const etcdPort = await freePort();
    edge = await Edge.start(["--etcd-port", String(etcdPort)]);
    const ordeal = new Ordeal(edge, plan);
    keys = new KeyWorkload(ordeal);
    using stream = new StreamCaller(ordeal);
    const callers = [ordeal, stream];
    locks = new LockWorkload(ordeal, callers);
    elections = new ElectionWorkload(ordeal, callers);
    queues = new QueueWorkload(ordeal, callers);
    counters = new CounterWorkload(ordeal, callers);
    using grpc = new EtcdGrpc(etcdPort);
    etcdKeys = {
      gateway: new EtcdKeyWorkload("etcd-gateway", ordeal, new EtcdGateway(ordeal)),
      grpc: new EtcdKeyWorkload("etcd-grpc", ordeal, grpc),
    };
    const { json } = await edge.put("/kv/begin", "");
    const since: number = json.modRevision;
    const watchers = [
      new Watcher(ordeal, { name: "patient", prefix: keys.prefix, since }),
      new Watcher(ordeal, {
        name: "hasty",
        prefix: keys.prefix,
        since,
        patience: { random: new Random(plan.seed), items: 20 },
      }),
      new Watcher(ordeal, { name: "of one key", prefix: `${keys.prefix}b`, since }),
    ];
    const observers = new Map(ELECTIONS.map((name) => [name, new Observer(ordeal, name, since)]));
    await ordeal.run([keys, locks, elections, queues, counters, etcdKeys.gateway, etcdKeys.grpc]);
    // Everybody's end: a change that all of them are told of.
    const end: number = (await edge.put(`/kv/${keys.prefix}b-end`, "")).json.modRevision;
    watches = await Promise.all(watchers.map((watcher) => watcher.until(end)));
    // What was granted over it is renewed no longer.
    stream[Symbol.dispose]();
    // Nothing happens in an election without somebody, but leases lapse: what an observer is told last is a leader for good.
    const last = await Promise.all(ELECTIONS.map((name) => elections.lead(name)));
    observed = new Map();
    for (const [at, name] of ELECTIONS.entries()) observed.set(name, await observers.get(name)!.until(last[at]!));
    const reader = new Watcher(ordeal, { name: "log", prefix: "model/", since });
    await reader.until(end);
    keyLog = reader.log;
  },
  plan.kills * 60_000 + 60_000,
);

afterAll(() => edge?.[Symbol.asyncDispose]());

test("K1 to K4, K7 to K11: every answer over keys stands where it says in the one order", () => {
  const violations = checkWitnesses(keys.witnesses, logOf(keys));
  expect(violationsText(violations)).toBe("");
  expectFaults(keys);
});

test.each(["gateway", "grpc"] as const)("the same by etcd's KV: %s", (transport) => {
  const workload = etcdKeys[transport];
  const log = logOf(workload);
  expect(violationsText(checkWitnesses(workload.witnesses(log), log))).toBe("");
  expectFaults(workload);
});

test.each([0, 1, 2])("W1 to W9: watcher %i was told everything once and in order, over all connections", (at) => {
  const watch = watches[at]!;
  expect(violationsText(checkWatch(watch, new Log(keyLog)))).toBe("");
  // Each kill ended a connection at least.
  expect(watch.connections.length).toBeGreaterThan(plan.kills);
});

test.each(LOCK_NAMES)("M1, M2, M4, M5, M7: the %s has holders within its bounds, with tokens that rise", (name) => {
  const calls = locks.historyOf(name);
  const permits = LockWorkload.permitsOf(name);
  expect(violationsText(checkFencing(calls, permits))).toBe("");
  expectLinearizable(search(locksOf(permits), withLapses(calls), LIMITS), calls);
});

test("locks have met with faults", () => expectFaults(locks));

test("E1 to E4: elections have one leader, who alone proclaims", () => {
  const calls = elections.history;
  expectLinearizable(search(election, withTermEnds(calls), LIMITS), calls);
  expectFaults(elections);
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

test("Q1 to Q4, Q6: nothing sent is lost, nothing comes after its acknowledgement, groups keep their order", () => {
  const calls = queues.history;
  const { violations, ...report } = checkDeliveries(calls, { isBlocking: true });
  expect(violationsText(violations)).toBe("");
  expectLinearizable(search(queueOf({ isBlocking: true }), withTimeouts(byGroup(calls)), LIMITS), calls);
  console.info(`queue: ${JSON.stringify(report)}`);
  expectFaults(queues);
});

test("counters lose no addition and count none twice", () => {
  const calls = counters.history;
  expectLinearizable(search(counter, calls, LIMITS), calls);
  expectFaults(counters);
});

/** The changes of a workload's keys. */
const logOf = ({ prefix }: { prefix: string }): Log =>
  new Log(keyLog.filter(({ key }) => key.startsWith(prefix) && !key.endsWith("-end")));

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

const LIMITS = { ms: 20_000, configurations: 5_000_000 };

/** A search that gives up has not passed. */
function expectLinearizable(verdict: Verdict, calls: readonly AnyCall[]): void {
  const text = verdict.type === "violation" ? violationsText([verdict.violation]) : "";
  if (verdict.type !== "linearizable") console.info(historyText(calls));
  expect([verdict.type, text]).toEqual(["linearizable", ""]);
}

/** It has met with faults; else it has proved little. */
function expectFaults({ name, recorder }: { name: string; recorder: { calls: AnyCall[] } }): void {
  const unknown = recorder.calls.filter(({ outcome }) => outcome === "unknown").length;
  console.info(`${name}: ${recorder.calls.length} calls, ${unknown} of them without an answer`);
  expect(unknown).toBeGreaterThan(0);
}
