/**
 * One WebSocket of the tunnel with its link. It asks for a sign of life now and then: a peer that has vanished says nothing,
 * and a proxy cuts what is silent for long.
 */
import { Link } from "../../../workers/tunnel/wire/link.ts";

export interface TunnelSocketOptions {
  token: string | null;
  pingMs: number;
  onGoAway: () => void;
  onLost: () => void;
  /** The last call on it has ended. */
  onIdle: () => void;
}

/** What may be kept here for clients that do not read. */
const KEPT_BYTES_MAX = 64 * 1024 * 1024;
const CONNECT_WITHIN_MS = 5000;
const PONG_WITHIN_MS = 20_000;

/** Node's own takes headers; the type of browsers does not know them. */
type WebSocketWithHeaders = new (url: string, init: { headers: Record<string, string> }) => WebSocket;

export class TunnelSocket {
  readonly link: Link;
  readonly #socket: WebSocket;
  readonly #onLost: () => void;
  readonly #pings: NodeJS.Timeout;
  #overdue: NodeJS.Timeout | undefined;
  #isEnded = false;

  /** Rejects when there is none to be had. */
  static async open(url: string, options: TunnelSocketOptions): Promise<TunnelSocket> {
    const headers: Record<string, string> = options.token === null ? {} : { authorization: `Bearer ${options.token}` };
    const socket = new (WebSocket as unknown as WebSocketWithHeaders)(url, { headers });
    socket.binaryType = "arraybuffer";
    const { promise: opened, resolve, reject } = Promise.withResolvers<void>();
    const overdue = setTimeout(() => reject(new Error("no answer in time")), CONNECT_WITHIN_MS);
    socket.addEventListener("open", () => resolve());
    socket.addEventListener("error", () => reject(new Error("no tunnel is served there, or it is not for this agent")));
    try {
      await opened;
    } catch (error) {
      socket.close();
      throw error;
    } finally {
      clearTimeout(overdue);
    }
    return new TunnelSocket(socket, options);
  }

  private constructor(socket: WebSocket, { pingMs, onGoAway, onLost, onIdle }: TunnelSocketOptions) {
    this.#socket = socket;
    this.#onLost = onLost;
    this.link = new Link({
      send: (bytes) => socket.send(bytes),
      // What one turn of the event loop brings from many clients goes in one message.
      schedule: setImmediate,
      keptMax: KEPT_BYTES_MAX,
      onGoAway,
      onIdle,
      onPong: () => clearTimeout(this.#overdue),
    });
    socket.addEventListener("message", ({ data }) => this.#receive(data));
    socket.addEventListener("close", () => this.close());
    socket.addEventListener("error", () => this.close());
    this.#pings = setInterval(() => {
      this.link.ping();
      clearTimeout(this.#overdue);
      this.#overdue = setTimeout(() => this.close(), PONG_WITHIN_MS);
    }, pingMs);
  }

  #receive(data: unknown): void {
    try {
      this.link.receive(new Uint8Array(data as ArrayBuffer));
    } catch {
      // Behind a broken frame nothing can be trusted; calls end as on a lost connection.
      this.close();
    }
  }

  close(): void {
    clearInterval(this.#pings);
    clearTimeout(this.#overdue);
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.link.close();
    this.#socket.close();
    this.#onLost();
  }
}
