/**
 * Follows what a server tells over any number of connections: whenever one ends, it comes again from where it was, until it
 * has been told everything up to a revision.
 */
import { events, type Sse } from "../../edge.ts";
import type { Ordeal } from "./ordeal.ts";

export abstract class Follower {
  protected readonly ordeal: Ordeal;
  readonly #stop = new AbortController();
  #following: Promise<void> | undefined;
  /** The last revision that is complete. */
  #complete: number;
  #progressed = Promise.withResolvers<void>();

  constructor(ordeal: Ordeal, since: number) {
    this.ordeal = ordeal;
    this.#complete = since;
  }

  /** One connection, until it ends, breaks, or the signal ends it. Rejects for what is no connection's fault. */
  protected abstract connect(since: number, signal: AbortSignal): Promise<void>;

  protected start(): void {
    this.#following = this.#follow();
  }

  /** Resolves when it has been told everything up to a revision; it goes on. */
  async heard(revision: number): Promise<void> {
    while (this.#complete < revision) await Promise.race([this.#progressed.promise, this.#following]);
  }

  protected async follow(revision: number): Promise<void> {
    await this.heard(revision);
    this.#stop.abort();
    await this.#following;
  }

  protected advance(revision: number): void {
    this.#complete = Math.max(this.#complete, revision);
    const progressed = this.#progressed;
    this.#progressed = Promise.withResolvers();
    progressed.resolve();
  }

  async #follow(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      await this.ordeal.up;
      const hangUp = new AbortController();
      await this.connect(this.#complete, AbortSignal.any([hangUp.signal, this.#stop.signal]));
      hangUp.abort();
    }
  }
}

/** Server-sent events, resumed by `Last-Event-ID`. */
export abstract class SseFollower extends Follower {
  readonly #path: string;

  constructor(ordeal: Ordeal, path: string, since: number) {
    super(ordeal, since);
    this.#path = path;
  }

  /** A connection was accepted: what comes is after this revision. */
  protected abstract begun(since: number): void;
  /** False: it hangs up, and comes again. */
  protected abstract told(event: Sse): boolean;
  /** Nothing was told, because what comes after the revision has been forgotten up to another. */
  protected abstract refused(since: number, compacted: number): void;

  protected override async connect(since: number, signal: AbortSignal): Promise<void> {
    try {
      const headers = { "last-event-id": String(since) };
      const response = await this.ordeal.edge.request(this.#path, { headers, signal });
      if (response.status === 410) {
        const { compacted } = (await response.json()) as { compacted: number };
        this.refused(since, compacted);
        return this.advance(compacted);
      }
      if (response.status !== 200) return await response.body?.cancel();
      this.begun(since);
      for await (const event of events(response)) {
        if (event.event === "error") break;
        const goesOn = this.told(event);
        if (event.id !== undefined) this.advance(Number(event.id));
        if (!goesOn) break;
      }
    } catch (error) {
      // It broke, or was never there: the next one goes on.
      if (!isConnectionError(error)) throw error;
    }
  }
}

/** What `fetch` and the reading of its body reject with when there is no connection, when it breaks, and when we end it. */
const isConnectionError = (error: unknown): boolean =>
  error instanceof Error && (error.name === "AbortError" || /^(fetch failed|terminated)$/.test(error.message));
