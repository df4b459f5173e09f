/**
 * Finds requests of HTTP/1.1 that say all of themselves in a head and a short body of a length that is told, as programs
 * send them: a POST with headers that mean nothing but themselves.
 *
 * It does not judge what else there is. Everything that is read in more than one way by somebody (lengths told twice or in
 * two manners, folded lines, bare line ends, odd letters), that needs an answer in between or changes what the connection
 * is, is no such request. Source: RFC 9112.
 */
import { CHUNK_BYTES_MAX, HEAD_BYTES_MAX } from "../../../workers/tunnel/wire/frames.ts";

export interface Found {
  headBytes: number;
  bodyBytes: number;
}

/** `more`: it may become one. `other`: it does not. */
export type Look = Found | "more" | "other";

export const REQUEST_BYTES_MAX = HEAD_BYTES_MAX + CHUNK_BYTES_MAX;

const METHOD = Buffer.from("POST /");
const HEAD_END = Buffer.from("\r\n\r\n");
const FIRST_LINE = /^POST \/[\w/.~%?&=:;,+*-]* HTTP\/1\.1$/;
const HEADER = /^([\w!#$%&'*+.^`|~-]+):[\t ]*([\t -~]*)$/;
const HOST = /^(?:[\w.-]+|\[[\da-fA-F:.]+\])(?::\d{1,5})?$/;
const LENGTH = /^\d{1,6}$/;
/** They say how the message is to be read, or what is to become of the connection (RFC 9110 §7.6.1, §10.1). */
const OF_THE_CONNECTION = new Set([
  "transfer-encoding",
  "upgrade",
  "expect",
  "te",
  "trailer",
  "keep-alive",
  "proxy-connection",
  "proxy-authorization",
  "http2-settings",
]);

/** One for a connection: a client says nearly the same head with every request. */
export class RequestFinder {
  #head = "";
  #bodyBytes: number | null = null;

  /** At the beginning of the bytes. */
  look(bytes: Buffer): Look {
    const start = Math.min(bytes.length, METHOD.length);
    if (METHOD.compare(bytes, 0, start, 0, start) !== 0) return "other";
    const end = bytes.indexOf(HEAD_END);
    if (end === -1) return bytes.length < HEAD_BYTES_MAX ? "more" : "other";
    const headBytes = end + HEAD_END.length;
    if (headBytes > HEAD_BYTES_MAX) return "other";
    const head = bytes.toString("latin1", 0, end);
    if (head !== this.#head) {
      this.#head = head;
      this.#bodyBytes = bodyBytesOf(head);
    }
    const bodyBytes = this.#bodyBytes;
    if (bodyBytes === null || bodyBytes > CHUNK_BYTES_MAX) return "other";
    return bytes.length < headBytes + bodyBytes ? "more" : { headBytes, bodyBytes };
  }
}

/** Null: it is the head of another kind of request. */
function bodyBytesOf(head: string): number | null {
  const [first = "", ...lines] = head.split("\r\n");
  if (!FIRST_LINE.test(first)) return null;
  let length: number | null = null;
  let hasHost = false;
  for (const line of lines) {
    const [, given = "", value = ""] = HEADER.exec(line) ?? [];
    const name = given.toLowerCase();
    if (name === "" || OF_THE_CONNECTION.has(name)) return null;
    if (name === "connection" && !/^keep-alive[\t ]*$/i.test(value)) return null;
    if (name === "host") {
      if (hasHost || !HOST.test(value.trimEnd())) return null;
      hasHost = true;
    }
    if (name === "content-length") {
      if (length !== null || !LENGTH.test(value.trimEnd())) return null;
      length = Number(value);
    }
  }
  return hasHost ? length : null;
}
