/** Watches and elections of the npm package `etcd3` as it is, over gRPC through the agent's port. */
import { once } from "node:events";
import { Etcd3 } from "etcd3";
import type { IKeyValue, Watcher } from "etcd3";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Edge } from "../../../edge.ts";
import { closedPort } from "../../../scripts/agent/checks/servers.ts";
import { runtimesOf } from "../../../scripts/serve/holdfast-process.ts";

let edge: Edge;
let client: Etcd3;

beforeAll(async () => {
  const port = await closedPort();
  edge = await Edge.start(["--open", "--etcd-port", String(port)]);
  client = new Etcd3({ hosts: `http://127.0.0.1:${port}` });
});
afterAll(async () => {
  client.close();
  await edge[Symbol.asyncDispose]();
});

/** What a watch has told, in order. */
class Seen {
  readonly events: string[] = [];
  #more = Promise.withResolvers<void>();

  constructor(watcher: Watcher) {
    watcher.on("put", (kv: IKeyValue, previous?: IKeyValue) => {
      this.#add(`${String(kv.key)}=${String(kv.value)}${previous ? ` was ${String(previous.value)}` : ""}`);
    });
    watcher.on("delete", (kv: IKeyValue) => this.#add(`${String(kv.key)} gone`));
  }

  async until(count: number): Promise<string[]> {
    while (this.events.length < count) await this.#more.promise;
    return this.events;
  }

  #add(event: string): void {
    this.events.push(event);
    this.#more.resolve();
    this.#more = Promise.withResolvers();
  }
}

describe("watches", () => {
  test("of a key: every change, in order, with what was before", async () => {
    const watcher = await client.watch().key("one").withPreviousKV().create();
    const seen = new Seen(watcher);
    await client.put("one").value("a");
    await client.put("other").value("x");
    await client.put("one").value("b");
    await client.delete().key("one");
    await client.put("one").value("c");
    expect(await seen.until(4)).toEqual(["one=a", "one=b was a", "one gone", "one=c"]);
    await watcher.cancel();
  });

  test("of a prefix, with all changes of a transaction", async () => {
    const watcher = await client.watch().prefix("tree/").create();
    const seen = new Seen(watcher);
    await client
      .if("tree/x", "Create", "==", 0)
      .then(client.put("tree/x").value("1"), client.put("tree/y").value("2"))
      .commit();
    await client.delete().prefix("tree/");
    expect(await seen.until(4)).toEqual(["tree/x=1", "tree/y=2", "tree/x gone", "tree/y gone"]);
    await watcher.cancel();
  });

  test("from a revision on", async () => {
    const { header } = await client.put("past").value("1").exec();
    await client.put("past").value("2");
    await client.delete().key("past");
    const watcher = client.watch().key("past").startRevision(header.revision).watcher();
    const seen = new Seen(watcher);
    await once(watcher, "connected");
    await client.put("past").value("3");
    expect(await seen.until(4)).toEqual(["past=1", "past=2", "past gone", "past=3"]);
    await watcher.cancel();
  });

  test("a hundred at once, each told of its own", async () => {
    const keys = Array.from({ length: 100 }, (_, i) => `many/${i}`);
    const watchers = await Promise.all(keys.map((key) => client.watch().key(key).create()));
    const seen = watchers.map((watcher) => new Seen(watcher));
    await Promise.all(keys.map((key) => client.put(key).value("x")));
    expect(await Promise.all(seen.map((one) => one.until(1)))).toEqual(keys.map((key) => [`${key}=x`]));
    await Promise.all(watchers.map((watcher) => watcher.cancel()));
  });

  test.runIf(process.platform === "linux")("go on where they were when the runtime has been killed", async () => {
    const watcher = await client.watch().key("lasting").create();
    const seen = new Seen(watcher);
    await client.put("lasting").value("before");
    expect(await seen.until(1)).toEqual(["lasting=before"]);
    const lost = once(watcher, "disconnected");
    process.kill(runtimesOf(edge.pid)[0]!, "SIGKILL");
    await lost;
    for (;;) {
      // A busy machine takes its time to start the runtime again; the package does not try for as long.
      const put = await client
        .put("lasting")
        .value("after")
        .exec()
        .catch(() => null);
      if (put) break;
    }
    expect(await seen.until(2)).toEqual(["lasting=before", "lasting=after"]);
    await watcher.cancel();
  });
});

describe("elections", () => {
  test("the next is elected when the first resigns, and observers are told", async () => {
    const first = client.election("office", 30).campaign("one");
    await once(first, "elected");
    const observer = await client.election("office", 30).observe();
    if (observer.leader() === undefined) await once(observer, "change");
    expect(observer.leader()).toBe("one");
    const proclaimed = once(observer, "change");
    await first.proclaim("one again");
    expect(await proclaimed).toEqual(["one again"]);
    const second = client.election("office", 30).campaign("two");
    const elected = once(second, "elected");
    const changed = new Promise<void>((resolve) => {
      observer.on("change", (value) => value === "two" && resolve());
    });
    await first.resign();
    await elected;
    await changed;
    expect(observer.leader()).toBe("two");
    await observer.cancel();
    await second.resign();
  });
});
