/**
 * What a dialect sees of a gRPC call, and how it offers its services. Messages are bytes: what is in them is the dialect's.
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
  signal: AbortSignal;
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
