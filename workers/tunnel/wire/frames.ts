/**
 * The frames of the tunnel: many calls on one WebSocket. A binary message holds one frame or several whole ones, each
 *
 *     payload length (24 bits) · type (8) · stream (32) · payload          all numbers big-endian
 *
 * README.md beside this folder has the table. Knows bytes; what may follow what is for `link.ts`.
 */
import type { Metadata } from "./metadata.ts";
import { isBinaryName } from "./metadata.ts";
import type { Status } from "./status.ts";

export const HEADER_BYTES = 8;
/** Of a message, in one frame. */
export const CHUNK_BYTES_MAX = 32_768;
const PAYLOAD_BYTES_MAX = 65_536;
export const METADATA_BYTES_MAX = 32_768;
const METADATA_ENTRIES_MAX = 256;
const PATH_BYTES_MAX = 4096;
/** Of a request of HTTP/1.1: its first line and its headers. */
export const HEAD_BYTES_MAX = 8192;
/** Of a status or a reason; more is cut. */
const TEXT_BYTES_MAX = 8192;
/** A WebSocket message that was put together by us is far smaller. */
export const BATCH_BYTES_MAX = 4 * 1024 * 1024;

const TYPE = {
  open: 1,
  headers: 2,
  message: 3,
  chunk: 4,
  end: 5,
  status: 6,
  reset: 7,
  credit: 8,
  ping: 9,
  pong: 10,
  goAway: 11,
  request: 12,
} as const;

export type Frame =
  | { type: "open"; stream: number; path: string; timeoutMs: number; metadata: Metadata }
  | { type: "request"; stream: number; head: Uint8Array; body: Uint8Array }
  | { type: "headers"; stream: number; metadata: Metadata }
  | { type: "message"; stream: number; length: number; bytes: Uint8Array }
  | { type: "chunk"; stream: number; bytes: Uint8Array }
  | { type: "end"; stream: number }
  | { type: "status"; stream: number; status: Status }
  | { type: "reset"; stream: number; code: number }
  | { type: "credit"; stream: number; bytes: number }
  | { type: "ping" | "pong"; stream: 0 }
  | { type: "goAway"; stream: 0; reason: string };

/** The peer broke the rules; nothing that it says further can be trusted. */
export class ProtocolError extends Error {}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Frames written one behind the other, to be sent as one message. */
export class FrameWriter {
  #bytes = new Uint8Array(16_384);
  #view = new DataView(this.#bytes.buffer);
  #at = 0;

  get length(): number {
    return this.#at;
  }

  /** What was written, as the caller's own; the writer is empty again. */
  take(): Uint8Array<ArrayBuffer> {
    const taken = this.#bytes.slice(0, this.#at);
    this.#at = 0;
    return taken;
  }

  write(frame: Frame): void {
    const start = this.#at;
    this.#ensure(HEADER_BYTES);
    this.#at += HEADER_BYTES;
    this.#payload(frame);
    const length = this.#at - start - HEADER_BYTES;
    if (length > PAYLOAD_BYTES_MAX) {
      this.#at = start;
      throw new RangeError(`a ${frame.type} frame of ${length} bytes`);
    }
    this.#view.setUint32(start, length * 256 + TYPE[frame.type]);
    this.#view.setUint32(start + 4, frame.stream);
  }

  #payload(frame: Frame): void {
    switch (frame.type) {
      case "open":
        this.#double(frame.timeoutMs);
        this.#shortBytes(encoder.encode(frame.path));
        return this.#metadata(frame.metadata);
      case "request":
        this.#shortBytes(frame.head);
        return this.#raw(frame.body);
      case "headers":
        return this.#metadata(frame.metadata);
      case "message":
        this.#word(frame.length);
        return this.#raw(frame.bytes);
      case "chunk":
        return this.#raw(frame.bytes);
      case "status":
        this.#word(frame.status.code);
        this.#shortText(frame.status.message);
        return this.#metadata(frame.status.metadata ?? []);
      case "reset":
        return this.#word(frame.code);
      case "credit":
        return this.#word(frame.bytes);
      case "goAway":
        return this.#text(frame.reason);
      case "end":
      case "ping":
      case "pong":
    }
  }

  #metadata(metadata: Metadata): void {
    this.#short(metadata.length);
    for (const [name, value] of metadata) {
      this.#shortBytes(encoder.encode(name));
      this.#shortBytes(typeof value === "string" ? encoder.encode(value) : value);
    }
  }

  #short(value: number): void {
    this.#ensure(2);
    this.#view.setUint16(this.#at, value);
    this.#at += 2;
  }

  #word(value: number): void {
    this.#ensure(4);
    this.#view.setUint32(this.#at, value);
    this.#at += 4;
  }

  #double(value: number): void {
    this.#ensure(8);
    this.#view.setFloat64(this.#at, value);
    this.#at += 8;
  }

  #shortBytes(bytes: Uint8Array): void {
    if (bytes.length > 0xffff) throw new RangeError(`a field of ${bytes.length} bytes`);
    this.#short(bytes.length);
    this.#raw(bytes);
  }

  #shortText(text: string): void {
    const at = this.#at;
    this.#short(0);
    this.#text(text);
    this.#view.setUint16(at, this.#at - at - 2);
  }

  /** The largest prefix of its UTF-8 that a text may have, whole characters only. */
  #text(text: string): void {
    if (text === "") return;
    this.#ensure(TEXT_BYTES_MAX);
    this.#at += encoder.encodeInto(text, this.#bytes.subarray(this.#at, this.#at + TEXT_BYTES_MAX)).written;
  }

  #raw(bytes: Uint8Array): void {
    this.#ensure(bytes.length);
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  #ensure(more: number): void {
    if (this.#at + more <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#at + more));
    grown.set(this.#bytes);
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }
}

/** The frames of one message; bytes in them are views of it. Throws a ProtocolError. */
export function decodeFrames(message: Uint8Array): Frame[] {
  if (message.length > BATCH_BYTES_MAX) throw new ProtocolError(`a message of ${message.length} bytes`);
  const frames: Frame[] = [];
  const view = new DataView(message.buffer, message.byteOffset, message.length);
  for (let at = 0; at < message.length;) {
    if (at + HEADER_BYTES > message.length) throw new ProtocolError("a frame is cut short");
    const word = view.getUint32(at);
    const [length, type, stream] = [word >>> 8, word & 0xff, view.getUint32(at + 4)];
    const start = at + HEADER_BYTES;
    at = start + length;
    if (length > PAYLOAD_BYTES_MAX || at > message.length) throw new ProtocolError("a frame is longer than it may be");
    frames.push(new FrameReader(message.subarray(start, at)).frame(type, stream));
  }
  return frames;
}

class FrameReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  frame(type: number, stream: number): Frame {
    const frame = this.#read(type, stream);
    if (this.#at < this.#bytes.length) throw new ProtocolError(`a ${frame.type} frame has bytes left over`);
    const isOfLink = frame.type === "ping" || frame.type === "pong" || frame.type === "goAway";
    if ((stream === 0) !== isOfLink && frame.type !== "credit") {
      throw new ProtocolError(`a ${frame.type} frame on stream ${stream}`);
    }
    return frame;
  }

  #read(type: number, stream: number): Frame {
    switch (type) {
      case TYPE.open: {
        const timeoutMs = this.#view.getFloat64(this.#skip(8));
        if (!(timeoutMs >= 0)) throw new ProtocolError("a timeout is not a number");
        const path = decoder.decode(this.#shortBytes(PATH_BYTES_MAX));
        return { type: "open", stream, path, timeoutMs, metadata: this.#metadata() };
      }
      case TYPE.request: {
        const head = this.#shortBytes(HEAD_BYTES_MAX);
        return { type: "request", stream, head, body: this.#rest(CHUNK_BYTES_MAX) };
      }
      case TYPE.headers:
        return { type: "headers", stream, metadata: this.#metadata() };
      case TYPE.message: {
        const length = this.#word();
        const bytes = this.#rest(CHUNK_BYTES_MAX);
        return { type: "message", stream, length, bytes };
      }
      case TYPE.chunk:
        return { type: "chunk", stream, bytes: this.#rest(CHUNK_BYTES_MAX) };
      case TYPE.end:
        return { type: "end", stream };
      case TYPE.status: {
        const code = this.#word();
        const message = decoder.decode(this.#shortBytes(TEXT_BYTES_MAX));
        return { type: "status", stream, status: { code, message, metadata: this.#metadata() } };
      }
      case TYPE.reset:
        return { type: "reset", stream, code: this.#word() };
      case TYPE.credit:
        return { type: "credit", stream, bytes: this.#word() };
      case TYPE.ping:
        return { type: "ping", stream: 0 };
      case TYPE.pong:
        return { type: "pong", stream: 0 };
      case TYPE.goAway:
        return { type: "goAway", stream: 0, reason: decoder.decode(this.#rest(TEXT_BYTES_MAX)) };
      default:
        throw new ProtocolError(`a frame of type ${type}`);
    }
  }

  #metadata(): Metadata {
    const bytesMax = this.#at + METADATA_BYTES_MAX;
    const count = this.#short();
    if (count > METADATA_ENTRIES_MAX) throw new ProtocolError(`${count} metadata entries`);
    const metadata: [string, string | Uint8Array][] = [];
    for (let i = 0; i < count; i++) {
      const name = decoder.decode(this.#shortBytes(METADATA_BYTES_MAX));
      const value = this.#shortBytes(METADATA_BYTES_MAX);
      metadata.push([name, isBinaryName(name) ? value : decoder.decode(value)]);
    }
    if (this.#at > bytesMax) throw new ProtocolError("more metadata than there may be");
    return metadata;
  }

  #short(): number {
    return this.#view.getUint16(this.#skip(2));
  }

  #word(): number {
    return this.#view.getUint32(this.#skip(4));
  }

  #shortBytes(bytesMax: number): Uint8Array {
    const length = this.#short();
    if (length > bytesMax) throw new ProtocolError("a field is longer than it may be");
    const start = this.#skip(length);
    return this.#bytes.subarray(start, this.#at);
  }

  #rest(bytesMax: number): Uint8Array {
    const bytes = this.#bytes.subarray(this.#at);
    if (bytes.length > bytesMax) throw new ProtocolError("a frame has more bytes than it may have");
    this.#at = this.#bytes.length;
    return bytes;
  }

  /** Where the skipped part begins. */
  #skip(bytes: number): number {
    const start = this.#at;
    this.#at += bytes;
    if (this.#at > this.#bytes.length) throw new ProtocolError("a frame is cut short");
    return start;
  }
}

/** What the metadata measures on the wire. */
export function metadataBytes(metadata: Metadata): number {
  return metadata.reduce((bytes, [name, value]) => bytes + 4 + encoder.encode(name).length + value.length, 2);
}
