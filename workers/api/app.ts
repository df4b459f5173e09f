/**
 * The native API: every operation under `/api/v1/namespaces/{namespace}`, routed, validated and answered from its
 * definition, for callers who may ask for it.
 */
import { DIRECTORY_NAME } from "../../objects/directory-name.ts";
import { HoldfastError, invalid } from "../../objects/errors.ts";
import { authorizerOf, bearerOf, identify } from "../request/authorizer.ts";
import type { Bindings } from "../request/bindings.ts";
import { datacenterNamed } from "../request/datacenter.ts";
import { assertNamespace, DEFAULT_NAMESPACE } from "../request/namespace.ts";
import { NamespaceClient } from "../request/namespace-client.ts";
import { problemResponse } from "../request/problem.ts";
import { agentRoutes } from "./agents.ts";
import { barrierRoutes } from "./barriers.ts";
import { checkRoutes } from "./checks.ts";
import { isoTime } from "./convert.ts";
import { counterRoutes } from "./counters.ts";
import { docsResponse } from "./docs.ts";
import { electionRoutes } from "./elections.ts";
import { kvRoutes } from "./kv.ts";
import { leaseRoutes } from "./leases.ts";
import { lockRoutes } from "./locks.ts";
import { nodeRoutes } from "./nodes.ts";
import { openApiDocument } from "./openapi.ts";
import { operationRoutes } from "./operations.ts";
import { perform } from "./perform.ts";
import { policyRoutes } from "./policies.ts";
import { queueRoutes } from "./queues.ts";
import { roleRoutes } from "./roles.ts";
import type { ApiBindings, ApiResult, Route } from "./route.ts";
import { readValid } from "./route.ts";
import { decodeParams, RouteTree } from "./routing.ts";
import { serviceRoutes } from "./services.ts";
import { snapshotRoutes } from "./snapshot.ts";
import { streamRoutes } from "./stream/stream.ts";
import { tokenRoutes } from "./tokens.ts";
import { txnRoutes } from "./txn.ts";
import { userRoutes } from "./users.ts";
import { watchRoutes } from "./watch.ts";

export const routes: Route[] = [
  ...serviceRoutes,
  ...nodeRoutes,
  ...checkRoutes,
  ...agentRoutes,
  ...kvRoutes,
  ...txnRoutes,
  ...watchRoutes,
  ...leaseRoutes,
  ...lockRoutes,
  ...electionRoutes,
  ...barrierRoutes,
  ...counterRoutes,
  ...queueRoutes,
  ...streamRoutes,
  ...operationRoutes,
  ...snapshotRoutes,
  ...policyRoutes,
  ...roleRoutes,
  ...tokenRoutes,
  ...userRoutes,
];

const tree = new RouteTree("/api/v1/namespaces/{namespace}", routes);

/** Throws HoldfastError; the caller makes it a problem. */
export async function handleApi(request: Request, env: ApiBindings): Promise<Response> {
  const { method } = request;
  const response = await answer(request, method === "HEAD" ? "GET" : method, env);
  return method === "HEAD" ? new Response(null, response) : response;
}

function answer(request: Request, method: string, env: ApiBindings): Response | Promise<Response> {
  const path = pathOf(request.url);
  const found = tree.find(path);
  const route = found?.operations.get(method);
  if (route) return run(request, route, found!.params, env);
  if (found) return notAllowed(method, path, [...found.operations.keys()]);
  switch (method === "GET" && path) {
    case "/api/v1/namespaces":
      return listNamespaces(request, env);
    case "/api/openapi.json":
      document ??= JSON.stringify(openApiDocument(routes));
      return new Response(document, { headers: { "content-type": "application/json", "cache-control": "no-cache" } });
    case "/api/docs":
      return docsResponse(openApiDocument(routes));
    default:
      throw new HoldfastError("not_found", `there is no ${path}`);
  }
}

let document: string | undefined;

async function run(request: Request, route: Route, raw: Record<string, string>, env: ApiBindings): Promise<Response> {
  const { namespace, ...params } = decodeParams(raw);
  assertNamespace(namespace!);
  const search = searchOf(request.url);
  const datacenter = takeDatacenter(search, env.platform);
  const target = { namespace: namespace!, datacenter, dialect: "api" };
  const token = bearerOf(request.headers);
  const { caller, authorizer } = await identify(request, token, env.platform, target);
  const client = new NamespaceClient(env.platform, namespace!, datacenter);
  const readBody = (schema: NonNullable<Route["body"]>) => readValid(request, schema);
  const reauthorize = () => authorizerOf(token, env.platform, namespace!, datacenter);
  return responseOf(
    await perform(route, { request, env, client, params, search, readBody, caller, authorizer, token, reauthorize }),
  );
}

/** Rights are a namespace's own: what is above them is for the holder of the root token. */
async function listNamespaces(request: Request, env: ApiBindings): Promise<Response> {
  const target = { namespace: DEFAULT_NAMESPACE, dialect: "api" };
  const { authorizer } = await identify(request, bearerOf(request.headers), env.platform, target);
  if (!authorizer.isUnbounded) throw authorizer.denied("read", "operator", "all namespaces");
  const datacenter = takeDatacenter(searchOf(request.url), env.platform);
  const entries = await env.platform.DIRECTORY.getByName(DIRECTORY_NAME).list(datacenter);
  const namespaces = entries.map(({ namespace, createdAt, ...entry }) => ({
    name: namespace,
    ...entry,
    createdAt: isoTime(createdAt),
  }));
  return json({ datacenter, namespaces });
}

function notAllowed(method: string, path: string, allowed: string[]): Response {
  const error = new HoldfastError("unsupported", `${method} is not an operation of ${path}`);
  return problemResponse(error, { status: 405, headers: { allow: allowed.join(", ") } });
}

/** Most requests have none, and all parameters are optional: then there is nothing to validate. */
function searchOf(url: string): URLSearchParams | null {
  const at = url.indexOf("?");
  return at === -1 ? null : new URLSearchParams(url.slice(at));
}

/** `datacenter` is a parameter of every operation, and so of none. Codes: `not_found`, `invalid_argument`. */
function takeDatacenter(search: URLSearchParams | null, env: Bindings): string {
  const given = search?.getAll("datacenter") ?? [];
  if (given.length > 1) throw invalid("datacenter", "is given twice");
  search?.delete("datacenter");
  return datacenterNamed(env, given[0] ?? null);
}

function responseOf(result: ApiResult): Response {
  if (result instanceof Response) return result;
  return json(result.value, result.revision, result.status);
}

function json(value: unknown, revision?: number, status = 200): Response {
  if (revision === undefined) return new Response(JSON.stringify(value), { status, headers: JSON_HEADERS });
  REVISION_HEADERS.set("x-holdfast-revision", String(revision));
  return new Response(JSON.stringify(value), { status, headers: REVISION_HEADERS });
}

/** Made once: copied by the runtime for each response, without a way through JavaScript. */
const JSON_HEADERS = new Headers({
  "content-type": "application/json",
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
});
/** And one that is another each time. */
const REVISION_HEADERS = new Headers(JSON_HEADERS);

/** Raw. `/ns/<namespace>` has no meaning here, the namespace is in the path already; it is cut off all the same. */
function pathOf(url: string): string {
  const start = url.indexOf("/", url.indexOf("//") + 2);
  const end = url.indexOf("?", start);
  const path = end === -1 ? url.slice(start) : url.slice(start, end);
  return path.startsWith("/ns/") ? path.slice(path.indexOf("/", 4)) : path;
}
