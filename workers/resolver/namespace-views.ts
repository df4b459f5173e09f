/**
 * One namespace's views in this isolate, and the feed that keeps them current.
 *
 * The feed is one waiting call to the owner, carried by whichever request started it. It learns the names of services
 * that changed, reads those anew that are in use, and forgets the others. While it waits, everything kept is current: a
 * change would have ended the wait. When it has broken off, a short time to live is the net.
 *
 * Shared between requests is plain data only: no request ever awaits another's promise.
 */
import { text } from "../../objects/bytes.ts";
import { HoldfastError } from "../../objects/errors.ts";
import type { ServiceView } from "../../objects/model.ts";
import type { ViewPage } from "../../objects/registry/views.ts";
import type { NamespaceClient } from "../request/namespace-client.ts";
import type { CachedView } from "./view-cache.ts";
import { ViewCache } from "./view-cache.ts";

/** One wait for changes; short enough that a lost owner is noticed. */
const WAIT_MS = 10_000;
/** An answer that takes longer than its wait and this does not come. */
const OVERDUE_MS = 3000;
/** One request carries the feed this long: the platform ends what goes on for more than 30 s after an answer. */
const CARRY_MS = 25_000;
/** Without the feed a view is used this long. */
const NET_MS = 1000;
/** Views used within this time are read anew at once when they change. */
const IN_USE_MS = 10_000;
/** Changes remembered for views that were on their way while they changed. */
const CHANGED_MAX = 10_000;

export class NamespaceViews {
  readonly cache = new ViewCache();
  /** Everything up to this revision has been taken notice of; null = the feed has never run. */
  #since: number | null = null;
  /** When the running feed's present wait began; null = no feed runs. */
  #waitingSince: number | null = null;
  /** When the feed last spoke with the owner. */
  #confirmedAt = 0;
  #running = false;
  /** Service → revision of a change that the feed has told. */
  #changed = new Map<string, number>();

  /** Whether a kept view may be answered without asking. */
  isCurrent(cached: CachedView, nowAt: number): boolean {
    return this.ageMs(cached, nowAt) < NET_MS;
  }

  /** The feed waits: everything kept is as the owner has it. */
  isVouchedFor(nowAt: number): boolean {
    return this.#waitingSince !== null && nowAt - this.#waitingSince < WAIT_MS + OVERDUE_MS;
  }

  /** Since when the view has not been known to be current; 0 while the feed vouches for it. */
  ageMs(cached: CachedView, nowAt: number): number {
    if (this.isVouchedFor(nowAt)) return 0;
    return nowAt - Math.max(cached.readAt, this.#confirmedAt);
  }

  /** Starts the feed, unless one runs; `carry` keeps it alive beyond the request. */
  keepFed(clientOf: () => NamespaceClient, carry: (work: Promise<unknown>) => void): void {
    if (this.#since === null || this.#running) return;
    this.#running = true;
    carry(this.#feed(clientOf(), this.#since));
  }

  /** Reads a view from the owner, all its pages, and keeps it. */
  async read(client: NamespaceClient, service: string, strong: boolean): Promise<CachedView> {
    return this.keep(await readView(client, service, strong));
  }

  /** Keeps a whole view that was read from the owner. */
  keep(view: ServiceView): CachedView {
    this.#since ??= view.revision;
    const changedAt = this.#changed.get(view.service) ?? 0;
    const cached = this.cache.put(view, Date.now());
    // It changed while it was on its way, and the feed has said so already: used once, not kept.
    if (changedAt > view.revision) this.cache.drop(view.service);
    return cached;
  }

  async #feed(client: NamespaceClient, since: number): Promise<void> {
    const endAt = Date.now() + CARRY_MS;
    try {
      // The first look does not wait: what was missed since the last feed comes first.
      for (let waitMs = 0; Date.now() < endAt; waitMs = WAIT_MS) {
        if (waitMs > 0) this.#waitingSince = Date.now();
        const { value } = await client.changes({ since, ranges: [ALL_SERVICES], keysOnly: true }, waitMs);
        this.#waitingSince = null;
        this.#confirmedAt = Date.now();
        const services = new Map<string, number>();
        for (const { key, revision } of value.events) services.set(text(key), revision);
        await this.#refresh(client, services);
        since = value.revision;
        this.#since = since;
      }
    } catch (error) {
      // The history since is gone, or the owner began anew: nothing kept can be vouched for.
      if (error instanceof HoldfastError && (error.code === "compacted" || error.code === "future_revision")) {
        this.cache.clear();
        this.#since = null;
      }
    } finally {
      this.#waitingSince = null;
      this.#running = false;
    }
  }

  async #refresh(client: NamespaceClient, services: Map<string, number>): Promise<void> {
    const inUse: string[] = [];
    const nowAt = Date.now();
    for (const [service, revision] of services) {
      this.#remember(service, revision);
      const cached = this.cache.peek(service);
      if (cached === undefined) continue;
      if (nowAt - cached.usedAt <= IN_USE_MS) inUse.push(service);
      else this.cache.drop(service);
    }
    // What is not current must not be answered while the new one is on its way for long: a failure drops it.
    await Promise.all(
      inUse.map(async (service) => {
        const usedAt = this.cache.peek(service)?.usedAt;
        try {
          const view = await readView(client, service, false);
          this.cache.put(view, Date.now(), usedAt);
        } catch (error) {
          this.cache.drop(service);
          throw error;
        }
      }),
    );
  }

  #remember(service: string, revision: number): void {
    if (this.#changed.size >= CHANGED_MAX) {
      const oldest = this.#changed.keys().next().value!;
      this.#changed.delete(oldest);
    }
    this.#changed.delete(service);
    this.#changed.set(service, revision);
  }
}

const ALL_SERVICES = { space: "service", from: new Uint8Array(), to: null };

/** Asks the owner, page by page. */
export async function readView(client: NamespaceClient, service: string, strong: boolean): Promise<ServiceView> {
  for (;;) {
    const first = (await client.query("registry.view", { service }, { strong })).value;
    const view = await wholeView(client, first);
    if (view !== null) return view;
  }
}

/** A view from its first page on; null when the service changed meanwhile, and has to be read from its beginning again. */
export async function wholeView(client: NamespaceClient, first: ViewPage): Promise<ServiceView | null> {
  const { after: firstAfter, ...view } = first;
  for (let after = firstAfter; after !== null;) {
    const page = (await client.query("registry.view", { service: view.service, after })).value;
    if (page.modRevision !== view.modRevision) return null;
    view.instances.push(...page.instances);
    // Entries, because a node may be called `__proto__`.
    view.nodes = Object.fromEntries([...Object.entries(view.nodes), ...Object.entries(page.nodes)]);
    after = page.after;
  }
  return view;
}
