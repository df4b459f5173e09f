/** A client of `GET /stream`: calls that overlap, each answered by its id; pings are answered. */
import type { Holdfast } from "./servers.ts";

interface Reply {
  status: number;
  value: unknown;
}

/** There is no connection, or it ended before the answer. */
export class Broken extends Error {
  override readonly name = "Broken";
}

interface Waiting {
  resolve: (reply: Reply) => void;
  reject: (error: Error) => void;
}

export class Stream implements Disposable {
  readonly #socket: WebSocket;
  readonly #calls = new Map<number, Waiting>();
  #lastId = 0;
  /** Leases that the server has told to be lost. */
  lost = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener("message", ({ data }) => this.#receive(data as string));
    socket.addEventListener("close", () => {
      for (const { reject } of this.#calls.values()) reject(new Broken("the stream was closed"));
    });
  }

  static async open(holdfast: Holdfast, namespace: string): Promise<Stream> {
    const url = holdfast.origin.replace("http", "ws") + holdfast.path(namespace, "/stream");
    // Node's WebSocket takes headers; the DOM's types know nothing of them.
    const socket = new WebSocket(url, { headers: holdfast.headers } as unknown as string[]);
    await new Promise((resolve, reject) => {
      socket.addEventListener("open", resolve);
      socket.addEventListener("error", () => reject(new Broken("the stream was not opened")));
    });
    return new Stream(socket);
  }

  /** The value; rejects when the status is no success, and with `Broken` when there is none. */
  async call<T>(op: string, params: Record<string, string>, body?: unknown, idempotencyKey?: string): Promise<T> {
    if (this.#socket.readyState > WebSocket.OPEN) throw new Broken("the stream was closed");
    const id = ++this.#lastId;
    const reply = await new Promise<Reply>((resolve, reject) => {
      this.#calls.set(id, { resolve, reject });
      this.#socket.send(JSON.stringify({ id, op, params, body, idempotencyKey }));
    });
    if (reply.status >= 300) throw new Error(`${op} ${JSON.stringify(params)}: ${JSON.stringify(reply)}`);
    return reply.value as T;
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }

  #receive(data: string): void {
    const frame = JSON.parse(data) as Reply & { id?: number; ping?: number; lost?: string };
    if (frame.ping !== undefined) return this.#socket.send(`{"pong":${frame.ping}}`);
    if (frame.lost !== undefined) this.lost++;
    const waiting = this.#calls.get(frame.id!);
    this.#calls.delete(frame.id!);
    waiting?.resolve(frame);
  }
}
