/** A client of `GET /stream`: calls that overlap, each answered by its id; pings are answered. */
import type { Holdfast } from "./servers.ts";

interface Reply {
  status: number;
  value: unknown;
}

export class Stream implements Disposable {
  readonly #socket: WebSocket;
  readonly #calls = new Map<number, (reply: Reply) => void>();
  #lastId = 0;
  /** Leases that the server has told to be lost. */
  lost = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener("message", ({ data }) => this.#receive(data as string));
  }

  static async open(holdfast: Holdfast, namespace: string): Promise<Stream> {
    const url = holdfast.origin.replace("http", "ws") + holdfast.path(namespace, "/stream");
    // Node's WebSocket takes headers; the DOM's types know nothing of them.
    const socket = new WebSocket(url, { headers: holdfast.headers } as unknown as string[]);
    await new Promise((resolve, reject) => {
      socket.addEventListener("open", resolve);
      socket.addEventListener("error", () => reject(new Error("the stream was not opened")));
    });
    return new Stream(socket);
  }

  /** The value; rejects when the status is no success. */
  async call<T>(op: string, params: Record<string, string>, body?: unknown): Promise<T> {
    const id = ++this.#lastId;
    const reply = await new Promise<Reply>((resolve) => {
      this.#calls.set(id, resolve);
      this.#socket.send(JSON.stringify({ id, op, params, body }));
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
    const answer = this.#calls.get(frame.id!);
    this.#calls.delete(frame.id!);
    answer?.(frame);
  }
}
