/**
 * What a route demands of its caller, as data beside the route.
 *
 * `{ verb: "read", kind: "service", on: "service" }`              one name: the path parameter called so
 * `{ verb: "operate", kind: "settings" }`                         a kind without names
 * `{ verb: "read", kind: "service", filtered: true }`             the handler leaves out what may not be seen
 * `{ verbs: ["create", "update"], kinds: ["kv"], parts }`         what it is depends on the request: each part of it is
 *                                                                 asked for as if it stood alone
 *
 * A route that does several things declares several. Whoever lacks all that could be demanded is refused before the body
 * is read.
 */
import type { Kind, Verb } from "../../objects/policy/statements.ts";
import type { KeyRange } from "../../objects/store/txn.ts";
import type { Authorizer } from "./authorizer.ts";

/** One right on one name, or on every name of a range. */
export interface Demand {
  verb: Verb;
  kind: Kind;
  /** Absent: of a kind without names. */
  name?: string | Uint8Array;
  range?: KeyRange;
  /** What a refusal names instead: the name itself is not for the caller. */
  asked?: string;
}

export type Permission<R> =
  | { verb: Verb; kind: Kind; on?: string }
  | { verb: Verb; kind: Kind; filtered: true }
  | {
      /** Those that parts may ask for. */
      verbs: readonly Verb[];
      kinds: readonly Kind[];
      parts(request: R): readonly Demand[] | Promise<readonly Demand[]>;
    };

/** All that can be told before there is a body. Codes: `permission_denied`, `unauthenticated`. */
export function enforceEarly<R>(
  authorizer: Authorizer,
  permissions: readonly Permission<R>[],
  params: Record<string, string>,
): void {
  if (authorizer.isUnbounded) return;
  for (const permission of permissions) {
    if ("parts" in permission) {
      const { verbs, kinds } = permission;
      const isHopeless = !verbs.some((verb) => kinds.some((kind) => authorizer.allowsAny(verb, kind)));
      if (isHopeless) throw authorizer.denied(verbs[0]!, kinds[0]!);
      continue;
    }
    const { verb, kind } = permission;
    if (!("filtered" in permission)) {
      authorizer.assert(verb, kind, permission.on === undefined ? "" : params[permission.on]!);
    } else if (!authorizer.allowsAny(verb, kind)) throw authorizer.denied(verb, kind);
  }
}

/** The parts. Codes: `permission_denied`, `unauthenticated`, and those of finding out what they are. */
export async function enforceParts<R>(
  authorizer: Authorizer,
  permissions: readonly Permission<R>[],
  request: R,
): Promise<void> {
  if (authorizer.isUnbounded) return;
  for (const permission of permissions) {
    if ("parts" in permission) assertDemands(authorizer, await permission.parts(request));
  }
}

/** Each of them as if it stood alone. Codes: `permission_denied`, `unauthenticated`. */
export function assertDemands(authorizer: Authorizer, demands: readonly Demand[]): void {
  for (const { verb, kind, name = "", range, asked } of demands) {
    const isAllowed = range ? authorizer.covers(verb, kind, range) : authorizer.allows(verb, kind, name);
    if (!isAllowed) throw authorizer.denied(verb, kind, asked ?? shown(range?.from ?? name));
  }
}

const shown = (name: string | Uint8Array): string => (typeof name === "string" ? name : lenient.decode(name));
const lenient = new TextDecoder();
