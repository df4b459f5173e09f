/** What carries the calls: paths and verbs, streams over HTTP, WebSockets, and the plain paths beside the gateway. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { request as httpRequest } from "node:http";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Edge, TOKEN } from "../../../edge.ts";
import { ask, b64, told } from "./gateway.ts";

let edge: Edge;
beforeAll(async () => {
  edge = await Edge.start(["--no-agent"]);
  await told(edge, "/lease/grant", { TTL: 600, ID: 5 });
});
afterAll(() => edge[Symbol.asyncDispose]());

describe("paths and verbs", () => {
  test.each([
    ["POST", "/v3/nothing", 404, "Not Found\n"],
    ["POST", "/v3/kv/range/", 404, "Not Found\n"],
    ["GET", "/v3/nothing", 404, "Not Found\n"],
    ["GET", "/v3/kv/range", 405, "Method Not Allowed\n"],
    ["PUT", "/v3/kv/put", 405, "Method Not Allowed\n"],
    ["OPTIONS", "/v3/kv/put", 200, ""],
    ["POST", "/version", 405, "Method Not Allowed\n"],
  ])("%s %s", async (method, path, status, text) => {
    const reply = await edge.ask(path, { method });
    expect([reply.status, reply.text]).toEqual([status, text]);
    expect(reply.headers.get("access-control-allow-methods")).toBe("POST, GET, OPTIONS, PUT, DELETE");
    expect(reply.headers.get("access-control-allow-headers")).toBe("accept, content-type, authorization");
  });

  test("the second API is gone, and xDS is not ours", async () => {
    for (const path of ["/v2/keys/a", "/v2/machines", "/v3/discovery:clusters"]) {
      expect((await edge.ask(path, { method: "POST" })).status).toBe(404);
    }
  });
});

/** A request whose body stays open, and the chunks of its answer as they come over the wire. */
class OpenRequest implements AsyncDisposable {
  readonly #request;
  readonly #chunks: (string | null)[] = [];
  #wake = (): void => {};

  constructor(path: string) {
    const headers = { authorization: TOKEN, "transfer-encoding": "chunked" };
    this.#request = httpRequest(edge.address + path, { method: "POST", headers }, (response) => {
      // Each chunk by itself: who reads from the stream gets those that wait as one.
      response.on("data", (chunk: Buffer) => this.#add(chunk.toString()));
      response.on("end", () => this.#add(null));
    });
  }

  #add(chunk: string | null): void {
    this.#chunks.push(chunk);
    this.#wake();
  }

  send(text: string): void {
    this.#request.write(text);
  }

  end(): void {
    this.#request.end();
  }

  /** Null at the end. */
  async next(): Promise<string | null> {
    while (this.#chunks.length === 0) await new Promise<void>((resolve) => (this.#wake = resolve));
    return this.#chunks.shift()!;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#request.destroy();
  }
}

/** More than one document is no JSON. */
async function keepalive(body: string): Promise<{ status: number; headers: Headers; text: string }> {
  const response = await edge.request("/v3/lease/keepalive", { method: "POST", body });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

describe("streams over HTTP", () => {
  test("documents one after the other, a line for each", async () => {
    const { text, headers } = await keepalive('{"ID":5}{"ID":"999"}\n {"ID"\n:5}');
    const lines = text.split("\n");
    expect(lines.pop()).toBe("");
    expect(lines.map((line) => JSON.parse(line).result)).toMatchObject([
      { ID: "5", TTL: "600" },
      { ID: "999" },
      { ID: "5" },
    ]);
    expect(JSON.parse(lines[1]!).result).not.toHaveProperty("TTL");
    expect(headers.get("content-type")).toBe("application/json");
  });

  test("nothing asked for, nothing told", async () => {
    expect(await keepalive("")).toMatchObject({ status: 200, text: "" });
  });

  test("a first document that is broken is an error, a later one the end", async () => {
    expect(await ask(edge, "/lease/keepalive", "xyz")).toMatchObject({
      status: 500,
      json: { code: 2, message: "invalid character 'x' looking for beginning of value" },
    });
    const { status, text } = await keepalive('{"ID":5}{"ID":"x"}{"ID":5}');
    expect([status, text.split("\n").length]).toEqual([200, 2]);
  });

  test("answers while the body is open; each line is a chunk of its own", async () => {
    await using open = new OpenRequest("/v3/lease/keepalive");
    open.send('{"ID":5}');
    expect(JSON.parse((await open.next())!).result.TTL).toBe("600");
    // A document in two pieces, and two documents in one.
    open.send('{"I');
    open.send('D":5}{"ID":5}');
    for (let n = 0; n < 2; n++) expect(JSON.parse((await open.next())!).result.ID).toBe("5");
    open.end();
    expect(await open.next()).toBeNull();
  });

  test("what is refused before the first line has a status", async () => {
    const reply = await ask(edge, "/lease/keepalive", { ID: 5 }, { token: null });
    expect([reply.status, reply.json.code]).toEqual([400, 3]);
  });
});

describe("WebSockets", () => {
  /** Frames until it closes. */
  async function frames(
    path: string,
    sent: string[],
    protocols?: string[],
  ): Promise<{ frames: string[]; protocol: string | null }> {
    const socket = new WebSocket(edge.address.replace("http", "ws") + path, protocols);
    const received: string[] = [];
    socket.addEventListener("message", ({ data }) => received.push(String(data)));
    socket.addEventListener("open", () => sent.forEach((text) => socket.send(text)));
    const closed = once(socket, "close");
    socket.addEventListener("message", () => {
      if (path.includes("keepalive") && received.length === sent.length) socket.close();
    });
    await closed;
    return { frames: received, protocol: socket.protocol };
  }

  const bearer = ["Bearer", TOKEN];

  test("a unary call: one frame each way, then it closes; the token comes as a protocol", async () => {
    const body = JSON.stringify({ key: b64("ws"), value: b64("1") });
    const reply = await frames("/v3/kv/put", [body], bearer);
    expect(reply.protocol).toBe("Bearer");
    expect(reply.frames).toHaveLength(1);
    expect(JSON.parse(reply.frames[0]!).header.revision).toMatch(/^\d+$/);
  });

  test("a stream: a frame for each line", async () => {
    const reply = await frames("/v3/lease/keepalive", ['{"ID":5}', '{"ID":404}'], bearer);
    expect(reply.frames.map((frame) => JSON.parse(frame).result.ID)).toEqual(["5", "404"]);
  });

  test("errors are frames, too", async () => {
    const error = { error: "etcdserver: user name is empty", message: "etcdserver: user name is empty", code: 3 };
    expect(
      (await frames("/v3/kv/put", [JSON.stringify({ key: b64("ws") })])).frames.map((frame) => JSON.parse(frame)),
    ).toEqual([error]);
    expect((await frames("/v3/kv/put?method=GET", [], bearer)).frames).toEqual(["Method Not Allowed"]);
  });
});

describe("beside the gateway", () => {
  test("the version is three plain numbers", async () => {
    const { json } = await edge.ask("/version", { token: null });
    expect(json.etcdserver).toMatch(/^3\.\d+\.\d+$/);
    expect(json.etcdcluster).toMatch(/^3\.\d+\.\d+$/);
  });

  test("health, liveness, readiness", async () => {
    expect((await edge.ask("/health", { token: null })).json).toEqual({ health: "true", reason: "" });
    expect(await edge.ask("/livez", { token: null })).toMatchObject({ status: 200, text: "ok\n" });
    expect((await edge.ask("/readyz?verbose", { token: null })).text).toContain("[+]linearizable_read ok\n");
    expect((await edge.ask("/readyz/non_learner", { token: null })).status).toBe(200);
    expect((await edge.ask("/readyz/none", { token: null })).status).toBe(404);
    expect((await edge.ask("/health/live", { token: null })).text).toBe("ok\n");
  });

  test("metrics, for whoever is somebody", async () => {
    const { text, headers } = await edge.ask("/metrics");
    expect(headers.get("content-type")).toContain("version=0.0.4");
    expect(text).toMatch(/^etcd_server_has_leader 1$/m);
    expect(text).toMatch(/^etcd_mvcc_db_total_size_in_bytes [1-9]\d+$/m);
    expect((await edge.ask("/metrics", { token: null })).json.message).toBe("etcdserver: user name is empty");
  });

  test("the one member has the address by which it was asked", async () => {
    const { header, members } = await told(edge, "/cluster/member/list");
    expect(header).not.toHaveProperty("revision");
    expect(members).toEqual([
      { ID: header.member_id, name: "holdfast", peerURLs: [edge.address], clientURLs: [edge.address] },
    ]);
    const status = await told(edge, "/maintenance/status");
    expect(status).toMatchObject({ leader: header.member_id, raftTerm: "2", version: "3.6.0" });
  });

  test("a snapshot is one that we restore, with the end that clients look for", async () => {
    await told(edge, "/kv/put", { key: b64("kept"), value: b64("in the snapshot") });
    const response = await edge.request("/v3/maintenance/snapshot", { method: "POST", body: "{}" });
    const parts = (await response.text())
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line).result);
    const file = Buffer.concat(parts.map(({ blob }) => Buffer.from(blob ?? "", "base64")));
    expect(file.length % 512).toBe(32);
    const [body, digest] = [file.subarray(0, -32), file.subarray(-32)];
    expect(createHash("sha256").update(body).digest()).toEqual(digest);
    expect(parts.at(-2)).not.toHaveProperty("remaining_bytes");
    const restored = await edge.api("/restore", { method: "POST", body: new Uint8Array(file) }, "restored");
    expect(restored.status).toBe(200);
    const { json } = await edge.ask("/ns/restored/v3/kv/range", { method: "POST", body: { key: b64("kept") } });
    expect(json.kvs[0].value).toBe(b64("in the snapshot"));
  });

  test("the hash of the keys is that of what they were", async () => {
    const { header } = await told(edge, "/kv/put", { key: b64("h"), value: b64("1") });
    const hash = async (revision?: string): Promise<number> =>
      (await told(edge, "/maintenance/hashkv", { revision })).hash;
    const before = await hash();
    await told(edge, "/kv/put", { key: b64("h"), value: b64("2") });
    expect(await hash()).not.toBe(before);
    expect(await hash(header.revision)).toBe(before);
  });
});
