import { expect, test } from "vitest";
import { Outbox, UNREAD_PAUSE } from "../../../workers/api/stream/outbox.ts";

function outboxed(): { outbox: Outbox; pings: number[] } {
  const pings: number[] = [];
  const outbox = new Outbox((text) => {
    if (text.startsWith('{"ping":')) pings.push((JSON.parse(text) as { ping: number }).ping);
  });
  return { outbox, pings };
}

test("what was sent before a ping has been read when its pong comes, and no more", () => {
  const { outbox, pings } = outboxed();
  outbox.send("x".repeat(100_000));
  outbox.send("y".repeat(1000));
  expect(pings).toEqual([1]);
  expect(outbox.pong(1)).toBe(true);
  expect(outbox.unread).toBe(1000);
  outbox.ping();
  expect(outbox.pong(2)).toBe(true);
  expect(outbox.unread).toBe(0);
});

test("a pong counts once, and for the pings before it; none is made up", () => {
  const { outbox } = outboxed();
  for (let n = 0; n < 3; n++) outbox.ping();
  expect([3, 3, 2, 4].map((ping) => outbox.pong(ping))).toEqual([true, false, false, false]);
});

test("there is room again when enough has been read, or nobody reads any more", async () => {
  const { outbox } = outboxed();
  outbox.send("x".repeat(UNREAD_PAUSE));
  const order: string[] = [];
  const first = outbox.room().then(() => order.push("room"));
  await Promise.resolve();
  order.push("pong");
  outbox.pong(1);
  await first;
  expect(order).toEqual(["pong", "room"]);
  outbox.send("x".repeat(UNREAD_PAUSE));
  const second = outbox.room();
  outbox.close();
  await second;
});
