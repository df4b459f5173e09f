/**
 * The hot path: `GET /v1/health/service/:name` and `/v1/catalog/service/:name`, answered before and still true. Looked up
 * by the request's own text, before anything else is made of it.
 *
 * With `?stale` or `?cached` the isolate's feed vouches for the answer, and nobody is asked. Otherwise the owner is asked
 * for no more than whether the service is as it was.
 *
 * Kept are answers for callers who may see everything; the others never get here.
 */
import { identifyKept } from "../../request/authorizer.ts";
import type { Bindings } from "../../request/bindings.ts";
import { DEFAULT_NAMESPACE } from "../../request/namespace.ts";
import { NamespaceClient } from "../../request/namespace-client.ts";
import { rememberingUrls } from "../../request/url-memo.ts";
import type { EdgeResolver } from "../../resolver/resolver.ts";
import { renderedBefore } from "../../resolver/resolver.ts";
import { credentialOf } from "./acl/credential.ts";

/** Kind, name, query; nothing encoded in the name. */
const ASKED = /^\/v1\/(health|catalog)\/service\/([^/?%]+)(?:\?([^#]*))?$/;
/** The same behind a host, with a query. */
const ASKED_URL = /^https?:\/\/([^/:]+)(?::\d+)?\/v1\/(health|catalog)\/service\/([^/?%]+)\?([^#]*)$/;
/** Of a query: what makes it an answer from the cache, and what makes it nobody else's. */
const FROM_CACHE = /(?:^|&)(?:stale|cached)(?:[=&]|$)/;
const OWN =
  /(?:^|&)(?:index|wait|near|token|ns|ap|partition|dc|datacenter|peer|sg|sameness|pretty|max_stale|consistent)/;
const QUERY_MAX = 256;

const keyOf = (kind: string, query: string): string => `consul:${kind}?${query}`;

/** What an answer to this request is kept by; null when it is not to be kept. */
export function keptKey(request: Request): string | null {
  const { url, headers } = request;
  const asked = ASKED.exec(url.slice(url.indexOf("/", url.indexOf("//") + 2)));
  if (!asked || headers.has("x-consul-namespace")) return null;
  const query = asked[3] ?? "";
  return query.length > QUERY_MAX || OWN.test(query) ? null : keyOf(asked[1]!, query);
}

/** An answer that the feed vouches for. */
export function keptAnswer(
  request: Request,
  env: Bindings,
  context: { waitUntil(work: Promise<unknown>): void },
): Response | null {
  const asked = askedBy(request.url);
  if (asked === null) return null;
  const rendered = renderedBefore(env, context, DEFAULT_NAMESPACE, asked.service, asked.key);
  // A host may name a namespace, or a service behind the gateway.
  if (
    !rendered ||
    asked.host.endsWith(env.HOLDFAST_DOMAIN ?? "holdfast") ||
    !maySeeAll(request, env, DEFAULT_NAMESPACE)
  ) {
    return null;
  }
  return new Response(rendered.body, rendered);
}

interface Asked {
  host: string;
  service: string;
  /** What the answer is kept by. */
  key: string;
}

const askedBy = rememberingUrls((url): Asked | null => {
  const [, host = "", kind = "", service = "", query = ""] = ASKED_URL.exec(url) ?? [];
  return FROM_CACHE.test(query) ? { host, service, key: keyOf(kind, query) } : null;
});

/** An answer that the owner has just confirmed; null when there is none, or the service has changed. */
export async function confirmedAnswer(
  request: Request,
  pathAndQuery: string,
  { env, resolver, namespace }: { env: Bindings; resolver: EdgeResolver; namespace: string | null },
): Promise<Response | null> {
  const asked = ASKED.exec(pathAndQuery);
  if (!asked) return null;
  const [, kind = "", service = "", query = ""] = asked;
  if (FROM_CACHE.test(query)) return null;
  const name = namespace ?? DEFAULT_NAMESPACE;
  const cached = resolver.last(name, service);
  const rendered = cached?.rendered.get(keyOf(kind, query));
  if (!cached || !rendered || !maySeeAll(request, env, name)) return null;
  const { modRevision: known, revision: asOf } = cached.view;
  const client = new NamespaceClient(env, name);
  const { value: changed } = await client.query("registry.viewSince", { service, known, asOf });
  return changed === null ? new Response(rendered.body, rendered) : null;
}

/** The others, and those who are refused, are answered in the ordinary way. */
function maySeeAll(request: Request, env: Bindings, namespace: string): boolean {
  const { headers } = request;
  if (headers.has("x-consul-namespace")) return false;
  return identifyKept(request, credentialOf(headers, NO_PARAMS), env, namespace)?.isUnbounded ?? false;
}

/** A token in the query makes it nobody else's answer. */
const NO_PARAMS = new URLSearchParams();
