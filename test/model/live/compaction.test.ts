/** W7, W8 and W12 where history has been forgotten: who comes too late is told so, who has kept up misses nothing. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { Edge } from "../../edge.ts";
import { violationsText } from "../history.ts";
import { checkWatch } from "../watch.ts";
import { Log } from "../witness.ts";
import { Ordeal } from "./ordeal.ts";
import { Watcher } from "./watcher.ts";

const NAMESPACE = "compaction";
let edge: Edge;
beforeAll(async () => {
  edge = await Edge.start();
});
afterAll(() => edge?.[Symbol.asyncDispose]());

const put = async (key: string, value: string): Promise<number> =>
  (await edge.api(`/kv/${key}`, { method: "PUT", body: value }, NAMESPACE)).json.modRevision;

async function compact(revision: number): Promise<void> {
  const body = { revision: String(revision), physical: true };
  const { status, text } = await edge.ask(`/ns/${NAMESPACE}/v3/kv/compaction`, { method: "POST", body });
  if (status !== 200) throw new Error(text);
}

test("a watcher that keeps up is told everything; one from before is told of the compaction, and goes on from there", async () => {
  const ordeal = new Ordeal(edge, { seed: 1, kills: 0, progressPerLife: 0 });
  const begin = await put("w/begin", "");
  const watch = (name: string, since: number) =>
    new Watcher(ordeal, { name, namespace: NAMESPACE, prefix: "w/", since });
  const steady = watch("steady", begin);
  const revisions: number[] = [];
  for (let at = 0; at < 40; at++) {
    revisions.push(await put(`w/${at % 4}`, String(at)));
    if (at % 10 === 9) await compact(revisions[at - 2]!);
  }
  const compacted = revisions.at(-3)!;
  const late = watch("late", begin);
  // At the compacted revision itself the state is still known: what comes after it can be told.
  const inTime = watch("in time", compacted);
  await edge.kill();
  await edge.boot();
  const end = await put("w/end", "");
  const records = await Promise.all([steady, late, inTime].map((watcher) => watcher.until(end)));
  const log = new Log(steady.log);
  expect(log.events.map(({ revision }) => revision)).toEqual([...revisions, end]);
  for (const record of records) expect(violationsText(checkWatch(record, log))).toBe("");
  const ends = (at: number) => records[at]!.connections.map((connection) => connection.end);
  expect(ends(0)).not.toContainEqual(expect.objectContaining({ type: "compacted" }));
  expect(ends(1)).toContainEqual({ type: "compacted", compacted });
  expect(ends(2)).not.toContainEqual(expect.objectContaining({ type: "compacted" }));
}, 120_000);
