import { setTimeout } from "node:timers/promises";
import { beforeAll, expect, test, vi } from "vitest";
import type { BatchedCall } from "../../../objects/calls.ts";
import { Gate } from "../../../workers/request/admission.ts";
import type { Carrier } from "../../../workers/request/batching.ts";
import { Batcher } from "../../../workers/request/batching.ts";
import { Line } from "../../../workers/request/line.ts";

beforeAll(() => void vi.stubGlobal("scheduler", { wait: (ms: number) => setTimeout(ms) }));

/** Answers each call with its argument, and notes how many came together. */
class FakeObject implements Carrier {
  readonly batches: number[] = [];

  calls(calls: BatchedCall[]): ReturnType<Carrier["calls"]> {
    this.batches.push(calls.length);
    return Promise.resolve(calls.map(({ args: [value] }) => ({ ok: true, value, revision: 1 })));
  }

  take(): never {
    throw new Error("nothing is large here");
  }
}

/** So many calls in one turn, all with their places in the line. */
async function send(count: number, line?: Line): Promise<number[]> {
  const object = new FakeObject();
  const batcher = new Batcher();
  const gate = new Gate();
  const answers = Array.from({ length: count }, async (_, n) => {
    await line?.enter(gate);
    return batcher.call({ method: "renewLease", args: [String(n)] }, () => object, line);
  });
  const values = (await Promise.all(answers)).map((outcome) => outcome.ok && outcome.value);
  expect(values).toEqual(Array.from({ length: count }, (_, n) => String(n)));
  return object.batches;
}

test("calls of one turn go together", async () => {
  expect(await send(100)).toEqual([100]);
});

test("those of a socket too, while they are few", async () => {
  expect(await send(20, new Line())).toEqual([20]);
});

test("many of a socket go in parts, so that the object has one while another is on its way", async () => {
  const batches = await send(40, new Line());
  expect(batches).toEqual([32, 8]);
});
