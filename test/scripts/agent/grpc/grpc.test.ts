/** gRPC through the whole way: a real client, the agent's port, the tunnel, a handler at the edge. */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import * as grpc from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { EchoServer, named } from "./echo.ts";

let server: EchoServer;
beforeAll(async () => {
  server = await EchoServer.start();
});
afterAll(() => server[Symbol.asyncDispose]());

const bytes = (text: string): Buffer => Buffer.from(text);

describe("calls", () => {
  test("a unary one: message, headers and trailers, binary ones too", async () => {
    const metadata = new grpc.Metadata();
    metadata.add("x-one", "first");
    metadata.add("x-key-bin", Buffer.from([0, 255, 1]));
    const { message, headers, trailers } = await server.client.call("/test.Echo/echo", bytes("hello"), {}, metadata);
    expect(message).toEqual(bytes("hello"));
    for (const received of [headers, trailers]) {
      expect(received.get("x-one")).toEqual(["first"]);
      expect(received.get("x-key-bin")).toEqual([Buffer.from([0, 255, 1])]);
    }
  });

  test("an empty message is a message", async () => {
    expect((await server.client.call("/test.Echo/echo", Buffer.alloc(0))).message).toEqual(Buffer.alloc(0));
  });

  test("both ways at once, in step", async () => {
    const call = server.client.converse();
    for (let i = 0; i < 50; i++) {
      call.write(bytes(`message ${i}`));
      const [answer] = await once(call, "data");
      expect(answer).toEqual(bytes(`message ${i}`));
    }
    call.end();
    const [status] = await once(call, "status");
    expect(status).toMatchObject({ code: 0 });
  });

  test("a stream of answers comes whole", async () => {
    let count = 0;
    for await (const message of server.client.read("repeat", bytes("500 1000"))) {
      count++;
      expect((message as Buffer).length).toBe(1000);
    }
    expect(count).toBe(500);
  });

  test("1000 at once on one connection", async () => {
    const calls = Array.from({ length: 1000 }, () => server.client.converse());
    const answers = calls.map(async (call, i) => {
      call.write(bytes(String(i)));
      const [answer] = await once(call, "data");
      return String(answer);
    });
    expect(await Promise.all(answers)).toEqual(calls.map((_, i) => String(i)));
    // All of them are open still.
    const again = calls.map(async (call, i) => {
      call.write(bytes(`again ${i}`));
      call.end();
      const [answer] = await once(call, "data");
      const [{ code }] = await once(call, "status");
      return `${answer} ${code}`;
    });
    expect(await Promise.all(again)).toEqual(calls.map((_, i) => `again ${i} 0`));
  });
});

void randomBytes;
void named;
