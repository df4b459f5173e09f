/**
 * Views of services in one isolate: plain data, shared by its requests, bounded, oldest use first to go.
 *
 * Refuses to know: where views come from, and how it is learned that they have changed.
 */
import type { ServiceView } from "../../objects/model.ts";

export interface CachedView {
  view: ServiceView;
  /** When it was read from the owner. */
  readAt: number;
  usedAt: number;
  /** Answers made from it, by their query; they go with it. */
  rendered: Map<string, Rendered>;
}

/** A whole answer as it is sent: the hot path does no more than look it up. */
export interface Rendered {
  body: Uint8Array<ArrayBuffer>;
  headers: Headers;
}

const VIEWS_MAX = 20_000;
/** Over all views: what is kept in memory is instances. */
const INSTANCES_MAX = 200_000;
const RENDERED_MAX = 16;
/** An answer is kept only while it is small against what it is made from. */
const RENDERED_BYTES_MAX = 1_000_000;

export class ViewCache {
  readonly #views = new Map<string, CachedView>();
  #instances = 0;

  get(service: string, nowAt: number): CachedView | undefined {
    const cached = this.#views.get(service);
    if (cached === undefined) return undefined;
    // Every second is often enough to keep the order of use.
    if (nowAt - cached.usedAt > 1000) {
      cached.usedAt = nowAt;
      this.#views.delete(service);
      this.#views.set(service, cached);
    }
    return cached;
  }

  peek(service: string): CachedView | undefined {
    return this.#views.get(service);
  }

  /** Keeps the newer one. */
  put(view: ServiceView, nowAt: number, usedAt = nowAt): CachedView {
    const before = this.#views.get(view.service);
    if (before && before.view.revision > view.revision) return before;
    // The same state read again: what was made of it still holds.
    const rendered = before && isSame(before.view, view) ? before.rendered : new Map<string, Rendered>();
    this.drop(view.service);
    const cached = { view, readAt: nowAt, usedAt, rendered };
    this.#views.set(view.service, cached);
    this.#instances += view.instances.length;
    while (this.#views.size > VIEWS_MAX || (this.#instances > INSTANCES_MAX && this.#views.size > 1)) {
      this.drop(this.#views.keys().next().value!);
    }
    return cached;
  }

  drop(service: string): void {
    const cached = this.#views.get(service);
    if (!cached) return;
    this.#views.delete(service);
    this.#instances -= cached.view.instances.length;
  }

  clear(): void {
    this.#views.clear();
    this.#instances = 0;
  }
}

/** Keeps an answer with the view it was made from. */
export function keepRendered(cached: CachedView, query: string, rendered: Rendered): void {
  if (rendered.body.length > RENDERED_BYTES_MAX || cached.rendered.size >= RENDERED_MAX) return;
  cached.rendered.set(query, rendered);
}

function isSame(a: ServiceView, b: ServiceView): boolean {
  return a.modRevision === b.modRevision && a.selfPreservation === b.selfPreservation;
}
