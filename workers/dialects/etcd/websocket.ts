/**
 * The gateway over a WebSocket: a frame is a request, a line of the answer is a frame. So a browser, too, can watch.
 *
 * Source: tmc/grpc-websocket-proxy, as etcd has it before its gateway.
 */
import type { Call } from "./call.ts";
import { wordsOf } from "./errors.ts";
import { errorBody, unary } from "./gateway.ts";
import { linesOf } from "./gateway-stream.ts";
import type { Method } from "./service.ts";

/** Requests that came before the last were taken. */
const FRAMES_MAX = 1000;
const PROTOCOL = /^bearer *, *(.+)$/i;

export function answerSocket(
  request: Request,
  method: Method,
  callOf: (metadata: Headers, ending: AbortController) => Call,
): Response {
  const protocol = PROTOCOL.exec(request.headers.get("sec-websocket-protocol") ?? "");
  const metadata = new Headers(request.headers);
  const token = protocol?.[1] ?? cookieOf(request);
  if (token !== null && token !== undefined) metadata.set("authorization", `Bearer ${token}`);
  const { 0: theirs, 1: ours } = new WebSocketPair();
  ours.accept();
  const gone = new AbortController();
  for (const type of ["close", "error"] as const) ours.addEventListener(type, () => gone.abort());
  void serve(ours, method, callOf(metadata, gone), innerMethodOf(request));
  const headers = protocol ? { "sec-websocket-protocol": "Bearer" } : undefined;
  return new Response(null, { status: 101, webSocket: theirs, ...(headers && { headers }) });
}

/** Of a page of our own: others must not act with what a browser keeps for us. */
function cookieOf(request: Request): string | null {
  const origin = request.headers.get("origin");
  if (origin !== null && origin !== new URL(request.url).origin) return null;
  return /(?:^|;\s*)token=([^;]+)/.exec(request.headers.get("cookie") ?? "")?.[1] ?? null;
}

const innerMethodOf = ({ url }: Request): string => new URL(url).searchParams.get("method") ?? "POST";

async function serve(socket: WebSocket, method: Method, call: Call, innerMethod: string): Promise<void> {
  const frames = framesOf(socket);
  try {
    if (innerMethod !== "POST") socket.send("Method Not Allowed");
    else if (method.kind === "unary") {
      const { done, value } = await frames.next();
      if (!done) socket.send(await unary(method, value, call));
    } else for await (const line of linesOf(method, frames, call)) socket.send(line);
    socket.close(1000);
  } catch (error) {
    try {
      socket.send(errorBody(wordsOf(error)));
      socket.close(1000);
    } catch {
      // It is gone.
    }
  } finally {
    await frames.return(undefined);
  }
}

/** Texts as they come; ends with the socket. */
async function* framesOf(socket: WebSocket): AsyncGenerator<string, undefined> {
  const waiting: string[] = [];
  let isOpen = true;
  let wake = (): void => {};
  const end = (): void => {
    isOpen = false;
    wake();
  };
  socket.addEventListener("message", ({ data }) => {
    if (waiting.length >= FRAMES_MAX) socket.close(1008, "too many requests at once");
    else waiting.push(typeof data === "string" ? data : new TextDecoder().decode(data as ArrayBuffer));
    wake();
  });
  socket.addEventListener("close", end);
  socket.addEventListener("error", end);
  for (;;) {
    const frame = waiting.shift();
    if (frame !== undefined) yield frame;
    else if (!isOpen) return undefined;
    else await new Promise<void>((resolve) => (wake = resolve));
  }
}
