/** Readers at their own pace: what they may leave unread, and who goes when it is too much. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { WriteEvents } from "../../../workers/api/event-stream.ts";
import { Readers } from "../../../workers/hosted/readers.ts";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date", "setInterval", "clearInterval"] });
  // As the runtime's own: a write is done when it is read.
  vi.stubGlobal("IdentityTransformStream", TransformStream);
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const MB = 1024 * 1024;

/** A reader that is told one thing and then waits; `end` resolves when it is gone. */
function open(readers: Readers, bytes: Uint8Array) {
  const written = Promise.withResolvers<string>();
  const follow = async (write: WriteEvents): Promise<void> => {
    await write(bytes).then(
      () => written.resolve("read"),
      (error: Error) => written.resolve(error.message),
    );
  };
  const stream = readers.open(follow);
  return { stream, end: written.promise };
}

test("a write is over when it is read, and the stream ends with its teller", async () => {
  const { stream, end } = open(new Readers(), new Uint8Array([1, 2]));
  const reader = stream.getReader();
  expect((await reader.read()).value).toEqual(new Uint8Array([1, 2]));
  expect(await end).toBe("read");
  expect((await reader.read()).done).toBe(true);
});

test("W11: who reads nothing for a minute is cut off, and nobody else", async () => {
  const readers = new Readers();
  const idle = open(readers, new Uint8Array(1));
  vi.advanceTimersByTime(30_000);
  const later = open(readers, new Uint8Array(1));
  vi.advanceTimersByTime(44_999);
  expect(await idle.end).toContain("slow_consumer");
  await expect(idle.stream.getReader().read()).rejects.toThrow("slow_consumer");
  await later.stream.getReader().read();
  expect(await later.end).toBe("read");
  expect(vi.getTimerCount()).toBe(1);
  vi.advanceTimersByTime(15_000);
  expect(vi.getTimerCount()).toBe(0);
});

test("when all together leave too much unread, whoever has not read longest goes first", async () => {
  const readers = new Readers();
  const first = open(readers, new Uint8Array(8 * MB));
  const second = open(readers, new Uint8Array(8 * MB));
  const third = open(readers, new Uint8Array(8 * MB));
  expect(await first.end).toContain("slow_consumer");
  for (const { stream, end } of [second, third]) {
    await stream.getReader().read();
    expect(await end).toBe("read");
  }
  // What was cut off, and what was read, counts no more.
  const fourth = open(readers, new Uint8Array(16 * MB));
  await fourth.stream.getReader().read();
  expect(await fourth.end).toBe("read");
});

test("what many have unread counts once", async () => {
  const readers = new Readers();
  const bytes = new Uint8Array(8 * MB);
  const all = Array.from({ length: 100 }, () => open(readers, bytes));
  for (const { stream, end } of all) {
    await stream.getReader().read();
    expect(await end).toBe("read");
  }
});

test("so many are open at once and no more; who is gone makes room", async () => {
  const readers = new Readers();
  const bytes = new Uint8Array(1);
  const opened = Array.from({ length: 20_000 }, () => open(readers, bytes));
  expect(() => open(readers, bytes)).toThrow("too many streams are open");
  const reader = opened[0]!.stream.getReader();
  while (!(await reader.read()).done);
  await new Promise(setImmediate);
  open(readers, bytes);
});
