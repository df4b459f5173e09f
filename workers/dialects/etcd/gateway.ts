/**
 * The JSON gateway: every method as a POST of its request, answered with its reply; streams as lines in both directions.
 *
 * Each line of a stream goes out as a chunk of its own, because clients read chunks as documents. Refuses to know: what
 * methods do. Source: grpc-gateway, as etcd 3.4 and 3.5 have it built in.
 */
import { utf8 } from "../../../objects/bytes.ts";
import { readBody } from "../../request/body.ts";
import type { Call } from "./call.ts";
import { REQUEST_BYTES_MAX } from "./call.ts";
import type { EtcdError } from "./errors.ts";
import { HTTP_STATUS, wordsOf } from "./errors.ts";
import { documentsIn, linesOf } from "./gateway-stream.ts";
import { readJson } from "./json-read.ts";
import { badJson } from "./json-text.ts";
import { writeJson } from "./json-write.ts";
import type { Method, StreamMethod, UnaryMethod } from "./service.ts";
import { binarySize, MESSAGE_BYTES_MAX, messageTooLarge } from "./wire.ts";

/** A message in base64, and what is around it. */
export const BODY_BYTES_MAX = 2 * MESSAGE_BYTES_MAX;

export const CORS = {
  "access-control-allow-origin": "*",
  "access-control-allow-methods": "POST, GET, OPTIONS, PUT, DELETE",
  "access-control-allow-headers": "accept, content-type, authorization",
};

/** Of a reply. */
export const REPLY_FIELDS = {
  ...CORS,
  "content-type": "application/json",
  "grpc-metadata-content-type": "application/grpc",
  "cache-control": "no-store",
};

const REPLY_HEADERS = new Headers(REPLY_FIELDS);

export async function answerCall(request: Request, method: Method, call: Call): Promise<Response> {
  try {
    if (method.kind === "unary") {
      return new Response(await unary(method, await bodyOf(request), call), { headers: REPLY_HEADERS });
    }
    return await streamResponse(request, method, call);
  } catch (error) {
    return errorResponse(wordsOf(error));
  }
}

/** The reply of a unary method to a body. */
export async function unary(method: UnaryMethod, body: string, call: Call): Promise<string> {
  const message = readJson(method.input, body);
  // A message is no longer than its JSON, so most need not be measured.
  if (body.length > REQUEST_BYTES_MAX) {
    call.messageBytes = binarySize(method.input, message);
    if (call.messageBytes > MESSAGE_BYTES_MAX) throw messageTooLarge(call.messageBytes);
  }
  return writeJson(method.output, await method.handle(message, call));
}

async function bodyOf(request: Request): Promise<string> {
  const told = Number(request.headers.get("content-length") ?? Number.NaN);
  if (told > BODY_BYTES_MAX) throw messageTooLarge(told);
  // The runtime cuts a body at the length that was told.
  if (told >= 0) return request.text().catch(() => Promise.reject(badJson("unexpected EOF")));
  return decoder.decode(await readBody(request, BODY_BYTES_MAX));
}

/** What is no UTF-8 becomes U+FFFD, as in Go. */
const decoder = new TextDecoder("utf-8", { fatal: false, ignoreBOM: true });

/** Begins when there is a first line: what goes wrong before it still has a status. */
async function streamResponse(request: Request, method: StreamMethod, call: Call): Promise<Response> {
  const documents = documentsIn((request.body ?? NOTHING) as AsyncIterable<Uint8Array>, BODY_BYTES_MAX);
  const lines = linesOf(method, documents, call)[Symbol.asyncIterator]();
  const first = await lines.next();
  const { readable, writable } = new IdentityTransformStream();
  void pump(first, lines, writable.getWriter() as WritableStreamDefaultWriter<Uint8Array>);
  return new Response(readable, { headers: REPLY_HEADERS });
}

const NOTHING: AsyncIterable<Uint8Array> = {
  async *[Symbol.asyncIterator]() {},
};

/** The next line is asked for when the last has been taken. */
async function pump(
  first: IteratorResult<string>,
  lines: AsyncIterator<string>,
  writer: WritableStreamDefaultWriter<Uint8Array>,
): Promise<void> {
  try {
    for (let next = first; !next.done; next = await lines.next()) await writer.write(utf8(`${next.value}\n`));
    await writer.close();
  } catch {
    // The reader is gone; what went wrong on our side is a line of the stream.
    await lines.return?.();
  }
}

export const errorBody = ({ code, message }: EtcdError): string => JSON.stringify({ error: message, message, code });

export const errorFields = ({ code, message }: EtcdError): Record<string, string> => ({
  ...CORS,
  "content-type": "application/json",
  "cache-control": "no-store",
  ...(HTTP_STATUS[code] === 401 && { "www-authenticate": message }),
});

export const errorResponse = (error: EtcdError): Response =>
  new Response(errorBody(error), { status: HTTP_STATUS[error.code], headers: errorFields(error) });

export const textResponse = (status: number, text: string, headers: Record<string, string> = {}): Response =>
  new Response(`${text}\n`, {
    status,
    headers: { ...CORS, "content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff", ...headers },
  });
