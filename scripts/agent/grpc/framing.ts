/**
 * Messages on a gRPC stream: a flag, a length, the bytes. Hands on their parts as they come, so that nothing is kept here but
 * a broken header. Source: github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md, "Length-Prefixed-Message".
 */
import { MESSAGE_BYTES_MAX, messageTooLarge } from "../../../workers/tunnel/wire/limits.ts";
import type { Status } from "../../../workers/tunnel/wire/status.ts";
import { GRPC } from "../../../workers/tunnel/wire/status.ts";

const HEADER_BYTES = 5;

export class MessageSplitter {
  readonly #encoding: string;
  readonly #onPart: (bytes: Uint8Array, messageLength: number | null) => void;
  #header: Buffer = Buffer.alloc(0);
  #missing = 0;

  /** `encoding`: the stream's `grpc-encoding`, "" = none. */
  constructor(encoding: string, onPart: (bytes: Uint8Array, messageLength: number | null) => void) {
    this.#encoding = encoding;
    this.#onPart = onPart;
  }

  /** Between two messages. */
  get isWhole(): boolean {
    return this.#missing === 0 && this.#header.length === 0;
  }

  /** Why the stream cannot go on, or null. */
  push(chunk: Buffer): Status | null {
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#missing > 0) {
        const part = rest.subarray(0, this.#missing);
        this.#missing -= part.length;
        this.#onPart(part, null);
        rest = rest.subarray(part.length);
        continue;
      }
      if (this.#header.length + rest.length < HEADER_BYTES) {
        this.#header = Buffer.concat([this.#header, rest]);
        return null;
      }
      const [header, from] = this.#wholeHeader(rest);
      rest = rest.subarray(from);
      const length = header.readUInt32BE(1);
      const fault = this.#faultOf(header[0]!) ?? (length > MESSAGE_BYTES_MAX ? messageTooLarge(length) : null);
      if (fault) return fault;
      const part = rest.subarray(0, length);
      // The first part goes with the length, also when there is nothing of it yet but more to come.
      if (part.length > 0 || length === 0) {
        this.#missing = length - part.length;
        this.#onPart(part, length);
        rest = rest.subarray(part.length);
      } else this.#header = header;
      if (part.length === 0 && length > 0) return null;
    }
    return null;
  }

  #wholeHeader(rest: Buffer): [header: Buffer, from: number] {
    if (this.#header.length === 0) return [rest.subarray(0, HEADER_BYTES), HEADER_BYTES];
    const from = HEADER_BYTES - this.#header.length;
    const header = Buffer.concat([this.#header, rest.subarray(0, from)]);
    this.#header = Buffer.alloc(0);
    return [header, from];
  }

  #faultOf(flag: number): Status | null {
    if (flag === 0) return null;
    const internal = (message: string): Status => ({ code: GRPC.internal, message });
    if (flag !== 1) return internal(`grpc: received unexpected payload format ${flag}`);
    if (this.#encoding === "" || this.#encoding === "identity") {
      return internal("grpc: compressed flag set with identity or empty encoding");
    }
    const message = `grpc: Decompressor is not installed for grpc-encoding "${this.#encoding}"`;
    return { code: GRPC.unimplemented, message };
  }
}

/** A message, or the first part of one, behind its header. */
export function framed(bytes: Uint8Array, messageLength: number): Buffer {
  const frame = Buffer.allocUnsafe(HEADER_BYTES + bytes.length);
  frame[0] = 0;
  frame.writeUInt32BE(messageLength, 1);
  frame.set(bytes, HEADER_BYTES);
  return frame;
}
