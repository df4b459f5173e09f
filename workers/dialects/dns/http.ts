/**
 * DNS over HTTPS at `/dns-query`: GET `?dns=`, POST `application/dns-message`, and the JSON form.
 *
 * Only HTTP: media types, status codes, sizes and caching. Who the caller is and what it may see is decided before.
 * The agent's UDP and TCP listeners come through here too and say so in `x-holdfast-transport`.
 *
 * Source: RFC 8484.
 */
import { answerPacket, answerQuestion, maxAgeSeconds } from "./answer.ts";
import type { DnsDeps } from "./answer.ts";
import { readJsonQuestion, toJson } from "./json.ts";
import { QUERY_BYTES_MAX } from "./message.ts";

type HttpDeps = Omit<DnsDeps, "transport">;

const MESSAGE_TYPE = "application/dns-message";
const JSON_TYPE = "application/dns-json";
const QUERY_CHARACTERS_MAX = Math.ceil((QUERY_BYTES_MAX * 4) / 3);

/** Answers with status 200 whatever the DNS says; other statuses are about the HTTP request alone. Never throws. */
export async function handleDnsQuery(request: Request, deps: HttpDeps): Promise<Response> {
  switch (request.method) {
    case "GET":
      return handleGet(request, deps);
    case "HEAD": {
      const { status, headers } = await handleGet(request, deps);
      return new Response(null, { status, headers });
    }
    case "POST":
      return handlePost(request, deps);
    default:
      return failure(405, "GET or POST", { allow: "GET, HEAD, POST" });
  }
}

async function handleGet(request: Request, deps: HttpDeps): Promise<Response> {
  const params = new URL(request.url).searchParams;
  const encoded = params.get("dns");
  if (encoded === null) {
    const wantsJson = params.has("name") || (request.headers.get("accept") ?? "").includes(JSON_TYPE);
    return wantsJson ? answerJson(params, deps) : failure(400, "the parameter dns, or name, is missing");
  }
  if (encoded.length > QUERY_CHARACTERS_MAX) return failure(414, `a query has at most ${QUERY_BYTES_MAX} bytes`);
  const query = fromBase64Url(encoded);
  if (query === null) return failure(400, "dns is not base64url without padding");
  return answerMessage(query, { ...deps, transport: "https" });
}

async function handlePost(request: Request, deps: HttpDeps): Promise<Response> {
  const mediaType = (request.headers.get("content-type") ?? "").split(";")[0]!.trim().toLowerCase();
  if (mediaType !== MESSAGE_TYPE) return failure(415, `the content type is not ${MESSAGE_TYPE}`);
  const query = await readBody(request);
  if (query === "too_large") return failure(413, `a query has at most ${QUERY_BYTES_MAX} bytes`);
  if (query === "broken") return failure(400, "the body broke off");
  const told = request.headers.get("x-holdfast-transport");
  return answerMessage(query, { ...deps, transport: told === "udp" || told === "tcp" ? told : "https" });
}

async function answerMessage(query: Uint8Array, deps: DnsDeps): Promise<Response> {
  const { bytes, maxAgeSeconds: maxAge } = await answerPacket(query, deps);
  if (bytes.length === 0) return failure(400, "not a DNS query");
  return new Response(bytes as Uint8Array<ArrayBuffer>, { headers: headersFor(MESSAGE_TYPE, maxAge, deps) });
}

async function answerJson(params: URLSearchParams, deps: HttpDeps): Promise<Response> {
  const question = readJsonQuestion(params);
  if (typeof question === "string") return failure(400, question);
  const reply = await answerQuestion(question, { ...deps, transport: "https" });
  const body = JSON.stringify(toJson(question, reply));
  return new Response(body, { headers: headersFor(JSON_TYPE, maxAgeSeconds(reply), deps) });
}

/** An answer that may hold private addresses belongs to its caller's cache alone. */
function headersFor(type: string, maxAge: number | null, deps: HttpDeps): Record<string, string> {
  const scope = deps.showPrivate ? "private, " : "";
  return {
    "content-type": type,
    "cache-control": maxAge === null ? "no-store" : `${scope}max-age=${maxAge}`,
    "x-content-type-options": "nosniff",
  };
}

function failure(status: number, message: string, headers: Record<string, string> = {}): Response {
  return new Response(`${message}\n`, {
    status,
    headers: { "content-type": "text/plain; charset=utf-8", "cache-control": "no-store", ...headers },
  });
}

/** Stops reading at the first byte too many. */
async function readBody(request: Request): Promise<Uint8Array | "too_large" | "broken"> {
  if (Number(request.headers.get("content-length") ?? 0) > QUERY_BYTES_MAX) return "too_large";
  const body = new Uint8Array(QUERY_BYTES_MAX);
  let size = 0;
  if (request.body === null) return new Uint8Array(0);
  const reader: ReadableStreamDefaultReader<Uint8Array> = request.body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return body.subarray(0, size);
      if (size + value.length > QUERY_BYTES_MAX) {
        await reader.cancel();
        return "too_large";
      }
      body.set(value, size);
      size += value.length;
    }
  } catch {
    return "broken";
  }
}

function fromBase64Url(encoded: string): Uint8Array | null {
  if (!/^[A-Za-z0-9_-]+$/.test(encoded) || encoded.length % 4 === 1) return null;
  const binary = atob(encoded.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}
