/** etcdserverpb.Watch over the JSON gateway, against a started server. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { Edge } from "../../../edge.ts";
import { b64, told } from "./gateway.ts";
import { GatewayStream } from "./stream.ts";

let edge: Edge;
beforeAll(async () => {
  edge = await Edge.start(["--no-agent"]);
});
afterAll(() => edge[Symbol.asyncDispose]());

/** Each test has keys of its own. */
let tests = 0;
let prefix: string;
beforeEach(() => {
  prefix = `t${tests++}/`;
});

const key = (name: string): string => b64(prefix + name);
const all = (): { key: string; range_end: string } => ({ key: key(""), range_end: b64(`${prefix.slice(0, -1)}0`) });
const put = async (name: string, value = "v", more: object = {}): Promise<number> =>
  Number((await told(edge, "/kv/put", { key: key(name), value: b64(value), ...more })).header.revision);
const remove = async (name: string): Promise<number> =>
  Number((await told(edge, "/kv/deleterange", { key: key(name) })).header.revision);
const revision = async (): Promise<number> =>
  Number((await told(edge, "/kv/range", { key: b64("x") })).header.revision);
const compact = (to: number): Promise<unknown> => told(edge, "/kv/compaction", { revision: to });

interface Told {
  watch_id?: string;
  // oxlint-disable-next-line typescript/no-explicit-any
  events?: any[];
}

/** `type key=value@revision`, with the value before. */
const shown = ({ events = [] }: Told): string[] =>
  events.map(({ type = "PUT", kv, prev_kv }) => {
    const text = (value = ""): string => Buffer.from(value, "base64").toString();
    const before = prev_kv ? ` was ${text(prev_kv.value)}@${prev_kv.mod_revision}` : "";
    return `${type} ${text(kv.key).slice(prefix.length)}=${text(kv.value)}@${kv.mod_revision}${before}`;
  });

async function watching(...creates: object[]): Promise<GatewayStream> {
  const stream = new GatewayStream(edge, "/watch");
  for (const create of creates) {
    stream.send({ create_request: create });
    expect(await stream.next()).toMatchObject({ created: true });
  }
  return stream;
}

describe("a watch", () => {
  test("is created first, at the present revision, and tells what comes", async () => {
    const before = await put("a", "old");
    await using stream = new GatewayStream(edge, "/watch");
    stream.send({ create_request: { key: key("a") } });
    const created = await stream.next();
    expect(created).toEqual({
      header: {
        cluster_id: expect.stringMatching(/^\d+$/),
        member_id: expect.stringMatching(/^\d+$/),
        revision: String(await revision()),
        raft_term: expect.any(String),
      },
      created: true,
    });
    expect(Number(created.header.revision)).toBeGreaterThanOrEqual(before);
    await put("b");
    const at = await put("a", "new");
    const told = await stream.next();
    expect(told).toEqual({
      header: { ...created.header, revision: String(at) },
      events: [
        {
          kv: {
            key: key("a"),
            create_revision: String(before),
            mod_revision: String(at),
            version: "2",
            value: b64("new"),
          },
        },
      ],
    });
    const gone = await remove("a");
    expect((await stream.next()).events).toEqual([
      { type: "DELETE", kv: { key: key("a"), mod_revision: String(gone) } },
    ]);
  });

  test("goes on when there is nothing more to ask for", async () => {
    await using stream = new GatewayStream(edge, "/watch");
    stream.send({ create_request: all() });
    stream.end();
    expect(await stream.next()).toMatchObject({ created: true });
    const at = await put("a");
    expect(shown(await stream.next())).toEqual([`PUT a=v@${at}`]);
  });

  test("tells history from its start on, and then what is new", async () => {
    const first = await put("a", "1");
    const second = await put("b", "2");
    const third = await remove("a");
    await using stream = await watching({ ...all(), start_revision: second, prev_kv: true });
    expect(shown(await stream.next())).toEqual([`PUT b=2@${second}`, `DELETE a=@${third} was 1@${first}`]);
    const fourth = await put("b", "3");
    expect(shown(await stream.next())).toEqual([`PUT b=3@${fourth} was 2@${second}`]);
  });

  test("with a start in the future is silent until then", async () => {
    const now = await put("a", "1");
    await using stream = await watching({ ...all(), start_revision: now + 2 });
    await put("a", "2");
    const at = await put("a", "3");
    expect(shown(await stream.next())).toEqual([`PUT a=3@${at}`]);
  });

  test("leaves out what it filters", async () => {
    await using stream = await watching(
      { ...all(), filters: ["NOPUT"], watch_id: 1 },
      { ...all(), filters: ["NODELETE"], watch_id: 2 },
      { ...all(), filters: ["NODELETE", "NOPUT"], watch_id: 3 },
    );
    const at = await put("a");
    const gone = await remove("a");
    const replies = [await stream.next(), await stream.next()].sort((a, b) => b.watch_id - a.watch_id);
    expect(replies.map(({ watch_id }) => watch_id)).toEqual(["2", "1"]);
    expect(replies.map(shown)).toEqual([[`PUT a=v@${at}`], [`DELETE a=@${gone}`]]);
  });

  test("tells all of one revision in one reply", async () => {
    await using stream = await watching(all());
    const puts = ["a", "b", "c"].map((name) => ({ request_put: { key: key(name), value: b64("1") } }));
    const { header } = await told(edge, "/kv/txn", { success: puts });
    expect(shown(await stream.next())).toEqual(["a", "b", "c"].map((name) => `PUT ${name}=1@${header.revision}`));
    await told(edge, "/lease/grant", { TTL: 2, ID: 77 });
    for (const name of ["b", "a"]) await put(name, "leased", { lease: 77 });
    const leased = [...shown(await stream.next())];
    while (leased.length < 2) leased.push(...shown(await stream.next()));
    const lapsed = (await stream.next()) as Told;
    expect(lapsed.events!.map(({ type }) => type)).toEqual(["DELETE", "DELETE"]);
    expect(new Set(lapsed.events!.map(({ kv }) => kv.mod_revision)).size).toBe(1);
  });

  test("of the empty key is one of the first byte; with an end of zero it is of all", async () => {
    await using stream = await watching({ range_end: b64("\0") });
    const at = await put("a");
    expect(shown(await stream.next())).toEqual([`PUT a=v@${at}`]);
  });

  test("of keys alone: what else a namespace does is not seen", async () => {
    await using stream = await watching({ key: b64("\0"), range_end: b64("\0") });
    await edge.put("/services/seen/instances/one", { address: "10.0.0.1", port: 80 });
    await told(edge, "/lease/grant", { TTL: 60 });
    const at = await put("a");
    expect(shown(await stream.next())).toEqual([`PUT a=v@${at}`]);
  });
});

describe("many watches on a stream", () => {
  test("are numbered from 0 on, or as they choose", async () => {
    await using stream = new GatewayStream(edge, "/watch");
    const ids: unknown[] = [];
    for (const watch_id of [undefined, 1, undefined, -7, 2, undefined]) {
      stream.send({ create_request: { key: key("a"), watch_id } });
      const { watch_id: id, cancel_reason } = await stream.next();
      ids.push(cancel_reason ?? id);
    }
    const duplicate = "mvcc: duplicate watch ID provided on the WatchStream";
    expect(ids).toEqual([undefined, "1", "2", "-7", duplicate, "3"]);
  });

  test("are each told what concerns them, once", async () => {
    await using stream = new GatewayStream(edge, "/watch");
    const count = 300;
    stream.send(...Array.from({ length: count }, (_, i) => ({ create_request: { key: key(`k${i}`) } })));
    for (let i = 0; i < count; i++) expect((await stream.next()).watch_id).toBe(i === 0 ? undefined : String(i));
    const puts = Array.from({ length: 100 }, (_, i) => ({ request_put: { key: key(`k${i * 3}`), value: b64("1") } }));
    await told(edge, "/kv/txn", { success: puts });
    const told_ = new Map<string, string[]>();
    for (let i = 0; i < 100; i++) {
      const reply = await stream.next();
      told_.set(reply.watch_id ?? "0", shown(reply));
    }
    expect([...told_.keys()].map(Number).sort((a, b) => a - b)).toEqual(puts.map((_, i) => i * 3));
    for (const [id, [line]] of told_) expect(line).toMatch(new RegExp(`^PUT k${id}=1@`));
    const last = await put("k1");
    expect(shown(await stream.next())).toEqual([`PUT k1=v@${last}`]);
  });

  test("that join while there are writes miss nothing and are told nothing twice", async () => {
    await using stream = await watching({ ...all(), watch_id: 999 });
    const seen = new Map<string, number[]>([["999", []]]);
    const starts = new Map<string, number>();
    const writes = (async () => {
      let last = 0;
      for (let i = 0; i < 60; i++) last = await put("a", String(i));
      return last;
    })();
    for (let id = 1; id <= 20; id++) stream.send({ create_request: { ...all(), watch_id: id } });
    const last = await writes;
    const isDone = (): boolean => starts.size === 20 && [...seen.values()].every((at) => at.at(-1) === last);
    while (!isDone()) {
      const { watch_id: id, created, header, events } = await stream.next();
      if (created) {
        starts.set(id, Number(header.revision));
        if (Number(header.revision) < last) seen.set(id, []);
      } else for (const { kv } of events) seen.get(id)!.push(Number(kv.mod_revision));
    }
    const whole = seen.get("999")!;
    expect(whole).toHaveLength(60);
    for (const [id, start] of starts) expect(seen.get(id) ?? []).toEqual(whole.filter((at) => at > start));
  });

  test("are canceled one by one", async () => {
    await using stream = await watching({ ...all(), watch_id: 5 }, { ...all(), watch_id: 6 });
    stream.send({ cancel_request: { watch_id: 5 } }, { cancel_request: { watch_id: 5 } }, { cancel_request: {} });
    expect(await stream.next()).toEqual({ header: expect.any(Object), watch_id: "5", canceled: true });
    await put("a");
    expect((await stream.next()).watch_id).toBe("6");
    stream.send({ create_request: { ...all(), watch_id: 5 } });
    expect(await stream.next()).toMatchObject({ watch_id: "5", created: true });
  });

  test("that cannot be are refused, and the others go on", async () => {
    await using stream = await watching(all());
    const refusals = [
      [{ key: key("b"), range_end: key("b") }, "mvcc: watcher range is empty"],
      [{ key: key("b"), range_end: key("a") }, "mvcc: watcher range is empty"],
      [{ key: key("b"), start_revision: -1 }, "etcdserver: mvcc: required revision has been compacted"],
    ] as const;
    for (const [create, cancel_reason] of refusals) {
      stream.send({ create_request: create });
      const header = expect.objectContaining({ revision: expect.any(String) });
      expect(await stream.next()).toEqual({ header, watch_id: "-1", created: true, canceled: true, cancel_reason });
    }
    stream.send({}, { create_request: { key: key("other") } });
    expect(await stream.next()).toMatchObject({ watch_id: "1", created: true });
    const at = await put("a");
    expect(shown(await stream.next())).toEqual([`PUT a=v@${at}`]);
  });
});

describe("compaction", () => {
  test("before the start: created, then canceled with the mark and nothing else", async () => {
    const first = await put("a", "1");
    await put("a", "2");
    const third = await put("a", "3");
    await compact(third);
    await using stream = await watching({ ...all(), start_revision: first });
    expect(await stream.next()).toEqual({
      header: { cluster_id: expect.any(String), member_id: expect.any(String), raft_term: expect.any(String) },
      canceled: true,
      compact_revision: String(third),
    });
    const at = await put("a", "4");
    stream.send({ create_request: { ...all(), start_revision: third } });
    expect(await stream.next()).toMatchObject({ created: true, watch_id: "1" });
    expect(shown(await stream.next())).toEqual([`PUT a=3@${third}`, `PUT a=4@${at}`]);
  });

  test("of a deletion: who begins with it is told it", async () => {
    await put("a", "1");
    const gone = await remove("a");
    await compact(gone);
    await using stream = await watching({ ...all(), start_revision: gone, prev_kv: true });
    expect(shown(await stream.next())).toEqual([`DELETE a=@${gone}`]);
  });

  test("does not concern who has been told all", async () => {
    await using stream = await watching(all());
    const at = await put("a", "1");
    expect(shown(await stream.next())).toEqual([`PUT a=1@${at}`]);
    for (let i = 0; i < 5; i++) await told(edge, "/kv/put", { key: b64("elsewhere"), value: "" });
    await compact(await revision());
    const next = await put("a", "2");
    expect(shown(await stream.next())).toEqual([`PUT a=2@${next}`]);
  });
});

describe("rights", () => {
  /** One that may watch the test's keys. */
  const watcher = async (): Promise<{ accessor: string; secret: string }> => {
    const statements = [{ verbs: ["watch"], kind: "kv", match: "prefix", name: prefix }];
    const { status, json, text } = await edge.api("/tokens", { method: "POST", body: { statements } });
    if (status >= 300) throw new Error(text);
    return json;
  };

  test("are asked for by each watch, and the stream stays open", async () => {
    const { secret } = await watcher();
    await using stream = new GatewayStream(edge, "/watch", secret);
    const denied = {
      header: expect.any(Object),
      watch_id: "-1",
      created: true,
      canceled: true,
      cancel_reason: "rpc error: code = PermissionDenied desc = etcdserver: permission denied",
    };
    for (const create of [{ key: b64("other") }, { ...all(), range_end: b64("\0") }, { ...all(), prev_kv: true }]) {
      stream.send({ create_request: create });
      expect(await stream.next()).toEqual(denied);
    }
    stream.send({ create_request: all() });
    expect(await stream.next()).toEqual({ header: expect.any(Object), created: true });
    const at = await put("a");
    expect(shown(await stream.next())).toEqual([`PUT a=v@${at}`]);
  });

  test("that end, end the watch", async () => {
    const { accessor, secret } = await watcher();
    await using stream = new GatewayStream(edge, "/watch", secret);
    stream.send({ create_request: all() });
    expect(await stream.next()).toMatchObject({ created: true });
    expect((await edge.api(`/tokens/${accessor}`, { method: "DELETE" })).status).toBeLessThan(300);
    await put("a");
    expect(await stream.next()).toEqual({
      header: expect.any(Object),
      canceled: true,
      cancel_reason: "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token",
    });
  });

  test("nobody has who shows nothing, or something that nobody knows", async () => {
    for (const [shown, reason] of [
      ["", "InvalidArgument desc = etcdserver: user name is empty"],
      ["unknown", "Unauthenticated desc = etcdserver: invalid auth token"],
    ] as const) {
      await using stream = new GatewayStream(edge, "/watch", shown);
      stream.send({ create_request: all() });
      expect(await stream.next()).toMatchObject({ canceled: true, cancel_reason: `rpc error: code = ${reason}` });
    }
  });
});

describe("progress", () => {
  test("tells how far every watch is", async () => {
    await using stream = await watching(all(), { key: key("other") });
    await told(edge, "/kv/put", { key: b64("elsewhere"), value: "" });
    const at = await revision();
    stream.send({ progress_request: {} });
    expect(await stream.next()).toEqual({
      header: expect.objectContaining({ revision: String(at) }),
      watch_id: "-1",
    });
    const next = await put("a");
    stream.send({ progress_request: {} });
    expect(shown(await stream.next())).toEqual([`PUT a=v@${next}`]);
    expect(await stream.next()).toMatchObject({ header: { revision: String(next) }, watch_id: "-1" });
  });

  test("is nothing without a watch", async () => {
    await using stream = new GatewayStream(edge, "/watch");
    stream.send({ progress_request: {} }, { create_request: all() });
    expect(await stream.next()).toMatchObject({ created: true });
    const at = await put("a");
    expect(shown(await stream.next())).toEqual([`PUT a=v@${at}`]);
  });
});

describe("large revisions", () => {
  test("come whole, or in fragments where they are wanted", async () => {
    const value = "x".repeat(300_000);
    for (let i = 0; i < 10; i++) await put(`k${i}`, value);
    const { header } = await told(edge, "/kv/deleterange", all());
    await using stream = new GatewayStream(edge, "/watch");
    const create = { ...all(), start_revision: header.revision, prev_kv: true };
    stream.send({ create_request: { ...create, watch_id: 1 } });
    stream.send({ create_request: { ...create, watch_id: 2, fragment: true } });
    const replies = new Map<string, { count: number; isFragment: boolean }[]>([
      ["1", []],
      ["2", []],
    ]);
    const isWhole = (id: string): boolean => replies.get(id)!.at(-1)?.isFragment === false;
    while (!isWhole("1") || !isWhole("2")) {
      const { watch_id, created, events, fragment = false } = await stream.next();
      if (!created) replies.get(watch_id)!.push({ count: events.length, isFragment: fragment });
    }
    expect(replies.get("1")).toEqual([{ count: 10, isFragment: false }]);
    expect(replies.get("2")).toEqual([
      { count: 6, isFragment: true },
      { count: 4, isFragment: false },
    ]);
  });
});
