/**
 * `GET /stream`: a WebSocket that carries the coordination operations, many at a time, each answered when it is done. A call
 * names an operation of this API and is carried out as over HTTP, with the rights that its caller has by then.
 *
 * While it is open, leases that were granted over it are renewed; when it closes, those who wait over it are withdrawn.
 * What a client may have in flight, and unread, is bounded. Everything lives in the request that opened the socket.
 */
import { HoldfastError, invalid } from "../../../objects/errors.ts";
import { BODY_BYTES_MAX } from "../../request/body.ts";
import { Line } from "../../request/line.ts";
import { NamespaceClient } from "../../request/namespace-client.ts";
import { problemResponse } from "../../request/problem.ts";
import { barrierRoutes } from "../barriers.ts";
import { counterRoutes } from "../counters.ts";
import { bytesOf } from "../convert.ts";
import { electionRoutes } from "../elections.ts";
import { kvRoutes } from "../kv.ts";
import { leaseRoutes } from "../leases.ts";
import { lockRoutes } from "../locks.ts";
import { perform } from "../perform.ts";
import { queueRoutes } from "../queues.ts";
import type { ApiRequest, ApiResult, Route } from "../route.ts";
import { route, validated } from "../route.ts";
import { CANCELLED } from "../turn.ts";
import { txnRoutes } from "../txn.ts";
import { watchRoutes } from "../watch.ts";
import { eventsOf } from "./events.ts";
import type { CallFrame, CallId } from "./frames.ts";
import { bytesText, callFrame, errorText, FrameError, lostText, readFrame, replyText, serverFrame } from "./frames.ts";
import { KeptLeases } from "./kept-leases.ts";
import { Outbox, UNREAD_MAX } from "./outbox.ts";

const OPERATIONS: ReadonlyMap<string, Route> = new Map(
  [
    ...lockRoutes,
    ...electionRoutes,
    ...barrierRoutes,
    ...counterRoutes,
    ...queueRoutes,
    ...kvRoutes,
    ...txnRoutes,
    ...watchRoutes,
    ...leaseRoutes,
  ].map((operation) => [operation.id, operation]),
);

export const streamRoutes = [
  route({
    method: "get",
    path: "/stream",
    tag: "Stream",
    id: "openStream",
    summary: "A WebSocket of calls to the operations on locks, elections, barriers, counters, queues, keys and leases",
    // Each call is asked for by itself; who may do nothing of it needs no socket.
    permission: [
      {
        verbs: ["read", "create", "update", "delete", "acquire", "publish", "consume", "watch"],
        kinds: ["lock", "queue", "kv", "session"],
        parts: () => [],
      },
    ],
    response: serverFrame,
    handle: (asked) => Promise.resolve(openStream(asked)),
  }),
];

/** In flight, those that wait too. */
export const CALLS_MAX = 1024;
/** Of the frames that they came in, in characters. */
const CALLS_LENGTH_MAX = 16 * 1024 * 1024;
/** Between two looks at leases and at signs of life; the shorter while there is a lease that cannot wait. */
const [LOOK_MS, HASTY_LOOK_MS] = [1000, 250];
const HASTY_TTL_MS = 4000;
/** Without a lease a client is asked for a sign of life after this time. */
const SILENT_MS = 15_000;
const SILENT_MAX_MS = 45_000;

/** Close codes; source: RFC 6455, 7.4.1. */
const PROTOCOL_ERROR = 1002;
const UNSUPPORTED_DATA = 1003;
const NO_JSON = 1007;
const POLICY = 1008;
const TOO_LARGE = 1009;

type Asked = ApiRequest<unknown, unknown>;

function openStream(asked: Asked): Response {
  const { request } = asked;
  if (request.method !== "GET" || request.headers.get("upgrade")?.toLowerCase() !== "websocket") {
    const error = new HoldfastError("invalid_argument", "the stream is a WebSocket", { field: "upgrade" });
    return problemResponse(error, { status: 426, headers: { upgrade: "websocket", connection: "upgrade" } });
  }
  const { 0: client, 1: server } = new WebSocketPair();
  new Stream(server, asked);
  return new Response(null, { status: 101, webSocket: client });
}

class Stream {
  readonly #socket: WebSocket;
  readonly #asked: Asked;
  readonly #client: NamespaceClient;
  readonly #outbox: Outbox;
  readonly #kept: KeptLeases;
  readonly #calls = new Map<CallId, AbortController>();
  #callsLength = 0;
  #heardAt = Date.now();
  #look: ReturnType<typeof setTimeout> | undefined;
  #lookAt = Infinity;

  constructor(socket: WebSocket, asked: Asked) {
    this.#socket = socket;
    this.#asked = asked;
    const { client, env, reauthorize } = asked;
    const inLine = () => new NamespaceClient(env.platform, client.namespace, client.datacenter, new Line());
    this.#client = inLine();
    this.#outbox = new Outbox((text) => {
      // Between its end and our hearing of it.
      if (socket.readyState === WebSocket.OPEN) socket.send(text);
    });
    this.#kept = new KeptLeases({
      // Renewals do not wait behind the calls.
      client: inLine(),
      reauthorize,
      onLost: (lease, error) => this.#send(lostText(lease, error)),
    });
    socket.accept();
    socket.addEventListener("message", ({ data }) => this.#receive(data));
    socket.addEventListener("close", () => this.#close(1000, ""));
    socket.addEventListener("error", () => this.#close(1011, ""));
    this.#lookIn(LOOK_MS);
  }

  #receive(data: string | ArrayBuffer): void {
    this.#heardAt = Date.now();
    if (typeof data !== "string") return this.#close(UNSUPPORTED_DATA, "frames are texts");
    if (data.length > BODY_BYTES_MAX) return this.#close(TOO_LARGE, `a frame has at most ${BODY_BYTES_MAX} bytes`);
    try {
      const frame = readFrame(data);
      if ("cancel" in frame) this.#calls.get(frame.cancel)?.abort(CANCELLED);
      else if ("pong" in frame) this.#heard(frame.pong);
      else this.#begin(frame.id, frame.call, data.length);
    } catch (error) {
      if (error instanceof FrameError) return this.#close(PROTOCOL_ERROR, error.message);
      if (error instanceof HoldfastError) return this.#close(NO_JSON, error.message);
      throw error;
    }
  }

  #heard(ping: number): void {
    if (!this.#outbox.pong(ping)) throw new FrameError("a pong that was not asked for");
  }

  #begin(id: CallId, frame: unknown, length: number): void {
    if (this.#calls.has(id)) throw new FrameError("an id of a call that is in flight");
    if (this.#calls.size >= CALLS_MAX || this.#callsLength + length > CALLS_LENGTH_MAX) {
      return this.#send(errorText(id, tooManyCalls()));
    }
    const controller = new AbortController();
    this.#calls.set(id, controller);
    this.#callsLength += length;
    void this.#answer(id, frame, controller.signal).finally(() => {
      this.#calls.delete(id);
      this.#callsLength -= length;
    });
  }

  async #answer(id: CallId, given: unknown, signal: AbortSignal): Promise<void> {
    try {
      const frame = validated(callFrame, given);
      const operation = OPERATIONS.get(frame.op);
      if (!operation) throw invalid("op", "is not an operation of the stream");
      await this.#outbox.room();
      const result = await this.#perform(operation, frame, signal);
      if (!(result instanceof Response)) {
        const { value, revision, status = 200 } = result;
        const kept = this.#kept.note(frame, value, Date.now());
        if (kept && kept.ttlMs < HASTY_TTL_MS) this.#lookIn(HASTY_LOOK_MS);
        return this.#send(replyText(id, status, revision, value));
      }
      if (result.headers.get("content-type")?.startsWith("text/event-stream"))
        return await this.#tell(id, result, signal);
      this.#send(bytesText(id, result, new Uint8Array(await result.arrayBuffer())));
    } catch (error) {
      if (!(error instanceof HoldfastError)) console.error("unhandled", error);
      const told =
        error instanceof HoldfastError ? error : new HoldfastError("internal", "the call could not be answered");
      this.#send(errorText(id, told));
    }
  }

  async #perform(operation: Route, frame: CallFrame, signal: AbortSignal): Promise<ApiResult> {
    const { env, options, token, reauthorize } = this.#asked;
    return perform(operation, {
      request: this.#requestOf(operation, frame, signal),
      env,
      client: this.#client,
      params: paramsOf(operation, frame),
      search: frame.query ? searchOf(frame.query) : null,
      readBody: (schema) => validated(schema, frame.body ?? {}),
      caller: options.caller,
      authorizer: await reauthorize(),
      token,
      reauthorize,
    });
  }

  /** What an operation sees of HTTP: the headers that are the call's own, bytes where it takes them, and an end. */
  #requestOf(operation: Route, { body, bodyBase64, idempotencyKey, fence }: CallFrame, signal: AbortSignal): Request {
    const headers = new Headers();
    if (idempotencyKey !== undefined) headers.set("idempotency-key", idempotencyKey);
    if (fence !== undefined) headers.set("x-holdfast-fence", fence);
    if (operation.rawBody === undefined && bodyBase64 !== undefined) throw invalid("bodyBase64", "is not taken here");
    const bytes = operation.rawBody === undefined ? null : bytesOf("body", textOf(body), bodyBase64);
    const method = operation.method.toUpperCase();
    return new Request(this.#asked.request.url, {
      method,
      headers,
      signal,
      body: bytes as Uint8Array<ArrayBuffer> | null,
    });
  }

  /** Events at the pace of the reader; they end with the reason, or when the client has enough. Codes: `unavailable`. */
  async #tell(id: CallId, { body }: Response, signal: AbortSignal): Promise<void> {
    const events = eventsOf(body as ReadableStream<Uint8Array>);
    const cancelled = new Promise<null>((resolve) =>
      signal.addEventListener("abort", () => resolve(null), { once: true }),
    );
    try {
      for (;;) {
        const next = await Promise.race([events.next(), cancelled]).catch(() => BROKEN_OFF);
        if (next === null) return this.#send(replyText(id, 200, undefined, null));
        if (next.done === true) throw brokenOff();
        const { event, data, id: revision } = next.value;
        if (event === "error") {
          const error = JSON.parse(data) as { status: number };
          return this.#send(JSON.stringify({ id, status: error.status, error }));
        }
        const upTo = revision === null ? "" : `"revision":${revision},`;
        this.#send(`{"id":${JSON.stringify(id)},"event":"${event}",${upTo}"data":${data}}`);
        await this.#outbox.room();
      }
    } finally {
      // Not waited for: a generator that waits for more ends when its source does.
      void (body as ReadableStream<Uint8Array>).cancel().catch(() => {});
    }
  }

  #send(text: string): void {
    this.#outbox.send(text);
    if (this.#outbox.unread > UNREAD_MAX) this.#close(POLICY, "slow_consumer: too much is unread");
  }

  /** Not later than that. */
  #lookIn(ms: number): void {
    const at = Date.now() + ms;
    if (at >= this.#lookAt) return;
    clearTimeout(this.#look);
    this.#lookAt = at;
    this.#look = setTimeout(() => void this.#lookAround(), ms);
  }

  async #lookAround(): Promise<void> {
    this.#lookAt = Infinity;
    const nowAt = Date.now();
    const silentMs = nowAt - this.#heardAt;
    if (silentMs > SILENT_MAX_MS) return this.#close(POLICY, "no sign of life");
    if (silentMs > (this.#kept.size > 0 ? HASTY_LOOK_MS : SILENT_MS)) this.#outbox.ping();
    const lookMs = this.#kept.isHasty(HASTY_TTL_MS) ? HASTY_LOOK_MS : LOOK_MS;
    this.#lookIn(lookMs);
    try {
      await this.#kept.renew(nowAt, nowAt + lookMs, this.#heardAt);
    } catch (error) {
      if (!(error instanceof HoldfastError)) throw error;
      // Else it is tried again at the next look.
      if (error.code === "unauthenticated") this.#close(POLICY, `unauthenticated: ${error.message}`);
    }
  }

  #close(code: number, reason: string): void {
    clearTimeout(this.#look);
    this.#lookAt = -Infinity;
    this.#outbox.close();
    for (const controller of this.#calls.values()) controller.abort();
    // It may be closed already. The protocol has room for 123 bytes.
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.close(code, reason.slice(0, 120));
  }
}

/** Whoever tells them has ended. */
const BROKEN_OFF = { done: true } as const;

function brokenOff(): HoldfastError {
  return new HoldfastError("unavailable", "the events broke off; go on after the last revision", undefined, 1000);
}

function tooManyCalls(): HoldfastError {
  const limits = { calls: CALLS_MAX, length: CALLS_LENGTH_MAX };
  return new HoldfastError(
    "unavailable",
    "too many calls are in flight on this stream",
    { reason: "overload", ...limits },
    1000,
  );
}

/** Those of the path, and no others. */
function paramsOf({ path }: Route, { params = {} }: CallFrame): Record<string, string> {
  const names = [...path.matchAll(/\{(\w+)\+?\}/g)].map((match) => match[1]!);
  for (const name of Object.keys(params))
    if (!names.includes(name)) throw invalid(`params.${name}`, "is not known here");
  const missing = names.find((name) => !Object.hasOwn(params, name) || (params[name] === "" && name !== "key"));
  if (missing !== undefined) throw invalid(`params.${missing}`, "is needed");
  return params;
}

const searchOf = (query: NonNullable<CallFrame["query"]>): URLSearchParams =>
  new URLSearchParams(Object.entries(query).map(([name, value]) => [name, String(value)]));

function textOf(body: unknown): string | undefined {
  if (body !== undefined && typeof body !== "string") throw invalid("body", "must be a text");
  return body;
}
