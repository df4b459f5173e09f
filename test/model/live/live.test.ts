/**
 * Histories of concurrent clients on a started server, while it is killed and started again and its object ends in the middle
 * of commits; all of them have to check. How long it runs can be set: README.md.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { Edge } from "../../edge.ts";
import { violationsText } from "../history.ts";
import { Random } from "../random.ts";
import { checkWatch, type WatchRecord } from "../watch.ts";
import { checkWitnesses, Log, type LogEvent } from "../witness.ts";
import { KeyWorkload } from "./keys.ts";
import { Ordeal, planFromEnvironment } from "./ordeal.ts";
import { Watcher } from "./watcher.ts";

const plan = planFromEnvironment();
let edge: Edge;
let keys: KeyWorkload;
let keyLog: LogEvent[];
let watches: WatchRecord[];

beforeAll(
  async () => {
    edge = await Edge.start();
    const ordeal = new Ordeal(edge);
    keys = new KeyWorkload(ordeal);
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
    await ordeal.run([keys], plan);
    // Everybody's end: a change that all of them are told of.
    const end: number = (await edge.put(`/kv/${keys.prefix}b-end`, "")).json.modRevision;
    watches = await Promise.all(watchers.map((watcher) => watcher.until(end)));
    const reader = new Watcher(ordeal, { name: "log", prefix: keys.prefix, since });
    await reader.until(end);
    keyLog = reader.log;
  },
  plan.kills * 60_000 + 60_000,
);

afterAll(() => edge?.[Symbol.asyncDispose]());

test("K1 to K4, K7 to K11: every answer over keys stands where it says in the one order", () => {
  const ours = keyLog.filter(({ key }) => !key.endsWith("-end"));
  const violations = checkWitnesses(keys.witnesses, new Log(ours));
  expect(violationsText(violations)).toBe("");
  const outcomes = Object.groupBy(keys.recorder.calls, ({ outcome }) => outcome);
  console.info(
    `keys: ${keys.recorder.calls.length} calls, ${outcomes.unknown?.length ?? 0} of unknown outcome, ${ours.length} changes`,
  );
  // Faults were really met.
  expect(outcomes.unknown?.length ?? 0).toBeGreaterThan(0);
});

test.each([0, 1, 2])("W1 to W9: watcher %i was told everything once and in order, over all connections", (at) => {
  const watch = watches[at]!;
  expect(violationsText(checkWatch(watch, new Log(keyLog)))).toBe("");
  // Each kill ended a connection at least.
  expect(watch.connections.length).toBeGreaterThan(plan.kills);
});
