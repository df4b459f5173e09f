/**
 * Follows a stream of server-sent events over any number of connections: whenever one ends, it comes again by `Last-Event-ID`,
 * until it has been told everything up to a revision.
 */
import { events, type Sse } from "../../edge.ts";
import type { Ordeal } from "./ordeal.ts";

export abstract class Follower {
  readonly #ordeal: Ordeal;
  readonly #path: string;
  readonly #stop = new AbortController();
  #following: Promise<void> | undefined;
  /** The last revision that is complete. */
  #complete: number;
  #progressed = Promise.withResolvers<void>();

  constructor(ordeal: Ordeal, path: string, since: number) {
    this.#ordeal = ordeal;
    this.#path = path;
    this.#complete = since;
  }

  /** A connection was accepted: what comes is after this revision. */
  protected abstract begun(since: number): void;
  /** False: it hangs up, and comes again. */
  protected abstract told(event: Sse): boolean;
  /** Nothing was told, because what comes after the revision has been forgotten up to another. */
  protected abstract refused(since: number, compacted: number): void;

  start(): this {
    this.#following = this.#follow();
    return this;
  }

  protected async follow(revision: number): Promise<void> {
    while (this.#complete < revision) await Promise.race([this.#progressed.promise, this.#following]);
    this.#stop.abort();
    await this.#following;
  }

  async #follow(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      await this.#ordeal.up;
      await this.#connect(this.#complete);
    }
  }

  async #connect(since: number): Promise<void> {
    const hangUp = new AbortController();
    const signal = AbortSignal.any([hangUp.signal, this.#stop.signal]);
    try {
      const response = await this.#ordeal.edge.request(this.#path, {
        headers: { "last-event-id": String(since) },
        signal,
      });
      if (response.status === 410) {
        const { compacted } = (await response.json()) as { compacted: number };
        this.refused(since, compacted);
        return this.#advance(compacted);
      }
      if (response.status !== 200) return await response.body?.cancel();
      this.begun(since);
      for await (const event of events(response)) {
        if (event.event === "error") break;
        const goesOn = this.told(event);
        if (event.id !== undefined) this.#advance(Number(event.id));
        if (!goesOn) break;
      }
    } catch (error) {
      // It broke, or was never there: the next one goes on. Whatever else is wrong is no connection's fault.
      if (!isConnectionError(error)) throw error;
    } finally {
      hangUp.abort();
    }
  }

  #advance(revision: number): void {
    this.#complete = Math.max(this.#complete, revision);
    const progressed = this.#progressed;
    this.#progressed = Promise.withResolvers();
    progressed.resolve();
  }
}

/** What `fetch` and the reading of its body reject with when there is no connection, when it breaks, and when we end it. */
const isConnectionError = (error: unknown): boolean =>
  error instanceof Error && (error.name === "AbortError" || /^(fetch failed|terminated)$/.test(error.message));
