/**
 * The agent's end of the tunnel: one WebSocket to the edge's `/tunnel` for all calls, made when the first comes, and made
 * anew when it is lost.
 *
 * Calls on a lost socket end; whether they have had an effect nobody can tell. New ones wait a moment for the next socket.
 * Where the edge asks for another one, new calls go there as soon as it is open, and the old one ends with its last call.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { LinkStream, Opening, StreamEvents, WholeRequest } from "../../../workers/tunnel/wire/link.ts";
import { TunnelSocket } from "./tunnel-socket.ts";

export interface TunnelOptions {
  /** The edge's origin: `http://127.0.0.1:8500`. */
  edge: string;
  /** The agent's own; calls have theirs in their metadata. */
  token: string | null;
  /** The namespace that calls are for; the edge's default when absent. */
  namespace?: string;
  /** How long a call waits for a socket. Default 5 s. */
  waitMs?: number;
  /** Between two signs of life. Default 30 s: proxies cut what is silent for longer than a minute or two. */
  pingMs?: number;
}

const BACKOFF_MIN_MS = 50;
const BACKOFF_MAX_MS = 5000;

export const CONNECTION_LOST = "the connection to the edge was lost";

export class Tunnel {
  readonly #options: TunnelOptions;
  readonly #url: string;
  readonly #sockets = new Set<TunnelSocket>();
  readonly #closed = new AbortController();
  /** Where new calls go. */
  #current: TunnelSocket | undefined;
  #connecting: Promise<void> | undefined;
  /** It has been tried in vain, and is tried again. */
  #isFailing = false;
  #attempts: ((isOpen: boolean) => void)[] = [];
  /** Why there is no socket. */
  #reason = "the edge cannot be reached";

  /** Throws when `edge` is no http or https URL. */
  constructor(options: TunnelOptions) {
    this.#options = options;
    const prefix = options.namespace === undefined ? "" : `/ns/${encodeURIComponent(options.namespace)}`;
    const url = new URL(`${options.edge.replace(/\/+$/, "")}${prefix}/tunnel`);
    if (url.protocol !== "http:" && url.protocol !== "https:") throw new Error(`the edge is no URL: ${options.edge}`);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    this.#url = url.href;
  }

  /** Null when there is a socket; else resolves when there is one, or when waiting has no end: with the reason. */
  ready(signal: AbortSignal): null | Promise<string | null> {
    if (this.#current) return null;
    return this.#wait(signal);
  }

  /** For who can do without: null when there is a socket; else resolves with whether one could be had at once. */
  attempt(): null | Promise<boolean> {
    if (this.#current) return null;
    if (this.#isFailing) return Promise.resolve(false);
    void this.#connect();
    return new Promise((resolve) => this.#attempts.push(resolve));
  }

  /** Only when `ready` or `attempt` has said so. */
  open(opening: Opening, events: StreamEvents): LinkStream {
    return this.#current!.link.open(opening, events);
  }

  /** As `open`. */
  request(request: WholeRequest, events: StreamEvents): LinkStream {
    return this.#current!.link.request(request, events);
  }

  close(): void {
    this.#closed.abort();
    this.#tried(false);
    for (const socket of this.#sockets) socket.close();
  }

  async #wait(signal: AbortSignal): Promise<string | null> {
    const deadlineAt = performance.now() + (this.#options.waitMs ?? 5000);
    while (!this.#current) {
      const left = deadlineAt - performance.now();
      if (left <= 0 || signal.aborted || this.#closed.signal.aborted) return this.#reason;
      const timer = new AbortController();
      await Promise.race([this.#connect(), sleep(left, undefined, { signal: timer.signal }).catch(() => {})]);
      timer.abort();
    }
    return null;
  }

  /** Tries until there is a new socket; one such effort at a time. */
  #connect(pauseMs = 0): Promise<void> {
    return (this.#connecting ??= this.#tryConnect(pauseMs).finally(() => (this.#connecting = undefined)));
  }

  async #tryConnect(firstPauseMs: number): Promise<void> {
    const { signal } = this.#closed;
    let pauseMs = firstPauseMs;
    for (;;) {
      // All agents of an edge lose it at the same moment, and must not come back at one.
      if (pauseMs > 0) await sleep(pauseMs * (0.5 + Math.random()), undefined, { signal }).catch(() => {});
      if (signal.aborted) return;
      pauseMs = Math.min(Math.max(pauseMs * 2, BACKOFF_MIN_MS), BACKOFF_MAX_MS);
      try {
        const socket = await TunnelSocket.open(this.#url, {
          token: this.#options.token,
          pingMs: this.#options.pingMs ?? 30_000,
          onGoAway: () => void this.#connect(),
          onLost: () => this.#lost(socket),
          onIdle: () => this.#endIfDone(socket),
        });
        if (signal.aborted) return socket.close();
        const before = this.#current;
        this.#sockets.add(socket);
        this.#current = socket;
        this.#tried(true);
        if (before) this.#endIfDone(before);
        return;
      } catch (error) {
        this.#reason = `the edge cannot be reached: ${(error as Error).message}`;
        this.#tried(false);
      }
    }
  }

  #tried(isOpen: boolean): void {
    this.#isFailing = !isOpen;
    for (const resolve of this.#attempts.splice(0)) resolve(isOpen);
  }

  #lost(socket: TunnelSocket): void {
    this.#sockets.delete(socket);
    if (this.#current !== socket) return;
    this.#current = undefined;
    this.#reason = CONNECTION_LOST;
    void this.#connect(BACKOFF_MIN_MS);
  }

  #endIfDone(socket: TunnelSocket): void {
    if (socket !== this.#current && socket.link.streamCount === 0) socket.close();
  }
}
