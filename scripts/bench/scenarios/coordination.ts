/** Locks handed on, held by the thousand, leases that end at once. */
import { Agent } from "node:http";
import type { Row } from "../measure.ts";
import { median } from "../measure.ts";
import { Holdfast } from "../servers.ts";
import { Stream } from "../stream.ts";
import { ask } from "./locks.ts";

const NAMESPACE = "coordination";
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const plain = { yardstick: "", ratio: null };

interface Held {
  token: number;
}
/** A call of an operation below `/locks/<name>`. */
type LockCall = <T>(action: "acquire" | "release", body: object) => Promise<T>;

const WAITERS = 50;
const HANDOVERS = 400;

/** Everybody wants the one lock again and again; from asking for the release to the next one's answer. */
export async function lockHandover(): Promise<Row[]> {
  await using holdfast = await Holdfast.start();
  const agent = new Agent({ keepAlive: true });
  const http: LockCall = async (action, body) => {
    const url = `${holdfast.origin}${holdfast.path(NAMESPACE, "/locks/http")}/${action}`;
    return JSON.parse(await ask(agent, "POST", url, holdfast.headers, JSON.stringify(body)));
  };
  const streams = await Promise.all(Array.from({ length: WAITERS }, () => Stream.open(holdfast, NAMESPACE)));
  const overStream = (n: number): LockCall => {
    const ops = { acquire: "acquireLock", release: "releaseLock" };
    return (action, body) => streams[n]!.call(ops[action], { name: "stream" }, body);
  };
  try {
    const rows = [
      handoverRow("lock-handover", await handovers(() => http)),
      handoverRow("lock-handover-ws", await handovers(overStream)),
    ];
    return rows;
  } finally {
    agent.destroy();
    for (const stream of streams) stream[Symbol.dispose]();
  }
}

async function handovers(callOf: (waiter: number) => LockCall): Promise<number[]> {
  const delays: number[] = [];
  let releasedAt: number | null = null;
  let count = 0;
  let waiting = 0;
  const all = Promise.withResolvers<void>();
  await Promise.all(
    Array.from({ length: WAITERS + 1 }, async (_, n) => {
      const call = callOf(n % WAITERS);
      const owner = `owner-${n}`;
      while (count < HANDOVERS) {
        if (++waiting > WAITERS) all.resolve();
        const { token } = await call<Held>("acquire", { owner, wait: 60 });
        if (releasedAt !== null) delays.push(performance.now() - releasedAt);
        waiting--;
        // Whoever has just released is in line again: there are fifty that wait, the one that is to be next among them.
        await all.promise;
        await sleep(5);
        count++;
        releasedAt = performance.now();
        const released = call("release", { owner, token });
        if (count >= HANDOVERS) releasedAt = null;
        await released;
      }
    }),
  );
  return delays;
}

function handoverRow(name: string, delays: number[]): Row {
  const sorted = delays.toSorted((a, b) => a - b);
  const value = Number(median(delays).toFixed(2));
  const p99 = sorted[Math.floor(sorted.length * 0.99)]!.toFixed(1);
  return {
    name,
    value,
    unit: "ms",
    yardstick: `${WAITERS} wait, ${delays.length} handovers; p99 ${p99} ms`,
    ratio: null,
    goal: "< 5",
    pass: value < 5,
  };
}

const LOCKS = 10_000;
const HOLDERS = 10;
const LOCK_TTL = 10;

/** For three times what they would last by themselves. */
export async function locksHeld(): Promise<Row[]> {
  await using holdfast = await Holdfast.start();
  const streams = await Promise.all(Array.from({ length: HOLDERS }, () => Stream.open(holdfast, NAMESPACE)));
  const each = <T>(act: (stream: Stream, name: string, n: number) => Promise<T>): Promise<T[]> =>
    inTurns(LOCKS, HOLDERS * 64, (n) => act(streams[n % HOLDERS]!, `lock-${n}`, n));
  try {
    const beganAt = performance.now();
    const held = await each((stream, name) =>
      stream.call<Held>("acquireLock", { name }, { owner: "a", ttl: LOCK_TTL }),
    );
    const acquiredS = (performance.now() - beganAt) / 1000;
    const endAt = performance.now() + 3 * LOCK_TTL * 1000;
    const others = await latencies(holdfast, () => performance.now() < endAt);
    const kept = await each(async (stream, name, n) => {
      try {
        await stream.call("renewLock", { name }, { owner: "a", token: held[n]!.token });
        return true;
      } catch {
        return false;
      }
    });
    const value = kept.filter(Boolean).length;
    const lost = streams.reduce((sum, stream) => sum + stream.lost, 0);
    return [
      {
        ...plain,
        name: "locks-held",
        value,
        unit: "locks",
        yardstick: `acquired in ${acquiredS.toFixed(1)} s, held ${3 * LOCK_TTL} s, ttl ${LOCK_TTL} s; ${lost} lost; others' p99 ${others.toFixed(0)} ms`,
        goal: `= ${LOCKS}`,
        pass: value === LOCKS && lost === 0,
      },
    ];
  } finally {
    for (const stream of streams) stream[Symbol.dispose]();
  }
}

const LEASES = 10_000;
/** Enough to grant them all. */
const GRANT_MS = 45_000;
const TXN_OPERATIONS = 100;

/** Each with a key; all end within the same second. */
export async function leasesExpiring(): Promise<Row[]> {
  await using holdfast = await Holdfast.start();
  const agent = new Agent({ keepAlive: true });
  try {
    const post = (below: string, body: object) =>
      ask(agent, "POST", holdfast.origin + holdfast.path(NAMESPACE, below), holdfast.headers, JSON.stringify(body));
    const endsAt = performance.now() + GRANT_MS;
    const leases = await inTurns(LEASES, 48, async (n) => {
      const ttl = (endsAt + (n % 900) - performance.now()) / 1000;
      return (JSON.parse(await post("/leases", { ttl })) as { id: string }).id;
    });
    await inTurns(LEASES / TXN_OPERATIONS, 4, (n) => {
      const own = leases.slice(n * TXN_OPERATIONS, (n + 1) * TXN_OPERATIONS);
      const then = own.map((lease) => ({ type: "put", key: `leased/${lease}`, value: "x", lease }));
      return post("/txn", { then });
    });
    const leftMs = endsAt - performance.now();
    if (leftMs < 1000) throw new Error("the leases took too long to grant");
    await sleep(leftMs - 500);
    const end = Promise.withResolvers<number>();
    void goneAt(holdfast).then(end.resolve, end.reject);
    let isOver = false;
    void end.promise.finally(() => (isOver = true)).catch(() => {});
    const p99 = await latencies(holdfast, () => !isOver);
    // The last of them was due a second after the first.
    const goneS = ((await end.promise) - endsAt) / 1000;
    return [
      {
        ...plain,
        name: "leases-gone",
        value: Number(goneS.toFixed(2)),
        unit: "s",
        yardstick: `${LEASES} with a key each, due within the first second`,
        goal: "< 2",
        pass: goneS < 2,
      },
      {
        ...plain,
        name: "leases-expiring",
        value: Math.round(p99),
        unit: "ms p99",
        yardstick: "of other requests meanwhile",
        goal: "< 200",
        pass: p99 < 200,
      },
    ];
  } finally {
    agent.destroy();
  }
}

/** When there is neither a lease nor a key left. */
async function goneAt(holdfast: Holdfast): Promise<number> {
  for (;;) {
    const { leases } = (await (await holdfast.ask("GET", holdfast.path(NAMESPACE, "/status"))).json()) as {
      leases: number;
    };
    if (leases === 0) break;
    await sleep(20);
  }
  const at = performance.now();
  const list = await holdfast.ask("GET", holdfast.path(NAMESPACE, "/kv/leased/?prefix&limit=1&consistency=strong"));
  const { items } = (await list.json()) as { items: unknown[] };
  if (items.length > 0) throw new Error("a key has outlived its lease");
  return at;
}

/** The 99th percentile of what four clients wait for, that write and read keys every few milliseconds. */
async function latencies(holdfast: Holdfast, goesOn: () => boolean): Promise<number> {
  const agent = new Agent({ keepAlive: true });
  const tookMs: number[] = [];
  const url = holdfast.origin + holdfast.path(NAMESPACE, "/kv/other");
  const timed = async (method: string, query: string): Promise<void> => {
    const beganAt = performance.now();
    await ask(agent, method, url + query, holdfast.headers, method === "PUT" ? "x" : "");
    tookMs.push(performance.now() - beganAt);
  };
  await timed("PUT", "");
  await Promise.all(
    Array.from({ length: 4 }, async () => {
      while (goesOn()) {
        await timed("PUT", "");
        await timed("GET", "?consistency=strong");
        await sleep(10);
      }
    }),
  );
  agent.destroy();
  return tookMs.toSorted((a, b) => a - b)[Math.floor(tookMs.length * 0.99)]!;
}

/** `count` acts, `width` of them at a time. */
async function inTurns<T>(count: number, width: number, act: (n: number) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  let next = 0;
  await Promise.all(
    Array.from({ length: width }, async () => {
      while (next < count) {
        const n = next++;
        results[n] = await act(n);
      }
    }),
  );
  return results;
}
