/**
 * What a route demands of its caller, as data beside the route: one declaration, checked before its handler runs.
 *
 * `{ verb: "update", kind: "kv", on: ({ params }) => params.key }`  one name
 * `{ verb: "delete", kind: "kv", within: ({ body }) => body.range }` every name of a range
 * `{ verb: "read", kind: "service", filtered: true }`               the handler leaves out what may not be seen
 *
 * A route that does several things declares several.
 */
import type { Kind, Verb } from "../../objects/policy/statements.ts";
import type { KeyRange } from "../../objects/store/txn.ts";
import type { Authorizer } from "./authorizer.ts";

export type Permission<R> = { verb: Verb; kind: Kind } & (
  | { on?: (request: R) => string | Uint8Array }
  | { within: (request: R) => KeyRange }
  | { filtered: true }
);

/** Codes: `permission_denied`. */
export function enforce<R>(authorizer: Authorizer, permissions: readonly Permission<R>[], request: R): void {
  for (const permission of permissions) {
    const { verb, kind } = permission;
    if ("filtered" in permission) continue;
    if (!("within" in permission)) authorizer.assert(verb, kind, permission.on?.(request));
    else if (!authorizer.covers(verb, kind, permission.within(request))) throw authorizer.denied(verb, kind);
  }
}
