/**
 * The native API: every operation under `/api/v1/namespaces/{namespace}`, routed, validated and answered from its
 * definition. Who the caller is has been established before.
 */
import { Hono } from "hono";
import type { Context } from "hono";
import { DIRECTORY_NAME } from "../../objects/directory.ts";
import { HoldfastError, invalid } from "../../objects/errors.ts";
import type { Bindings } from "../request/bindings.ts";
import { datacenterNamed } from "../request/datacenter.ts";
import { assertNamespace } from "../request/namespace.ts";
import { NamespaceClient } from "../request/namespace-client.ts";
import { problemResponse } from "../request/problem.ts";
import { isoTime } from "./convert.ts";
import { docsResponse } from "./docs.ts";
import { kvRoutes } from "./kv.ts";
import { leaseRoutes } from "./leases.ts";
import { openApiDocument } from "./openapi.ts";
import { operationRoutes } from "./operations.ts";
import type { ApiBindings, ApiResult, Route } from "./route.ts";
import { readQuery, readValid, requestIdOf } from "./route.ts";
import { serviceRoutes } from "./services.ts";
import { snapshotRoutes } from "./snapshot.ts";
import { txnRoutes } from "./txn.ts";
import { watchRoutes } from "./watch.ts";

const BASE = "/api/v1/namespaces/:namespace";

const routes: Route[] = [
  ...serviceRoutes,
  ...kvRoutes,
  ...txnRoutes,
  ...watchRoutes,
  ...leaseRoutes,
  ...operationRoutes,
  ...snapshotRoutes,
];

type ApiContext = Context<{ Bindings: ApiBindings }>;

export const api = new Hono<{ Bindings: ApiBindings }>({
  strict: true,
  // `/ns/<namespace>` has no meaning here, the namespace is in the path already; it is cut off all the same.
  getPath: (request) => {
    const path = rawPath(request.url);
    return path.startsWith("/ns/") ? path.slice(path.indexOf("/", 4)) : path;
  },
});

for (const definition of routes) {
  const path = BASE + definition.path.replace("{key+}", "*").replaceAll(/\{(\w+)\}/g, ":$1");
  api.on(definition.method.toUpperCase(), path, (context) => handle(context, definition));
}

api.get("/api/v1/namespaces", async ({ env, req }) => {
  const datacenter = takeDatacenter(searchOf(req.raw.url), env.platform);
  const entries = await env.platform.DIRECTORY.getByName(DIRECTORY_NAME).list(datacenter);
  const namespaces = entries.map(({ namespace, createdAt, ...entry }) => ({
    name: namespace,
    ...entry,
    createdAt: isoTime(createdAt),
  }));
  return json({ datacenter, namespaces });
});

let document: string | undefined;
api.get("/api/openapi.json", () => {
  document ??= JSON.stringify(openApiDocument(routes));
  return new Response(document, { headers: { "content-type": "application/json", "cache-control": "no-cache" } });
});
api.get("/api/docs", () => docsResponse(openApiDocument(routes)));

api.notFound((context) => {
  const allowed = methodsOf(context.req.path);
  if (allowed.length === 0) return problemResponse(new HoldfastError("not_found", `there is no ${context.req.path}`));
  const error = new HoldfastError("unsupported", `${context.req.method} is not an operation of ${context.req.path}`);
  return problemResponse(error, { status: 405, headers: { allow: allowed.join(", ") } });
});

api.onError((error) => {
  if (error instanceof HoldfastError) return problemResponse(error);
  console.error("unhandled", error);
  return problemResponse(new HoldfastError("internal", "the request could not be answered"));
});

async function handle(context: ApiContext, definition: Route): Promise<Response> {
  const { env, req } = context;
  const request = req.raw;
  const { namespace, ...params } = paramsOf(context, definition);
  assertNamespace(namespace!);
  const search = searchOf(request.url);
  const datacenter = takeDatacenter(search, env.platform);
  const result = await definition.handle({
    request,
    env,
    client: new NamespaceClient(env.platform, namespace!, datacenter),
    params,
    query: search === null ? {} : readQuery(search, definition.query),
    body: definition.body && (await readValid(request, definition.body)),
    options: { caller: env.caller, requestId: requestIdOf(request.headers), failpoint: env.failpoint },
  } as Parameters<Route["handle"]>[0]);
  return responseOf(result);
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
  return new Response(JSON.stringify(value), {
    status,
    headers: {
      "content-type": "application/json",
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      ...(revision !== undefined && { "x-holdfast-revision": String(revision) }),
    },
  });
}

/** Decoded here, strictly: a path that is not UTF-8 is refused instead of being guessed at. */
function paramsOf(context: ApiContext, definition: Route): Record<string, string> {
  const path = api.getPath(context.req.raw);
  const segments = path.split("/");
  const names = ["", "api", "v1", "namespaces", "{namespace}", ...definition.path.slice(1).split("/")];
  const params: Record<string, string> = {};
  names.forEach((name, at) => {
    if (name === "{key+}") params["key"] = decode("key", segments.slice(at).join("/"));
    else if (name.startsWith("{")) params[name.slice(1, -1)] = decode(name.slice(1, -1), segments[at] ?? "");
  });
  return params;
}

function decode(field: string, text: string): string {
  try {
    return text.includes("%") ? decodeURIComponent(text) : text;
  } catch {
    throw invalid(field, "is not percent-encoded UTF-8");
  }
}

function rawPath(url: string): string {
  const start = url.indexOf("/", url.indexOf("//") + 2);
  const end = url.indexOf("?", start);
  return end === -1 ? url.slice(start) : url.slice(start, end);
}

/** The methods that a path has. */
function methodsOf(path: string): string[] {
  const segments = path.split("/").slice(5);
  const isBelow = path.startsWith("/api/v1/namespaces/");
  const found = routes.filter(({ path: pattern }) => {
    const parts = pattern.slice(1).split("/");
    if (parts.at(-1) === "{key+}") return segments[0] === "kv" && segments.length > 1;
    return (
      parts.length === segments.length &&
      parts.every((part, at) => (part.startsWith("{") ? segments[at] !== "" : part === segments[at]))
    );
  });
  return isBelow ? [...new Set(found.map(({ method }) => method.toUpperCase()))] : [];
}
