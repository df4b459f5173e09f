/**
 * Calls of the JSON gateway that an agent brings over its tunnel: those with one request and one reply. They are answered as
 * the gateway answers them, without the runtime's objects for requests and answers, which cost more than most calls.
 */
import type { Bindings } from "../../request/bindings.ts";
import type { Line } from "../../request/line.ts";
import type { HttpAnswer, HttpHandler, RequestHead } from "../../tunnel/calls.ts";
import { Call } from "./call.ts";
import { HTTP_STATUS, wordsOf } from "./errors.ts";
import { errorBody, errorFields, REPLY_FIELDS, unary } from "./gateway.ts";
import { belowGateway, methodAt } from "./gateway-paths.ts";
import { REASON } from "./gateway-stream.ts";

interface Place {
  env: Bindings;
  namespace: string;
  /** Of the tunnel. */
  line: Line;
}

/** `pathAndQuery`: raw, below any prefix. Null: not such a call. */
export function gatewayCall(head: RequestHead, pathAndQuery: string, place: Place): HttpHandler | null {
  const below = belowGateway(pathAndQuery);
  const method = below === undefined ? undefined : methodAt(below);
  if (method?.kind !== "unary" || head.method !== "POST") return null;
  return async (request) => {
    const call = new Call({ request, metadata: request.headers, ...place });
    try {
      return { status: "200 OK", headers: REPLY_LINES, body: await unary(method, decoder.decode(request.body), call) };
    } catch (error) {
      return refusal(error);
    }
  };
}

function refusal(error: unknown): HttpAnswer {
  const words = wordsOf(error);
  const status = HTTP_STATUS[words.code];
  return { status: `${status} ${REASON[status]}`, headers: linesOf(errorFields(words)), body: errorBody(words) };
}

/** As `Request.text`: what is no UTF-8 becomes U+FFFD. */
const decoder = new TextDecoder();

const linesOf = (fields: Record<string, string>): string =>
  Object.entries(fields)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join("");

const REPLY_LINES = linesOf(REPLY_FIELDS);
