/** The edge's end of the tunnel, spoken to by hand: who may open it, and what ends it. */
import { once } from "node:events";
import http from "node:http";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Frame } from "../../../workers/tunnel/wire/frames.ts";
import { utf8 } from "../../../objects/bytes.ts";
import { decodeFrames, FrameWriter } from "../../../workers/tunnel/wire/frames.ts";
import { LINK_WINDOW, STREAM_WINDOW } from "../../../workers/tunnel/wire/link.ts";
import { Edge, TOKEN } from "../../edge.ts";
import { ENTRY } from "../../scripts/agent/grpc/echo.ts";

let edge: Edge;
beforeAll(async () => {
  edge = await Edge.start(["--entry", ENTRY]);
});
afterAll(() => edge[Symbol.asyncDispose]());

const open = (stream: number, method = "converse"): Frame => ({
  type: "open",
  stream,
  path: `/test.Echo/${method}`,
  timeoutMs: Infinity,
  metadata: [],
});

const request = (stream: number, path: string, body = ""): Frame => ({
  type: "request",
  stream,
  head: utf8(`POST ${path} HTTP/1.1\r\nHost: a.example\r\n\r\n`),
  body: utf8(body),
});

const message = (stream: number, bytes: Uint8Array): Frame => ({
  type: "message",
  stream,
  length: bytes.length,
  bytes,
});

class Socket implements Disposable {
  readonly socket: WebSocket;
  readonly closed: Promise<{ code: number; reason: string }>;
  readonly #received: Frame[] = [];
  #more = Promise.withResolvers<void>();

  constructor() {
    const init = { headers: { authorization: `Bearer ${TOKEN}` } } as unknown as string[];
    this.socket = new WebSocket(`${edge.address.replace("http", "ws")}/tunnel`, init);
    this.socket.binaryType = "arraybuffer";
    this.socket.addEventListener("message", ({ data }) => {
      this.#received.push(...decodeFrames(new Uint8Array(data as ArrayBuffer)));
      this.#more.resolve();
      this.#more = Promise.withResolvers();
    });
    this.closed = new Promise((resolve) => {
      this.socket.addEventListener("close", ({ code, reason }) => resolve({ code, reason }));
    });
  }

  async send(...frames: Frame[]): Promise<void> {
    if (this.socket.readyState === WebSocket.CONNECTING) await once(this.socket, "open");
    const writer = new FrameWriter();
    for (const frame of frames) writer.write(frame);
    this.socket.send(writer.take());
  }

  async next(): Promise<Frame> {
    while (this.#received.length === 0) await this.#more.promise;
    return this.#received.shift()!;
  }

  [Symbol.dispose](): void {
    this.socket.close();
  }
}

describe("who may open it", () => {
  const statusFor = async (headers: Record<string, string>): Promise<number | undefined> => {
    const upgrade = { connection: "Upgrade", upgrade: "websocket", "sec-websocket-version": "13" };
    const key = { "sec-websocket-key": Buffer.alloc(16).toString("base64") };
    const request = http.get(`${edge.address}/tunnel`, { headers: { ...upgrade, ...key, ...headers } });
    const { promise, resolve, reject } = Promise.withResolvers<number | undefined>();
    request.on("response", (response) => resolve(response.resume().statusCode));
    request.on("upgrade", (response, socket) => {
      socket.destroy();
      resolve(response.statusCode);
    });
    request.on("error", reject);
    return promise;
  };

  test("an agent with its token", async () => {
    expect(await statusFor({ authorization: `Bearer ${TOKEN}` })).toBe(101);
  });

  test("nobody else", async () => {
    expect(await statusFor({})).toBe(401);
    expect(await statusFor({ authorization: "Bearer guessed" })).toBe(401);
  });

  test("nobody without a WebSocket", async () => {
    expect(await edge.ask("/tunnel")).toMatchObject({ status: 426, json: { code: "invalid_argument" } });
  });
});

describe("frames", () => {
  test("a call", async () => {
    using socket = new Socket();
    const bytes = new Uint8Array([1, 2, 3]);
    await socket.send(open(1), message(1, bytes), { type: "end", stream: 1 });
    expect(await socket.next()).toEqual(message(1, bytes));
    expect(await socket.next()).toMatchObject({ type: "status", stream: 1, status: { code: 0 } });
  });

  test("a request of HTTP, answered as it goes to the client", async () => {
    using socket = new Socket();
    await socket.send(request(1, "/http/told?a", "hello"));
    const answer = (await socket.next()) as Extract<Frame, { type: "message" }>;
    const text = Buffer.from(answer.bytes).toString();
    const [head = "", body = ""] = text.split("\r\n\r\n");
    expect(answer.length).toBe(answer.bytes.length);
    expect(head).toBe(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\ncontent-type: application/json`);
    expect(JSON.parse(body)).toMatchObject({ url: "http://a.example/http/told?a", body: "hello" });
    expect(await socket.next()).toMatchObject({ type: "status", stream: 1, status: { code: 0 } });
  });

  test.each([
    ["that nobody answers here", request(1, "/http/elsewhere")],
    ["by whose head nobody can be found", request(1, "/http/unroutable")],
    ["that is none", { ...request(1, ""), head: utf8("hello") } as Frame],
    ["of a host that is none", { ...request(1, ""), head: utf8("POST / HTTP/1.1\r\nHost: a:b\r\n\r\n") } as Frame],
  ])("a request %s is not taken", async (_name, frame) => {
    using socket = new Socket();
    await socket.send(frame);
    expect(await socket.next()).toMatchObject({ type: "status", stream: 1, status: { code: 12 } });
  });

  test("the platform's word for an address is not the caller's", async () => {
    using socket = new Socket();
    const head = utf8("POST /http/source HTTP/1.1\r\nHost: a\r\nCF-Connecting-IP: 1.2.3.4\r\n\r\n");
    await socket.send({ type: "request", stream: 1, head, body: utf8("") });
    const answer = (await socket.next()) as Extract<Frame, { type: "message" }>;
    expect(Buffer.from(answer.bytes).toString()).not.toContain("1.2.3.4");
  });

  test("a sign of life", async () => {
    using socket = new Socket();
    await socket.send({ type: "ping", stream: 0 });
    expect(await socket.next()).toEqual({ type: "pong", stream: 0 });
  });

  test("a message that is longer than may be ends its call, and no other", async () => {
    using socket = new Socket();
    const bytes = new Uint8Array(1);
    await socket.send(open(1), open(2), { type: "message", stream: 1, length: 2 ** 32 - 1, bytes });
    expect(await socket.next()).toMatchObject({ type: "status", stream: 1, status: { code: 8 } });
    await socket.send(message(2, bytes));
    expect(await socket.next()).toEqual(message(2, bytes));
  });

  const part = new Uint8Array(32_000);
  const over = Math.ceil(STREAM_WINDOW / part.length) + 1;

  test.each<[string, Frame[]]>([
    ["a stream that was never opened", [{ type: "end", stream: 5 }]],
    ["a number that was there before", [open(1), open(1)]],
    ["a part of no message", [open(1), { type: "chunk", stream: 1, bytes: part }]],
    ["a message inside a message", [open(1), { type: "message", stream: 1, length: 9, bytes: part.subarray(8) }]],
    [
      "an end inside a message",
      [open(1), { ...message(1, part), length: 99_999 } as Frame, { type: "end", stream: 1 }],
    ],
    ["a message behind a request", [request(1, "/http/wait"), message(1, part)]],
    ["an end behind a request", [request(1, "/http/wait"), { type: "end", stream: 1 }]],
    ["a request on a number that was there before", [open(1), request(1, "/http/told")]],
    ["an end behind the end", [open(1, "wait"), { type: "end", stream: 1 }, { type: "end", stream: 1 }]],
    ["more than the stream's window", [open(1, "wait"), ...Array.from({ length: over }, () => message(1, part))]],
    ["credit that was not taken", [open(1, "wait"), { type: "credit", stream: 1, bytes: 1 }]],
    ["credit of the connection that was not taken", [{ type: "credit", stream: 0, bytes: LINK_WINDOW }]],
  ])("%s ends the connection", async (_name, frames) => {
    using socket = new Socket();
    await socket.send(...frames);
    expect(await socket.closed).toMatchObject({ code: 1002 });
  });

  test.each<[string, string | Uint8Array<ArrayBuffer>]>([
    ["text", "hello"],
    ["half a frame", new Uint8Array([0, 0, 9, 1])],
    ["a frame of no type", new Uint8Array([0, 0, 0, 99, 0, 0, 0, 1])],
    ["a frame longer than its message", new Uint8Array([0, 1, 0, 3, 0, 0, 0, 1])],
    ["noise", new Uint8Array(4096).fill(0xff)],
  ])("%s ends the connection", async (_name, data) => {
    using socket = new Socket();
    await once(socket.socket, "open");
    socket.socket.send(data);
    expect(await socket.closed).toMatchObject({ code: 1002 });
  });

  test("who gives no credit is not sent to", async () => {
    using socket = new Socket();
    const bytes = new TextEncoder().encode("1000 32000");
    await socket.send({ ...open(1, "repeat"), metadata: [["x-name", "creditless"]] } as Frame, message(1, bytes));
    let received = 0;
    // Everything that may come has come when the sign of life is answered.
    while (received < 8) if ((await socket.next()).type === "message") received++;
    await socket.send({ type: "ping", stream: 0 });
    expect(await socket.next()).toEqual({ type: "pong", stream: 0 });
    expect((await edge.ask("/end?name=creditless")).text).toBe("at 8");
    await socket.send({ type: "credit", stream: 1, bytes: 2 * 32_064 });
    expect((await socket.next()).type).toBe("message");
    expect((await socket.next()).type).toBe("message");
  });
});
