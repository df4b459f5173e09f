/** Queues, case by case. Rules Q1 to Q9. */
import { expect, test } from "vitest";
import { text, utf8 } from "../../../objects/bytes.ts";
import type { NewMessage } from "../../../objects/queues/messages.ts";
import type { Delivery } from "../../../objects/queues/receive.ts";
import type { TopicSettings } from "../../../objects/queues/topics.ts";
import { codeOf, World } from "../fixture.ts";
import { CALLER } from "../store/memory.ts";

const TOPIC = "orders";

class Queue {
  readonly world = new World();

  send(...messages: (string | ({ body: string } & Omit<NewMessage, "payload">))[]): string[] {
    const input = messages.map((message) => {
      const { body, ...rest } = typeof message === "string" ? { body: message } : message;
      return { payload: utf8(body), ...rest };
    });
    return this.world.run("queue.send", { topic: TOPIC, messages: input }).map(({ id }) => id);
  }

  receive(max = 10, visibilityMs?: number, topic = TOPIC): Delivery[] {
    return this.world.run("queue.receive", { topic, max, visibilityMs }).messages;
  }

  /** Received, and what is in it. */
  bodies(max = 10, topic = TOPIC): string[] {
    return this.receive(max, undefined, topic).map(({ payload }) => text(payload));
  }

  ack(...receipts: string[]): { settled: number; fenced: string[] } {
    return this.world.run("queue.ack", { topic: TOPIC, receipts });
  }

  nack(receipt: string, delayMs?: number): void {
    this.world.run("queue.nack", { topic: TOPIC, receipts: [receipt], delayMs });
  }

  configure(settings: Partial<TopicSettings>): void {
    this.world.run("queue.configure", { topic: TOPIC, settings });
  }

  stats(topic = TOPIC) {
    return this.world.core.query("queue.stats", { topic }, this.world.now);
  }
}

test("Q1, Q3: first in, first out; what was acked never comes again", () => {
  const queue = new Queue();
  queue.send("a", "b");
  queue.send("c");
  const first = queue.receive(2);
  expect(first.map(({ payload }) => text(payload))).toEqual(["a", "b"]);
  expect(queue.bodies()).toEqual(["c"]);
  expect(queue.ack(...first.map(({ receipt }) => receipt))).toEqual({ settled: 2, fenced: [] });
  queue.world.pass(60_000);
  expect(queue.bodies()).toEqual(["c"]);
  expect(queue.stats()).toMatchObject({ sent: 3, acked: 2, ready: 0, inFlight: 1, waiting: 1 });
});

test("headers, id, attempts and times come with the message", () => {
  const queue = new Queue();
  const [id] = queue.send({ body: "x", headers: { type: "paid" }, priority: 7 });
  const [message] = queue.receive(1, 5000);
  expect(message).toMatchObject({ id, headers: { type: "paid" }, priority: 7, attempts: 1 });
  expect(message).toMatchObject({ sentAt: queue.world.now, untilAt: queue.world.now + 5000 });
});

test("higher priorities first, and in each the order of sending", () => {
  const queue = new Queue();
  queue.send({ body: "low", priority: 0 }, "usual", { body: "high 1", priority: 9 });
  queue.send({ body: "high 2", priority: 9 });
  expect(queue.bodies()).toEqual(["high 1", "high 2", "usual", "low"]);
});

test("Q4: a receipt counts until its time is over; then it is fenced, whatever it is used for", () => {
  const queue = new Queue();
  queue.send("a");
  const [stale] = queue.receive(1, 1000);
  queue.world.pass(1000);
  for (const command of ["queue.ack", "queue.nack"] as const) {
    expect(codeOf(() => queue.world.run(command, { topic: TOPIC, receipts: [stale!.receipt] }))).toBe("fenced");
  }
  const extension = { topic: TOPIC, receipts: [stale!.receipt], visibilityMs: 5000 };
  expect(codeOf(() => queue.world.run("queue.extend", extension))).toBe("fenced");
  const [fresh] = queue.receive();
  expect(fresh).toMatchObject({ attempts: 2 });
  expect(codeOf(() => queue.ack(stale!.receipt))).toBe("fenced");
  expect(queue.ack(fresh!.receipt, stale!.receipt)).toEqual({ settled: 1, fenced: [stale!.receipt] });
});

test("Q5: neither before its delay nor while it is invisible, over a crash", () => {
  const queue = new Queue();
  queue.send({ body: "later", delayMs: 10_000 }, "now");
  expect(queue.stats()).toMatchObject({ delayed: 1, ready: 1 });
  expect(queue.bodies()).toEqual(["now"]);
  queue.world.crash(5000);
  expect(queue.bodies()).toEqual([]);
  queue.world.pass(5000);
  expect(queue.bodies()).toEqual(["later"]);
  queue.world.crash(19_999);
  expect(queue.bodies()).toEqual([]);
  queue.world.pass(1);
  expect(queue.bodies()).toEqual(["now"]);
});

test("a delay need not be whole milliseconds", () => {
  const queue = new Queue();
  queue.send({ body: "a", delayMs: 0.25 }, { body: "b", delayMs: 1000.5 });
  queue.world.pass(1);
  expect(queue.bodies()).toEqual(["a"]);
  queue.world.pass(999);
  expect(queue.bodies()).toEqual([]);
  queue.world.pass(1);
  expect(queue.bodies()).toEqual(["b"]);
});

test("an extension holds what would have come back, and a nack gives it back at once or later", () => {
  const queue = new Queue();
  queue.send("a");
  const [held] = queue.receive(1, 1000);
  queue.world.run("queue.extend", { topic: TOPIC, receipts: [held!.receipt], visibilityMs: 10_000 });
  queue.world.pass(9999);
  expect(queue.receive()).toEqual([]);
  queue.nack(held!.receipt);
  const [again] = queue.receive();
  expect(again!.attempts).toBe(2);
  queue.nack(again!.receipt, 3000);
  queue.world.pass(2999);
  expect(queue.receive()).toEqual([]);
  queue.world.pass(1);
  expect(queue.bodies()).toEqual(["a"]);
});

test("Q6: of a group the next one waits for the one before, which comes again first", () => {
  const queue = new Queue();
  queue.send({ body: "g1", group: "g" }, { body: "g2", group: "g", priority: 9 }, { body: "h1", group: "h" }, "free");
  expect(queue.stats()).toMatchObject({ blocked: 1, ready: 3 });
  const [g1, h1, free] = queue.receive();
  expect([g1, h1, free].map((one) => text(one!.payload))).toEqual(["g1", "h1", "free"]);
  expect(g1!.group).toBe("g");
  queue.nack(g1!.receipt, 1000);
  expect(queue.bodies()).toEqual([]);
  queue.world.pass(1000);
  const [again] = queue.receive();
  expect(text(again!.payload)).toBe("g1");
  queue.ack(again!.receipt);
  expect(queue.bodies()).toEqual(["g2"]);
  expect(queue.stats()).toMatchObject({ blocked: 0, acked: 1, inFlight: 3 });
});

test("Q7: the same dedupe id is the same message for the window, and no longer; a purge does not forget it", () => {
  const queue = new Queue();
  queue.configure({ dedupeMs: 10_000 });
  const [id] = queue.send({ body: "a", dedupeId: "1" });
  expect(queue.send({ body: "b", dedupeId: "1" }, { body: "c", dedupeId: "2" })[0]).toBe(id);
  queue.world.crash();
  queue.world.run("queue.purge", { topic: TOPIC });
  queue.world.pass(9999);
  expect(queue.send({ body: "d", dedupeId: "1" })).toEqual([id]);
  queue.world.pass(1);
  expect(queue.send({ body: "e", dedupeId: "1" })).not.toEqual([id]);
  expect(queue.bodies()).toEqual(["e"]);
  queue.world.pass(60_000);
  expect(queue.world.database.all("SELECT count(*) FROM records WHERE space = 'queue_dedupe'")).toEqual([[0]]);
});

test("Q8: after its last delivery it is a dead letter, once, and says where it comes from", () => {
  const queue = new Queue();
  queue.configure({ maxDeliveries: 2, deadLetter: "failed" });
  const [id] = queue.send({ body: "poison", group: "g" }, { body: "next", group: "g" });
  queue.nack(queue.receive(1)[0]!.receipt);
  queue.receive(1, 1000);
  queue.world.pass(1000);
  expect(queue.bodies()).toEqual(["next"]);
  expect(queue.stats()).toMatchObject({ sent: 2, dead: 1, inFlight: 1, waiting: 1 });
  const [dead, ...others] = queue.receive(10, undefined, "failed");
  expect(others).toEqual([]);
  expect(dead).toMatchObject({ id, group: "g", attempts: 1, origin: { topic: TOPIC, deliveries: 2 } });
  expect(text(dead!.payload)).toBe("poison");
});

test("what is older than the retention goes, in flight or not, and counts as expired", () => {
  const queue = new Queue();
  queue.configure({ retentionMs: 10_000, visibilityMs: 20_000 });
  queue.send("a", { body: "g1", group: "g" }, { body: "g2", group: "g" }, { body: "later", delayMs: 15_000 });
  expect(queue.receive(1)).toHaveLength(1);
  queue.world.pass(11_000);
  expect(queue.stats()).toMatchObject({ expired: 2, inFlight: 1, delayed: 1, ready: 0, blocked: 0 });
  queue.world.pass(30_000);
  expect(queue.stats()).toMatchObject({ sent: 4, expired: 4, waiting: 0 });
  expect(queue.world.database.all("SELECT count(*) FROM records WHERE space LIKE 'queue_%'")).toEqual([[0]]);
});

test("a purge empties the topic at once, fences what is in flight, and leaves nothing behind", () => {
  const queue = new Queue();
  for (let batch = 0; batch < 5; batch++) queue.send(...Array.from({ length: 200 }, (_, at) => `${batch}.${at}`));
  const [held] = queue.receive(50);
  expect(queue.world.run("queue.purge", { topic: TOPIC })).toEqual({ purged: 1000 });
  expect(queue.receive()).toEqual([]);
  expect(codeOf(() => queue.ack(held!.receipt))).toBe("fenced");
  queue.send("new");
  queue.world.pass(0);
  expect(queue.world.database.all("SELECT count(*) FROM records WHERE space = 'queue_message'")).toEqual([[1]]);
  expect(queue.bodies()).toEqual(["new"]);
  queue.world.pass(60_000);
  expect(queue.stats()).toMatchObject({ sent: 1001, purged: 1000, ready: 1 });
});

test("Q4: of very many deliveries that lapse together none counts, though they go back in slices", () => {
  const queue = new Queue();
  const { world } = queue;
  queue.send(...Array.from({ length: 256 }, (_, at) => `${at}`));
  const receipts = queue.receive(256, 1000).map(({ receipt }) => receipt);
  world.now += 1000;
  // The first slice has gone back with this command, and no more.
  expect(codeOf(() => queue.ack(...receipts))).toBe("fenced");
  const { ready, inFlight } = queue.stats();
  expect([ready < 256, ready + inFlight]).toEqual([true, 256]);
  world.pass(0);
  expect(queue.receive(256).map(({ payload }) => text(payload))).toEqual(
    Array.from({ length: 256 }, (_, at) => `${at}`),
  );
});

test("very many deliveries that lapse together go back in commits that stay small, and in order", () => {
  const queue = new Queue();
  const { world } = queue;
  for (let batch = 0; batch < 50; batch++) queue.send(...Array.from({ length: 200 }, (_, at) => `${batch * 200 + at}`));
  for (let batch = 0; batch < 100; batch++) queue.receive(100, 1000);
  expect(queue.stats().inFlight).toBe(10_000);
  const before = world.core.revision;
  world.pass(1000);
  const sizes = world.core.store.log(before, 100).map(({ changes }) => changes.length);
  expect(queue.stats()).toMatchObject({ inFlight: 0, ready: 10_000 });
  expect(Math.max(...sizes)).toBeLessThan(6000);
  expect(queue.receive(3).map(({ payload }) => text(payload))).toEqual(["0", "1", "2"]);
});

test("deliveries of before a purge lapse without a trace", () => {
  const queue = new Queue();
  const { world } = queue;
  for (let batch = 0; batch < 4; batch++) queue.send(...Array.from({ length: 250 }, (_, at) => `${at}`));
  for (let batch = 0; batch < 4; batch++) queue.receive(50, 1000);
  world.run("queue.purge", { topic: TOPIC });
  queue.send("new");
  queue.receive(1, 5000);
  world.now += 1000;
  // Not all that was purged has been removed when they lapse.
  expect(queue.stats()).toMatchObject({ inFlight: 1, ready: 0, purged: 1000 });
  world.pass(0);
  expect(queue.stats()).toMatchObject({ inFlight: 1, ready: 0, waiting: 1 });
});

test("a restore returns what was in flight, and fences its receipts", () => {
  const queue = new Queue();
  const { world } = queue;
  queue.send("a", "b");
  const [held] = queue.receive(1, 3_600_000);
  const { records } = world.core.store.snapshotPage(world.core.revision, null, 1e6);
  world.core.backend.stageBegin();
  world.core.backend.stage(records);
  world.core.restore(
    world.core.revision + 1000,
    { namespace: "default", revision: world.core.revision },
    CALLER,
    world.now,
  );
  world.crash();
  expect(codeOf(() => queue.ack(held!.receipt))).toBe("fenced");
  expect(queue.receive().map(({ attempts }) => attempts)).toEqual([2, 1]);
});

test("memory: what waits takes none, however much it is", () => {
  const queue = new Queue();
  const { world } = queue;
  for (let batch = 0; batch < 20; batch++) {
    queue.send(...Array.from({ length: 200 }, (_, at) => ({ body: `${at}`, delayMs: batch % 2 ? 60_000 + at : 0 })));
  }
  // One deadline for the topic; one for each delivery.
  expect(world.core.deadlines.size).toBe(1);
  for (let batch = 0; batch < 3; batch++) queue.receive(100);
  expect(world.core.deadlines.size).toBe(4);
});

test("a deleted topic is gone; sent to again, it is another one", () => {
  const queue = new Queue();
  queue.send({ body: "a", dedupeId: "1" });
  queue.world.run("queue.delete", { topic: TOPIC });
  expect(codeOf(() => queue.stats())).toBe("not_found");
  queue.send({ body: "b", dedupeId: "1" });
  queue.world.pass(0);
  expect(queue.bodies()).toEqual(["b"]);
  expect(queue.stats()).toMatchObject({ sent: 1 });
  expect(queue.world.core.query("queue.list", {}, queue.world.now).items).toHaveLength(1);
});

test("limits: a full topic takes nothing, and no more is handed out than may be in flight", () => {
  const queue = new Queue();
  queue.configure({ messagesMax: 3, inFlightMax: 2 });
  queue.send("a", "b", "c");
  expect(codeOf(() => queue.send("d"))).toBe("quota_exceeded");
  const held = queue.receive(10);
  expect(held).toHaveLength(2);
  expect(queue.receive()).toEqual([]);
  queue.ack(held[0]!.receipt);
  expect(queue.bodies()).toEqual(["c"]);
  queue.send("d");
});

test("input that is out of bounds is refused by name", () => {
  const queue = new Queue();
  queue.send("a");
  const fieldOf = (act: () => unknown): unknown => {
    try {
      act();
    } catch (error) {
      return (error as { details?: { field?: unknown } }).details?.field;
    }
    return null;
  };
  expect(fieldOf(() => queue.send({ body: "x", priority: 10 }))).toBe("messages[0].priority");
  expect(fieldOf(() => queue.send("x", { body: "x", delayMs: -1 }))).toBe("messages[1].delay");
  expect(fieldOf(() => queue.send({ body: "x", group: "a\0b" }))).toBe("messages[0].group");
  expect(fieldOf(() => queue.send({ body: "x".repeat(256 * 1024 + 1) }))).toBe("messages[0].payload");
  expect(fieldOf(() => queue.send(...Array.from({ length: 257 }, () => "x")))).toBe("messages");
  expect(fieldOf(() => queue.receive(0))).toBe("max");
  expect(fieldOf(() => queue.receive(1, 10))).toBe("visibility");
  expect(fieldOf(() => queue.ack("1-x"))).toBe("receipts[0]");
  expect(fieldOf(() => queue.ack())).toBe("receipts");
  expect(fieldOf(() => queue.configure({ maxDeliveries: 3 }))).toBe("deadLetter");
  expect(fieldOf(() => queue.configure({ maxDeliveries: 3, deadLetter: TOPIC }))).toBe("deadLetter");
  expect(fieldOf(() => queue.configure({ color: 1 } as never))).toBe("color");
  expect(codeOf(() => queue.world.run("queue.ack", { topic: "none", receipts: ["1-0"] }))).toBe("not_found");
});

test("costs: a message is one row while it waits, a delivery one row for all of it, and no history is kept", () => {
  const queue = new Queue();
  const rows = (): Record<string, number> =>
    Object.fromEntries(
      queue.world.database
        .all("SELECT space, count(*) FROM records WHERE space LIKE 'queue%' GROUP BY space")
        .map(([space, count]) => [String(space), Number(count)]),
    );
  queue.send(...Array.from({ length: 100 }, (_, at) => `${at}`));
  expect(rows()).toEqual({ queue: 1, queue_message: 100 });
  const held = queue.receive(100);
  expect(rows()).toEqual({ queue: 1, queue_message: 100, queue_flight: 1 });
  queue.ack(...held.map(({ receipt }) => receipt));
  expect(rows()).toEqual({ queue: 1 });
  expect(queue.world.database.all("SELECT count(*) FROM history")).toEqual([[0]]);
});

test("a snapshot is the state of its revision, whatever is received and acked while it is read", () => {
  const queue = new Queue();
  const { world } = queue;
  queue.send("a", "b", { body: "later", delayMs: 5000 });
  const revision = world.core.revision;
  world.core.hold(revision, world.now + 60_000);
  const before = world.core.store.snapshotPage(revision, null, 1e6).records;
  const [a, b] = queue.receive();
  queue.ack(a!.receipt);
  world.pass(5000);
  queue.nack(b!.receipt);
  expect(world.core.store.snapshotPage(revision, null, 1e6).records).toEqual(before);
  world.pass(60_000);
  queue.send("c");
  world.core.maintain(world.now);
  expect(codeOf(() => world.core.store.snapshotPage(revision, null, 1e6))).toBe("compacted");
  expect(world.database.all("SELECT count(*) FROM history")).toEqual([[0]]);
});
