/** The whole edge as a real process, with a token, and a short way to ask it. */
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import type { Socket } from "node:net";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RunningServe } from "./scripts/serve/holdfast-process.ts";

export const TOKEN = "test-root-token-0123456789abcdef";

export interface Reply {
  status: number;
  headers: Headers;
  text: string;
  // The tests say what they expect of it; a type would only repeat that.
  // oxlint-disable-next-line typescript/no-explicit-any
  json: any;
}

export interface Asked {
  method?: string;
  headers?: Record<string, string>;
  /** Text and bytes as they are, anything else as JSON. */
  body?: unknown;
  token?: string | null;
  signal?: AbortSignal;
}

export class Edge implements AsyncDisposable {
  readonly data = mkdtempSync(join(tmpdir(), "holdfast-edge-"));
  /** Asked instead of its own port: another that serves the same. */
  via: string | null = null;
  #serve!: RunningServe;
  #args: string[] = [];

  static async start(args: string[] = []): Promise<Edge> {
    const edge = new Edge();
    edge.#args = args;
    await edge.boot();
    return edge;
  }

  get address(): string {
    return this.via ?? this.#serve.address;
  }

  get pid(): number {
    return this.#serve.pid;
  }

  get stderr(): string {
    return this.#serve.stderr;
  }

  /** Starts it, on the port it had before if it had one. */
  async boot(): Promise<void> {
    const port = this.#serve ? ["--port", new URL(this.#serve.address).port] : [];
    const token = this.#args.includes("--open") ? [] : ["--root-token", TOKEN];
    this.#serve = await RunningServe.start(this.data, [...token, ...port, ...this.#args], {
      entry: null,
      env: { HOLDFAST_TEST: "1" },
    });
  }

  /** The launcher, Node and workerd end without a word. */
  async kill(): Promise<void> {
    await this.#serve.stop("SIGKILL");
  }

  async stop(): Promise<void> {
    await this.#serve.stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    rmSync(this.data, { recursive: true, force: true });
  }

  request(path: string, { method = "GET", headers = {}, body, token = TOKEN, signal }: Asked = {}): Promise<Response> {
    const isRaw = typeof body === "string" || body instanceof Uint8Array || body instanceof ReadableStream;
    return fetch(this.address + path, {
      method,
      headers: { ...(token !== null && { authorization: `Bearer ${token}` }), ...headers },
      ...(body !== undefined && { body: isRaw ? (body as BodyInit) : JSON.stringify(body), duplex: "half" }),
      redirect: "manual",
      ...(signal && { signal }),
    } as RequestInit);
  }

  async ask(path: string, asked: Asked = {}): Promise<Reply> {
    const response = await this.request(path, asked);
    const text = await response.text();
    const isJson = /[/+-]json$/.test(response.headers.get("content-type")?.split(";")[0] ?? "");
    return { status: response.status, headers: response.headers, text, json: isJson ? JSON.parse(text) : undefined };
  }

  /** Below a namespace of the native API. */
  api(path: string, asked: Asked = {}, namespace = "default"): Promise<Reply> {
    return this.ask(`/api/v1/namespaces/${namespace}${path}`, asked);
  }

  /** A POST below a namespace, on a connection of its own that the test can break. */
  async connect(path: string, body: object, namespace = "default"): Promise<Socket> {
    const { hostname, port } = new URL(this.address);
    const socket = connect(Number(port), hostname);
    await once(socket, "connect");
    const text = JSON.stringify(body);
    const line = `POST /api/v1/namespaces/${namespace}${path} HTTP/1.1`;
    const head = [line, "host: x", `authorization: Bearer ${TOKEN}`, `content-length: ${Buffer.byteLength(text)}`];
    socket.write([...head, "", text].join("\r\n"));
    return socket;
  }

  put(path: string, body: unknown, asked: Asked = {}): Promise<Reply> {
    return this.api(path, { method: "PUT", body, ...asked });
  }

  /** Asks again until the answer is as wanted; ends with the last one after ten seconds. */
  async until(path: string, isWanted: (reply: Reply) => boolean | Promise<boolean>): Promise<Reply> {
    const deadline = performance.now() + 10_000;
    for (;;) {
      const reply = await this.api(path);
      if ((await isWanted(reply)) || performance.now() > deadline) return reply;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

/** One server-sent event. */
export interface Sse {
  id: string | undefined;
  event: string | undefined;
  // oxlint-disable-next-line typescript/no-explicit-any
  data: any;
}

/** Events of a stream as they come; comments and retry lines are left out. */
export async function* events(response: Response): AsyncGenerator<Sse> {
  let rest = "";
  const decoder = new TextDecoder();
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    rest += decoder.decode(chunk, { stream: true });
    for (let end = rest.indexOf("\n\n"); end !== -1; end = rest.indexOf("\n\n")) {
      const fields = new Map(
        rest
          .slice(0, end)
          .split("\n")
          .map((line) => [line.split(":", 1)[0]!, line.slice(line.indexOf(":") + 2)]),
      );
      rest = rest.slice(end + 2);
      if (fields.has("data"))
        yield { id: fields.get("id"), event: fields.get("event"), data: JSON.parse(fields.get("data")!) };
    }
  }
}
