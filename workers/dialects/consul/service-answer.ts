/**
 * The instances of one service, as `/catalog/service` and `/health/service` answer them: read, selected, shown, sorted,
 * and kept beside the view they were made from, for as long as that holds.
 */
import { utf8 } from "../../../objects/bytes.ts";
import type { RegisteredInstance, RegisteredNode, ServiceView } from "../../../objects/model.ts";
import { keepRendered } from "../../resolver/view-cache.ts";
import { rangeOfRules } from "./config/config.ts";
import { withCentralConfig } from "./catalog/central-config.ts";
import { CONSUL_SERVICE, consulService, nodeOf } from "./catalog/agent-node.ts";
import type { HealthEntry } from "./encode-health.ts";
import { healthEntry, isPassing } from "./encode-health.ts";
import type { ServiceNodeEntry } from "./encode-service.ts";
import { serviceNodeEntry } from "./encode-service.ts";
import { badRequest } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import type { Predicate } from "./filter/compile.ts";
import { compileFilter } from "./filter/compile.ts";
import type { FilterSchema } from "./filter/schema.ts";
import { CHECK_SERVICE_NODE, SERVICE_NODE } from "./filter/schemas.ts";
import { keptKey } from "./kept-answers.ts";
import { sortNear } from "./near.ts";
import type { Selection } from "./service-select.ts";
import { hasMeta, hasTags, selectionKey, selectionOf } from "./service-select.ts";
import { emptyView, readService } from "./service-view.ts";

/** An instance and the node it is shown on. */
export interface Shown {
  instance: RegisteredInstance;
  node: RegisteredNode;
}

interface Form<T extends object> {
  kind: "catalog" | "health";
  schema: FilterSchema;
  show(shown: Shown, exchange: Exchange): T;
  isWanted(entry: T, selection: Selection): boolean;
}

export const CATALOG: Form<ServiceNodeEntry> = {
  kind: "catalog",
  schema: SERVICE_NODE,
  show: ({ instance, node }, exchange) => serviceNodeEntry(instance, node, exchange),
  isWanted: () => true,
};

export const HEALTH: Form<HealthEntry> = {
  kind: "health",
  schema: CHECK_SERVICE_NODE,
  show: ({ instance, node }, exchange) => healthEntry(instance, node, exchange),
  isWanted: (entry, { passing }) => !passing || isPassing(entry),
};

/** Below `…/service/`. */
export async function answerService<T extends object>(exchange: Exchange, form: Form<T>): Promise<Response> {
  const { rest: service, params } = exchange;
  if (service === "") throw badRequest("Missing service name");
  if (form.kind === "health" && params.get("peer") && (params.get("sg") || params.get("sameness-group"))) {
    throw badRequest("peer-name and sameness-group are mutually exclusive");
  }
  const selection = selectionOf(exchange);
  const isWanted = compileFilter(selection.filter, form.schema);
  const also = params.has("merge-central-config") ? [rangeOfRules("defaults")] : [];
  const { view, cached, isRepeatable } = await readService(exchange, service, also);
  // Everybody who may see everything sees the same; an order by nearness is the caller's own.
  const isShared =
    seesAll(exchange) && !["near", "pretty", "peer", "merge-central-config"].some((name) => params.has(name));
  const key = selectionKey(form.kind, selection);
  const kept = isShared ? cached?.rendered.get(key) : undefined;
  const body = kept?.body ?? encode(await select(exchange, form, { selection, isWanted, view }), params.has("pretty"));
  const response = new Response(body, { headers: { "content-type": "application/json" } });
  if (isShared && cached) {
    if (!kept) keepRendered(cached, key, { body, headers: new Headers() });
    const asked = isRepeatable ? keptKey(exchange.request) : null;
    if (asked !== null) keepRendered(cached, asked, { body, headers: wholeHeaders(exchange) });
  }
  return response;
}

/** Whoever may manage tokens may see nothing else, so that is not asked for. */
const seesAll = ({ authorizer }: Exchange): boolean =>
  authorizer.allowsBelow("service", "read", "") && authorizer.allowsBelow("node", "read", "");

/** There are no numbers in it that a double does not hold. */
function encode(entries: object[], pretty: boolean): Uint8Array<ArrayBuffer> {
  const text = pretty ? `${JSON.stringify(entries, undefined, 4)}\n` : JSON.stringify(entries);
  return utf8(text) as Uint8Array<ArrayBuffer>;
}

function wholeHeaders(exchange: Exchange): Headers {
  const headers = new Headers(exchange.headers);
  headers.set("content-type", "application/json");
  headers.set("x-content-type-options", "nosniff");
  headers.set("x-consul-default-acl-policy", exchange.authorizer.defaultPolicy);
  return headers;
}

async function select<T extends object>(
  exchange: Exchange,
  form: Form<T>,
  { selection, isWanted, view }: { selection: Selection; isWanted: Predicate; view: ServiceView },
): Promise<T[]> {
  const { params } = exchange;
  // What a peer has is not here; an unknown one has nothing.
  const { service, instances, nodes } = params.get("peer") ? emptyView(view.service) : view;
  const all = service === CONSUL_SERVICE ? [consulService(exchange), ...instances] : instances;
  const shown = all
    .filter((instance) => hasTags(instance, selection.tags))
    .map((instance) => ({ instance, node: nodeOf(instance, nodes, exchange) }))
    .filter(({ node }) => hasMeta(node, selection.nodeMeta));
  return present(exchange, form, shown, selection, isWanted);
}

async function merged(exchange: Exchange, shown: readonly Shown[]): Promise<Shown[]> {
  const instances = await withCentralConfig(
    exchange,
    shown.map(({ instance }) => instance),
  );
  return instances.map((instance, at) => ({ instance, node: shown[at]!.node }));
}

/** Leaves out what the caller may not see or does not want, and sorts the rest. */
export async function present<T extends object>(
  exchange: Exchange,
  form: Form<T>,
  shown: readonly Shown[],
  selection: Selection,
  isWanted: Predicate,
): Promise<T[]> {
  const isMerged = exchange.params.has("merge-central-config");
  const visible = exchange.visible(
    isMerged ? await merged(exchange, shown) : shown,
    ({ instance, node }) =>
      exchange.allows("node", "read", node.name) && exchange.allows("service", "read", instance.service),
  );
  const entries = visible
    .map((item) => ({ ...item, entry: form.show(item, exchange) }))
    .filter(({ entry }) => form.isWanted(entry, selection) && isWanted(entry));
  const sorted = await sortNear(exchange, exchange.param("near"), entries, ({ node }) => ({
    node: node.name,
    locality: node.locality,
  }));
  return sorted.map(({ entry }) => entry);
}
