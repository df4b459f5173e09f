/** What no gRPC library would send, on the agent's port: told in gRPC's words, or cut off; nobody else notices. */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import http2 from "node:http2";
import net from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { TOKEN } from "../../../edge.ts";
import { EchoServer } from "./echo.ts";
import { answerOf, message, RawClient } from "./raw.ts";

let server: EchoServer;
let client: RawClient;
beforeAll(async () => {
  server = await EchoServer.start();
  client = new RawClient(server.port);
});
afterAll(async () => {
  client[Symbol.dispose]();
  await server[Symbol.asyncDispose]();
});

const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const hello = message(Buffer.from("hello"));

async function expectServing(): Promise<void> {
  const { message: answer } = await server.client.call("/test.Echo/echo", Buffer.from("still here"));
  expect(answer).toEqual(Buffer.from("still here"));
}

describe("headers", () => {
  test("an answer as gRPC has it", async () => {
    const { headers, trailers, body } = await client.ask("/test.Echo/echo", hello);
    expect(headers).toMatchObject({ ":status": 200, "content-type": "application/grpc" });
    expect(headers["grpc-status"]).toBeUndefined();
    expect(trailers["grpc-status"]).toBe("0");
    expect(body).toEqual(hello);
  });

  test("a status without a message comes in the headers alone", async () => {
    const { headers } = await client.ask("/test.Echo/fail", message(Buffer.from("7 no, 100% not")));
    expect(headers).toMatchObject({ ":status": 200, "grpc-status": "7", "grpc-message": "no, 100%25 not" });
  });

  test.each([
    ["a foreign content type", { "content-type": "application/json" }, 415, "3", /invalid gRPC request content-type/],
    ["one that only begins like it", { "content-type": "application/grpcx" }, 415, "3", /content-type/],
    ["another method", { ":method": "PUT" }, 405, "13", /:method "PUT" which should be POST/],
    ["a timeout without a unit", { "grpc-timeout": "100" }, 400, "13", /malformed grpc-timeout: .*unit/],
    ["a timeout of nothing", { "grpc-timeout": "S" }, 400, "13", /malformed grpc-timeout: .*too short/],
    ["a timeout of nine digits", { "grpc-timeout": "123456789S" }, 400, "13", /malformed grpc-timeout: .*too long/],
    ["a timeout below nothing", { "grpc-timeout": "-1S" }, 400, "13", /malformed grpc-timeout: .*invalid syntax/],
    ["binary metadata that is no base64", { "x-bin": "!!" }, 400, "13", /malformed binary metadata/],
  ])("%s", async (_name, headers, httpStatus, code, text) => {
    const answer = await client.ask("/test.Echo/echo", hello, headers);
    expect(answer.headers[":status"]).toBe(httpStatus);
    expect(answer.trailers["grpc-status"]).toBe(code);
    expect(decodeURIComponent(String(answer.trailers["grpc-message"]))).toMatch(text);
  });

  test.each(["application/grpc+proto", "application/grpc;charset=utf-8"])("%s is gRPC", async (type) => {
    expect((await client.ask("/test.Echo/echo", hello, { "content-type": type })).trailers["grpc-status"]).toBe("0");
  });

  test("a deadline that has passed is told by the server too", async () => {
    const late = { "grpc-timeout": "50m", "x-name": "raw" };
    const { headers } = await client.ask("/test.Echo/wait", hello, late);
    expect(headers).toMatchObject({ "grpc-status": "4", "grpc-message": "context deadline exceeded" });
    expect(await server.endOf("raw", /aborted/)).toBe("aborted");
    expect((await client.ask("/test.Echo/echo", hello, { "grpc-timeout": "0n" })).headers["grpc-status"]).toBe("4");
  });

  test("more than there may be of them ends that stream", async () => {
    const flood = Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`x-${i}`, "v".repeat(400)]));
    using other = new RawClient(server.port);
    const stream = other.open("/test.Echo/echo", flood);
    stream.on("error", () => {});
    stream.end(hello);
    expect((await answerOf(stream)).trailers["grpc-status"]).not.toBe("0");
    await expectServing();
  });
});

describe("messages", () => {
  test.each([
    ["compressed, with no encoding named", message(Buffer.from("x"), { flag: 1 }), {}, "13", /empty encoding/],
    [
      "compressed by what is not there",
      message(Buffer.from("x"), { flag: 1 }),
      { "grpc-encoding": "gzip" },
      "12",
      /Decompressor is not installed for grpc-encoding "gzip"/,
    ],
    ["a flag that there is not", message(Buffer.from("x"), { flag: 9 }), {}, "13", /unexpected payload format 9/],
    ["longer than may be", message(Buffer.from("x"), { length: 0xffffffff }), {}, "8", /\(4294967295 vs. 2097152\)/],
    ["that end too soon", message(Buffer.from("x"), { length: 10 }), {}, "13", /unexpected EOF/],
    ["with half a header", Buffer.from([0, 0]), {}, "13", /unexpected EOF/],
  ])("%s", async (_name, body, headers, code, text) => {
    const { trailers } = await client.ask("/test.Echo/converse", body, headers);
    expect(trailers["grpc-status"]).toBe(code);
    expect(decodeURIComponent(String(trailers["grpc-message"]))).toMatch(text);
  });

  test("in single bytes", async () => {
    const stream = client.open("/test.Echo/converse");
    const answer = answerOf(stream);
    for (const byte of Buffer.concat([hello, hello])) {
      await new Promise((resolve) => stream.write(Buffer.of(byte), resolve));
    }
    stream.end();
    expect((await answer).body).toEqual(Buffer.concat([hello, hello]));
  });

  test("a million empty ones to who does not take them", async () => {
    const stream = client.open("/test.Echo/hesitate", { "x-name": "empties" });
    stream.on("error", () => {});
    stream.write(Buffer.alloc(5 * 1_000_000));
    expect(await server.endOf("empties", /hesitating/)).toBe("hesitating");
    await expectServing();
    stream.close(http2.constants.NGHTTP2_CANCEL);
    await server.edge.ask("/take?name=empties");
  });
});

describe("connections", () => {
  test.each([
    ["noise", () => randomBytes(4096)],
    ["noise behind the preface", () => Buffer.concat([PREFACE, Buffer.alloc(4096, 0xff)])],
    ["half a preface", () => Buffer.from("PRI * HT")],
  ])("%s", async (_name, bytes) => {
    const socket = net.connect(server.port, "127.0.0.1");
    socket.on("error", () => {});
    socket.end(bytes());
    socket.resume();
    await once(socket, "close");
    await expectServing();
  });

  test("pings without end and without a call are answered", async () => {
    using other = new RawClient(server.port);
    for (let i = 0; i < 200; i++) await new Promise((resolve) => other.session.ping(resolve));
    expect((await other.ask("/test.Echo/echo", hello)).trailers["grpc-status"]).toBe("0");
  });

  test("calls opened and called off without end are cut off", async () => {
    using other = new RawClient(server.port);
    const closed = new Promise((resolve) => other.session.once("close", resolve));
    const flood = setInterval(() => {
      for (let i = 0; i < 1000 && !other.session.destroyed; i++) {
        const stream = other.open("/test.Echo/wait");
        stream.on("error", () => {});
        stream.close(http2.constants.NGHTTP2_CANCEL);
      }
    }, 1);
    await closed;
    clearInterval(flood);
    await expectServing();
  });
});

describe("HTTP/1.1 on the same port", () => {
  const origin = (): string => `http://127.0.0.1:${server.port}`;

  test("requests, one behind the other on one connection", async () => {
    const socket = net.connect(server.port, "127.0.0.1");
    const request = "GET /health/live HTTP/1.1\r\nhost: x\r\n";
    socket.write(`${request}\r\n${request}\r\n`);
    let text = "";
    for await (const chunk of socket) {
      text += String(chunk);
      if (text.match(/HTTP\/1.1 200 OK[^]*?ok\n/g)?.length === 2) break;
    }
    expect(text.match(/HTTP\/1.1/g)).toHaveLength(2);
  });

  test("a body both ways at once", async () => {
    const parts = new TransformStream<Uint8Array, Uint8Array>();
    const writer = parts.writable.getWriter();
    const asked = { method: "POST", body: parts.readable, duplex: "half" } as RequestInit;
    const answered = fetch(`${origin()}/upload`, asked);
    await writer.write(Buffer.from("one"));
    const reader = (await answered).body!.getReader();
    expect(String(Buffer.from((await reader.read()).value!))).toBe("one");
    await writer.write(Buffer.from("two"));
    expect(String(Buffer.from((await reader.read()).value!))).toBe("two");
    await writer.close();
    expect((await reader.read()).done).toBe(true);
  });

  test("a WebSocket", async () => {
    const init = { headers: { authorization: `Bearer ${TOKEN}` } } as unknown as string[];
    const socket = new WebSocket(`${origin().replace("http", "ws")}/tunnel`, init);
    await once(socket, "open");
    socket.close();
  });
});
