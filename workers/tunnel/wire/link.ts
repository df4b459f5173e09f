/**
 * One tunnel connection, the same at both ends: streams by number, and credit both ways, so that whoever reads slowly
 * bounds what is kept for it.
 *
 * - A stream may have `STREAM_WINDOW` under way that its reader has not taken yet; the reader's `credit` lets more follow.
 * - All streams together may have `LINK_WINDOW` in the pipe. Its credit comes back on arrival, whoever reads it later: a
 *   slow reader never holds up the others.
 * - What the receiving end keeps for all its readers is bounded by `keptMax`; what would cross it costs one stream its life,
 *   which one is for the owner to say.
 *
 * Only messages cost credit; opening, headers and ends come once for a stream, and so does a request of HTTP, which is all
 * that its stream brings. Breaking a rule ends the connection. Knows no socket, no clock and no gRPC beyond its calls; the
 * owner hands bytes in and takes them out.
 */
import type { Frame } from "./frames.ts";
import { CHUNK_BYTES_MAX, decodeFrames, FrameWriter, ProtocolError } from "./frames.ts";
import type { Metadata } from "./metadata.ts";
import type { Status } from "./status.ts";

export const STREAM_WINDOW = 256 * 1024;
export const LINK_WINDOW = 4 * 1024 * 1024;
/** Keeping a frame takes more than its bytes: empty messages have their price too. */
const FRAME_COST = 64;
const PART_COST_MAX = CHUNK_BYTES_MAX + FRAME_COST;
/** More than this waits for the next message on the socket. */
const BATCH_BYTES = 128 * 1024;

export interface Opening {
  path: string;
  /** From now; Infinity = none. Clocks differ, so it is no point in time. */
  timeoutMs: number;
  metadata: Metadata;
}

/** A whole request of HTTP/1.1, as it came. */
export interface WholeRequest {
  head: Uint8Array;
  body: Uint8Array;
}

/** What opens a stream. */
export type Opened = Extract<Frame, { type: "open" | "request" }>;

/** What the owner of a stream is told; nothing more after `onClose`. */
export interface StreamEvents {
  onHeaders?(metadata: Metadata): void;
  /** A part of a message: `messageLength` with the first, null with the others. `cost` is to be credited when it is taken. */
  onPart(bytes: Uint8Array, messageLength: number | null, cost: number): void;
  /** The peer sends no more messages. */
  onEnd(): void;
  /** All that was to be sent is on its way. */
  onDrain?(): void;
  /** The stream is over: the peer's status or reset, or null with the connection. */
  onClose(end: { status: Status } | { reset: number } | null): void;
}

export interface LinkOptions {
  /** One binary message. */
  send(bytes: Uint8Array<ArrayBuffer>): void;
  /** Runs it soon; what is to be sent until then goes along. */
  schedule(flush: () => void): void;
  /** Bytes. */
  keptMax: number;
  /** The end that takes streams. Absent: the peer may open none. */
  accept?(stream: LinkStream, opened: Opened): StreamEvents;
  onGoAway?(reason: string): void;
  onPong?(): void;
  /** The last stream has ended. */
  onIdle?(): void;
}

export class Link {
  readonly #options: LinkOptions;
  readonly #writer = new FrameWriter();
  readonly #streams = new Map<number, LinkStream>();
  /** Those that have something to send and lack the link's credit, in the order in which they get it. */
  readonly #waiting = new Set<LinkStream>();
  #lastStream = 0;
  #sendWindow = LINK_WINDOW;
  #toCredit = 0;
  #isScheduled = false;
  #isClosed = false;
  /** What is kept for readers, in bytes. */
  kept = 0;

  constructor(options: LinkOptions) {
    this.#options = options;
  }

  get streamCount(): number {
    return this.#streams.size;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  get keptMax(): number {
    return this.#options.keptMax;
  }

  /** Opens a stream; `events` may come from the next turn on. */
  open({ path, timeoutMs, metadata }: Opening, events: StreamEvents): LinkStream {
    return this.#open({ type: "open", stream: ++this.#lastStream, path, timeoutMs, metadata }, events);
  }

  /** The same with a request of HTTP, behind which nothing can follow. */
  request({ head, body }: WholeRequest, events: StreamEvents): LinkStream {
    return this.#open({ type: "request", stream: ++this.#lastStream, head, body }, events);
  }

  #open(frame: Opened, events: StreamEvents): LinkStream {
    const stream = new LinkStream(this, frame.stream);
    stream.events = events;
    this.write(frame);
    this.#streams.set(stream.id, stream);
    return stream;
  }

  ping(): void {
    this.write({ type: "ping", stream: 0 });
  }

  goAway(reason: string): void {
    this.write({ type: "goAway", stream: 0, reason });
  }

  /** Takes one message. Throws a ProtocolError, after which the link is closed. */
  receive(message: Uint8Array): void {
    if (this.#isClosed) return;
    try {
      for (const frame of decodeFrames(message)) this.#take(frame);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Ends every stream. Nothing is sent or taken any more. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const streams = [...this.#streams.values()];
    this.#streams.clear();
    for (const stream of streams) stream.ended(null);
  }

  #take(frame: Frame): void {
    if (frame.stream === 0) return this.#takeOwn(frame);
    if (frame.type === "open" || frame.type === "request") return this.#accept(frame);
    if (frame.stream > this.#lastStream) throw new ProtocolError(`stream ${frame.stream} is not open`);
    if (frame.type === "message" || frame.type === "chunk") this.#arrived(costOf(frame.bytes));
    // Of one that is over: it was on its way when that was said.
    this.#streams.get(frame.stream)?.take(frame);
  }

  #takeOwn(frame: Frame): void {
    if (frame.type === "credit") {
      this.#sendWindow += frame.bytes;
      if (this.#sendWindow > LINK_WINDOW) throw new ProtocolError("more credit than was taken");
      this.#serveWaiting();
    } else if (frame.type === "ping") this.write({ type: "pong", stream: 0 });
    else if (frame.type === "pong") this.#options.onPong?.();
    else if (frame.type === "goAway") this.#options.onGoAway?.(frame.reason);
  }

  /** One frame each, in turn. */
  #serveWaiting(): void {
    while (this.#sendWindow >= PART_COST_MAX) {
      const [stream] = this.#waiting;
      if (!stream) return;
      this.#waiting.delete(stream);
      stream.pump(1);
    }
  }

  #accept(frame: Opened): void {
    if (!this.#options.accept || frame.stream <= this.#lastStream)
      throw new ProtocolError(`stream ${frame.stream} cannot be opened`);
    this.#lastStream = frame.stream;
    const stream = new LinkStream(this, frame.stream, frame.type === "request");
    this.#streams.set(stream.id, stream);
    stream.events = this.#options.accept(stream, frame);
  }

  #arrived(cost: number): void {
    this.#toCredit += cost;
    if (this.#toCredit > LINK_WINDOW) throw new ProtocolError("the connection's window is exceeded");
    if (this.#toCredit < LINK_WINDOW / 2) return;
    this.write({ type: "credit", stream: 0, bytes: this.#toCredit });
    this.#toCredit = 0;
  }

  // For the streams.

  write(frame: Frame): void {
    if (this.#isClosed) return;
    this.#writer.write(frame);
    if (this.#writer.length >= BATCH_BYTES) return this.#flush();
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#options.schedule(() => {
      this.#isScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (!this.#isClosed && this.#writer.length > 0) this.#options.send(this.#writer.take());
  }

  /** Takes of the link's credit, or lets the stream wait for it. */
  spend(cost: number, stream: LinkStream): boolean {
    if (this.#sendWindow < cost) {
      this.wait(stream);
      return false;
    }
    this.#sendWindow -= cost;
    return true;
  }

  wait(stream: LinkStream): void {
    this.#waiting.add(stream);
  }

  forget(stream: LinkStream): void {
    this.#streams.delete(stream.id);
    this.#waiting.delete(stream);
    if (this.#streams.size === 0) this.#options.onIdle?.();
  }
}

const costOf = (bytes: Uint8Array): number => bytes.length + FRAME_COST;

interface Queued {
  frame: Frame;
  /** 0: goes as soon as what is before it has gone. */
  cost: number;
}

export class LinkStream {
  readonly id: number;
  events!: StreamEvents;
  readonly #link: Link;
  readonly #queue: Queued[] = [];
  #sendWindow = STREAM_WINDOW;
  /** Received and not credited. */
  #outstanding = 0;
  /** To be credited, once it is worth a frame. */
  #toCredit = 0;
  /** Of the message that is being received. */
  #missing = 0;
  #kept = 0;
  /** The peer sends no more. */
  #peerEnded: boolean;
  #isOver = false;
  #endsWithQueue = false;

  constructor(link: Link, id: number, peerEnded = false) {
    this.#link = link;
    this.id = id;
    this.#peerEnded = peerEnded;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Nothing waits for credit. */
  get isDrained(): boolean {
    return this.#queue.length === 0;
  }

  sendHeaders(metadata: Metadata): void {
    this.#send({ type: "headers", stream: this.id, metadata }, 0);
  }

  /** A part of a message, the first with the length of all. `onDrain` is called when not all of it could go at once. */
  sendPart(bytes: Uint8Array, messageLength: number | null): void {
    let at = 0;
    do {
      const part = bytes.subarray(at, at + CHUNK_BYTES_MAX);
      const frame: Frame =
        at === 0 && messageLength !== null
          ? { type: "message", stream: this.id, length: messageLength, bytes: part }
          : { type: "chunk", stream: this.id, bytes: part };
      this.#send(frame, costOf(part));
      at += CHUNK_BYTES_MAX;
    } while (at < bytes.length);
  }

  /** No more messages follow. */
  sendEnd(): void {
    this.#send({ type: "end", stream: this.id }, 0);
  }

  /** Ends the stream, behind all that was sent before. */
  sendStatus(status: Status): void {
    if (this.#isOver) return;
    this.#endsWithQueue = true;
    this.#send({ type: "status", stream: this.id, status }, 0);
    if (this.#queue.length === 0) this.#finish();
  }

  /** Ends the stream at once; what waits for credit is dropped. */
  reset(code: number): void {
    if (this.#isOver) return;
    this.#link.write({ type: "reset", stream: this.id, code });
    this.#finish();
  }

  /** Ends the stream at once with a status; what waits for credit is dropped. */
  abort(status: Status): void {
    if (this.#isOver) return;
    this.#link.write({ type: "status", stream: this.id, status });
    this.#finish();
  }

  /** What came has been taken: as much may follow. */
  credit(cost: number): void {
    if (this.#isOver) return;
    this.#toCredit += cost;
    if (this.#toCredit < STREAM_WINDOW / 2) return;
    this.#link.write({ type: "credit", stream: this.id, bytes: this.#toCredit });
    this.#outstanding -= this.#toCredit;
    this.#toCredit = 0;
  }

  /** Counts what the owner keeps. False: it is more than the link may keep. */
  keep(bytes: number): boolean {
    if (this.#link.kept + bytes > this.#link.keptMax) return false;
    this.#kept += bytes;
    this.#link.kept += bytes;
    return true;
  }

  drop(bytes: number): void {
    if (this.#isOver) return;
    this.#kept -= bytes;
    this.#link.kept -= bytes;
  }

  #send(frame: Frame, cost: number): void {
    if (this.#isOver) return;
    if (this.#queue.length === 0 && this.#isPaid(cost)) this.#link.write(frame);
    else this.#queue.push({ frame, cost });
  }

  #isPaid(cost: number): boolean {
    if (cost === 0) return true;
    if (this.#sendWindow < cost || !this.#link.spend(cost, this)) return false;
    this.#sendWindow -= cost;
    return true;
  }

  /** Sends what it may of what waits, at most so many frames. */
  pump(framesMax = Infinity): void {
    if (this.#queue.length === 0) return;
    for (let sent = 0; this.#queue.length > 0; sent++) {
      if (sent === framesMax) return this.#link.wait(this);
      const { frame, cost } = this.#queue[0]!;
      if (!this.#isPaid(cost)) return;
      this.#queue.shift();
      this.#link.write(frame);
    }
    if (this.#endsWithQueue) this.#finish();
    else this.events.onDrain?.();
  }

  #finish(): void {
    this.#isOver = true;
    this.#queue.length = 0;
    this.#link.kept -= this.#kept;
    this.#kept = 0;
    this.#link.forget(this);
  }

  /** The peer has ended it, or the connection is lost. */
  ended(end: { status: Status } | { reset: number } | null): void {
    if (this.#isOver) return;
    this.#finish();
    this.events.onClose(end);
  }

  take(frame: Frame): void {
    switch (frame.type) {
      case "headers":
        return this.events.onHeaders?.(frame.metadata);
      case "message":
        if (this.#missing > 0) throw new ProtocolError(`stream ${this.id}: a message inside a message`);
        this.#missing = frame.length;
        return this.#takePart(frame.bytes, frame.length);
      case "chunk":
        if (this.#missing === 0) throw new ProtocolError(`stream ${this.id}: a part of no message`);
        return this.#takePart(frame.bytes, null);
      case "end":
        if (this.#missing > 0) throw new ProtocolError(`stream ${this.id}: ends inside a message`);
        if (this.#peerEnded) throw new ProtocolError(`stream ${this.id}: ends twice`);
        this.#peerEnded = true;
        return this.events.onEnd();
      case "credit":
        this.#sendWindow += frame.bytes;
        if (this.#sendWindow > STREAM_WINDOW) throw new ProtocolError("more credit than was taken");
        return this.pump();
      case "status":
        return this.ended({ status: frame.status });
      case "reset":
        return this.ended({ reset: frame.code });
      case "open":
      case "request":
      case "ping":
      case "pong":
      case "goAway":
        throw new ProtocolError(`a ${frame.type} frame on stream ${this.id}`);
    }
  }

  #takePart(bytes: Uint8Array, messageLength: number | null): void {
    if (this.#peerEnded) throw new ProtocolError(`stream ${this.id}: a message behind the end`);
    if (bytes.length > this.#missing) throw new ProtocolError(`stream ${this.id}: more bytes than the message has`);
    if (bytes.length === 0 && messageLength !== 0) throw new ProtocolError(`stream ${this.id}: an empty part`);
    this.#missing -= bytes.length;
    const cost = costOf(bytes);
    this.#outstanding += cost;
    if (this.#outstanding > STREAM_WINDOW) throw new ProtocolError(`stream ${this.id}: its window is exceeded`);
    this.events.onPart(bytes, messageLength, cost);
  }
}
