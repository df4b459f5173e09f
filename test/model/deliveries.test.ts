/** Deliveries as sets, on histories that fit on a page. */
import { expect, test } from "vitest";
import { checkDeliveries } from "./deliveries.ts";
import type { Call } from "./history.ts";
import type { QueueInput, QueueOptions, QueueOutput } from "./models/queue.ts";

type Row = [calledAt: number, returnedAt: number, input: QueueInput, output?: QueueOutput];

const send = (message: string, group = "g"): QueueInput => ({ kind: "send", topic: "t", message, group });
const receive: QueueInput = { kind: "receive", topic: "t", name: "", visibilityMs: 100 };
const settle = (kind: "ack" | "nack", receipt: string): QueueInput => ({ kind, topic: "t", receipt });
const got = (message: string, receipt: string): QueueOutput => ({ delivery: { message, receipt } });
const nothing: QueueOutput = { delivery: null };
const sent: QueueOutput = { sent: true };
const done: QueueOutput = { done: true };

const stats = (sent: number, ready: number): QueueOutput => ({
  stats: { sent, ready, acked: 0, dead: 0, expired: 0, purged: 0, delayed: 0, blocked: 0, inFlight: 0 },
});

const report = (rows: readonly Row[], options: Partial<QueueOptions> = {}, dead: readonly string[] = []) =>
  checkDeliveries(
    rows.map(([calledAt, returnedAt, input, output], id): Call<QueueInput, QueueOutput> =>
      output
        ? { client: 0, id, input, calledAt, returnedAt, outcome: "ok", output }
        : { client: 0, id, input, calledAt, returnedAt: Infinity, outcome: "unknown", output: null },
    ),
    { isBlocking: false, ...options },
    dead,
  );

test.each<[string, Row[], object]>([
  [
    "sent, received, acknowledged",
    [
      [0, 1, send("a"), sent],
      [2, 3, receive, got("a", "r")],
      [4, 5, settle("ack", "r"), done],
    ],
    { sent: 1, acknowledged: 1, repeated: 0 },
  ],
  [
    "again after a timeout",
    [
      [0, 1, send("a"), sent],
      [2, 3, receive, got("a", "r")],
      [103, 104, receive, got("a", "s")],
      [105, 106, settle("ack", "s"), done],
    ],
    { repeated: 1 },
  ],
  [
    "again after it was given back",
    [
      [0, 1, send("a"), sent],
      [2, 3, receive, got("a", "r")],
      [4, 5, settle("nack", "r"), done],
      [6, 7, receive, got("a", "s")],
      [8, 9, settle("ack", "s"), done],
    ],
    { repeated: 1 },
  ],
  [
    "sent without an answer, and there",
    [
      [0, 0, send("a")],
      [2, 3, receive, got("a", "r")],
      [4, 5, settle("ack", "r"), done],
    ],
    { sent: 0, recovered: 1 },
  ],
  [
    "acknowledged without an answer, and gone",
    [
      [0, 1, send("a"), sent],
      [2, 3, receive, got("a", "r")],
      [4, 4, settle("ack", "r")],
      [200, 201, receive, nothing],
    ],
    { acknowledged: 0 },
  ],
  [
    "a stale receipt refused",
    [
      [0, 1, send("a"), sent],
      [2, 3, receive, got("a", "r")],
      [103, 104, receive, got("a", "s")],
      [105, 106, settle("ack", "r"), { done: false }],
      [107, 108, settle("ack", "s"), done],
    ],
    {},
  ],
])("passes: %s", (_, rows, counts) => {
  expect(report(rows)).toMatchObject({ violations: [], ...counts });
});

test.each<[string, string, Row[]]>([
  [
    "Q1",
    "lost before it was delivered",
    [
      [0, 1, send("a"), sent],
      [200, 201, receive, nothing],
    ],
  ],
  [
    "Q1",
    "lost after it was delivered",
    [
      [0, 1, send("a"), sent],
      [2, 3, receive, got("a", "r")],
    ],
  ],
  [
    "Q1",
    "nothing there, it said",
    [
      [0, 1, send("a"), sent],
      [2, 3, receive, nothing],
      [4, 5, receive, got("a", "r")],
      [6, 7, settle("ack", "r"), done],
    ],
  ],
  [
    "Q2",
    "never sent",
    [
      [2, 3, receive, got("a", "r")],
      [4, 5, settle("ack", "r"), done],
    ],
  ],
  [
    "Q2",
    "delivered before it was sent",
    [
      [2, 3, receive, got("a", "r")],
      [4, 5, send("a"), sent],
      [6, 7, settle("ack", "r"), done],
    ],
  ],
  [
    "Q3",
    "again after its acknowledgement",
    [
      [0, 1, send("a"), sent],
      [2, 3, receive, got("a", "r")],
      [4, 5, settle("ack", "r"), done],
      [200, 201, receive, got("a", "s")],
    ],
  ],
  [
    "Q3",
    "acknowledged twice",
    [
      [0, 1, send("a"), sent],
      [2, 3, receive, got("a", "r")],
      [4, 5, settle("ack", "r"), done],
      [6, 7, settle("ack", "r"), done],
    ],
  ],
  [
    "Q4",
    "again while it is hidden",
    [
      [0, 1, send("a"), sent],
      [2, 3, receive, got("a", "r")],
      [50, 51, receive, got("a", "s")],
      [52, 53, settle("ack", "s"), done],
    ],
  ],
  [
    "Q4",
    "one receipt for two",
    [
      [0, 1, send("a"), sent],
      [0, 1, send("b"), sent],
      [2, 3, receive, got("a", "r")],
      [4, 5, receive, got("b", "r")],
    ],
  ],
  [
    "Q4",
    "acknowledged by a stale receipt",
    [
      [0, 1, send("a"), sent],
      [2, 3, receive, got("a", "r")],
      [103, 104, receive, got("a", "s")],
      [105, 106, settle("ack", "r"), done],
    ],
  ],
  ["Q4", "acknowledged by a receipt that was never given", [[0, 1, settle("ack", "r"), done]]],
  [
    "Q6",
    "out of the group's order",
    [
      [0, 1, send("a"), sent],
      [2, 3, send("b"), sent],
      [4, 5, receive, got("b", "r")],
      [6, 7, receive, got("a", "s")],
      [8, 9, settle("ack", "r"), done],
      [8, 9, settle("ack", "s"), done],
    ],
  ],
])("%s: %s", (rule, _, rows) => {
  expect(report(rows).violations.map((violation) => violation.rule)).toContain(rule);
});

const twiceGiven: Row[] = [
  [0, 1, send("a"), sent],
  [2, 3, receive, got("a", "r")],
  [4, 5, settle("nack", "r"), done],
  [6, 7, receive, got("a", "s")],
  [8, 9, settle("nack", "s"), done],
];

test("passes: dead after its last delivery, and no sooner", () => {
  expect(report(twiceGiven, { deliveriesMax: 2 }, ["a"])).toMatchObject({ violations: [], dead: 1 });
});

test.each<[string, string, Row[], string[]]>([
  [
    "Q5",
    "before its delay is over",
    [
      [0, 1, { ...send("a"), delayMs: 10 } as QueueInput, sent],
      [2, 3, receive, got("a", "r")],
      [4, 5, settle("ack", "r"), done],
    ],
    [],
  ],
  ["Q7", "sent again and new", [[0, 1, { kind: "resend", topic: "t", message: "a" }, { done: false }]], []],
  ["Q8", "dead too early", twiceGiven.slice(0, 3), ["a"]],
  ["Q8", "dead twice", twiceGiven, ["a", "a"]],
  ["Q8", "delivered too often", [...twiceGiven, [10, 11, receive, got("a", "t")]], ["a"]],
  ["Q8", "acknowledged and dead", [...twiceGiven.slice(0, 4), [8, 9, settle("ack", "s"), done]], ["a"]],
  ["Q9", "counts that do not add up", [[0, 1, { kind: "stats", topic: "t" }, stats(2, 1)]], []],
])("%s: %s", (rule, _, rows, dead) => {
  expect(report(rows, { deliveriesMax: 2 }, dead).violations.map((violation) => violation.rule)).toContain(rule);
});
