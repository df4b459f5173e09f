/**
 * Calls of the native API over its WebSocket stream. It hangs up now and then, with calls in the air; what had been granted over
 * it is then renewed no longer.
 */
import type { Asked, Reply } from "../../edge.ts";
import { StreamClient } from "../../workers/api/stream-client.ts";
import { NotApplied, Unanswered } from "../history.ts";
import { API, type Caller, type Ordeal } from "./ordeal.ts";

/** Operations by method and path below the namespace; the groups are the parameters of the path. */
const OPERATIONS: readonly [RegExp, Readonly<Record<string, string>>][] = [
  [/^GET \/locks\/(?<name>\w+)$/, { "": "getLock" }],
  [/^GET \/locks\/(?<name>\w+)\/(?<verb>check)$/, { check: "checkLock" }],
  [
    /^POST \/locks\/(?<name>\w+)\/(?<verb>\w+)$/,
    { acquire: "acquireLock", renew: "renewLock", release: "releaseLock" },
  ],
  [/^GET \/elections\/(?<name>\w+)$/, { "": "getElection" }],
  [
    /^POST \/elections\/(?<name>\w+)\/(?<verb>\w+)$/,
    { campaign: "campaign", proclaim: "proclaim", renew: "renewLeadership", resign: "resign" },
  ],
  [/^GET \/queues\/(?<topic>\w+)$/, { "": "getQueue" }],
  [
    /^POST \/queues\/(?<topic>\w+)\/(?<verb>\w+)$/,
    {
      send: "sendMessages",
      receive: "receiveMessages",
      ack: "ackMessages",
      nack: "nackMessages",
      extend: "extendMessages",
    },
  ],
  [/^GET \/counters\/(?<name>\w+)$/, { "": "getCounter" }],
  [/^POST \/counters\/(?<name>\w+)\/(?<verb>add)$/, { add: "addToCounter" }],
  [/^PUT \/kv\/(?<key>.+)$/, { "": "putKey" }],
];

const CALLS_PER_CONNECTION = 60;

export class StreamCaller implements Caller, Disposable {
  readonly #ordeal: Ordeal;
  #client: StreamClient | null = null;
  #callsLeft = 0;

  constructor(ordeal: Ordeal) {
    this.#ordeal = ordeal;
  }

  [Symbol.dispose](): void {
    this.#client?.socket.close();
    this.#client = null;
  }

  async call(path: string, asked: Asked, expected: readonly number[] = []): Promise<Reply> {
    const { op, params, query } = operationOf(asked.method ?? "GET", path);
    const headers = new Headers(asked.headers);
    const more = {
      query,
      ...optional("idempotencyKey", headers.get("idempotency-key")),
      ...optional("fence", headers.get("x-holdfast-fence")),
    };
    const client = this.#connected();
    await client.opened.catch((error: Error) => {
      throw new NotApplied(error.message);
    });
    const lost = client.closed.then(() => {
      throw new Unanswered("the stream was closed");
    });
    const frame = await Promise.race([client.call(op, params, asked.body, more), lost]);
    const { status, value, error } = frame;
    if (status < 300 || expected.includes(status))
      return { status, headers: new Headers(), text: "", json: error ?? value };
    const text = JSON.stringify(frame);
    if (status !== 503) throw new Error(`${op} ${path}: ${text}`);
    throw error?.outcome === "unknown" ? new Unanswered(text) : new NotApplied(text);
  }

  #connected(): StreamClient {
    const isOver = !this.#client || this.#client.socket.readyState > WebSocket.OPEN || this.#callsLeft-- === 0;
    if (!isOver) return this.#client!;
    this[Symbol.dispose]();
    this.#callsLeft = CALLS_PER_CONNECTION;
    this.#client = new StreamClient(this.#ordeal.edge);
    return this.#client;
  }
}

function operationOf(method: string, path: string): { op: string; params: object; query: object } {
  const [place, search = ""] = path.slice(API.length).split("?");
  for (const [pattern, operations] of OPERATIONS) {
    const { verb = "", ...params } = pattern.exec(`${method} ${place}`)?.groups ?? {};
    const op = Object.keys(params).length > 0 ? operations[verb] : undefined;
    if (op !== undefined) return { op, params, query: Object.fromEntries(new URLSearchParams(search)) };
  }
  throw new Error(`no operation is known for ${method} ${path}`);
}

const optional = (name: string, value: string | null): object => (value === null ? {} : { [name]: value });
