/** What etcd answers beside its gateway: version, probes and metrics. */
import { DIRECTORY_NAME } from "../../../objects/directory-name.ts";
import type { Call } from "./call.ts";
import { wordsOf } from "./errors.ts";
import { errorResponse, textResponse } from "./gateway.ts";
import { metricsOf } from "./metrics.ts";
import { STORAGE_VERSION, VERSION } from "./version.ts";

/** Paths of etcd outside of `/v3`; what else begins with `/v2/` was removed from it. */
export const isPlainPath = (path: string): boolean =>
  PLAIN.has(path.slice(0, path.includes("?") ? path.indexOf("?") : undefined)) || path.startsWith("/readyz/");

const PLAIN = new Set(["/version", "/metrics", "/health", "/livez", "/readyz"]);

export async function plainAnswer(request: Request, pathAndQuery: string, call: Call): Promise<Response> {
  const { pathname, searchParams } = new URL(pathAndQuery, "http://etcd");
  if (request.method !== "GET") return textResponse(405, "Method Not Allowed", { allow: "GET" });
  if (pathname === "/version") {
    return Response.json({ etcdserver: VERSION, etcdcluster: STORAGE_VERSION, storage: STORAGE_VERSION });
  }
  if (pathname === "/metrics") return metricsResponse(call);
  const fault = await faultOf(call, pathname === "/health" && searchParams.get("exclude") !== "NOSPACE");
  if (pathname === "/health") {
    return Response.json(
      { health: fault === null ? "true" : "false", reason: fault ?? "" },
      { status: statusOf(fault) },
    );
  }
  const isVerbose = searchParams.has("verbose");
  const name = pathname.split("/")[2] ?? "";
  if (name !== "" && !CHECKS.includes(name)) return textResponse(404, "404 page not found");
  const told = fault === null ? "ok" : `[-]linearizable_read failed: ${fault}`;
  return textResponse(statusOf(fault), isVerbose ? verbose(pathname.slice(1), name, fault) : told);
}

async function metricsResponse(call: Call): Promise<Response> {
  try {
    return new Response(await metricsOf(call), { headers: { "content-type": "text/plain; version=0.0.4" } });
  } catch (error) {
    return errorResponse(wordsOf(error));
  }
}

const CHECKS = ["data_corruption", "serializable_read", "linearizable_read", "non_learner"];

const statusOf = (fault: string | null): number => (fault === null ? 200 : 503);

function verbose(check: string, name: string, fault: string | null): string {
  const lines = (name === "" ? CHECKS : [name]).map((one) =>
    fault === null ? `[+]${one} ok` : `[-]${one} failed: ${fault}`,
  );
  return [...lines, fault === null ? "ok" : `${check} check failed`].join("\n");
}

/** Null: the namespace answers, and has room. */
async function faultOf(call: Call, asksForSpace: boolean): Promise<string | null> {
  try {
    // Whoever has shown no token must not bring a namespace into being.
    const { client, env } = call;
    const exists = await env.DIRECTORY.getByName(DIRECTORY_NAME).has(client.namespace, client.datacenter);
    if (!exists) return null;
    const { sizeBytes, sizeBytesMax } = (await client.status()).value;
    return asksForSpace && sizeBytes > sizeBytesMax ? "ALARM NOSPACE" : null;
  } catch (error) {
    return `RANGE ERROR:${(error as Error).message}`;
  }
}
