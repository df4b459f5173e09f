/**
 * Requests of HTTP/1.1 over the tunnel: whole ones, answered whole. The agent has taken those that look as requests usually
 * do (`scripts/agent/grpc/http1-request.ts`) and gives their bytes as they came; which of them are answered here is for the
 * router to say, by the head.
 *
 * Clients say the same head with every request, so heads are read once. Refuses to know: paths, dialects, who may what.
 */
import { Buffer } from "node:buffer";
import type { HttpAnswer, HttpCall, HttpHandler, RequestHead, Router } from "./calls.ts";
import { Departure } from "./departure.ts";
import type { LinkStream, StreamEvents, WholeRequest } from "./wire/link.ts";
import { GRPC, NOT_TAKEN, OK } from "./wire/status.ts";

/** Of one socket; a head is at most 8 KiB. */
const HEADS_MAX = 256;
/** Vouched for by the platform, and not by who sends it. */
const VOUCHED = "cf-connecting-ip";

export class HttpCalls {
  readonly #opened: Request;
  readonly #route: Router;
  readonly #heads = new Map<string, { head: RequestHead; handler: HttpHandler } | null>();

  /** `opened`: the request that opened the tunnel. */
  constructor(opened: Request, route: Router) {
    this.#opened = opened;
    this.#route = route;
  }

  serve(stream: LinkStream, { head, body }: WholeRequest): StreamEvents {
    const departure = new Departure();
    const known = this.#known(decoder.decode(head));
    if (!known || !stream.keep(head.length + body.length)) {
      stream.abort(NOT_TAKEN);
      return NOTHING_FOLLOWS;
    }
    const { url, headers } = known.head;
    const call: HttpCall = {
      url,
      headers,
      body,
      get signal() {
        return departure.signal;
      },
    };
    known.handler(call).then(
      (answer) => {
        const bytes = bytesOf(answer);
        stream.sendPart(bytes, bytes.length);
        stream.sendStatus(OK);
      },
      (error: unknown) => {
        if (!departure.reason) console.error("unhandled", known.head.pathAndQuery, error);
        // What has been done nobody can tell: the caller loses its connection.
        stream.abort({ code: GRPC.internal, message: "the request could not be answered" });
      },
    );
    return { ...NOTHING_FOLLOWS, onClose: () => void departure.end("the caller has gone") };
  }

  #known(text: string): { head: RequestHead; handler: HttpHandler } | null {
    let known = this.#heads.get(text);
    if (known === undefined) {
      if (this.#heads.size >= HEADS_MAX) this.#heads.clear();
      this.#heads.set(text, (known = this.#find(text)));
    }
    return known;
  }

  #find(text: string): { head: RequestHead; handler: HttpHandler } | null {
    const head = readHead(text, this.#opened);
    try {
      const handler = head && this.#route(head);
      return handler && { head: head!, handler };
    } catch {
      return null;
    }
  }
}

/** Behind a request. */
export const NOTHING_FOLLOWS: StreamEvents = { onPart() {}, onEnd() {}, onClose() {} };

const decoder = new TextDecoder();
const encoder = new TextEncoder();

/** Null: no request as the agent takes them. */
function readHead(text: string, opened: Request): RequestHead | null {
  const [first = "", ...lines] = text.trimEnd().split("\r\n");
  const [, method, pathAndQuery] = /^([A-Z]+) (\/[!-~]*) HTTP\/1\.1$/.exec(first) ?? [];
  if (method === undefined || pathAndQuery === undefined) return null;
  const fields = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(":");
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    const before = fields.get(name);
    fields.set(name, before === undefined ? value : `${before}, ${value}`);
  }
  const vouched = opened.headers.get(VOUCHED);
  if (vouched === null) fields.delete(VOUCHED);
  else fields.set(VOUCHED, vouched);
  const url = `http://${fields.get("host") ?? ""}${pathAndQuery}`;
  if (!URL.canParse(url)) return null;
  return { method, url, pathAndQuery, headers: { get: (name) => fields.get(name) ?? null } };
}

function bytesOf({ status, headers, body }: HttpAnswer): Uint8Array {
  const length = Buffer.byteLength(body);
  return encoder.encode(`HTTP/1.1 ${status}\r\nContent-Length: ${length}\r\n${headers}\r\n${body}`);
}
