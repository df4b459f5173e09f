/**
 * Names to instances, from this isolate's cache where that is current, else from the owner, else the last good answer,
 * marked as such.
 */
import { HoldfastError } from "../../objects/errors.ts";
import type { ServiceView } from "../../objects/model.ts";
import type { Bindings } from "../request/bindings.ts";
import { objectName } from "../request/datacenter.ts";
import { NamespaceClient } from "../request/namespace-client.ts";
import { NamespaceViews } from "./namespace-views.ts";
import type { ResolvedView, ResolveOptions, Resolver } from "./types.ts";
import type { CachedView, Rendered } from "./view-cache.ts";

/** An answer older than this is no longer given when the owner is out of reach. */
const STALE_MAX_MS = 3_600_000;
const NAMESPACES_MAX = 1000;

/** Of this isolate, by the object's name. */
const views = new Map<string, NamespaceViews>();

export interface ResolvedEntry extends ResolvedView {
  ageMs: number;
  /** Where answers made from the view are kept. */
  cached: CachedView;
}

/** What was answered to the same query before, if it still holds; own datacenter only. Asks nobody, makes nothing new. */
export function renderedBefore(
  env: Bindings,
  context: { waitUntil(work: Promise<unknown>): void },
  namespace: string,
  service: string,
  search: string,
): Rendered | undefined {
  const known = views.get(objectName(env, namespace));
  if (known === undefined) return undefined;
  const nowAt = Date.now();
  const cached = known.cache.get(service, nowAt);
  const rendered = cached?.rendered.get(search);
  if (rendered === undefined || !known.isVouchedFor(nowAt)) return undefined;
  known.keepFed(
    () => new NamespaceClient(env, namespace),
    (work) => context.waitUntil(work),
  );
  return rendered;
}

/** One request's access to the isolate's views. */
export class EdgeResolver implements Resolver {
  readonly #env: Bindings;
  readonly #carry: (work: Promise<unknown>) => void;

  constructor(env: Bindings, context: { waitUntil(work: Promise<unknown>): void }) {
    this.#env = env;
    this.#carry = (work) => context.waitUntil(work);
  }

  /** A current view, without asking anybody; undefined when there is none. */
  peek(namespace: string, service: string, datacenter?: string): ResolvedEntry | undefined {
    const views = viewsOf(objectName(this.#env, namespace, datacenter));
    const nowAt = Date.now();
    const cached = views.cache.get(service, nowAt);
    if (cached === undefined) return undefined;
    views.keepFed(() => this.#client(namespace, datacenter), this.#carry);
    return views.isCurrent(cached, nowAt) ? entry(cached, views.ageMs(cached, nowAt), false) : undefined;
  }

  async resolve(namespace: string, service: string, options: ResolveOptions = {}): Promise<ResolvedEntry> {
    const { consistency, datacenter } = options;
    const isStrong = consistency === "strong";
    const kept = isStrong ? undefined : this.peek(namespace, service, datacenter);
    if (kept) return kept;
    const views = viewsOf(objectName(this.#env, namespace, datacenter));
    const client = this.#client(namespace, datacenter);
    try {
      const cached = await views.read(client, service, isStrong);
      views.keepFed(() => client, this.#carry);
      return entry(cached, 0, false);
    } catch (error) {
      const last = views.cache.peek(service);
      if (isStrong || !last || !isOutage(error)) throw error;
      const ageMs = views.ageMs(last, Date.now());
      if (ageMs > STALE_MAX_MS) throw error;
      return entry(last, ageMs, true);
    }
  }

  /** What is kept, however old: for who asks the owner whether it still holds. */
  last(namespace: string, service: string, datacenter?: string): CachedView | undefined {
    return viewsOf(objectName(this.#env, namespace, datacenter)).cache.get(service, Date.now());
  }

  /** Keeps a whole view that somebody else has read from the owner. */
  keep(namespace: string, view: ServiceView, datacenter?: string): CachedView {
    const views = viewsOf(objectName(this.#env, namespace, datacenter));
    const before = views.cache.peek(view.service)?.view;
    // Sent again though its mod revision is known: it may be another history's, and so may be what was made of it.
    if (before && before.modRevision === view.modRevision && before.revision < view.revision) {
      views.cache.drop(view.service);
    }
    return views.keep(view);
  }

  #client(namespace: string, datacenter: string | undefined): NamespaceClient {
    return new NamespaceClient(this.#env, namespace, datacenter);
  }
}

function viewsOf(name: string): NamespaceViews {
  let found = views.get(name);
  if (!found) {
    if (views.size >= NAMESPACES_MAX) views.delete(views.keys().next().value!);
    views.set(name, (found = new NamespaceViews()));
  }
  return found;
}

function entry(cached: CachedView, ageMs: number, stale: boolean): ResolvedEntry {
  return { cached, view: cached.view, ageMs, ageSeconds: Math.floor(ageMs / 1000), stale };
}

function isOutage(error: unknown): boolean {
  return error instanceof HoldfastError && ["unavailable", "deadline_exceeded", "internal"].includes(error.code);
}
