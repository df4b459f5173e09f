/** The search on histories that fit on a page. */
import { describe, expect, test } from "vitest";
import type { Call } from "./history.ts";
import { election, type ElectionInput, type ElectionOutput } from "./models/election.ts";
import { locksOf, type LockInput, type LockOutput, mutex, withLapses } from "./models/lock.ts";
import { queueOf, type QueueInput, type QueueOutput, withTimeouts } from "./models/queue.ts";
import { register, type RegisterInput, type RegisterOutput } from "./models/register.ts";
import { type Model, search } from "./search.ts";

/** Of calls as `[called, returned, input, output]`; without output nobody answered. */
type Row<I, O> = [calledAt: number, returnedAt: number, input: I, output?: O];

function history<I extends { kind: string }, O>(rows: readonly Row<I, O>[]): Call<I, O>[] {
  return rows.map(([calledAt, returnedAt, input, output], id) =>
    output === undefined
      ? { client: id, id, input, calledAt, returnedAt: Infinity, outcome: "unknown", output: null }
      : { client: id, id, input, calledAt, returnedAt, outcome: "ok", output },
  );
}

const verdict = <S, I extends { kind: string }, O>(model: Model<S, I, O>, calls: readonly Call<I, O>[]): string =>
  search(model, calls).type;

describe("register", () => {
  const put = (value: string): RegisterInput => ({ kind: "put", key: "k", value });
  const get: RegisterInput = { kind: "get", key: "k" };
  const cas = (expected: string | null, value: string): RegisterInput => ({ kind: "cas", key: "k", expected, value });
  const done = { done: true };

  test.each<[string, string, Row<RegisterInput, RegisterOutput>[]]>([
    ["nothing happened", "linearizable", []],
    ["a read of nothing", "linearizable", [[0, 1, get, { value: null }]]],
    [
      "a read after a write",
      "linearizable",
      [
        [0, 1, put("a"), done],
        [2, 3, get, { value: "a" }],
      ],
    ],
    [
      "a read of what was overwritten",
      "violation",
      [
        [0, 1, put("a"), done],
        [2, 3, put("b"), done],
        [4, 5, get, { value: "a" }],
      ],
    ],
    [
      "a read during a write, old",
      "linearizable",
      [
        [0, 9, put("a"), done],
        [1, 2, get, { value: null }],
      ],
    ],
    [
      "a read during a write, new and then old",
      "violation",
      [
        [0, 9, put("a"), done],
        [1, 2, get, { value: "a" }],
        [3, 4, get, { value: null }],
      ],
    ],
    [
      "a write without answer that is read later",
      "linearizable",
      [
        [0, 0, put("a")],
        [5, 6, get, { value: null }],
        [7, 8, get, { value: "a" }],
      ],
    ],
    [
      "a write without answer that goes and comes",
      "violation",
      [
        [0, 0, put("a")],
        [1, 2, get, { value: "a" }],
        [3, 4, get, { value: null }],
      ],
    ],
    [
      "a write read before it was called",
      "violation",
      [
        [0, 1, get, { value: "a" }],
        [2, 3, put("a"), done],
      ],
    ],
    [
      "two compares of one value",
      "violation",
      [
        [0, 9, cas(null, "a"), done],
        [0, 9, cas(null, "b"), done],
      ],
    ],
    [
      "two compares, one refused",
      "linearizable",
      [
        [0, 9, cas(null, "a"), done],
        [0, 9, cas(null, "b"), { done: false }],
      ],
    ],
    // Herlihy and Wing's queue of writes: each read alone can be explained, both together cannot.
    [
      "reads that disagree about the order of two writes",
      "violation",
      [
        [0, 9, put("a"), done],
        [0, 9, put("b"), done],
        [10, 11, get, { value: "a" }],
        [12, 13, get, { value: "b" }],
      ],
    ],
  ])("%s: %s", (_, expected, rows) => {
    expect(verdict(register, history(rows))).toBe(expected);
  });

  test("keys do not touch each other", () => {
    const rows: Row<RegisterInput, RegisterOutput>[] = [
      [0, 1, put("a"), done],
      [2, 3, { kind: "get", key: "other" }, { value: null }],
    ];
    expect(verdict(register, history(rows))).toBe("linearizable");
  });

  test("what does not fit is named, and what was in the air with it", () => {
    const result = search(
      register,
      history<RegisterInput, RegisterOutput>([
        [0, 1, put("a"), done],
        [2, 3, get, { value: "a" }],
        [4, 5, get, { value: null }],
      ]),
    );
    expect(result).toMatchObject({ type: "violation", violation: { calls: [{ id: 2 }] } });
  });

  test("what takes too long is undecided, never passed", () => {
    // All orders of twelve writes without effect, each of which has to be tried.
    const rows: Row<RegisterInput, RegisterOutput>[] = Array.from({ length: 12 }, (_, at) => [
      0,
      9,
      put(`v${at}`),
      done,
    ]);
    rows.push([10, 11, get, { value: "none of them" }]);
    expect(search(register, history(rows), { configurations: 1000 })).toMatchObject({ type: "unknown", part: "k" });
    expect(search(register, history(rows)).type).toBe("violation");
  });
});

describe("mutex", () => {
  const acquire = (hold: string, ttlMs = 100): LockInput => ({ kind: "acquire", lock: "l", hold, permits: 1, ttlMs });
  const release = (hold: string, token: number): LockInput => ({ kind: "release", lock: "l", hold, token });

  test.each<[string, string, Row<LockInput, LockOutput>[]]>([
    [
      "one after the other",
      "linearizable",
      [
        [0, 1, acquire("a"), { token: 1 }],
        [2, 3, release("a", 1), { done: true }],
        [4, 5, acquire("b"), { token: 2 }],
      ],
    ],
    [
      "two at once",
      "violation",
      [
        [0, 1, acquire("a"), { token: 1 }],
        [2, 3, acquire("b"), { token: 2 }],
      ],
    ],
    [
      "the next one when the time of the first has run out",
      "linearizable",
      [
        [0, 1, acquire("a"), { token: 1 }],
        [102, 103, acquire("b"), { token: 2 }],
      ],
    ],
    [
      "the next one while the first has time",
      "violation",
      [
        [0, 1, acquire("a"), { token: 1 }],
        [98, 99, acquire("b"), { token: 2 }],
      ],
    ],
    [
      "the next one while the first has renewed",
      "violation",
      [
        [0, 1, acquire("a"), { token: 1 }],
        [50, 51, { kind: "renew", lock: "l", hold: "a", token: 1, ttlMs: 100 }, { done: true }],
        [102, 103, acquire("b"), { token: 2 }],
      ],
    ],
    [
      "a token that was given before",
      "violation",
      [
        [0, 1, acquire("a"), { token: 5 }],
        [2, 3, release("a", 5), { done: true }],
        [4, 5, acquire("b"), { token: 5 }],
      ],
    ],
    [
      "a grant that nobody was told of",
      "linearizable",
      [
        [0, 0, acquire("a")],
        [2, 3, acquire("b"), { token: null }],
        [4, 5, acquire("b2"), { token: 2 }],
      ],
    ],
    ["a refusal without a holder", "violation", [[0, 1, acquire("a"), { token: null }]]],
    [
      "a release after the time has run out",
      "linearizable",
      [
        [0, 1, acquire("a"), { token: 1 }],
        [102, 103, release("a", 1), { done: false }],
      ],
    ],
    [
      "a release that takes the lock from another",
      "violation",
      [
        [0, 1, acquire("a"), { token: 1 }],
        [102, 103, acquire("b"), { token: 2 }],
        [104, 105, release("a", 1), { done: false }],
        [106, 107, acquire("c"), { token: 3 }],
      ],
    ],
    [
      "a check that comes too late",
      "violation",
      [
        [0, 1, acquire("a"), { token: 1 }],
        [2, 3, release("a", 1), { done: true }],
        [4, 5, { kind: "check", lock: "l", hold: "a", token: 1 }, { done: true }],
      ],
    ],
  ])("%s: %s", (_, expected, rows) => {
    expect(verdict(mutex, withLapses(history(rows)))).toBe(expected);
  });

  test("a semaphore has as many holders as permits; of one commit they have one token", () => {
    const rows: Row<LockInput, LockOutput>[] = [
      [0, 9, acquire("a"), { token: 4 }],
      [0, 9, acquire("b"), { token: 4 }],
      [
        10,
        11,
        { kind: "holders", lock: "l" },
        {
          holders: [
            { hold: "a", token: 4 },
            { hold: "b", token: 4 },
          ],
        },
      ],
    ];
    expect(verdict(locksOf(2), withLapses(history(rows)))).toBe("linearizable");
    expect(verdict(locksOf(2), withLapses(history([...rows, [12, 13, acquire("c"), { token: 5 }]])))).toBe("violation");
  });
});

describe("election", () => {
  const campaign = (candidacy: string): ElectionInput => ({
    kind: "campaign",
    election: "e",
    candidacy,
    value: candidacy,
    ttlMs: 100,
  });
  const leader: ElectionInput = { kind: "leader", election: "e" };

  test.each<[string, string, Row<ElectionInput, ElectionOutput>[]]>([
    [
      "observers see the leader",
      "linearizable",
      [
        [0, 1, campaign("a"), { token: 1 }],
        [2, 3, leader, { leader: { candidacy: "a", token: 1, value: "a" } }],
      ],
    ],
    [
      "two leaders",
      "violation",
      [
        [0, 1, campaign("a"), { token: 1 }],
        [2, 3, campaign("b"), { token: 2 }],
      ],
    ],
    [
      "an observer sees nobody while one leads",
      "violation",
      [
        [0, 1, campaign("a"), { token: 1 }],
        [2, 3, leader, { leader: null }],
      ],
    ],
    [
      "one proclaims that does not lead",
      "violation",
      [
        [0, 1, campaign("a"), { token: 1 }],
        [2, 3, { kind: "resign", election: "e", candidacy: "a", token: 1 }, { done: true }],
        [4, 5, { kind: "proclaim", election: "e", candidacy: "a", token: 1, value: "x" }, { done: true }],
      ],
    ],
  ])("%s: %s", (_, expected, rows) => {
    expect(verdict(election, history(rows))).toBe(expected);
  });
});

describe("queue", () => {
  const send = (message: string, group = "g"): QueueInput => ({ kind: "send", topic: "t", message, group });
  const receive = (name: string): QueueInput => ({ kind: "receive", topic: "t", name, visibilityMs: 100 });
  const got = (message: string, receipt = `r-${message}`): QueueOutput => ({ delivery: { message, receipt } });
  const ack = (receipt: string): QueueInput => ({ kind: "ack", topic: "t", receipt });
  const sent: QueueOutput = { sent: true };

  test.each<[string, "linearizable" | "violation", boolean, Row<QueueInput, QueueOutput>[]]>([
    [
      "in order of sending",
      "linearizable",
      false,
      [
        [0, 1, send("a"), sent],
        [2, 3, send("b"), sent],
        [4, 5, receive("1"), got("a")],
        [6, 7, receive("2"), got("b")],
      ],
    ],
    [
      "out of the group's order",
      "violation",
      false,
      [
        [0, 1, send("a"), sent],
        [2, 3, send("b"), sent],
        [4, 5, receive("1"), got("b")],
      ],
    ],
    [
      "groups pass each other",
      "linearizable",
      false,
      [
        [0, 1, send("a"), sent],
        [2, 3, send("b", "h"), sent],
        [4, 5, receive("1"), got("b")],
      ],
    ],
    [
      "a hidden message holds its group up",
      "violation",
      true,
      [
        [0, 1, send("a"), sent],
        [2, 3, send("b"), sent],
        [4, 5, receive("1"), got("a")],
        [6, 7, receive("2"), got("b")],
      ],
    ],
    [
      "nothing, though there is something",
      "violation",
      false,
      [
        [0, 1, send("a"), sent],
        [2, 3, receive("1"), { delivery: null }],
      ],
    ],
    [
      "again while it is hidden",
      "violation",
      false,
      [
        [0, 1, send("a"), sent],
        [2, 3, receive("1"), got("a", "r1")],
        [50, 51, receive("2"), got("a", "r2")],
      ],
    ],
    [
      "again when its time has run out",
      "linearizable",
      false,
      [
        [0, 1, send("a"), sent],
        [2, 3, receive("1"), got("a", "r1")],
        [103, 104, receive("2"), got("a", "r2")],
      ],
    ],
    [
      "again after its acknowledgement",
      "violation",
      false,
      [
        [0, 1, send("a"), sent],
        [2, 3, receive("1"), got("a", "r1")],
        [4, 5, ack("r1"), { done: true }],
        [203, 204, receive("2"), got("a", "r2")],
      ],
    ],
    [
      "acknowledged by a stale receipt",
      "violation",
      false,
      [
        [0, 1, send("a"), sent],
        [2, 3, receive("1"), got("a", "r1")],
        [103, 104, receive("2"), got("a", "r2")],
        [105, 106, ack("r1"), { done: true }],
      ],
    ],
    [
      "lost",
      "violation",
      false,
      [
        [0, 1, send("a"), sent],
        [2, 3, receive("1"), got("a")],
        [4, 5, ack("r-a"), { done: true }],
        [6, 7, send("b"), sent],
        [8, 9, receive("2"), { delivery: null }],
      ],
    ],
  ])("%s: %s", (_, expected, isBlocking, rows) => {
    expect(verdict(queueOf({ isBlocking }), withTimeouts(history(rows)))).toBe(expected);
  });
});
