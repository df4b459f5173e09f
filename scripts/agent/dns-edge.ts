/**
 * The way from the agent's DNS listeners to the edge: one POST to `/dns-query` for each message, over kept connections.
 *
 * Knows no DNS beyond `dns-header.ts`. Whatever goes wrong on the way (no edge, a slow one, an odd answer, too much at
 * once) becomes SERVFAIL, so that a client is told at once instead of running into its timeout.
 */
import http from "node:http";
import https from "node:https";
import { MESSAGE_BYTES_MAX, SERVFAIL, errorReply } from "./dns-header.ts";

export interface DnsEdgeOptions {
  /** The edge's origin: `http://127.0.0.1:8500`. */
  edge: string;
  token: string | null;
  /** The namespace that names without one belong to; the edge's default when absent. */
  namespace?: string;
  /** Under the five seconds after which stub resolvers give up. */
  timeoutMs: number;
  inFlightMax: number;
}

const CONNECTIONS_MAX = 32;

export class DnsEdge {
  private readonly options: DnsEdgeOptions;
  private readonly url: URL;
  private readonly client: typeof http | typeof https;
  private readonly connections: http.Agent;
  /** Also those that wait for a connection, which the agent's own `destroy` would leave to open new ones. */
  private readonly requests = new Set<http.ClientRequest>();
  private inFlight = 0;
  private closed = false;

  /** Throws when `edge` is no http or https URL. */
  constructor(options: DnsEdgeOptions) {
    this.options = options;
    const base = options.edge.replace(/\/+$/, "");
    const prefix = options.namespace === undefined ? "" : `/ns/${encodeURIComponent(options.namespace)}`;
    this.url = new URL(`${base}${prefix}/dns-query`);
    if (this.url.protocol !== "http:" && this.url.protocol !== "https:") {
      throw new Error(`dns: the edge must be an http or https URL, not ${options.edge}`);
    }
    this.client = this.url.protocol === "https:" ? https : http;
    this.connections = new this.client.Agent({ keepAlive: true, maxSockets: CONNECTIONS_MAX });
  }

  /** The reply's bytes, or null when the edge says that this is nothing to answer. Never rejects. */
  async ask(query: Uint8Array, transport: "udp" | "tcp"): Promise<Uint8Array | null> {
    if (this.inFlight >= this.options.inFlightMax) return errorReply(query, SERVFAIL);
    this.inFlight++;
    try {
      return await this.askTwice(query, transport);
    } catch {
      return errorReply(query, SERVFAIL);
    } finally {
      this.inFlight--;
    }
  }

  /** Breaks off what is under way. */
  close(): void {
    this.closed = true;
    for (const request of this.requests) request.destroy();
    this.connections.destroy();
  }

  /** A kept connection may have been closed by the edge just now; a query may be repeated, so it is, once. */
  private async askTwice(query: Uint8Array, transport: "udp" | "tcp"): Promise<Uint8Array | null> {
    const signal = AbortSignal.timeout(this.options.timeoutMs);
    try {
      return await this.post(query, transport, signal);
    } catch (error) {
      if (!(error instanceof BrokenConnection)) throw error;
      return this.post(query, transport, signal);
    }
  }

  private post(query: Uint8Array, transport: string, signal: AbortSignal): Promise<Uint8Array | null> {
    const headers: http.OutgoingHttpHeaders = {
      "content-type": "application/dns-message",
      accept: "application/dns-message",
      "content-length": query.length,
      "x-holdfast-transport": transport,
      ...(this.options.token !== null && { authorization: `Bearer ${this.options.token}` }),
    };
    return new Promise((resolve, reject) => {
      const request = this.client.request(this.url.href, { method: "POST", headers, agent: this.connections, signal });
      this.requests.add(request);
      request.on("close", () => this.requests.delete(request));
      request.on("error", (error) => {
        const isStale = request.reusedSocket && !signal.aborted && !this.closed;
        reject(isStale ? new BrokenConnection("the edge closed a kept connection", { cause: error }) : error);
      });
      request.on("response", (response) => {
        readReply(response).then(resolve, (error: unknown) => {
          request.destroy();
          reject(error);
        });
      });
      request.end(query);
    });
  }
}

class BrokenConnection extends Error {}

async function readReply(response: http.IncomingMessage): Promise<Uint8Array | null> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MESSAGE_BYTES_MAX) throw new Error("dns: the edge's answer is too large");
    chunks.push(chunk);
  }
  if (response.statusCode === 400) return null;
  const body = Buffer.concat(chunks);
  const isMessage = response.headers["content-type"] === "application/dns-message" && body.length >= 12;
  if (response.statusCode !== 200 || !isMessage) throw new Error(`dns: the edge answered ${response.statusCode}`);
  return body;
}
