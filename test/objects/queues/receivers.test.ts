/** Who waits for messages: in line, and called only when there is something for them. */
import { expect, test } from "vitest";
import { Receivers } from "../../../objects/queues/receivers.ts";

class Line {
  readonly receivers = new Receivers();
  readonly called: string[] = [];

  join(name: string, max = 1, isBack = false): () => void {
    return this.receivers.join("t", max, isBack, () => this.called.push(name));
  }

  serve(available: number): string[] {
    this.called.length = 0;
    this.receivers.serve("t", available);
    return [...this.called];
  }
}

test("as many are called as there are messages for, in the order of arrival", () => {
  const line = new Line();
  for (const name of ["a", "b", "c", "d"]) line.join(name, name === "b" ? 3 : 1);
  expect(line.serve(0)).toEqual([]);
  expect(line.serve(2)).toEqual(["a", "b"]);
  expect(line.receivers.size).toBe(2);
  // What the two may take is theirs until they say that they have.
  expect(line.serve(4)).toEqual([]);
  expect(line.serve(5)).toEqual(["c"]);
  line.receivers.done("t", 3);
  expect(line.serve(3)).toEqual(["d"]);
});

test("who found nothing goes to the front; who leaves is not called", () => {
  const line = new Line();
  const leave = line.join("a");
  line.join("b");
  line.join("back", 1, true);
  leave();
  leave();
  expect(line.receivers.size).toBe(2);
  expect(line.serve(1)).toEqual(["back"]);
  line.receivers.done("t", 1);
  expect(line.serve(1)).toEqual(["b"]);
  expect([...line.receivers.topics]).toEqual(["t"]);
  line.receivers.done("t", 1);
  expect([...line.receivers.topics]).toEqual([]);
});

test("topics have lines of their own", () => {
  const line = new Line();
  line.join("a");
  line.receivers.join("other", 1, false, () => line.called.push("other"));
  expect(line.serve(10)).toEqual(["a"]);
});
