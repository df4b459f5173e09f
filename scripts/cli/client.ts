/**
 * The native HTTP API, as the command, the benchmarks and the tests call it. Knows paths, headers and errors; knows no
 * terminal and no files.
 *
 * Source: /api/openapi.json of a running edge.
 */
import { serverSentEvents, type ServerSentEvent } from "./sse.ts";

export interface ClientOptions {
  /** The edge's origin: `http://127.0.0.1:8500`. */
  address: string;
  token?: string | undefined;
  /** Default: `default`. */
  namespace?: string | undefined;
  /** For a whole request and its answer, streams excepted. Default 10 s. */
  timeoutMs?: number | undefined;
}

/** An answer's value, and the namespace's revision it was read or written at (null where none was told). */
export interface Answer<T> {
  value: T;
  revision: number | null;
}

/** RFC 9457 problem document, or the lack of one. `status` is 0 when the edge was not reached. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string | undefined;
  /** The whole document. */
  readonly problem: Record<string, unknown>;

  constructor(message: string, status: number, problem: Record<string, unknown> = {}, options?: ErrorOptions) {
    super(message, options);
    this.name = "ApiError";
    this.status = status;
    this.code = typeof problem["code"] === "string" ? problem["code"] : undefined;
    this.problem = problem;
  }
}

export interface CheckInput {
  id?: string;
  type: "http" | "tcp" | "ttl";
  url?: string;
  host?: string;
  port?: number;
  /** Seconds, as all durations on this API. */
  interval?: number;
  timeout?: number;
  deregisterAfter?: number;
  ttl?: number;
}

export interface InstanceInput {
  address: string;
  port?: number;
  ports?: Record<string, number>;
  protocol?: string;
  /** Seconds. */
  ttl?: number;
  weight?: number;
  tags?: string[];
  meta?: Record<string, string>;
  locality?: { region?: string; zone?: string; cluster?: string };
  checks?: CheckInput[];
  node?: string;
  private?: boolean;
}

export interface InstanceOutput {
  service: string;
  id: string;
  address: string;
  ports?: Record<string, number>;
  port?: number | null;
  protocol?: string;
  weight?: number;
  tags?: string[];
  status?: string;
  adminState?: string;
  locality?: { region?: string; zone?: string; cluster?: string };
  [field: string]: unknown;
}

export interface ServiceOutput {
  name: string;
  class: string;
  instanceCount: number;
  healthyCount: number;
  tags: string[];
}

export interface CheckOutput {
  id: string;
  type: string;
  status: string;
  output: string;
  /** ISO 8601. */
  since: string;
  [field: string]: unknown;
}

export interface NodeOutput {
  name: string;
  address: string;
  status: string;
  meta: Record<string, string>;
  checks: CheckOutput[];
  /** Nobody registered it: it is known by its instances. */
  implicit: boolean;
  [field: string]: unknown;
}

/** A check that an agent runs. A node's own has an empty service, and the node's key as id. */
export interface AgentTask {
  service: string;
  id: string;
  address: string;
  check: CheckOutput;
}

export interface AgentTasks {
  revision: number;
  truncated: boolean;
  checks: AgentTask[];
}

export interface AgentResult {
  service: string;
  id: string;
  check: string;
  status: string;
  output: string;
}

export interface ResolveQuery {
  healthy?: boolean;
  tag?: string;
  zone?: string;
  near?: string;
  pick?: number;
  consistency?: "strong" | "cached";
}

export interface ResolveOutput {
  name: string;
  revision: number;
  instances: InstanceOutput[];
  [field: string]: unknown;
}

export interface KeyValueItem {
  key: string;
  /** base64; absent when only keys were asked for. */
  value?: string;
  createRevision?: number;
  modRevision?: number;
  version?: number;
}

export interface StatementInput {
  effect?: "allow" | "deny" | "stop";
  verbs: string[];
  kind: string;
  match?: "exact" | "prefix" | "range";
  name?: string;
  [field: string]: unknown;
}

export interface PolicySummary {
  name: string;
  description: string;
  modRevision: number;
}

export interface TokenSummary {
  accessor: string;
  description: string;
  /** By name, as roles are. */
  policies: string[];
  roles: string[];
  /** ISO 8601. */
  expiresAt: string | null;
}

export interface TokenInput {
  description?: string;
  policies?: string[];
  roles?: string[];
  statements?: StatementInput[];
  /** Seconds. */
  ttl?: number;
}

/** Who holds a name, or waits for it. */
export interface ClaimOutput {
  owner: string;
  /** The fencing token; null: it waits. */
  token: number | null;
  lease: string;
  /** Seconds. */
  ttl: number;
  /** ISO 8601. */
  since: string;
  [field: string]: unknown;
}

export interface LockOutput {
  name: string;
  kind: string | null;
  limit: number | null;
  holders: ClaimOutput[];
  waiters: ClaimOutput[];
}

export interface LeaderOutput {
  owner: string;
  token: number;
  value: string;
  since: string;
}

export interface ElectionOutput {
  name: string;
  leader: LeaderOutput | null;
  candidates: ClaimOutput[];
}

export interface MessageInput {
  body?: string;
  bodyBase64?: string;
  headers?: Record<string, string>;
  priority?: number | undefined;
  /** Seconds. */
  delay?: number | undefined;
  dedupeId?: string | undefined;
  group?: string | undefined;
}

/** As received. */
export interface MessageOutput {
  id: string;
  receipt: string;
  body?: string;
  bodyBase64?: string;
  attempts: number;
  /** ISO 8601. */
  sentAt: string;
  [field: string]: unknown;
}

export interface SettledOutput {
  settled: number;
  /** Stale receipts. */
  fenced: string[];
}

export interface TopicOutput extends Record<
  "ready" | "inFlight" | "delayed" | "blocked" | "waiting" | "sent" | "acked" | "dead" | "expired" | "purged",
  number
> {
  topic: string;
  settings: Record<string, unknown>;
}

export interface EventOptions {
  /** Continue after this revision. */
  lastEventId?: string | undefined;
  signal?: AbortSignal;
}

type Query = Record<string, string | number | boolean | undefined>;

interface RequestOptions {
  query?: Query;
  headers?: Record<string, string>;
  body?: string | Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array> | undefined;
  /** Ends the request, and the answer's stream. */
  signal?: AbortSignal | undefined;
  /** The answer is a stream: only its beginning is timed. */
  isStream?: boolean;
  /** Of this request, instead of the client's. */
  timeoutMs?: number | undefined;
}

const TIMEOUT_MS = 10_000;
const PROBLEM_CHARS_MAX = 64 * 1024;

export class HoldfastClient {
  readonly address: string;
  readonly namespace: string;
  readonly #token: string | undefined;
  readonly #timeoutMs: number;

  /** Throws TypeError when the address is no http(s) URL. */
  constructor(options: ClientOptions) {
    const url = new URL(options.address);
    if (url.protocol !== "http:" && url.protocol !== "https:") throw new TypeError("the address is not an http(s) URL");
    this.address = url.href.replace(/\/+$/, "");
    this.namespace = options.namespace ?? "default";
    this.#token = options.token;
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
  }

  services(): Promise<Answer<{ services: ServiceOutput[] }>> {
    return this.#json("GET", "/services");
  }

  instances(service: string): Promise<Answer<{ instances: InstanceOutput[] }>> {
    return this.#json("GET", `/services/${segment(service)}/instances`);
  }

  instance(service: string, id: string): Promise<Answer<InstanceOutput>> {
    return this.#json("GET", instancePath(service, id));
  }

  register(service: string, id: string, instance: InstanceInput): Promise<Answer<InstanceOutput>> {
    return this.#json("PUT", instancePath(service, id), { body: JSON.stringify(instance) });
  }

  /** Changes the given fields only: `{adminState: "draining"}`, `{weight: 10}`. */
  patch(service: string, id: string, change: Record<string, unknown>): Promise<Answer<InstanceOutput>> {
    return this.#json("PATCH", instancePath(service, id), { body: JSON.stringify(change) });
  }

  deregister(service: string, id: string): Promise<Answer<unknown>> {
    return this.#json("DELETE", instancePath(service, id));
  }

  heartbeat(service: string, id: string): Promise<Answer<unknown>> {
    return this.#json("POST", `${instancePath(service, id)}/heartbeat`);
  }

  /** All of the edge's datacenter, whichever this client is for. */
  namespaces(signal?: AbortSignal): Promise<Answer<{ namespaces: { name: string }[] }>> {
    return this.#json("GET", null, { signal });
  }

  nodes(query: { after?: string | undefined } = {}): Promise<Answer<{ nodes: NodeOutput[]; after: string | null }>> {
    return this.#json("GET", "/nodes", { query });
  }

  nodeInstances(
    name: string,
    query: { after?: string | undefined } = {},
  ): Promise<Answer<{ instances: InstanceOutput[]; after: string | null }>> {
    return this.#json("GET", `/nodes/${segment(name)}/instances`, { query });
  }

  /** With a revision, waits until the list is another; `wait` has to fit into this client's timeout. */
  agentChecks(
    node: string,
    query: { revision?: number; wait?: string; nodeless?: boolean },
    signal?: AbortSignal,
  ): Promise<Answer<AgentTasks>> {
    return this.#json("GET", `/agents/${segment(node)}/checks`, { query, signal });
  }

  reportAgentChecks(
    node: string,
    results: AgentResult[],
    signal?: AbortSignal,
  ): Promise<Answer<{ applied: number; ignored: number }>> {
    return this.#json("POST", `/agents/${segment(node)}/checks`, { body: JSON.stringify({ results }), signal });
  }

  resolve(name: string, query: ResolveQuery = {}): Promise<Answer<ResolveOutput>> {
    return this.#json("GET", `/resolve/${segment(name)}`, { query: { ...query } });
  }

  /** Bytes as they were put; ApiError `not_found` when there is no such key. */
  async getKey(key: string, query: { revision?: number | undefined } = {}): Promise<Answer<Uint8Array>> {
    const response = await this.request("GET", `/kv/${segment(key)}`, { query });
    return { value: new Uint8Array(await response.arrayBuffer()), revision: revisionOf(response) };
  }

  /** `cas`: only when the key's modification revision is this one; 0 = only when it does not exist. */
  putKey(
    key: string,
    value: string | Uint8Array<ArrayBuffer>,
    query: { cas?: number | undefined } = {},
  ): Promise<Answer<unknown>> {
    const headers = { "content-type": "application/octet-stream" };
    return this.#json("PUT", `/kv/${segment(key)}`, { query, headers, body: value });
  }

  deleteKey(key: string, query: { cas?: number | undefined; prefix?: true } = {}): Promise<Answer<unknown>> {
    return this.#json("DELETE", `/kv/${segment(key)}`, { query });
  }

  listKeys(prefix: string, query: { keys?: true } = {}): Promise<Answer<{ items: KeyValueItem[] }>> {
    return this.#json("GET", `/kv/${segment(prefix)}`, { query: { ...query, prefix: true } });
  }

  /** One connection's changes. */
  watch(prefix: string, options: EventOptions = {}): AsyncGenerator<ServerSentEvent> {
    return this.#events("/watch", { prefix }, options);
  }

  /** One connection's leaders. */
  observe(election: string, options: EventOptions = {}): AsyncGenerator<ServerSentEvent> {
    return this.#events(`/elections/${segment(election)}/observe`, {}, options);
  }

  async *#events(path: string, query: Query, options: EventOptions): AsyncGenerator<ServerSentEvent> {
    const response = await this.request("GET", path, {
      query,
      headers: {
        accept: "text/event-stream",
        ...(options.lastEventId && { "last-event-id": options.lastEventId }),
      },
      signal: options.signal,
      isStream: true,
    });
    if (response.body !== null) yield* serverSentEvents(response.body);
  }

  lock(name: string): Promise<Answer<LockOutput>> {
    return this.#json("GET", `/locks/${segment(name)}`);
  }

  election(name: string): Promise<Answer<ElectionOutput>> {
    return this.#json("GET", `/elections/${segment(name)}`);
  }

  /** What can be done with a claim on a lock or on leadership: acquire, campaign, renew, release, resign, withdraw. */
  claim<T>(
    kind: "locks" | "elections",
    name: string,
    verb: string,
    body: object,
    options: Pick<RequestOptions, "signal" | "timeoutMs"> = {},
  ): Promise<Answer<T>> {
    return this.#json("POST", `/${kind}/${segment(name)}/${verb}`, { body: JSON.stringify(body), ...options });
  }

  topics(): AsyncGenerator<TopicOutput> {
    return this.#pages("/queues", "topics");
  }

  topic(name: string): Promise<Answer<TopicOutput>> {
    return this.#json("GET", `/queues/${segment(name)}`);
  }

  setTopic(name: string, settings: Record<string, unknown>): Promise<Answer<TopicOutput>> {
    return this.#json("PATCH", `/queues/${segment(name)}`, { body: JSON.stringify(settings) });
  }

  deleteTopic(name: string): Promise<Answer<{ purged: number }>> {
    return this.#json("DELETE", `/queues/${segment(name)}`);
  }

  /** What can be done with messages: send, receive, ack, nack, extend, purge. */
  queue<T>(
    topic: string,
    verb: string,
    body: object,
    options: Pick<RequestOptions, "signal" | "timeoutMs"> = {},
  ): Promise<Answer<T>> {
    return this.#json("POST", `/queues/${segment(topic)}/${verb}`, { body: JSON.stringify(body), ...options });
  }

  /** NDJSON, as a stream. */
  async snapshot(signal?: AbortSignal): Promise<Answer<ReadableStream<Uint8Array>>> {
    const response = await this.request("GET", "/snapshot", { signal, isStream: true });
    const body = response.body ?? new ReadableStream<Uint8Array>({ start: (controller) => controller.close() });
    return { value: body, revision: revisionOf(response) };
  }

  restore(
    body: ReadableStream<Uint8Array>,
    query: { force?: true } = {},
    signal?: AbortSignal,
  ): Promise<Answer<unknown>> {
    const headers = { "content-type": "application/x-ndjson" };
    return this.#json("POST", "/restore", { query, headers, body, signal, isStream: true });
  }

  policies(): AsyncGenerator<PolicySummary> {
    return this.#pages("/policies", "policies");
  }

  policy(name: string): Promise<Answer<PolicySummary & { statements: StatementInput[] }>> {
    return this.#json("GET", `/policies/${segment(name)}`);
  }

  putPolicy(
    name: string,
    policy: { description?: string; statements: StatementInput[] },
  ): Promise<Answer<PolicySummary>> {
    return this.#json("PUT", `/policies/${segment(name)}`, { body: JSON.stringify(policy) });
  }

  deletePolicy(name: string): Promise<Answer<unknown>> {
    return this.#json("DELETE", `/policies/${segment(name)}`);
  }

  tokens(): AsyncGenerator<TokenSummary> {
    return this.#pages("/tokens", "tokens");
  }

  /** The only answer with the secret. */
  createToken(token: TokenInput): Promise<Answer<TokenSummary & { secret: string }>> {
    return this.#json("POST", "/tokens", { body: JSON.stringify(token) });
  }

  deleteToken(accessor: string): Promise<Answer<unknown>> {
    return this.#json("DELETE", `/tokens/${segment(accessor)}`);
  }

  /** All of a list, page by page. */
  async *#pages<T>(path: string, member: string): AsyncGenerator<T> {
    let after: string | undefined;
    do {
      const { value } = await this.#json<Record<string, unknown>>("GET", path, { query: { after } });
      yield* value[member] as T[];
      after = (value["after"] as string | null) ?? undefined;
    } while (after !== undefined);
  }

  status(): Promise<Answer<Record<string, unknown>>> {
    return this.#json("GET", "/status");
  }

  /** `path` is below the namespace, null = the list of namespaces. Throws ApiError for every answer that is not 2xx, and for none at all. */
  async request(method: string, path: string | null, options: RequestOptions = {}): Promise<Response> {
    const below = path === null ? "" : `/${segment(this.namespace)}${path}`;
    const url = `${this.address}/api/v1/namespaces${below}${queryString(options.query ?? {})}`;
    const { signal, done } = this.#deadline(options);
    try {
      const response = await fetch(url, {
        method,
        headers: this.#headers(options),
        ...(options.body !== undefined && { body: options.body, duplex: "half" }),
        signal,
        redirect: "error",
      } as RequestInit);
      if (!response.ok) throw await apiError(response);
      return response;
    } catch (error) {
      if (error instanceof ApiError || options.signal?.aborted) throw error;
      throw unreachable(this.address, error);
    } finally {
      done();
    }
  }

  #headers(options: RequestOptions): Record<string, string> {
    return {
      ...(typeof options.body === "string" && { "content-type": "application/json" }),
      ...(this.#token !== undefined && { authorization: `Bearer ${this.#token}` }),
      ...options.headers,
    };
  }

  /** A stream's deadline ends with its headers; else the body counts too. */
  #deadline(options: RequestOptions): { signal: AbortSignal; done: () => void } {
    const outer = options.signal ? [options.signal] : [];
    const timeoutMs = options.timeoutMs ?? this.#timeoutMs;
    if (!options.isStream) {
      return { signal: AbortSignal.any([AbortSignal.timeout(timeoutMs), ...outer]), done: () => {} };
    }
    // A body that is being sent takes as long as it takes.
    if (options.body !== undefined) return { signal: AbortSignal.any(outer), done: () => {} };
    const controller = new AbortController();
    const timer = setTimeout(() => controller.abort(new Error("no answer in time")), timeoutMs);
    return { signal: AbortSignal.any([controller.signal, ...outer]), done: () => clearTimeout(timer) };
  }

  async #json<T>(method: string, path: string | null, options: RequestOptions = {}): Promise<Answer<T>> {
    const response = await this.request(method, path, options);
    try {
      const text = await response.text();
      return { value: (text === "" ? {} : JSON.parse(text)) as T, revision: revisionOf(response) };
    } catch (error) {
      if (error instanceof SyntaxError) throw new ApiError(`${this.address} did not answer in JSON`, response.status);
      throw unreachable(this.address, error);
    }
  }
}

/** One path segment. `/` is escaped too; a segment of dots alone would be folded away by every URL parser. */
function segment(text: string): string {
  if (text === "." || text === "..")
    throw new ApiError(`"${text}" cannot be part of a path`, 0, { code: "invalid_argument" });
  return encodeURIComponent(text);
}

function instancePath(service: string, id: string): string {
  return `/services/${segment(service)}/instances/${segment(id)}`;
}

function queryString(query: Query): string {
  const pairs = Object.entries(query).filter(([, value]) => value !== undefined && value !== false);
  if (pairs.length === 0) return "";
  return `?${new URLSearchParams(pairs.map(([name, value]) => [name, String(value)])).toString()}`;
}

function revisionOf(response: Response): number | null {
  const revision = response.headers.get("x-holdfast-revision");
  return revision === null || !/^\d+$/.test(revision) ? null : Number(revision);
}

async function apiError(response: Response): Promise<ApiError> {
  const text = (await response.text().catch(() => "")).slice(0, PROBLEM_CHARS_MAX);
  let problem: Record<string, unknown> = {};
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === "object" && parsed !== null) problem = parsed as Record<string, unknown>;
  } catch {
    // Not a problem document: the status has to do.
  }
  const said = [problem["detail"], problem["title"]].find((part) => typeof part === "string" && part !== "");
  return new ApiError(String(said ?? `HTTP ${response.status}`), response.status, problem);
}

function unreachable(address: string, error: unknown): ApiError {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  // A DOMException has a number there.
  const given = (cause as { code?: unknown } | undefined)?.code;
  const code = typeof given === "string" ? given : (error as Error).name;
  const why: Record<string, string> = {
    ECONNREFUSED: "nothing listens there",
    ENOTFOUND: "no such host",
    TimeoutError: "no answer in time",
    UND_ERR_SOCKET: "the connection broke",
  };
  const text = why[code] ?? ((cause as Error | undefined)?.message || code);
  return new ApiError(`cannot reach ${address}: ${text}`, 0, {}, { cause: error });
}
