/**
 * Which service a request is for: from the path (`/route/<service>/…`) or from the host (`<service>.<namespace>.<domain>`).
 *
 * Works on raw text: nothing after the service is decoded, joined or cleaned, so that what is decided on is what the
 * instance gets. Spellings that an instance could read as another path are refused instead. Knows no instances.
 *
 * Source: RFC 3986 §3.3 and §5.2.4 (path, dot segments), RFC 1123 §2.1 (host labels).
 */
import { bareHost } from "../request/host.ts";

export interface RouteTarget {
  namespace: string;
  service: string;
  /** The named port to use; without it the instance's default port. */
  port?: string;
  /** Raw path and query for the instance; starts with "/". */
  path: string;
  /** What was cut off in front of `path`: "/route/web", or "" when the host named the service. */
  prefix: string;
}

const ROUTE = "/route/";
const SERVICE_CHARACTERS_MAX = 255;
const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/;

/** Not in a service's name: controls, separators of paths, a dot segment. */
const NO_SERVICE = /[\p{Cc}/\\?#]|^\.{1,2}$/u;

/** Raw characters that no URL carries. */
const NOT_RAW = /[^\x21-\x7e]|#/;
/** Controls, plain dot segments; both always refused. */
const CONTROL_OR_DOTS = /\\|%(?:0[0-9a-f]|1[0-9a-f]|7f)|\/(?:\.|%2e){1,2}(?=\/|$)/i;
/** An encoded separator, or a dot segment with a path parameter behind it: some servers leave the prefix through these. */
const ALIASES = /%(?:2f|5c)|\/(?:\.|%2e){1,2}(?:;|%3b)/i;

/**
 * The target of `/route/<service>[/…][?…]`, else null: another path, or a name that no service has. The service is
 * percent-decoded, the rest is kept as it is. `pathAndQuery` is raw, without the namespace's own prefix.
 */
export function parseRoutePath(pathAndQuery: string, namespace: string): RouteTarget | null {
  if (!pathAndQuery.startsWith(ROUTE)) return null;
  const end = endOfSegment(pathAndQuery, ROUTE.length);
  const service = decodeSegment(pathAndQuery.slice(ROUTE.length, end));
  if (service === null || service === "" || service.length > SERVICE_CHARACTERS_MAX || NO_SERVICE.test(service))
    return null;
  const rest = pathAndQuery.slice(end);
  return {
    namespace,
    service,
    path: rest.startsWith("/") ? rest : `/${rest}`,
    prefix: pathAndQuery.slice(0, end),
  };
}

/**
 * The service and namespace that a Host header names: exactly two labels before `domain`, in any case, with or without a
 * port and a final dot; else null. A service with a dot in its name is reached by path.
 */
export function parseRouteHost(host: string, domain: string): { service: string; namespace: string } | null {
  const name = bareHost(host);
  const suffix = `.${bareHost(domain)}`;
  if (!name.endsWith(suffix)) return null;
  const labels = name.slice(0, -suffix.length).split(".", 3);
  const [service, namespace] = labels;
  if (labels.length !== 2 || service === undefined || namespace === undefined) return null;
  return LABEL.test(service) && LABEL.test(namespace) ? { service, namespace } : null;
}

/**
 * Why a target's path is not forwarded, or null. Behind a path prefix the encoded separators are refused too: they could
 * lead out of it. With the service in the host there is nothing to lead out of, and they reach the instance unchanged.
 */
export function pathRefusal(target: RouteTarget): string | null {
  if (!target.path.startsWith("/") || NOT_RAW.test(target.path)) return "the path is not in the form of a URL";
  const query = target.path.indexOf("?");
  const path = query === -1 ? target.path : target.path.slice(0, query);
  if (CONTROL_OR_DOTS.test(path)) return "the path contains control characters, a backslash or dot segments";
  if (target.prefix !== "" && ALIASES.test(path)) {
    return "the path contains an encoded slash or backslash, or a dot segment with a parameter";
  }
  return null;
}

function endOfSegment(path: string, from: number): number {
  for (let i = from; i < path.length; i++) {
    const character = path[i];
    if (character === "/" || character === "?") return i;
  }
  return path.length;
}

function decodeSegment(segment: string): string | null {
  if (!segment.includes("%")) return segment;
  try {
    return decodeURIComponent(segment);
  } catch {
    return null;
  }
}
