/**
 * `GET /resolve/{name}` of the native API: the hottest path there is, so it goes around the router. An answer that was
 * made before is sent again as it is, until the view changes.
 */
import { instanceOutput } from "../api/convert.ts";
import { utf8 } from "../../objects/bytes.ts";
import { HoldfastError, invalid } from "../../objects/errors.ts";
import { assertName } from "../../objects/registry/limits.ts";
import type { NamespaceClient } from "../request/namespace-client.ts";
import { waitOf } from "../request/wait.ts";
import { readResolveQuery, selectInstances, whole } from "./query.ts";
import type { ResolvedEntry, EdgeResolver } from "./resolver.ts";
import type { Rendered } from "./view-cache.ts";
import { keepRendered } from "./view-cache.ts";

const PARAMETERS = new Set(["healthy", "tag", "zone", "near", "pick", "consistency", "revision", "wait", "datacenter"]);
/** A query longer than this is not worth remembering. */
const SEARCH_KEPT_MAX = 256;

/** `search` is raw, with its question mark, or empty. Codes: those of the resolver, `invalid_argument`. */
export async function resolveOverHttp(
  resolver: EdgeResolver,
  client: NamespaceClient,
  service: string,
  search: string,
): Promise<Response> {
  assertName("name", service);
  const params = new URLSearchParams(search);
  for (const name of params.keys()) if (!PARAMETERS.has(name)) throw invalid(name, "is not a parameter of resolve");
  const query = readResolveQuery(params);
  const consistency = readConsistency(params);
  const isWaiting = params.has("revision");
  const entry = isWaiting
    ? await resolveAfter(resolver, client, service, params)
    : await resolver.resolve(client.namespace, service, { consistency, datacenter: client.datacenter });
  const answer = render(entry, selectInstances(entry.view, query, Math.random));
  const isRepeatable =
    query.pick === null && consistency === "cached" && !isWaiting && search.length <= SEARCH_KEPT_MAX;
  if (isRepeatable && !entry.stale && entry.ageSeconds === 0) keepRendered(entry.cached, search, answer);
  return new Response(answer.body, answer);
}

function render({ view, ageSeconds, stale }: ResolvedEntry, instances: ReturnType<typeof selectInstances>): Rendered {
  const body = {
    name: view.service,
    class: view.class,
    revision: view.modRevision,
    selfPreservation: view.selfPreservation,
    instances: instances.map(instanceOutput),
  };
  const headers = new Headers({
    "content-type": "application/json",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "x-holdfast-revision": String(view.revision),
    age: String(ageSeconds),
  });
  // RFC 7234 §5.5.1; a newer RFC dropped the header, but clients know it.
  if (stale) headers.set("warning", '110 - "Response is Stale: the namespace is out of reach"');
  return { body: utf8(JSON.stringify(body)) as Uint8Array<ArrayBuffer>, headers };
}

function readConsistency(params: URLSearchParams): "cached" | "strong" {
  const value = params.get("consistency") ?? "cached";
  if (value !== "cached" && value !== "strong") throw invalid("consistency", "must be strong or cached");
  return value;
}

/** Waits for a change of the service after the revision; answers the present view when none comes in time. */
async function resolveAfter(
  resolver: EdgeResolver,
  client: NamespaceClient,
  service: string,
  params: URLSearchParams,
): Promise<ResolvedEntry> {
  const since = whole(params, "revision", 0, Number.MAX_SAFE_INTEGER);
  const waitMs = waitOf(params.get("wait"));
  const from = utf8(service);
  const range = { space: "service", from, to: utf8(`${service}\0`) };
  try {
    await client.changes({ since, ranges: [range], keysOnly: true }, waitMs);
  } catch (error) {
    // The revision is not of this history any more: the caller gets the present, and its revision to go on with.
    const isGone = error instanceof HoldfastError && (error.code === "compacted" || error.code === "future_revision");
    if (!isGone) throw error;
  }
  return resolver.resolve(client.namespace, service, { consistency: "strong", datacenter: client.datacenter });
}
