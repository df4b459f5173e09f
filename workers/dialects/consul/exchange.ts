/**
 * One request to Consul's API and what its endpoints need: parameters, body, the namespace, who asks, and the headers that
 * every answer carries.
 */
import type {
  CommandInput,
  CommandName,
  CommandOutput,
  QueryInput,
  QueryName,
  QueryOutput,
} from "../../../objects/commands.ts";
import type { IndexedValue } from "../../../objects/namespace.ts";
import { WAIT_MAX_MS } from "../../../objects/waiting.ts";
import type { Caller } from "../../../objects/model.ts";
import type { WatchRange } from "../../../objects/store/store.ts";
import { readBody } from "../../request/body.ts";
import type { Bindings } from "../../request/bindings.ts";
import { datacentersOf, primaryOf } from "../../request/datacenter.ts";
import { NamespaceClient } from "../../request/namespace-client.ts";
import type { EdgeResolver } from "../../resolver/resolver.ts";
import type { Access, ConsulAuthorizer, Resource } from "./authorizer.ts";
import type { Decoder } from "./decode.ts";
import { decodeBody } from "./decode.ts";
import { jsonResponse } from "./encode.ts";
import { ConsulError } from "./errors.ts";
import { defaultNodeOf } from "./node-name.ts";
import { readQuery } from "./read-options.ts";
import type { ReadQuery } from "./read-options.ts";

export interface ExchangeParts {
  request: Request;
  /** Percent-decoded. */
  path: string;
  params: URLSearchParams;
  env: Bindings;
  resolver: EdgeResolver;
  caller: Caller;
  authorizer: ConsulAuthorizer;
  namespace: string;
  datacenter: string;
  /** The agent that the caller takes us for. */
  node: string;
  /** Where it is read and written; absent = the datacenter. */
  keptIn?: string;
  headers?: Headers;
}

export class Exchange {
  readonly request: Request;
  readonly path: string;
  readonly params: URLSearchParams;
  readonly env: Bindings;
  readonly resolver: EdgeResolver;
  readonly caller: Caller;
  readonly authorizer: ConsulAuthorizer;
  readonly namespace: string;
  readonly datacenter: string;
  readonly node: string;
  readonly defaultNode: string;
  readonly client: NamespaceClient;
  /** Of the answer, an error included. */
  readonly headers: Headers;
  /** What follows the route's path, where that is a prefix. */
  rest = "";
  #readQuery: ReadQuery | undefined;

  constructor(parts: ExchangeParts) {
    this.request = parts.request;
    this.path = parts.path;
    this.params = parts.params;
    this.env = parts.env;
    this.resolver = parts.resolver;
    this.caller = parts.caller;
    this.authorizer = parts.authorizer;
    this.namespace = parts.namespace;
    this.datacenter = parts.datacenter;
    this.node = parts.node;
    this.defaultNode = defaultNodeOf(parts.env);
    this.headers = parts.headers ?? new Headers();
    this.client = new NamespaceClient(parts.env, parts.namespace, parts.keptIn ?? parts.datacenter);
  }

  get method(): string {
    return this.request.method;
  }

  /** The same request to another datacenter, as its body may ask; empty = the one it is in. */
  at(datacenter: string): Exchange {
    if (datacenter === "" || datacenter === this.datacenter) return this;
    if (!datacentersOf(this.env).names.includes(datacenter)) throw new ConsulError(500, "No path to datacenter");
    return new Exchange({ ...this.#parts(), datacenter });
  }

  /** The same request about what is kept in the primary datacenter for all of them; its answer's headers are this one's. */
  get primary(): Exchange {
    const keptIn = primaryOf(this.env);
    if (keptIn === this.client.datacenter) return this;
    const primary = new Exchange({ ...this.#parts(), keptIn, headers: this.headers });
    primary.rest = this.rest;
    return primary;
  }

  #parts(): ExchangeParts {
    const { request, path, params, env, resolver, caller, authorizer, namespace, datacenter, node } = this;
    return { request, path, params, env, resolver, caller, authorizer, namespace, datacenter, node };
  }

  /** The read's parameters; throws what is wrong with them. */
  get query(): ReadQuery {
    this.#readQuery ??= readQuery(this.params, this.request.headers, Math.random);
    return this.#readQuery;
  }

  param(name: string): string {
    return this.params.get(name) ?? "";
  }

  /** Throws 403 in Consul's words unless the caller may. */
  require(resource: Resource, access: Access, name = ""): void {
    if (this.authorizer.allows(resource, access, name)) return;
    throw new ConsulError(403, this.authorizer.denial(resource, access, name));
  }

  allows(resource: Resource, access: Access, name = ""): boolean {
    return this.authorizer.allows(resource, access, name);
  }

  /** Leaves out what the caller may not see, and says so in a header. */
  visible<T>(items: readonly T[], isVisible: (item: T) => boolean): T[] {
    const kept = items.filter(isVisible);
    if (kept.length < items.length) this.tellFiltered();
    return kept;
  }

  /** Something was left out; the anonymous are not told. */
  tellFiltered(): void {
    if (this.authorizer.isKnown) this.headers.set("x-consul-results-filtered-by-acls", "true");
  }

  bytes(bytesMax?: number): Promise<Uint8Array<ArrayBuffer>> {
    return readBody(this.request, bytesMax);
  }

  async body<T>(schema: Decoder<T>): Promise<T> {
    return decodeBody(await this.bytes(), schema);
  }

  json(value: unknown, status = 200): Response {
    return jsonResponse(value, { status, pretty: this.params.has("pretty") });
  }

  async execute<N extends CommandName>(command: N, input: CommandInput<N>): Promise<CommandOutput<N>> {
    const requestId = this.request.headers.get("idempotency-key") ?? undefined;
    return (await this.client.execute(command, input, { caller: this.caller, requestId })).value;
  }

  /**
   * A read as the caller asked for it: with `?index` it waits until what it reads has changed. `ranges` are what the answer
   * depends on; its index goes into the headers, and comes back for those who need it.
   */
  async read<N extends QueryName>(
    name: N,
    input: QueryInput<N>,
    ranges: WatchRange[],
  ): Promise<IndexedValue<QueryOutput<N>>> {
    const { index: since, waitMs, consistency } = this.query;
    const strong = consistency === "consistent";
    const until = Date.now() + waitMs;
    for (;;) {
      const remainingMs = Math.min(until - Date.now(), WAIT_MAX_MS);
      const options = { ranges, since, waitMs: Math.max(0, remainingMs), strong };
      const { value } = await this.client.read(name, input, options);
      const isOver = since === 0 || value.index > since || Date.now() >= until || this.request.signal.aborted;
      if (!isOver) continue;
      this.tellIndex(value.index);
      return value;
    }
  }

  /** Waits as `read` does, without asking for anything. */
  async changed(ranges: WatchRange[]): Promise<number> {
    return (await this.read("store.nothing", {}, ranges)).index;
  }

  /** The headers of an indexed read. `0` is told as 1, because clients take 0 for none. */
  tellIndex(index: number): void {
    this.headers.set("x-consul-index", String(Math.max(1, index)));
    this.headers.set("x-consul-knownleader", "true");
    this.headers.set("x-consul-lastcontact", "0");
  }

  /** Catalog and health reads say how they were answered. */
  tellConsistency(): void {
    const { consistency } = this.query;
    this.headers.set("x-consul-effective-consistency", consistency === "default" ? "leader" : consistency);
    if (this.query.index > 0) this.headers.set("x-consul-query-backend", "blocking-query");
  }
}
