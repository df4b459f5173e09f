/**
 * The one entry of the edge: request → limits → namespace → caller → surface. Decides nothing else. What a caller may do is
 * asked for where a surface is no more than one name; the others ask themselves.
 */
import { assertEgress, parseEgressPolicy } from "../objects/egress.ts";
import type { EgressTarget } from "../objects/egress.ts";
import { utf8 } from "../objects/bytes.ts";
import { HoldfastError } from "../objects/errors.ts";
import { DIRECTORY_NAME } from "../objects/directory.ts";
import type { Failpoint } from "../objects/namespace.ts";
import { handleApi } from "./api/app.ts";
import { handleConsul } from "./dialects/consul/consul.ts";
import { keptAnswer } from "./dialects/consul/kept-answers.ts";
import { defaultNodeOf } from "./dialects/consul/node-name.ts";
import { ConsulsResolver, nodeShown } from "./dialects/consul/own-names.ts";
import { handleDnsQuery } from "./dialects/dns/http.ts";
import { visibleTo } from "./dialects/dns/visible.ts";
import { handleEtcd } from "./dialects/etcd/etcd.ts";
import { gatewayCall } from "./dialects/etcd/gateway-tunnel.ts";
import { etcdServices } from "./dialects/etcd/grpc.ts";
import { isPlainPath } from "./dialects/etcd/plain-http.ts";
import type { Zone } from "./dialects/dns/zone.ts";
import { consulZone, ownZone } from "./dialects/dns/zone.ts";
import { routeRequest } from "./gateway/gateway.ts";
import type { RouteTarget } from "./gateway/match.ts";
import { parseRouteHost, parseRoutePath } from "./gateway/match.ts";
import type { Bindings } from "./request/bindings.ts";
import { isFull, tooManyWaiting } from "./request/admission.ts";
import { authorizerOf, bearerOf, identify, identifyKept } from "./request/authorizer.ts";
import { sourceOf } from "./request/caller.ts";
import { datacenterNamed, datacentersOf, objectName } from "./request/datacenter.ts";
import { Line } from "./request/line.ts";
import { refusedBySize } from "./request/limits.ts";
import { DEFAULT_NAMESPACE, isNamespace, locate, namespaceOfHost } from "./request/namespace.ts";
import { NamespaceClient } from "./request/namespace-client.ts";
import { rememberingUrls } from "./request/url-memo.ts";
import { PROBLEM_TYPE, problemOf, problemResponse } from "./request/problem.ts";
import { resolveOverHttp } from "./resolver/http.ts";
import { ingressView, meshView } from "./resolver/mesh.ts";
import { runNamed } from "./resolver/named.ts";
import { EdgeResolver, renderedBefore } from "./resolver/resolver.ts";
import { nodesAt, servicesAt } from "./resolver/reverse.ts";
import type { Router } from "./tunnel/calls.ts";
import { openTunnel } from "./tunnel/tunnel.ts";

export { Directory } from "../objects/directory.ts";
export { Prober } from "../objects/prober.ts";
export { Namespace } from "./hosted/namespace.ts";

/** `/api/v1/namespaces/<ns>/resolve/<name>[?…]`, raw. */
const RESOLVE = /^\/api\/v1\/namespaces\/([^/?]+)\/resolve\/([^/?]+)(\?.*)?$/;

/** The same as a whole URL, when nothing in it is encoded: host, namespace, name, query. */
const RESOLVE_URL = /^https?:\/\/([^/:]+)(?::\d+)?\/api\/v1\/namespaces\/([a-z0-9_-]+)\/resolve\/([^/?%]+)(\?.*)?$/;

/** `…/api/v1/namespaces/<ns>/…`, raw; what is answered from the cache is not refused. */
const NAMESPACED = /^[^?]*?\/api\/v1\/namespaces\/([^/?]+)\/(?!resolve\/)/;

/** All but `/v3/discovery:…`, which is xDS. */
const ETCD = /^\/v3(?:alpha|beta)?\/(?!discovery:)/;

const CONSUL = /^\/v1(?:[/?]|$)/;

/** Nothing but errors of our own becomes a problem; the rest is a bug, told without its details. */
export default {
  // Not async: what is answered at once needs no promise.
  fetch(request, env, context): Response | Promise<Response> {
    try {
      const kept =
        request.method === "GET" ? (resolvedBefore(request, env, context) ?? keptAnswer(request, env, context)) : null;
      const answered = kept ?? refusedByLoad(request, env) ?? refusedBySize(request) ?? answer(request, env, context);
      return answered instanceof Promise ? answered.catch(problemFor) : answered;
    } catch (error) {
      return problemFor(error);
    }
  },
} satisfies ExportedHandler<Bindings>;

function problemFor(error: unknown): Response {
  if (error instanceof HoldfastError) return problemResponse(error);
  console.error("unhandled", error);
  return problemResponse(new HoldfastError("internal", "the request could not be answered"));
}

/** The hottest path: an answer that was given before and still holds. Everything else of it goes the ordinary way. */
function resolvedBefore(request: Request, env: Bindings, context: ExecutionContext): Response | null {
  const asked = resolveAskedBy(request.url);
  if (!asked) return null;
  const { host, namespace, service, search } = asked;
  const rendered = renderedBefore(env, context, namespace, service, search);
  // A host that names a service is the gateway's, whatever its path looks like.
  if (!rendered || host.endsWith(domainOf(env))) return null;
  const kept = identifyKept(request, bearerOf(request.headers), env, namespace);
  return kept?.allows("read", "service", service) ? new Response(rendered.body, rendered) : null;
}

const resolveAskedBy = rememberingUrls((url) => {
  const asked = RESOLVE_URL.exec(url);
  return asked && { host: asked[1]!, namespace: asked[2]!, service: asked[3]!, search: asked[4] ?? "" };
});

/** Under overload refusing has to cost next to nothing: it comes before anything else, with an answer made once. */
function refusedByLoad(request: Request, env: Bindings): Response | null {
  const namespaced = NAMESPACED.exec(request.url);
  if (!namespaced || !isFull(objectName(env, namespaced[1]!)) || request.url.includes("datacenter=")) return null;
  return new Response(REFUSAL, REFUSED);
}

const REFUSAL = utf8(JSON.stringify(problemOf(tooManyWaiting()))) as Uint8Array<ArrayBuffer>;
const REFUSED = {
  status: 503,
  headers: new Headers({ "content-type": PROBLEM_TYPE, "retry-after": "1", "cache-control": "no-store" }),
};

function answer(request: Request, env: Bindings, context: ExecutionContext): Response | Promise<Response> {
  const { url } = request;
  const hosted = hostedRoute(url, env);
  if (hosted) return gateway(request, env, new EdgeResolver(env, context), hosted);
  const { namespace: inPath, pathAndQuery } = locate(rawPathAndQuery(url));
  const prefixed = inPath ?? namespaceOfHost(HOST.exec(url)?.[1] ?? "", domainOf(env));
  if (pathAndQuery === "/health/live") return new Response("ok\n");
  if (pathAndQuery === "/health/ready") return ready(env);

  const resolver = new EdgeResolver(env, context);
  const route = parseRoutePath(pathAndQuery, prefixed ?? DEFAULT_NAMESPACE);
  if (route) return gateway(request, env, resolver, route);
  const asked = request.method === "GET" && prefixed === null ? RESOLVE.exec(pathAndQuery) : null;
  if (asked) return resolve(request, env, resolver, asked[1]!, asked[2]!, asked[3] ?? "");
  if (CONSUL.test(pathAndQuery)) return handleConsul(request, pathAndQuery, { env, resolver, namespace: prefixed });
  if (ETCD.test(pathAndQuery) || isPlainPath(pathAndQuery)) {
    return handleEtcd(request, pathAndQuery, { env, namespace: prefixed });
  }
  if (pathAndQuery.startsWith("/dns-query")) return dns(request, env, resolver, prefixed);
  if (pathAndQuery === "/tunnel") {
    const target = { env, namespace: prefixed ?? DEFAULT_NAMESPACE };
    // All calls of an agent come over one socket: those that an object has no place for yet wait instead of being refused.
    const line = new Line();
    const offers = { services: etcdServices(request, { ...target, line }), route: carriedBy(line, env) };
    return openTunnel(request, offers, target);
  }
  if (pathAndQuery === "/" && prefixed === null) return Response.redirect(new URL("/api/docs", url).href, 302);
  if (!pathAndQuery.startsWith("/api/")) throw new HoldfastError("not_found", "nothing is served at this path");
  const failpoint = env.HOLDFAST_TEST ? failpointOf(request) : undefined;
  return handleApi(request, { platform: env, ...(failpoint && { failpoint }) });
}

/** `rawNamespace` and `rawService` as they stand in the path. */
async function resolve(
  request: Request,
  env: Bindings,
  resolver: EdgeResolver,
  rawNamespace: string,
  rawService: string,
  search: string,
): Promise<Response> {
  const namespace = decoded("namespace", rawNamespace);
  if (!isNamespace(namespace)) throw new HoldfastError("not_found", `"${namespace}" is not a namespace`);
  const service = decoded("name", rawService);
  const params = new URLSearchParams(search);
  const datacenter = datacenterNamed(env, params.get("datacenter"));
  const authorize = () => assertMayRead(request, env, service, { namespace, datacenter, dialect: "api" });
  await authorize();
  const answer = await resolveOverHttp(resolver, new NamespaceClient(env, namespace, datacenter), service, search);
  // It may have waited.
  if (params.has("revision")) await authorize();
  return answer;
}

/** Which requests are answered over a tunnel. What is a surface of another kind, or no valid request, goes the ordinary way. */
function carriedBy(line: Line, env: Bindings): Router {
  return (head) => {
    if (hostedRoute(head.url, env)) return null;
    const { namespace: inPath, pathAndQuery } = locate(head.pathAndQuery);
    const prefixed = inPath ?? namespaceOfHost(HOST.exec(head.url)?.[1] ?? "", domainOf(env));
    if (!ETCD.test(pathAndQuery)) return null;
    return gatewayCall(head, pathAndQuery, { env, namespace: prefixed ?? DEFAULT_NAMESPACE, line });
  };
}

interface Target {
  namespace: string;
  datacenter?: string;
  dialect: string;
}

/** Codes: `unauthenticated`, `permission_denied`, `unavailable`. */
async function assertMayRead(request: Request, env: Bindings, service: string, target: Target): Promise<void> {
  const { authorizer } = await identify(request, bearerOf(request.headers), env, target);
  authorizer.assert("read", "service", service);
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

/** Behind a host that names a service the whole path is the service's, also one that begins like ours. */
function hostedRoute(url: string, env: Bindings): RouteTarget | null {
  const host = HOST.exec(url)?.[1] ?? "";
  const named = host.includes(".") ? parseRouteHost(host, domainOf(env)) : null;
  return named && { ...named, path: rawPathAndQuery(url), prefix: "" };
}

function gateway(request: Request, env: Bindings, resolver: EdgeResolver, target: RouteTarget): Promise<Response> {
  const { namespace, service } = target;
  const route = () =>
    routeRequest(request, target, {
      resolver,
      fetch,
      assertEgress: egressGuard(env),
      clientAddress: sourceOf(request, env),
      now: Date.now,
      random: Math.random,
      // The credential was for us; an application's own goes in another header.
      stripAuthorization: env.HOLDFAST_OPEN !== "1",
    });
  const kept = identifyKept(request, bearerOf(request.headers), env, namespace);
  if (kept?.allows("read", "service", service)) return route();
  return assertMayRead(request, env, service, { namespace, dialect: "gateway" }).then(route);
}

async function dns(
  request: Request,
  env: Bindings,
  resolver: EdgeResolver,
  prefixed: string | null,
): Promise<Response> {
  const namespace = prefixed ?? DEFAULT_NAMESPACE;
  const { authorizer } = await identify(request, bearerOf(request.headers), env, { namespace, dialect: "dns" });
  const datacenters = datacentersOf(env);
  const defaultNode = defaultNodeOf(env);
  const primary = (namespace: string) => new NamespaceClient(env, namespace, datacenters.primary);
  const findNode = async (place: { namespace: string; datacenter: string }, name: string) => {
    const { value } = await new NamespaceClient(env, place.namespace, place.datacenter).query("nodes.get", { name });
    return nodeShown(name, value, { ...place, defaultNode });
  };
  const deps = {
    resolver: new ConsulsResolver(resolver, { datacenter: datacenters.own, defaultNode }, findNode),
    findNode: (namespace, datacenter, name) => findNode({ namespace, datacenter }, name),
    findNodesAt: (...asked) => nodesAt(env, ...asked),
    findServicesAt: (...asked) => servicesAt(env, ...asked),
    findStanding: (standing, namespace, datacenter, service) => {
      const client = new NamespaceClient(env, namespace, datacenter);
      return standing === "mesh"
        ? meshView(client, service)
        : ingressView(client, primary(namespace), resolver, service);
    },
    async findVirtualIp(namespace, datacenter, service) {
      const { value } = await new NamespaceClient(env, namespace, datacenter).query("virtualIp.get", { service });
      // A name that only rules speak of has it where they are kept; it is the same everywhere.
      const found = value ?? (await primary(namespace).query("virtualIp.get", { service })).value;
      return found?.address ?? null;
    },
    runLookup: (namespace, datacenter, name) => runNamed(env, resolver, namespace, datacenter, name),
    zones: zonesOf(domainOf(env)),
    namespace,
    datacenters,
    showPrivate: true,
    random: Math.random,
  } satisfies Parameters<typeof handleDnsQuery>[1];
  if (authorizer.isUnbounded) return handleDnsQuery(request, deps);
  // A token is of its own namespace: in others its holder is anybody.
  const rightsIn = (other: string) => (other === namespace ? authorizer : authorizerOf(null, env, other));
  return handleDnsQuery(request, visibleTo(rightsIn, deps));
}

/** Seconds. */
const DNS_TTL = 5;
const CONSUL_DOMAIN = "consul";

/** Whoever has called the domain as Consul does wants its rules. */
function zonesOf(domain: string): Zone[] {
  const consul = consulZone(CONSUL_DOMAIN);
  return domain === CONSUL_DOMAIN ? [consul] : [ownZone(domain, DNS_TTL), consul];
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
function failpointOf({ headers }: Request): Failpoint | undefined {
  const delayMs = Number(headers.get("x-holdfast-test-delay") ?? 0);
  const abort = headers.get("x-holdfast-test-abort");
  if (delayMs === 0 && abort === null) return undefined;
  return {
    ...(delayMs > 0 && { delayMs }),
    ...((abort === "before_commit" || abort === "after_commit") && { abort }),
  };
}

const HOST = /^https?:\/\/([^/]+)/;

function rawPathAndQuery(url: string): string {
  return url.slice(url.indexOf("/", url.indexOf("//") + 2));
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
