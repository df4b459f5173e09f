/**
 * One call: a client's HTTP/2 stream on one side, a stream of the tunnel on the other. Any service, any kind of call: what the
 * messages mean, and who may send them, is the edge's to know.
 *
 * Neither side is read faster than the other takes it. Sources: github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md; where
 * it leaves a choice, as gRPC's Go server.
 */
import { constants } from "node:http2";
import type { IncomingHttpHeaders, OutgoingHttpHeaders, ServerHttp2Stream } from "node:http2";
import type { Metadata } from "../../../workers/tunnel/wire/metadata.ts";
import type { LinkStream, StreamEvents } from "../../../workers/tunnel/wire/link.ts";
import type { Status } from "../../../workers/tunnel/wire/status.ts";
import { GRPC } from "../../../workers/tunnel/wire/status.ts";
import { framed, MessageSplitter } from "./framing.ts";
import { callHeaders, CONTENT_TYPE, responseHeaders, statusTrailers } from "./headers.ts";
import type { CallHeaders } from "./headers.ts";
import type { Tunnel } from "./tunnel.ts";
import { CONNECTION_LOST } from "./tunnel.ts";

/** What a timer can be set to. */
const TIMER_MAX_MS = 2 ** 31 - 1;

/** Serves it until it is over. Never throws. */
export function serveCall(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, tunnel: Tunnel): void {
  // A stream that fails is told by its closing.
  stream.on("error", () => {});
  const asked = callHeaders(headers);
  if ("httpStatus" in asked) {
    respondOnly(stream, { ":status": asked.httpStatus, "content-type": CONTENT_TYPE, ...statusTrailers(asked.status) });
    return;
  }
  void new Call(stream, asked).run(tunnel);
}

class Call implements StreamEvents {
  readonly #stream: ServerHttp2Stream;
  readonly #asked: CallHeaders;
  readonly #splitter: MessageSplitter;
  readonly #gone = new AbortController();
  #link: LinkStream | undefined;
  #deadline: NodeJS.Timeout | undefined;
  #isOver = false;

  constructor(stream: ServerHttp2Stream, asked: CallHeaders) {
    this.#stream = stream;
    this.#asked = asked;
    this.#splitter = new MessageSplitter(asked.encoding, (part, length) => this.#link?.sendPart(part, length));
  }

  async run(tunnel: Tunnel): Promise<void> {
    const { path, timeoutMs, metadata } = this.#asked;
    const startedAt = performance.now();
    const onDeadline = (): void => this.#end(DEADLINE_EXCEEDED);
    if (timeoutMs <= 0) return onDeadline();
    if (timeoutMs <= TIMER_MAX_MS) this.#deadline = setTimeout(onDeadline, timeoutMs);
    this.#stream.on("close", () => this.#left());
    const waiting = tunnel.ready(this.#gone.signal);
    if (waiting) {
      const reason = await waiting;
      if (this.#isOver) return;
      if (reason !== null) return this.#end({ code: GRPC.unavailable, message: reason });
    }
    const left = Math.max(0, timeoutMs - (performance.now() - startedAt));
    this.#link = tunnel.open({ path, timeoutMs: left, metadata }, this);
    this.#stream.on("data", (chunk: Buffer) => this.#received(chunk));
    this.#stream.on("end", () => this.#receivedAll());
  }

  // From the client.

  #received(chunk: Buffer): void {
    if (this.#isOver) return;
    const fault = this.#splitter.push(chunk);
    if (fault) this.#end(fault);
    else if (!this.#link!.isDrained) this.#stream.pause();
  }

  #receivedAll(): void {
    if (this.#isOver) return;
    if (this.#splitter.isWhole) this.#link!.sendEnd();
    else this.#end({ code: GRPC.internal, message: "unexpected EOF" });
  }

  /** Closed before there was a status: the client has called it off, or is gone. */
  #left(): void {
    if (!this.#finish()) return;
    this.#gone.abort();
    this.#link?.reset(GRPC.cancelled);
  }

  // From the edge.

  onHeaders(metadata: Metadata): void {
    if (this.#canAnswer && !this.#stream.headersSent) {
      this.#stream.respond(responseHeaders(metadata), { waitForTrailers: true });
    }
  }

  onPart(bytes: Uint8Array, messageLength: number | null, cost: number): void {
    if (!this.#canAnswer) return;
    const link = this.#link!;
    if (!link.keep(cost)) return this.#end(TOO_MUCH_UNREAD);
    this.onHeaders([]);
    this.#stream.write(messageLength === null ? bytes : framed(bytes, messageLength), () => {
      link.drop(cost);
      link.credit(cost);
    });
  }

  onEnd(): void {
    // A server ends with its status.
  }

  onDrain(): void {
    this.#stream.resume();
  }

  onClose(end: { status: Status } | { reset: number } | null): void {
    this.#end(end && "status" in end ? end.status : { code: GRPC.unavailable, message: CONNECTION_LOST });
  }

  get #canAnswer(): boolean {
    return !this.#isOver && !this.#stream.destroyed;
  }

  /** Tells the client, and the edge if it does not know. */
  #end(status: Status): void {
    if (!this.#finish()) return;
    this.#link?.reset(status.code);
    const trailers = statusTrailers(status);
    if (this.#stream.destroyed) return;
    if (!this.#stream.headersSent) return respondOnly(this.#stream, { ...responseHeaders([]), ...trailers });
    this.#stream.on("wantTrailers", () => {
      this.#stream.sendTrailers(trailers);
      closeSoon(this.#stream);
    });
    this.#stream.end();
  }

  /** False: it was over already. */
  #finish(): boolean {
    if (this.#isOver) return false;
    this.#isOver = true;
    clearTimeout(this.#deadline);
    return true;
  }
}

const DEADLINE_EXCEEDED: Status = { code: GRPC.deadlineExceeded, message: "context deadline exceeded" };

const TOO_MUCH_UNREAD: Status = {
  code: GRPC.resourceExhausted,
  message: "too much is kept here for clients that do not read",
};

/** Headers that are the whole answer. */
function respondOnly(stream: ServerHttp2Stream, headers: OutgoingHttpHeaders): void {
  stream.respond(headers, { endStream: true });
  closeSoon(stream);
}

/** With the answer complete, whatever else the client sends is not wanted (RFC 9113 §8.1). */
function closeSoon(stream: ServerHttp2Stream): void {
  stream.resume();
  // Behind the answer, which is on its way by then.
  setImmediate(() => stream.close(constants.NGHTTP2_NO_ERROR));
}
