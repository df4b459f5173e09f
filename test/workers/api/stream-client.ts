/** A client of the stream, as small as can be: calls that may overlap, events of subscriptions, pongs. */
import type { Edge } from "../../edge.ts";
import { TOKEN } from "../../edge.ts";

// The tests say what they expect of it; a type would only repeat that.
// oxlint-disable-next-line typescript/no-explicit-any
export type Frame = any;

export class StreamClient implements Disposable {
  readonly socket: WebSocket;
  readonly opened: Promise<void>;
  readonly closed: Promise<{ code: number; reason: string }>;
  /** Answers pings. */
  isReading = true;
  /** Frames that are no replies. */
  readonly others: Frame[] = [];
  readonly #calls = new Map<number, (reply: Frame) => void>();
  #more = Promise.withResolvers<void>();
  #lastId = 0;

  constructor(edge: Edge, token: string | null = TOKEN, namespace = "default") {
    const headers = token === null ? {} : { authorization: `Bearer ${token}` };
    const url = `${edge.address.replace("http", "ws")}/api/v1/namespaces/${namespace}/stream`;
    this.socket = new WebSocket(url, { headers } as unknown as string[]);
    this.opened = new Promise((resolve, reject) => {
      this.socket.addEventListener("open", () => resolve());
      this.socket.addEventListener("error", () => reject(new Error("the stream was not opened")));
    });
    this.opened.catch(() => {});
    this.closed = new Promise((resolve) => {
      this.socket.addEventListener("close", ({ code, reason }) => resolve({ code, reason }));
    });
    this.socket.addEventListener("message", ({ data }) => this.#receive(JSON.parse(data as string)));
  }

  static async open(edge: Edge, token: string | null = TOKEN, namespace = "default"): Promise<StreamClient> {
    const client = new StreamClient(edge, token, namespace);
    await client.opened;
    return client;
  }

  /** As `call`, with the id by which it can be cancelled. */
  begin(op: string, params: object = {}, body?: unknown, more: object = {}): { id: number; reply: Promise<Frame> } {
    const id = ++this.#lastId;
    const reply = new Promise<Frame>((resolve) => this.#calls.set(id, resolve));
    this.send({ id, op, params, body, ...more });
    return { id, reply };
  }

  call(op: string, params: object = {}, body?: unknown, more: object = {}): Promise<Frame> {
    return this.begin(op, params, body, more).reply;
  }

  send(frame: object): void {
    this.socket.send(JSON.stringify(frame));
  }

  /** The next frame that is no reply. */
  async next(): Promise<Frame> {
    while (this.others.length === 0) await this.#more.promise;
    return this.others.shift();
  }

  [Symbol.dispose](): void {
    this.socket.close();
  }

  #receive(frame: Frame): void {
    if (frame.ping !== undefined) {
      if (this.isReading) this.send({ pong: frame.ping });
      return;
    }
    const answer = frame.event === undefined ? this.#calls.get(frame.id) : undefined;
    if (answer) {
      this.#calls.delete(frame.id);
      return answer(frame);
    }
    this.others.push(frame);
    this.#more.resolve();
    this.#more = Promise.withResolvers();
  }
}
