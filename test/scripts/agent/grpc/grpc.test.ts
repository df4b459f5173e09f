/** gRPC through the whole way: a real client, the agent's port, the tunnel, a handler at the edge. */
import { once } from "node:events";
import * as grpc from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startGrpcListener } from "../../../../scripts/agent/grpc/listener.ts";
import { TOKEN } from "../../../edge.ts";
import { runtimesOf } from "../../serve/holdfast-process.ts";
import { EchoClient, EchoServer, named } from "./echo.ts";
import { message as framed, RawClient } from "./raw.ts";

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

describe("ends", () => {
  test("a status and its text, whatever is in it", async () => {
    const text = "schlüssel 100% \n weg";
    const failed = server.client.call("/test.Echo/fail", bytes(`5 ${text}`));
    await expect(failed).rejects.toMatchObject({ code: 5, details: text });
  });

  test.each([
    ["/test.Nothing/echo", "unknown service test.Nothing"],
    ["/test.Echo/nothing", "unknown method nothing for service test.Echo"],
  ])("nobody serves %s", async (path, details) => {
    await expect(server.client.call(path, bytes(""))).rejects.toMatchObject({ code: 12, details });
  });

  test("a status comes to who has more to say, too", async () => {
    const call = server.client.converse("fail");
    call.write(bytes("9 enough"));
    const error = await new Promise((resolve) => call.once("error", resolve));
    expect(error).toMatchObject({ code: 9, details: "enough" });
  });

  test("a handler that fails is told without its details", async () => {
    const failed = server.client.call("/test.Echo/crash", bytes(""));
    await expect(failed).rejects.toMatchObject({ code: 13, details: "the call could not be answered" });
  });

  test("a call that is called off is so at the edge", async () => {
    const call = server.client.converse("wait", named("cancelled"));
    expect(await server.endOf("cancelled", /waiting/)).toBe("waiting");
    call.on("error", () => {});
    call.cancel();
    expect(await server.endOf("cancelled", /aborted/)).toBe("aborted");
  });

  test("a client that is gone leaves nothing at the edge", async () => {
    const client = server.another();
    const call = client.converse("wait", named("gone"));
    call.on("error", () => {});
    expect(await server.endOf("gone", /waiting/)).toBe("waiting");
    call.cancel();
    client.close();
    expect(await server.endOf("gone", /aborted/)).toBe("aborted");
  });

  test("a deadline is known at the edge", async () => {
    const options = { deadline: Date.now() + 1000 };
    const failed = server.client.call("/test.Echo/wait", bytes(""), options, named("late"));
    const rejected = expect(failed).rejects.toMatchObject({ code: 4 });
    expect(await server.endOf("late", /waiting/)).toBe("waiting for a while");
    await rejected;
    expect(await server.endOf("late", /aborted/)).toBe("aborted");
  });
});

describe("sizes", () => {
  test("2 MiB are taken, and one byte more is refused in gRPC's words", async () => {
    const largest = Buffer.alloc(2 * 1024 * 1024, 7);
    const { message } = await server.client.call("/test.Echo/echo", largest);
    expect(message!.equals(largest)).toBe(true);
    const failed = server.client.call("/test.Echo/echo", Buffer.alloc(largest.length + 1));
    await expect(failed).rejects.toMatchObject({
      code: 8,
      details: "grpc: received message larger than max (2097153 vs. 2097152)",
    });
  });

  test("an answer of 32 MiB comes whole", async () => {
    const call = server.client.read("repeat", bytes(`1 ${32 * 1024 * 1024}`));
    const [answer] = (await once(call, "data")) as [Buffer];
    expect(answer.length).toBe(32 * 1024 * 1024);
    expect(answer.every((byte) => byte === 7)).toBe(true);
  });

  test("who does not read is not sent to, and holds up nobody else", async () => {
    using slow = new RawClient(server.port);
    const unread = slow.open("/test.Echo/repeat", { "x-name": "slow" });
    unread.on("error", () => {});
    unread.end(framed(bytes("100000 32768")));
    await once(unread, "response");
    // Meanwhile as much goes to another as would show.
    let read = 0;
    for await (const part of server.client.read("repeat", bytes("2000 32768"))) read += (part as Buffer).length;
    expect(read).toBe(2000 * 32_768);
    const { text } = await server.edge.ask("/end?name=slow");
    expect(Number(/^at (\d+)$/.exec(text)![1])).toBeLessThan(30);
    // It goes on where it was.
    let taken = 0;
    for await (const chunk of unread) {
      taken += (chunk as Buffer).length;
      if (taken > 200 * 32_768) break;
    }
    const ended = await server.endOf("slow", /aborted/);
    expect(Number(/\d+/.exec(ended)![0])).toBeGreaterThanOrEqual(200);
  });

  test("a handler that does not take is not sent to, and holds up nobody else", async () => {
    const call = server.client.converse("hesitate", named("hesitating"));
    for (let i = 0; i < 128; i++) call.write(Buffer.alloc(64 * 1024));
    call.end();
    expect(await server.endOf("hesitating", /hesitating/)).toBe("hesitating");
    expect((await server.client.call("/test.Echo/echo", bytes("by the way"))).message).toEqual(bytes("by the way"));
    await server.edge.ask("/take?name=hesitating");
    const [answer] = await once(call, "data");
    expect(String(answer)).toBe(String(128 * 64 * 1024));
  });
});

describe("the connection to the edge", () => {
  test("is changed for another under way, and no call notices", async () => {
    const long = server.client.converse();
    const step = async (text: string): Promise<void> => {
      long.write(bytes(text));
      const [answer] = await once(long, "data");
      expect(answer).toEqual(bytes(text));
    };
    await step("before");
    for (let i = 0; i < 90; i++) {
      const calls = Array.from({ length: 100 }, () => server.client.call("/test.Echo/echo", bytes("x")));
      for (const { message } of await Promise.all(calls)) expect(message).toEqual(bytes("x"));
    }
    await step("after");
    long.end();
  });

  // What the edge needs to start again, and the pauses between attempts, take long on a busy machine.
  test.runIf(process.platform === "linux")(
    "is lost: open calls end, new ones wait for the next",
    async () => {
      const target = { host: "127.0.0.1", port: 0, edge: server.edge.address, token: TOKEN };
      const listener = await startGrpcListener({ ...target, waitMs: 60_000 });
      const client = new EchoClient(listener.port);
      try {
        const call = client.converse();
        call.write(bytes("here"));
        await once(call, "data");
        const ended = new Promise((resolve) => call.once("error", resolve));
        const [runtime] = runtimesOf(server.edge.pid);
        process.kill(runtime!, "SIGKILL");
        expect(await ended).toMatchObject({ code: 14, details: "the connection to the edge was lost" });
        const { message } = await client.call("/test.Echo/echo", bytes("again"));
        expect(message).toEqual(bytes("again"));
      } finally {
        client.close();
        await listener.close();
      }
    },
    90_000,
  );
});
