/**
 * etcd's API, version 3, as of etcd 3.4 to 3.7: the JSON gateway and the plain HTTP paths beside it. The README lists every
 * method.
 */
import type { Bindings } from "../../request/bindings.ts";
import { DEFAULT_NAMESPACE } from "../../request/namespace.ts";
import { Call } from "./call.ts";
import { answerCall, CORS, textResponse } from "./gateway.ts";
import { belowGateway, methodAt } from "./gateway-paths.ts";
import { plainAnswer } from "./plain-http.ts";
import { answerSocket } from "./websocket.ts";

export interface EtcdPorts {
  env: Bindings;
  /** From the path's prefix or the host; null = the default one. */
  namespace: string | null;
}

/** `pathAndQuery` is raw: below `/v3`, or one of `plainPaths`. */
export async function handleEtcd(request: Request, pathAndQuery: string, ports: EtcdPorts): Promise<Response> {
  const { env } = ports;
  const namespace = ports.namespace ?? DEFAULT_NAMESPACE;
  if (request.method === "OPTIONS") return new Response(null, { headers: CORS });
  const below = belowGateway(pathAndQuery);
  const callOf = (metadata: Headers, ending?: AbortController): Call =>
    new Call({ request, metadata, env, namespace, ...(ending && { ending }) });
  if (below === undefined) return plainAnswer(request, pathAndQuery, callOf(request.headers));
  const method = methodAt(below);
  if (!method) return textResponse(404, "Not Found");
  if (request.headers.get("upgrade")?.toLowerCase() === "websocket") return answerSocket(request, method, callOf);
  if (request.method !== "POST") return textResponse(405, "Method Not Allowed");
  return answerCall(request, method, callOf(request.headers));
}
