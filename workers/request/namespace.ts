/** Which namespace a request is for, as far as the path (`/ns/<namespace>/…` before any surface) and the host tell. */
import { HoldfastError, invalid } from "../../objects/errors.ts";
import { bareHost } from "./host.ts";

export const DEFAULT_NAMESPACE = "default";
const NAME = /^[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?$/;
const PREFIX = "/ns/";

export function isNamespace(name: string): boolean {
  return NAME.test(name);
}

/** Throws `invalid_argument`. */
export function assertNamespace(name: string): void {
  if (!isNamespace(name)) {
    throw invalid("namespace", "must be 1 to 63 of a-z, 0-9, - and _, beginning and ending with a letter or digit");
  }
}

/** The namespace that a host names: exactly one label before `domain`. Null when it names none. */
export function namespaceOfHost(host: string, domain: string): string | null {
  const name = bareHost(host);
  const suffix = `.${bareHost(domain)}`;
  const label = name.endsWith(suffix) ? name.slice(0, -suffix.length) : "";
  return isNamespace(label) ? label : null;
}

export interface Located {
  /** Null: nothing in path or host names one. */
  namespace: string | null;
  /** Path and query without the prefix, raw. */
  pathAndQuery: string;
}

/** Codes: `invalid_argument`, `not_found` (a prefix with nothing behind it). */
export function locate(pathAndQuery: string): Located {
  if (!pathAndQuery.startsWith(PREFIX)) return { namespace: null, pathAndQuery };
  const end = pathAndQuery.indexOf("/", PREFIX.length);
  if (end === -1) throw new HoldfastError("not_found", "a surface has to follow the namespace");
  const namespace = pathAndQuery.slice(PREFIX.length, end);
  assertNamespace(namespace);
  return { namespace, pathAndQuery: pathAndQuery.slice(end) };
}
