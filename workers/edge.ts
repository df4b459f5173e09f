/**
 * The one entry of the edge: request → limits → namespace → caller → surface. Decides nothing else.
 */
import { assertEgress, parseEgressPolicy } from "../objects/egress.ts";
import type { EgressTarget } from "../objects/egress.ts";
import { HoldfastError } from "../objects/errors.ts";
import type { Caller } from "../objects/model.ts";
import { DIRECTORY_NAME } from "../objects/directory.ts";
import type { Failpoint } from "../objects/namespace.ts";
import { api } from "./api/app.ts";
import { handleDnsQuery } from "./dialects/dns/http.ts";
import { routeRequest } from "./gateway/gateway.ts";
import type { RouteTarget } from "./gateway/match.ts";
import { parseRouteHost, parseRoutePath } from "./gateway/match.ts";
import type { Bindings } from "./request/bindings.ts";
import { callerOf, sourceOf } from "./request/caller.ts";
import { refusedBySize } from "./request/limits.ts";
import { DEFAULT_NAMESPACE, isNamespace, locate } from "./request/namespace.ts";
import { NamespaceClient } from "./request/namespace-client.ts";
import { problemResponse } from "./request/problem.ts";
import { resolveOverHttp } from "./resolver/http.ts";
import { EdgeResolver } from "./resolver/resolver.ts";

export { Directory } from "../objects/directory.ts";
export { Namespace } from "../objects/namespace.ts";
export { Prober } from "../objects/prober.ts";

/** `/api/v1/namespaces/<ns>/resolve/<name>[?…]`, raw. */
const RESOLVE = /^\/api\/v1\/namespaces\/([^/?]+)\/resolve\/([^/?]+)(\?.*)?$/;

/** Nothing but errors of our own becomes a problem; the rest is a bug, told without its details. */
export default {
  async fetch(request, env, context): Promise<Response> {
    try {
      return refusedBySize(request) ?? (await answer(request, env, context));
    } catch (error) {
      if (error instanceof HoldfastError) return problemResponse(error);
      console.error("unhandled", error);
      return problemResponse(new HoldfastError("internal", "the request could not be answered"));
    }
  },
} satisfies ExportedHandler<Bindings>;

async function answer(request: Request, env: Bindings, context: ExecutionContext): Promise<Response> {
  const { url } = request;
  const { namespace: prefixed, pathAndQuery } = locate(url.slice(url.indexOf("/", url.indexOf("//") + 2)));
  if (pathAndQuery === "/health/live") return new Response("ok\n");
  if (pathAndQuery === "/health/ready") return ready(env);

  const resolver = new EdgeResolver(env, context);
  const resolve = request.method === "GET" ? RESOLVE.exec(pathAndQuery) : null;
  if (resolve && prefixed === null) {
    callerOf(request, new URL(url), env, "api");
    const namespace = decoded("namespace", resolve[1]!);
    if (!isNamespace(namespace)) throw new HoldfastError("not_found", `"${namespace}" is not a namespace`);
    const service = decoded("name", resolve[2]!);
    return resolveOverHttp(resolver, new NamespaceClient(env, namespace), service, resolve[3] ?? "");
  }

  const parsed = new URL(url);
  const route = routeOf(request, parsed, env, prefixed, pathAndQuery);
  if (route) return gateway(request, parsed, env, resolver, route);
  if (pathAndQuery.startsWith("/dns-query")) return dns(request, parsed, env, resolver, prefixed);
  if (pathAndQuery === "/" && prefixed === null) return Response.redirect(new URL("/api/docs", parsed).href, 302);
  if (!pathAndQuery.startsWith("/api/"))
    throw new HoldfastError("not_found", `nothing is served at ${parsed.pathname}`);
  // The document describes the API and tells nothing about what is stored.
  const isPublic = pathAndQuery === "/api/openapi.json" || pathAndQuery === "/api/docs";
  const caller: Caller = isPublic
    ? { principal: "anonymous", source: sourceOf(request, env), dialect: "api" }
    : callerOf(request, parsed, env, "api");
  return api.fetch(
    request,
    { platform: env, caller, resolver, ...(env.HOLDFAST_TEST && { failpoint: failpointOf(request) }) },
    context,
  );
}

async function ready(env: Bindings): Promise<Response> {
  if (env.HOLDFAST_OPEN !== "1" && !env.HOLDFAST_ROOT_TOKEN) {
    return problemResponse(new HoldfastError("unavailable", "no root token is set"));
  }
  try {
    await env.DIRECTORY.getByName(DIRECTORY_NAME).list("");
    return new Response("ready\n");
  } catch {
    return problemResponse(new HoldfastError("unavailable", "the directory is out of reach", undefined, 1000));
  }
}

function routeOf(
  request: Request,
  url: URL,
  env: Bindings,
  prefixed: string | null,
  pathAndQuery: string,
): RouteTarget | null {
  const named = parseRouteHost(request.headers.get("host") ?? url.host, domainOf(env));
  if (named) return { ...named, path: url.pathname + url.search, prefix: "" };
  return parseRoutePath(pathAndQuery, prefixed ?? DEFAULT_NAMESPACE);
}

function gateway(
  request: Request,
  url: URL,
  env: Bindings,
  resolver: EdgeResolver,
  target: RouteTarget,
): Promise<Response> {
  callerOf(request, url, env, "gateway");
  return routeRequest(request, target, {
    resolver,
    fetch,
    assertEgress: egressGuard(env),
    clientAddress: sourceOf(request, env),
    now: Date.now,
    random: Math.random,
    // The credential was for us; an application's own goes in another header.
    stripAuthorization: env.HOLDFAST_OPEN !== "1",
  });
}

function dns(
  request: Request,
  url: URL,
  env: Bindings,
  resolver: EdgeResolver,
  prefixed: string | null,
): Promise<Response> {
  callerOf(request, url, env, "dns");
  return handleDnsQuery(request, {
    resolver,
    domains: [domainOf(env)],
    namespace: prefixed ?? DEFAULT_NAMESPACE,
    datacenter: env.HOLDFAST_DATACENTER ?? "dc1",
    showPrivate: true,
    random: Math.random,
    ttlSeconds: 5,
  });
}

/** One function for the isolate: the gateway keeps its verdicts by it. */
let guard: ((target: EgressTarget) => void) | undefined;

function egressGuard(env: Bindings): (target: EgressTarget) => void {
  if (!guard) {
    const policy = parseEgressPolicy(env);
    guard = (target) => assertEgress(target, policy);
  }
  return guard;
}

/** Only where failpoints are switched on: `x-holdfast-test-delay: MS`, `x-holdfast-test-abort: before_commit`. */
function failpointOf(request: Request): Failpoint {
  const delayMs = Number(request.headers.get("x-holdfast-test-delay") ?? 0);
  const abort = request.headers.get("x-holdfast-test-abort");
  return {
    ...(delayMs > 0 && { delayMs }),
    ...((abort === "before_commit" || abort === "after_commit") && { abort }),
  };
}

function domainOf(env: Bindings): string {
  return env.HOLDFAST_DOMAIN ?? "holdfast";
}

function decoded(field: string, segment: string): string {
  if (!segment.includes("%")) return segment;
  try {
    return decodeURIComponent(segment);
  } catch {
    throw new HoldfastError("invalid_argument", `${field}: is not percent-encoded UTF-8`, { field });
  }
}
