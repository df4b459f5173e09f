/**
 * What a dialect sees of a call, and how it offers its services: of gRPC, and of HTTP where request and answer are whole.
 * Messages and bodies are bytes: what is in them is the dialect's.
 *
 * Who calls is for the dialect to find out, by the call's own metadata. The agent's credential has opened the socket and
 * gives a call no rights.
 */
import type { Metadata } from "./wire/metadata.ts";
import type { Status } from "./wire/status.ts";

export interface Call {
  /** `/package.Service/Method` */
  path: string;
  metadata: Metadata;
  /** In order; ends when the caller has no more. What is not taken is not sent. Rejects with the signal's reason. */
  messages: AsyncIterableIterator<Uint8Array, undefined>;
  /** Aborted when the caller has gone, its deadline has passed or the connection is lost. Nothing can be sent then. */
  readonly signal: AbortSignal;
  /** Milliseconds since the epoch; null = none. Past it, the signal is aborted. */
  deadline: number | null;
}

export interface Reply {
  /** Before the first message; without it the headers have no metadata. */
  sendHeaders(metadata: Metadata): void;
  /** Resolves when it is on its way: when the caller has room for it. Rejects with the signal's reason. */
  sendMessage(message: Uint8Array): Promise<void>;
}

/** Its status ends the call. What it throws is a fault of ours, told without its details. */
export type Handler = (call: Call, reply: Reply) => Promise<Status>;

/** `package.Service` → method → handler. */
export type Services = ReadonlyMap<string, ReadonlyMap<string, Handler>>;

/** The first line of a request and its headers. */
export interface RequestHead {
  method: string;
  /** With the host that the caller named. */
  url: string;
  /** Path and query, raw. */
  pathAndQuery: string;
  headers: Pick<Headers, "get">;
}

export interface HttpCall extends Pick<RequestHead, "url" | "headers"> {
  body: Uint8Array;
  /** Aborted when the caller has gone, or the connection is lost. */
  readonly signal: AbortSignal;
}

export interface HttpAnswer {
  /** Code and reason: `200 OK`. */
  status: string;
  /** Lines of headers, each with its end; the length of the body is not among them. */
  headers: string;
  body: string;
}

/** What it throws is a fault of ours. */
export type HttpHandler = (call: HttpCall) => Promise<HttpAnswer>;

/**
 * Who answers a request, by its head alone and with no effect. Null, or a throw: it must not come this way, and is brought
 * to the edge as any other.
 */
export type Router = (head: RequestHead) => HttpHandler | null;

export interface Offers {
  services: Services;
  /** Absent: no HTTP. */
  route?: Router;
}
