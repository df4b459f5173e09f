/** W7, W8 and W12 where history has been forgotten: who comes too late is told so, who has kept up misses nothing. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { Edge } from "../../edge.ts";
import { closedPort } from "../../scripts/agent/checks/servers.ts";
import { violationsText } from "../history.ts";
import { checkWatch, type WatchRecord } from "../watch.ts";
import { Log, type LogEvent } from "../witness.ts";
import { EtcdGateway } from "./etcd-gateway.ts";
import { EtcdGrpc } from "./etcd-grpc.ts";
import { EtcdWatcher } from "./etcd-watcher.ts";
import { Ordeal } from "./ordeal.ts";
import { Watcher } from "./watcher.ts";

const KINDS = ["native", "gateway", "grpc"] as const;
type Told = Record<"steady" | "late" | "inTime", WatchRecord>;

let edge: Edge;
let compacted: number;
let revisions: number[];
let log: readonly LogEvent[];
let told: Record<(typeof KINDS)[number], Told>;

const put = async (key: string, value: string): Promise<number> =>
  (await edge.api(`/kv/${key}`, { method: "PUT", body: value })).json.modRevision;

async function compact(revision: number): Promise<void> {
  const body = { revision: String(revision), physical: true };
  const { status, text } = await edge.ask("/v3/kv/compaction", { method: "POST", body });
  if (status !== 200) throw new Error(text);
}

beforeAll(async () => {
  const port = await closedPort();
  edge = await Edge.start(["--etcd-port", String(port)]);
  using grpc = new EtcdGrpc(port);
  const ordeal = new Ordeal(edge, { seed: 1, kills: 0, progressPerLife: 0 });
  const gateway = new EtcdGateway(ordeal);
  const begin = await put("w/begin", "");
  const watchers = (name: string, since: number) => {
    const options = { name, prefix: "w/", since };
    return {
      native: new Watcher(ordeal, options),
      gateway: new EtcdWatcher(ordeal, gateway, options),
      grpc: new EtcdWatcher(ordeal, grpc, options),
    };
  };
  const steady = watchers("steady", begin);
  revisions = [];
  for (let at = 0; at < 40; at++) {
    const revision = await put(`w/${at % 4}`, String(at));
    revisions.push(revision);
    if (at % 10 !== 9) continue;
    await Promise.all(KINDS.map((kind) => steady[kind].heard(revision)));
    await compact(revisions[at - 2]!);
  }
  compacted = revisions.at(-3)!;
  const late = watchers("late", begin);
  // At the compacted revision itself the state is still known: what comes after it can be told.
  const inTime = watchers("in time", compacted);
  await edge.kill();
  await edge.boot();
  const end = await put("w/end", "");
  revisions.push(end);
  const toldTo = async (kind: (typeof KINDS)[number]): Promise<Told> => {
    const [one, two, three] = await Promise.all([steady, late, inTime].map((of) => of[kind].until(end)));
    return { steady: one!, late: two!, inTime: three! };
  };
  told = { native: await toldTo("native"), gateway: await toldTo("gateway"), grpc: await toldTo("grpc") };
  log = steady.native.log;
}, 120_000);

afterAll(() => edge?.[Symbol.asyncDispose]());

test.each(KINDS)(
  "%s: who keeps up is told all; who comes from before, of the compaction, and goes on from there",
  (kind) => {
    expect(log.map(({ revision }) => revision)).toEqual(revisions);
    for (const record of Object.values(told[kind])) expect(violationsText(checkWatch(record, new Log(log)))).toBe("");
    const ends = ({ connections }: WatchRecord) => connections.map(({ end }) => end);
    const { steady, late, inTime } = told[kind];
    expect(ends(steady)).not.toContainEqual(expect.objectContaining({ type: "compacted" }));
    expect(ends(late)).toContainEqual({ type: "compacted", compacted });
    expect(ends(inTime)).not.toContainEqual(expect.objectContaining({ type: "compacted" }));
  },
);
