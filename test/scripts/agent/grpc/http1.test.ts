/** HTTP/1.1 at the agent's port: what goes through the tunnel and what does not, which a client must not notice. */
import { once } from "node:events";
import net from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { TOKEN } from "../../../edge.ts";
import { EchoServer } from "./echo.ts";

let server: EchoServer;
beforeAll(async () => {
  server = await EchoServer.start();
});
afterAll(() => server[Symbol.asyncDispose]());

interface Answer {
  status: number;
  head: string;
  body: string;
}

/** A connection to the agent's port, written to by hand. */
class Client implements Disposable {
  readonly socket: net.Socket;
  #read = "";
  #isEnded = false;
  #more = Promise.withResolvers<void>();

  constructor(options: { allowHalfOpen?: boolean } = {}) {
    this.socket = net.connect({ host: "127.0.0.1", port: server.port, ...options });
    const wake = (): void => {
      this.#more.resolve();
      this.#more = Promise.withResolvers();
    };
    this.socket.on("error", () => {});
    this.socket.on("data", (chunk: Buffer) => {
      this.#read += chunk.toString("latin1");
      wake();
    });
    for (const event of ["end", "close"]) {
      this.socket.on(event, () => {
        this.#isEnded = true;
        wake();
      });
    }
  }

  send(text: string): this {
    this.socket.write(text);
    return this;
  }

  /** The next whole answer; null: the connection has ended without one. */
  async next(): Promise<Answer | null> {
    for (;;) {
      const end = this.#read.indexOf("\r\n\r\n");
      const head = this.#read.slice(0, end);
      const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
      if (end !== -1 && this.#read.length >= end + 4 + length) {
        const body = this.#read.slice(end + 4, end + 4 + length);
        this.#read = this.#read.slice(end + 4 + length);
        return { status: Number(head.slice(9, 12)), head, body };
      }
      if (this.#isEnded) return null;
      await this.#more.promise;
    }
  }

  /** The body of the next answer, which is JSON; undefined where there is none. */
  async told(): Promise<{ by: string; body: string; url?: string; token?: string } | undefined> {
    const answer = await this.next();
    return answer ? JSON.parse(Buffer.from(answer.body, "latin1").toString()) : undefined;
  }

  async ended(): Promise<void> {
    while (!this.#isEnded) await this.#more.promise;
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}

const post = (path: string, body = "", headers: string[] = []): string =>
  [`POST ${path} HTTP/1.1`, "Host: localhost", `Content-Length: ${Buffer.byteLength(body)}`, ...headers, "", body].join(
    "\r\n",
  );

async function told(text: string) {
  using client = new Client();
  return await client.send(text).told();
}

describe("a request that is whole", () => {
  test("goes through the tunnel, with its own token and by its own host", async () => {
    expect(await told(post("/http/told?a=1", "héllo", ["Authorization: Bearer mine"]))).toEqual({
      url: "http://localhost/http/told?a=1",
      token: "Bearer mine",
      body: "héllo",
      by: "tunnel",
    });
  });

  test("one after the other on a connection, and several sent at once", async () => {
    using client = new Client();
    for (const body of ["a", "b"]) expect(await client.send(post("/http/told", body)).told()).toMatchObject({ body });
    client.send(post("/http/told", "c") + post("/http/told", "d") + post("/http/told", "e"));
    for (const body of ["c", "d", "e"]) expect(await client.told()).toMatchObject({ body, by: "tunnel" });
  });

  test("in pieces, however it is cut", async () => {
    const text = post("/http/told", "in pieces");
    using client = new Client();
    client.socket.setNoDelay(true);
    for (const at of [3, 20, text.length - 4]) {
      client.send(text.slice(0, at));
      await new Promise((resolve) => setImmediate(resolve));
      client.send(text.slice(at));
      expect(await client.told()).toMatchObject({ body: "in pieces", by: "tunnel" });
    }
  });

  test("from a client that says no more after it", async () => {
    using client = new Client({ allowHalfOpen: true });
    client.socket.end(post("/http/told", "the last"));
    expect(await client.told()).toMatchObject({ body: "the last", by: "tunnel" });
    await client.ended();
  });

  test("an answer larger than any window comes whole", async () => {
    using client = new Client();
    const answer = await client.send(post("/http/large", "5000000")).next();
    expect(answer?.body.length).toBe(5_000_000);
    expect(await client.send(post("/http/told", "after it")).told()).toMatchObject({ body: "after it" });
  });

  test("what the edge does not take this way is asked again where it does", async () => {
    using client = new Client();
    expect(await client.send(post("/http/elsewhere", "x")).told()).toEqual({ body: "x", by: "pipe" });
    // From there on it is the edge's own connection.
    expect(await client.send(post("/http/told", "y")).told()).toEqual({ body: "y", by: "pipe" });
  });

  test("an edge that fails in the middle of it ends the connection, as its own would, and tells nothing", async () => {
    using client = new Client();
    expect(await client.send(post("/http/broken")).next()).toBeNull();
  });

  test("a client that has gone calls it off", async () => {
    using client = new Client();
    client.send(post("/http/wait", "", ["X-Name: gone-http"]));
    expect(await server.endOf("gone-http", /waiting/)).toBe("waiting");
    // With no more than the end of what it says it may still read.
    client.socket.resetAndDestroy();
    expect(await server.endOf("gone-http", /aborted/)).toBe("aborted");
  });

  test("who reads nothing holds up nobody", async () => {
    using slow = new Client();
    slow.socket.pause();
    slow.send(post("/http/large", "3000000").repeat(3));
    for (let n = 0; n < 3; n++) expect(await told(post("/http/told", String(n)))).toMatchObject({ body: String(n) });
    slow.socket.resume();
    for (let n = 0; n < 3; n++) expect((await slow.next())?.body.length).toBe(3_000_000);
  });
});

describe("everything else goes to the edge as it is", () => {
  const LONG = "a".repeat(40_000);

  test.each([
    ["a body that is too long for a frame", post("/http/told", LONG), LONG],
    ["chunks", "POST /http/told HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", "ab"],
    ["no length", "POST /http/told HTTP/1.1\r\nHost: x\r\n\r\n", ""],
    ["another method", "PUT /http/told HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na", "a"],
    ["an expectation", post("/http/told", "a", ["Expect: 100-continue"]), "a"],
    ["a connection that is to end", post("/http/told", "a", ["Connection: close"]), "a"],
    ["a letter beyond ASCII in a header", post("/http/told", "a", ["X-Name: \u00e9"]), "a"],
    ["many headers", post("/http/told", "a", Array<string>(100).fill(`X-Long: ${"b".repeat(100)}`)), "a"],
  ])("%s", async (_name, text, body) => {
    const answer = await told(text);
    expect(answer).toEqual({ body, by: "pipe" });
  });

  test.each([
    ["a length and chunks", ["Transfer-Encoding: chunked"]],
    ["chunks under a name that is not one", ["Transfer-Encoding : chunked"]],
    ["chunks that hide behind a bare line end", ["X: a\nTransfer-Encoding: chunked"]],
    ["two lengths", ["Content-Length: 5"]],
    ["a length that is none", ["Content-Length: +1"]],
    ["a folded line", ["X: a", " Content-Length: 5"]],
    ["a second host", ["Host: elsewhere"]],
    ["a NUL", ["X: a\0b"]],
    ["a name with a space", ["Content Length: 1"]],
  ])("never through the tunnel: %s", async (_name, headers) => {
    using client = new Client({ allowHalfOpen: true });
    client.socket.end(post("/http/told", "0\r\n\r\n", headers) + post("/http/told", "smuggled"));
    for (let answer = await client.next(); answer !== null; answer = await client.next()) {
      // Where the edge has stopped reading, it says so and ends.
      expect(answer.body).not.toContain('"by":"tunnel"');
    }
  });

  test("a request that is never whole is left to the edge's patience, and holds up nobody", async () => {
    using client = new Client();
    client.send("POST /http/told HTTP/1.1\r\nHost: x\r\nContent-Le");
    expect(await told(post("/http/told", "meanwhile"))).toMatchObject({ body: "meanwhile" });
    await once(client.socket, "end");
  }, 30_000);
});

test("without a right to the tunnel everything goes to the edge as it is", async () => {
  const { startGrpcListener } = await import("../../../../scripts/agent/grpc/listener.ts");
  const options = { host: "127.0.0.1", port: 0, edge: server.edge.address };
  const refused = await startGrpcListener({ ...options, token: "nobody's" });
  try {
    const response = await fetch(`http://127.0.0.1:${refused.port}/http/told`, {
      method: "POST",
      headers: { authorization: `Bearer ${TOKEN}` },
      body: "still",
    });
    expect(await response.json()).toEqual({ body: "still", by: "pipe" });
  } finally {
    await refused.close();
  }
});
