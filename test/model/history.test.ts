/** The recorder: what it makes of each way a call can end, and its lines. */
import { expect, test } from "vitest";
import { historyText, NotApplied, parseHistory, Recorder, settled, Unanswered } from "./history.ts";

type Input = { kind: "put"; value: string };

async function recorded(): Promise<Recorder<Input, { revision: number }>> {
  const recorder = new Recorder<Input, { revision: number }>(() => 7);
  const put = (value: string): Input => ({ kind: "put", value });
  await recorder.record(0, put("a"), async () => ({ revision: 2 }));
  await recorder.record(0, put("b"), () => Promise.reject(new NotApplied("no connection")));
  await recorder.record(1, put("c"), () => Promise.reject(new Unanswered("cut")));
  return recorder;
}

test("outcomes, and times of which no two are equal though the clock stands still", async () => {
  const { calls } = await recorded();
  expect(calls.map(({ outcome }) => outcome)).toEqual(["ok", "fail", "unknown"]);
  expect(calls.map(({ output }) => output)).toEqual([{ revision: 2 }, null, null]);
  expect(calls[2]!.returnedAt).toBe(Infinity);
  const times = calls.flatMap(({ calledAt, returnedAt }) => [calledAt, returnedAt]).filter(Number.isFinite);
  expect(times).toEqual([...new Set(times)].toSorted((a, b) => a - b));
});

test("a fault of the caller is no outcome", async () => {
  const recorder = new Recorder<Input, null>();
  await expect(
    recorder.record(0, { kind: "put", value: "" }, () => Promise.reject(new TypeError("bug"))),
  ).rejects.toThrow("bug");
});

test("one line of JSON a call, and back", async () => {
  const { calls } = await recorded();
  const text = historyText(calls);
  expect(text.trimEnd().split("\n")).toHaveLength(3);
  expect(JSON.parse(text.split("\n")[2]!)).toMatchObject({ kind: "put", input: { value: "c" }, returnedAt: null });
  expect(parseHistory(text)).toEqual(calls);
});

test("settled: what certainly had no effect is left out", async () => {
  const { calls } = await recorded();
  expect(settled(calls, () => false).map(({ id }) => id)).toEqual([0]);
  expect(settled(calls, () => true).map(({ id }) => id)).toEqual([0, 2]);
});
