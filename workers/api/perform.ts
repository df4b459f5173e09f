/**
 * One call of an operation, checked and carried out, whichever way it came: rights as far as they can be told, parameters,
 * body, the rights on what is in it, then the operation itself.
 *
 * Refuses to know: how operations are found, and how their results are written.
 */
import type { Caller } from "../../objects/model.ts";
import type { Authorizer } from "../request/authorizer.ts";
import type { NamespaceClient } from "../request/namespace-client.ts";
import { enforceEarly, enforceParts } from "../request/permission.ts";
import type { ApiBindings, ApiResult, Route } from "./route.ts";
import { fenceOf, readQuery, requestIdOf } from "./route.ts";

export interface ApiCall {
  /** With the headers that are the call's own; its signal ends waiting. */
  request: Request;
  env: ApiBindings;
  client: NamespaceClient;
  /** Path parameters, decoded. */
  params: Record<string, string>;
  search: URLSearchParams | null;
  /** Of an operation that takes JSON: as it is to be. */
  readBody: (schema: NonNullable<Route["body"]>) => unknown;
  caller: Caller;
  authorizer: Authorizer;
  token: string | null;
  reauthorize: () => Promise<Authorizer>;
}

/** Throws HoldfastError. */
export async function perform(route: Route, call: ApiCall): Promise<ApiResult> {
  const { request, env, client, params, search, caller, authorizer, token, reauthorize } = call;
  enforceEarly(authorizer, route.permission, params);
  const fence = fenceOf(request.headers);
  // Whether it holds is told by what becomes of the command.
  if (fence) authorizer.assert("read", "lock", fence.name);
  const asked = {
    request,
    env,
    client,
    params,
    query: search === null ? {} : readQuery(search, route.query),
    body: route.body && (await call.readBody(route.body)),
    options: { caller, requestId: requestIdOf(request.headers), fence, failpoint: env.failpoint },
    authorizer,
    token,
    reauthorize,
  } as Parameters<Route["handle"]>[0];
  await enforceParts(authorizer, route.permission, asked);
  return route.handle(asked);
}
