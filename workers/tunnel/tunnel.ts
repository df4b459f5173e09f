/**
 * `/tunnel`: the WebSocket over which an agent brings the calls of its clients. Runs each with the handler of its path; those
 * of HTTP are `http.ts`.
 *
 * The socket takes the agent's credential; a call has only the rights that its own metadata gives it (calls.ts). Everything
 * lives in the request that opened the socket. Refuses to know what the messages mean, and who offers which service.
 */
import { HoldfastError } from "../../objects/errors.ts";
import { bearerOf, identify } from "../request/authorizer.ts";
import type { Bindings } from "../request/bindings.ts";
import { problemResponse } from "../request/problem.ts";
import type { Call, Handler, Offers, Services } from "./calls.ts";
import { Departure } from "./departure.ts";
import { HttpCalls, NOTHING_FOLLOWS } from "./http.ts";
import { Inbox } from "./inbox.ts";
import { METADATA_BYTES_MAX, metadataBytes, ProtocolError } from "./wire/frames.ts";
import { MESSAGE_BYTES_MAX, messageTooLarge } from "./wire/limits.ts";
import type { LinkStream, Opening, StreamEvents } from "./wire/link.ts";
import { Link } from "./wire/link.ts";
import type { Status } from "./wire/status.ts";
import { GRPC, NOT_TAKEN } from "./wire/status.ts";

const STREAMS_MAX = 4096;
/** Half of what a Worker may hold by itself is left to the handlers. */
const KEPT_BYTES_MAX = 32 * 1024 * 1024;
/**
 * Then the agent is asked for another socket: a Worker's request may make so many calls to objects and no more
 * (developers.cloudflare.com/workers/platform/limits). Streams that are open stay where they are.
 */
const STREAMS_PER_SOCKET = 4000;

/** Codes: `unauthenticated`, `permission_denied`, `unavailable`. */
export async function openTunnel(
  request: Request,
  offers: Offers,
  { env, namespace }: { env: Bindings; namespace: string },
): Promise<Response> {
  if (request.headers.get("upgrade")?.toLowerCase() !== "websocket") {
    const error = new HoldfastError("invalid_argument", "the tunnel is a WebSocket", { field: "upgrade" });
    return problemResponse(error, { status: 426, headers: { upgrade: "websocket", connection: "upgrade" } });
  }
  const { authorizer } = await identify(request, bearerOf(request.headers), env, { namespace, dialect: "tunnel" });
  if (!authorizer.allowsAny("read", "agent")) throw authorizer.denied("read", "agent");
  const { 0: client, 1: server } = new WebSocketPair();
  serveLink(server, offers.services, offers.route ? new HttpCalls(request, offers.route) : null);
  return new Response(null, { status: 101, webSocket: client });
}

function serveLink(socket: WebSocket, services: Services, http: HttpCalls | null): void {
  let opened = 0;
  const link = new Link({
    send: (bytes) => socket.send(bytes),
    schedule: (flush) => queueMicrotask(flush),
    keptMax: KEPT_BYTES_MAX,
    accept(stream, frame) {
      opened++;
      if (opened === STREAMS_PER_SOCKET) link.goAway("this socket has carried enough");
      const isTooMuch = link.streamCount > STREAMS_MAX;
      if (frame.type === "open") return serveCall(stream, frame, services, isTooMuch);
      if (http && !isTooMuch) return http.serve(stream, frame);
      stream.abort(NOT_TAKEN);
      return NOTHING_FOLLOWS;
    },
  });
  const close = (code: number, reason: string): void => {
    link.close();
    // It may be closed already.
    if (socket.readyState === WebSocket.OPEN) socket.close(code, reason);
  };
  socket.binaryType = "arraybuffer";
  socket.accept();
  socket.addEventListener("message", ({ data }) => {
    try {
      if (typeof data === "string") throw new ProtocolError("a text message");
      link.receive(new Uint8Array(data as ArrayBuffer));
    } catch (error) {
      if (!(error instanceof ProtocolError)) console.error("tunnel", error);
      close(1002, error instanceof ProtocolError ? error.message.slice(0, 120) : "an internal error");
    }
  });
  socket.addEventListener("close", () => close(1000, ""));
  socket.addEventListener("error", () => close(1011, ""));
}

function serveCall(
  stream: LinkStream,
  { path, timeoutMs, metadata }: Opening,
  services: Services,
  isTooMuch: boolean,
): StreamEvents {
  const departure = new Departure();
  const inbox = new Inbox(stream);
  let drained: PromiseWithResolvers<void> | undefined;
  const abort = (reason: string): void => {
    const error = departure.end(reason);
    inbox.fail(error);
    drained?.reject(error);
  };
  const refuse = (status: Status): void => {
    stream.abort(status);
    abort(status.message);
  };
  const events: StreamEvents = {
    onPart(bytes, messageLength, cost) {
      if (messageLength !== null && messageLength > MESSAGE_BYTES_MAX) refuse(messageTooLarge(messageLength));
      else if (!inbox.push(bytes, messageLength, cost)) refuse(OVERLOADED);
    },
    onEnd: () => inbox.end(),
    onDrain() {
      drained?.resolve();
      drained = undefined;
    },
    onClose: () => abort("the caller has gone"),
  };
  const handler = isTooMuch ? OVERLOADED : handlerOf(path, services);
  if (typeof handler !== "function") {
    stream.abort(handler);
    return events;
  }
  const reply = {
    sendHeaders: (headers: Opening["metadata"]) => stream.sendHeaders(headers),
    sendMessage(message: Uint8Array): Promise<void> {
      if (departure.reason) return Promise.reject(departure.reason);
      stream.sendPart(message, message.length);
      if (stream.isDrained) return Promise.resolve();
      drained ??= unwatched();
      return drained.promise;
    },
  };
  const deadline = Number.isFinite(timeoutMs) ? Date.now() + timeoutMs : null;
  const call: Call = {
    path,
    metadata,
    messages: inbox,
    deadline,
    get signal() {
      return departure.signal;
    },
  };
  handler(call, reply)
    .catch((error: unknown): Status => {
      if (!departure.reason) console.error("unhandled", path, error);
      return { code: GRPC.internal, message: "the call could not be answered" };
    })
    .then((status) => stream.sendStatus(fitting(status)))
    .catch((error: unknown) => console.error("tunnel", error));
  return events;
}

/** Whoever does not wait for it needs not to hear that it failed. */
function unwatched(): PromiseWithResolvers<void> {
  const resolvers = Promise.withResolvers<void>();
  resolvers.promise.catch(() => {});
  return resolvers;
}

/** A handler, or why there is none; in the words of gRPC's servers. */
function handlerOf(path: string, services: Services): Handler | Status {
  const split = path.lastIndexOf("/");
  if (split < 1 || !path.startsWith("/")) return unimplemented(`malformed method name: "${path}"`);
  const [service, method] = [path.slice(1, split), path.slice(split + 1)];
  const methods = services.get(service);
  if (!methods) return unimplemented(`unknown service ${service}`);
  return methods.get(method) ?? unimplemented(`unknown method ${method} for service ${service}`);
}

const unimplemented = (message: string): Status => ({ code: GRPC.unimplemented, message });

const OVERLOADED: Status = { code: GRPC.resourceExhausted, message: "too many requests" };

/** Trailers that the agent could not hand on would cost more than the call. */
function fitting(status: Status): Status {
  if (!status.metadata || metadataBytes(status.metadata) <= METADATA_BYTES_MAX) return status;
  return { code: status.code, message: status.message };
}
