/**
 * The hot path: `GET /v1/health/service/:name` and `/v1/catalog/service/:name` with `?stale` or `?cached`, answered before
 * and still true. Looked up by the request's own text before anything else is made of it.
 *
 * Kept are answers for callers who may see everything; the others never get here.
 */
import type { Bindings } from "../../request/bindings.ts";
import { callerOf } from "../../request/caller.ts";
import { DEFAULT_NAMESPACE } from "../../request/namespace.ts";
import { renderedBefore } from "../../resolver/resolver.ts";

/** Host, kind, name, query; nothing encoded in the name, and no namespace in the path. */
const ASKED = /^https?:\/\/([^/:]+)(?::\d+)?\/v1\/(health|catalog)\/service\/([^/?%]+)\?([^#]*)$/;
/** Of a query: what makes it an answer from the cache, and what makes it nobody else's. */
const FROM_CACHE = /(?:^|&)(?:stale|cached)(?:[=&]|$)/;
const OWN = /(?:^|&)(?:index|wait|near|token|ns|dc|datacenter|peer|pretty|max_stale|consistent)=?/;
const QUERY_MAX = 256;

/** What an answer to this request is kept by; null when it is not to be kept. */
export function keptKey(request: Request): string | null {
  const asked = ASKED.exec(request.url);
  if (!asked || request.headers.has("x-consul-namespace")) return null;
  const query = asked[4]!;
  if (query.length > QUERY_MAX || !FROM_CACHE.test(query) || OWN.test(query)) return null;
  return `consul:${asked[2]!}?${query}`;
}

export function keptAnswer(
  request: Request,
  env: Bindings,
  context: { waitUntil(work: Promise<unknown>): void },
): Response | null {
  const asked = ASKED.exec(request.url);
  if (!asked) return null;
  const key = `consul:${asked[2]!}?${asked[4]!}`;
  const rendered = renderedBefore(env, context, DEFAULT_NAMESPACE, asked[3]!, key);
  if (!rendered || request.headers.has("x-consul-namespace")) return null;
  // A host may name a namespace, or a service behind the gateway.
  if (asked[1]!.endsWith(env.HOLDFAST_DOMAIN ?? "holdfast")) return null;
  try {
    callerOf(request, env, "consul");
  } catch {
    // Refused, or somebody who may see less: told in Consul's words by the ordinary way.
    return null;
  }
  return new Response(rendered.body, rendered);
}
