/**
 * A client's HTTP/1.1 connection. Requests that are whole (http1-request.ts) go through the tunnel, many clients' in one
 * message, each as the bytes that it is, and come back as bytes; so does nothing else. With the first that is otherwise, or
 * that the edge does not take this way, the connection is joined to one of the edge's, from that request on and for good.
 *
 * One request at a time: what a client says meanwhile waits. Knows no path and no header's meaning; who may what is for the
 * edge to say.
 */
import type net from "node:net";
import type { LinkStream, StreamEvents } from "../../../workers/tunnel/wire/link.ts";
import type { Status } from "../../../workers/tunnel/wire/status.ts";
import { GRPC, NOT_TAKEN } from "../../../workers/tunnel/wire/status.ts";
import type { Found } from "./http1-request.ts";
import { REQUEST_BYTES_MAX, RequestFinder } from "./http1-request.ts";
import { pipeToEdge } from "./pipe.ts";
import type { Tunnel } from "./tunnel.ts";

/** Who has begun a request and does not end it takes the edge's own patience. */
const WHOLE_WITHIN_MS = 1000;
/** Between two requests. */
const IDLE_MS = 120_000;

/** Serves it until it is over. Nothing may have been read of it. */
export function serveHttp1(client: net.Socket, edge: URL, tunnel: Tunnel): void {
  new Connection(client, edge, tunnel).serve();
}

const NOTHING: Buffer = Buffer.alloc(0);

class Connection implements StreamEvents {
  readonly #client: net.Socket;
  readonly #edge: URL;
  readonly #tunnel: Tunnel;
  readonly #finder = new RequestFinder();
  /** The request that is being answered, if any, and all behind it. */
  #read = NOTHING;
  #asked: Found | null = null;
  #stream: LinkStream | undefined;
  #hasAnswered = false;
  #overdue: NodeJS.Timeout | undefined;

  constructor(client: net.Socket, edge: URL, tunnel: Tunnel) {
    this.#client = client;
    this.#edge = edge;
    this.#tunnel = tunnel;
  }

  serve(): void {
    this.#client.on("data", this.#onData);
    this.#client.on("end", this.#onEnd);
    this.#client.on("close", this.#onGone);
    this.#client.on("timeout", this.#onTimeout);
    this.#client.setTimeout(IDLE_MS);
  }

  // From the client.

  readonly #onData = (chunk: Buffer): void => {
    this.#read = this.#read.length === 0 ? chunk : Buffer.concat([this.#read, chunk]);
    if (!this.#asked) this.#next();
    else if (this.#read.length > 2 * REQUEST_BYTES_MAX) this.#client.pause();
  };

  readonly #onEnd = (): void => {
    if (!this.#asked) this.#next();
  };

  readonly #onGone = (): void => {
    clearTimeout(this.#overdue);
    this.#stream?.reset(GRPC.cancelled);
  };

  readonly #onTimeout = (): void => {
    if (!this.#asked) this.#client.end();
  };

  #next(): void {
    clearTimeout(this.#overdue);
    const { readableEnded, destroyed } = this.#client;
    if (destroyed) return;
    if (this.#read.length === 0) {
      if (readableEnded) this.#client.end();
      return;
    }
    const found = this.#finder.look(this.#read);
    if (found === "other" || (found === "more" && readableEnded)) return this.#pipe();
    if (found === "more") this.#overdue = setTimeout(() => this.#pipe(), WHOLE_WITHIN_MS);
    else this.#ask(found);
  }

  #ask(found: Found): void {
    this.#asked = found;
    const waiting = this.#tunnel.attempt();
    if (!waiting) return this.#send(found);
    void waiting.then((isOpen) => {
      if (this.#client.destroyed) return;
      if (isOpen) this.#send(found);
      else this.#pipe();
    });
  }

  #send({ headBytes, bodyBytes }: Found): void {
    this.#hasAnswered = false;
    const head = this.#read.subarray(0, headBytes);
    this.#stream = this.#tunnel.request({ head, body: this.#read.subarray(headBytes, headBytes + bodyBytes) }, this);
  }

  // From the edge.

  onPart(bytes: Uint8Array, _messageLength: number | null, cost: number): void {
    const stream = this.#stream!;
    if (this.#client.destroyed) return;
    // Nobody else has to pay for who does not read.
    if (!stream.keep(cost)) {
      this.#client.destroy();
      return;
    }
    this.#hasAnswered = true;
    this.#client.write(bytes, () => {
      stream.drop(cost);
      stream.credit(cost);
    });
  }

  onEnd(): void {
    // An answer ends with its status.
  }

  onClose(end: { status: Status } | { reset: number } | null): void {
    this.#stream = undefined;
    const code = end && "status" in end ? end.status.code : null;
    if (code === NOT_TAKEN.code && !this.#hasAnswered) return this.#pipe();
    // As a connection to the edge that breaks off: what has been done nobody can tell.
    if (code !== GRPC.ok) return this.#client.destroySoon();
    if (this.#client.writableNeedDrain) this.#client.once("drain", () => this.#answered());
    else this.#answered();
  }

  #answered(): void {
    const { headBytes, bodyBytes } = this.#asked!;
    this.#asked = null;
    this.#read = this.#read.subarray(headBytes + bodyBytes);
    if (this.#client.isPaused()) this.#client.resume();
    this.#next();
  }

  /** From the first byte on that has not been answered. */
  #pipe(): void {
    clearTimeout(this.#overdue);
    this.#client.setTimeout(0);
    this.#client.pause();
    this.#client.off("data", this.#onData);
    this.#client.off("end", this.#onEnd);
    this.#client.off("close", this.#onGone);
    this.#client.off("timeout", this.#onTimeout);
    pipeToEdge(this.#client, this.#edge, this.#read);
    this.#read = NOTHING;
  }
}
