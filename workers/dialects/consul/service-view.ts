/**
 * One service's view as a read asks for it, with the index that belongs to it.
 *
 * `?stale` and `?cached` are answered from this isolate's views, with their true age. Every other read asks the owner, but
 * for no more than whether the view that is kept still holds: when it does, nothing is carried and nothing is encoded anew.
 */
import type { ServiceView } from "../../../objects/model.ts";
import { serviceRange } from "../../../objects/registry/views.ts";
import type { WatchRange } from "../../../objects/store/store.ts";
import { datacenterOf } from "../../request/datacenter.ts";
import { wholeView } from "../../resolver/namespace-views.ts";
import type { CachedView } from "../../resolver/view-cache.ts";
import type { Exchange } from "./exchange.ts";

export interface ServiceRead {
  view: ServiceView;
  /** Where answers made from it may be kept; undefined when it is in no cache. */
  cached: CachedView | undefined;
  /** Headers and all, the same question has the same answer for as long as the view holds. */
  isRepeatable: boolean;
}

/** A service without instances, as that of an unknown peer. */
export const emptyView = (service: string): ServiceView => ({
  service,
  class: "balanced",
  modRevision: 0,
  revision: 0,
  instances: [],
  nodes: {},
  selfPreservation: false,
});

/** A revision that there never was: everything is to be carried. */
const NOTHING_KEPT = -1;

/** `also` is what else the answer depends on. The headers of the answer are told to the exchange. */
export async function readService(
  exchange: Exchange,
  service: string,
  also: readonly WatchRange[] = [],
): Promise<ServiceRead> {
  const { query } = exchange;
  const isFromCache = query.index === 0 && (query.consistency === "stale" || query.cached);
  if (isFromCache) {
    const read = await readCached(exchange, service);
    if (read) return read;
  }
  const view = await readOwned(exchange, service, also);
  exchange.tellConsistency();
  if (query.cached) exchange.headers.set("x-cache", "MISS");
  return view;
}

/** Null when it is older than the caller takes. */
async function readCached(exchange: Exchange, service: string): Promise<ServiceRead | null> {
  const { resolver, namespace, datacenter, query, headers } = exchange;
  const hit = resolver.peek(namespace, service, datacenter);
  const entry = hit ?? (await resolver.resolve(namespace, service, { datacenter }));
  if (query.maxStaleMs !== null && entry.ageMs > query.maxStaleMs) return null;
  exchange.tellIndex(entry.view.modRevision);
  headers.set("x-consul-lastcontact", String(Math.ceil(entry.ageMs)));
  if (entry.stale) headers.set("x-consul-knownleader", "false");
  headers.set("x-consul-effective-consistency", "stale");
  if (query.cached) {
    headers.set("x-cache", hit ? "HIT" : "MISS");
    if (hit) headers.set("age", String(entry.ageSeconds));
  }
  const isOwn = datacenter === datacenterOf(exchange.env);
  return { view: entry.view, cached: entry.cached, isRepeatable: isOwn && hit !== undefined && entry.ageMs === 0 };
}

async function readOwned(exchange: Exchange, service: string, also: readonly WatchRange[]): Promise<ServiceRead> {
  const { resolver, namespace, datacenter, client } = exchange;
  const kept = resolver.last(namespace, service, datacenter);
  const known = kept?.view.modRevision ?? -1;
  const ranges = [serviceRange(service), ...also];
  const input = { service, known, asOf: kept?.view.revision ?? NOTHING_KEPT };
  const { value: page } = await exchange.read("registry.viewSince", input, ranges);
  // The index of a service that does not exist is not its view's.
  const isRepeatable =
    datacenter === datacenterOf(exchange.env) && exchange.query.consistency === "default" && exchange.query.index === 0;
  if (page === null) return { view: kept!.view, cached: kept, isRepeatable: isRepeatable && known > 0 };
  let view = await wholeView(client, page);
  while (view === null) view = await wholeView(client, (await client.query("registry.view", { service })).value);
  const cached = resolver.keep(namespace, view, datacenter);
  // The cache may have a newer one already: then that is the answer.
  return { view: cached.view, cached, isRepeatable: false };
}
