/** Streams of the gateway, whatever carries them: documents in, lines out. */
import type { DescMessage, Message } from "@bufbuild/protobuf";
import type { Call } from "./call.ts";
import { GRPC } from "../../tunnel/wire/status.ts";
import { EtcdError, HTTP_STATUS, wordsOf } from "./errors.ts";
import { DocumentSplitter } from "./json-text.ts";
import { readJson } from "./json-read.ts";
import { writeJson } from "./json-write.ts";
import type { Init, StreamMethod } from "./service.ts";

/** Documents that follow one another in a body. */
export async function* documentsIn(body: AsyncIterable<Uint8Array>, charactersMax: number): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8", { fatal: false, ignoreBOM: true });
  const splitter = new DocumentSplitter(charactersMax);
  for await (const chunk of body) yield* splitter.push(decoder.decode(chunk, { stream: true }));
  const rest = splitter.rest();
  if (rest !== null) yield rest;
}

/**
 * The lines of a streaming method's answer. Rejects before the first line; afterwards what goes wrong is the last line. A
 * document that is broken is an error where it is the first, else the end of what the caller has to say.
 */
export async function* linesOf(
  method: StreamMethod,
  documents: AsyncIterable<string>,
  call: Call,
): AsyncGenerator<string> {
  const given = documents[Symbol.asyncIterator]();
  let hasBegun = false;
  try {
    const replies = await repliesOf(method, given, call);
    for await (const reply of replies) {
      yield `{"result":${writeJson(method.output, reply)}}`;
      hasBegun = true;
    }
  } catch (error) {
    if (!hasBegun) throw error;
    yield errorLine(wordsOf(error));
  } finally {
    // Not waited for: it may be at the caller's next document, which need not come.
    void given.return?.().catch(() => {});
  }
}

async function repliesOf(
  method: StreamMethod,
  documents: AsyncIterator<string>,
  call: Call,
): Promise<AsyncIterable<Init>> {
  const first = await documents.next();
  if (method.kind === "serverStream") return method.handle(readJson(method.input, first.done ? "" : first.value), call);
  let request: Message | null;
  try {
    request = first.done ? null : readJson(method.input, first.value);
  } catch (error) {
    throw new EtcdError(GRPC.unknown, wordsOf(error).message);
  }
  return method.handle(messagesOf(method.input, request, documents), call);
}

async function* messagesOf(
  input: DescMessage,
  first: Message | null,
  documents: AsyncIterator<string>,
): AsyncGenerator<Message> {
  if (first === null) return;
  yield first;
  try {
    for (let next = await documents.next(); !next.done; next = await documents.next()) {
      yield readJson(input, next.value);
    }
  } catch {
    // It ends here: what has been asked for before is still answered.
  }
}

function errorLine({ code, message }: EtcdError): string {
  const status = HTTP_STATUS[code];
  return JSON.stringify({ error: { grpc_code: code, code, http_code: status, message, http_status: REASON[status] } });
}

export const REASON: Record<number, string> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  408: "Request Timeout",
  409: "Conflict",
  429: "Too Many Requests",
  500: "Internal Server Error",
  501: "Not Implemented",
  503: "Service Unavailable",
  504: "Gateway Timeout",
};
