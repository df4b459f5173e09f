/**
 * Paths and methods to endpoints. A path that ends in `/` takes everything below it; the longest that fits is meant.
 * Source: Consul's use of net/http.ServeMux, and its answers to wrong methods.
 */
import { textResponse } from "./encode.ts";
import { ConsulError } from "./errors.ts";
import type { Exchange } from "./exchange.ts";

export type Endpoint = (exchange: Exchange) => Response | Promise<Response>;
export type Methods = Partial<Record<"GET" | "PUT" | "POST" | "DELETE", Endpoint>>;

export interface Route {
  /** Below `/v1`, with a leading slash. */
  path: string;
  methods: Methods;
}

export const route = (path: string, methods: Methods): Route => ({ path, methods });

/** Of what is kept in the primary datacenter for all of them, whichever is asked. */
export function primaryRoute(path: string, methods: Methods): Route {
  const moved = Object.entries(methods).map(([method, endpoint]): [string, Endpoint] => [
    method,
    (exchange) => endpoint(exchange.primary),
  ]);
  return route(path, Object.fromEntries(moved));
}

export class RouteTable {
  readonly #exact = new Map<string, Route>();
  /** Longest first. */
  readonly #prefixes: Route[];

  constructor(routes: readonly Route[]) {
    for (const entry of routes) if (!entry.path.endsWith("/")) this.#exact.set(entry.path, entry);
    this.#prefixes = routes.filter(({ path }) => path.endsWith("/")).toSorted((a, b) => b.path.length - a.path.length);
  }

  get routes(): Route[] {
    return [...this.#exact.values(), ...this.#prefixes];
  }

  find(path: string): Route | undefined {
    return this.#exact.get(path) ?? this.#prefixes.find((entry) => path.startsWith(entry.path));
  }

  /** `/kv` for the route `/kv/`: where a redirect leads. */
  isBareprefix(path: string): boolean {
    return this.#prefixes.some((entry) => entry.path === `${path}/`);
  }
}

export function dispatch(found: Route, exchange: Exchange): Response | Promise<Response> {
  const { method } = exchange.request;
  const allowed = Object.keys(found.methods);
  if (method === "OPTIONS") {
    return new Response(null, { headers: { allow: ["OPTIONS", ...allowed].join(",") } });
  }
  const endpoint = Object.hasOwn(found.methods, method) ? found.methods[method as keyof Methods] : undefined;
  if (!endpoint) throw new ConsulError(405, `method ${method} not allowed`, { allow: allowed.join(",") });
  exchange.rest = found.path.endsWith("/") ? exchange.path.slice(found.path.length) : "";
  return endpoint(exchange);
}

/** An error as its response. */
export const errorResponse = ({ status, message, headers }: ConsulError): Response =>
  textResponse(message, status, headers);
