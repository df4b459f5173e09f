/**
 * etcd's API, version 3, as of etcd 3.4 to 3.7: the JSON gateway and the plain HTTP paths beside it. The README lists every
 * method.
 */
import type { Bindings } from "../../request/bindings.ts";
import { DEFAULT_NAMESPACE } from "../../request/namespace.ts";
import { Call } from "./call.ts";
import { answerCall, CORS, textResponse } from "./gateway.ts";
import { GATEWAY_PATHS } from "./gateway-paths.ts";
import { METHODS } from "./methods.ts";
import { plainAnswer } from "./plain-http.ts";
import { answerSocket } from "./websocket.ts";

export interface EtcdPorts {
  env: Bindings;
  /** From the path's prefix or the host; null = the default one. */
  namespace: string | null;
}

const GATEWAY = /^\/v3(?:alpha|beta)?(\/[^?]*)/;

/** `pathAndQuery` is raw: below `/v3`, or one of `plainPaths`. */
export async function handleEtcd(request: Request, pathAndQuery: string, ports: EtcdPorts): Promise<Response> {
  const { env } = ports;
  const namespace = ports.namespace ?? DEFAULT_NAMESPACE;
  if (request.method === "OPTIONS") return new Response(null, { headers: CORS });
  const below = GATEWAY.exec(pathAndQuery)?.[1];
  const callOf = (metadata: Headers, signal?: AbortSignal): Call =>
    new Call({ request, metadata, env, namespace, ...(signal && { signal }) });
  if (below === undefined) return plainAnswer(request, pathAndQuery, callOf(request.headers));
  const name = GATEWAY_PATHS.get(below);
  const method = name === undefined ? undefined : METHODS.get(name);
  if (!method) return textResponse(404, "Not Found");
  if (request.headers.get("upgrade")?.toLowerCase() === "websocket") return answerSocket(request, method, callOf);
  if (request.method !== "POST") return textResponse(405, "Method Not Allowed");
  return answerCall(request, method, callOf(request.headers));
}
