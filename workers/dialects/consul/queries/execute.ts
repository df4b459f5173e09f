/** Prepared queries executed and explained: at the edge, from its views, with failover to other datacenters. */
import type { Lookup, LookupTarget } from "../../../../objects/lookups/lookups.ts";
import type { RegisteredInstance, ServiceView } from "../../../../objects/model.ts";
import { HoldfastError } from "../../../../objects/errors.ts";
import { authorizerOf } from "../../../request/authorizer.ts";
import { datacentersOf } from "../../../request/datacenter.ts";
import { NamespaceClient } from "../../../request/namespace-client.ts";
import { runLookup } from "../../../resolver/lookup.ts";
import { meshView } from "../../../resolver/mesh.ts";
import { readView } from "../../../resolver/namespace-views.ts";
import { spotOf } from "../../../resolver/near.ts";
import { PolicyAuthorizer } from "../acl/authorizer.ts";
import type { ConsulAuthorizer } from "../authorizer.ts";
import { nodeOf } from "../catalog/agent-node.ts";
import { healthEntry } from "../encode-health.ts";
import { ConsulError, notFound, refused } from "../errors.ts";
import type { Exchange } from "../exchange.ts";
import { sortNear } from "../near.ts";
import { emptyView } from "../service-view.ts";
import { dnsJson, queryJson, tokenOf } from "./definition.ts";

export async function executeQuery(exchange: Exchange, name: string): Promise<Response> {
  const limit = limitOf(exchange.param("limit"));
  const lookup = await resolved(exchange, name);
  const target = { ...lookup.target, mesh: lookup.target.mesh || exchange.params.has("connect") };
  const views = new QueryViews(exchange);
  const token = tokenOf(lookup);
  const authorizer = token === "" ? exchange.authorizer : await authorizerFor(exchange, token);
  const near = exchange.param("near") || target.near;
  const found = await runLookup(target, limit, {
    find: (wanted, datacenter) => views.find(wanted, datacenter),
    datacenters: placesFrom(exchange),
    isVisible: (instance) => isVisible(exchange, authorizer, instance),
    sorted: (instances, { nodes }) =>
      sortNear(exchange, near, instances, (instance) => {
        const spot = spotOf(instance, nodes);
        return { ...spot, node: spot.node || exchange.defaultNode };
      }),
    random: Math.random,
  });
  const { namespace, defaultNode } = exchange;
  const place = { namespace, datacenter: found.datacenter, defaultNode };
  exchange.tellIndex(1);
  exchange.tellConsistency();
  if (exchange.query.cached) {
    exchange.headers.set("x-cache", views.cacheState);
    if (views.cacheState === "HIT") exchange.headers.set("age", String(views.ageSeconds));
  }
  return exchange.json({
    Service: target.service,
    Nodes: found.instances.map((instance) => healthEntry(instance, nodeOf(instance, found.view.nodes, place), place)),
    DNS: dnsJson(lookup),
    Datacenter: found.datacenter,
    PeerName: found.peer,
    Failovers: found.failovers,
    ...queryMeta(exchange),
  });
}

export async function explainQuery(exchange: Exchange, name: string): Promise<Response> {
  limitOf(exchange.param("limit"));
  const lookup = await resolved(exchange, name);
  if (isGuarded(lookup) && !exchange.allows("query", "read", lookup.name)) {
    throw new ConsulError(403, "Permission denied");
  }
  exchange.tellIndex(1);
  return exchange.json({ Query: queryJson(lookup, exchange.authorizer.isManagement), ...queryMeta(exchange) });
}

/** Where the views of one execution come from: the owners, or this edge's cache where the caller is content with it. */
class QueryViews {
  cacheState: "HIT" | "MISS" = "HIT";
  /** Of the oldest one. */
  ageSeconds = 0;
  readonly #exchange: Exchange;

  constructor(exchange: Exchange) {
    this.#exchange = exchange;
  }

  async find({ service, peer, mesh }: LookupTarget, datacenter: string): Promise<ServiceView> {
    // There are no peers, so nothing is imported from them.
    if (peer !== "") return emptyView(service);
    const { env, namespace, resolver, query } = this.#exchange;
    const { consistency, cached } = query;
    if (mesh || (!cached && consistency !== "stale")) {
      this.cacheState = "MISS";
      const client = new NamespaceClient(env, namespace, datacenter);
      return mesh ? meshView(client, service) : readView(client, service, consistency === "consistent");
    }
    const kept = resolver.peek(namespace, service, datacenter);
    if (!kept) this.cacheState = "MISS";
    const { view, ageSeconds } = kept ?? (await resolver.resolve(namespace, service, { datacenter }));
    this.ageSeconds = Math.max(this.ageSeconds, ageSeconds);
    return view;
  }
}

/** Whoever made the query lends it a token. */
async function authorizerFor({ env, namespace, datacenter }: Exchange, token: string): Promise<ConsulAuthorizer> {
  return new PolicyAuthorizer(await authorizerOf(token, env, namespace, datacenter));
}

function isVisible(exchange: Exchange, by: ConsulAuthorizer, { service, node }: RegisteredInstance): boolean {
  const visible = by.allows("service", "read", service) && by.allows("node", "read", node || exchange.defaultNode);
  if (!visible) exchange.tellFiltered();
  return visible;
}

/** Rules for queries go by name; one without is guarded by its id alone. */
export const isGuarded = ({ name, template }: Pick<Lookup, "name" | "template">): boolean =>
  name !== "" || template !== null;

type Resolved = NonNullable<Awaited<ReturnType<typeof askFor>>>;

async function resolved(exchange: Exchange, name: string): Promise<Resolved> {
  const found = await askFor(exchange, name);
  if (!found) throw notFound("Query not found");
  return found;
}

async function askFor(exchange: Exchange, name: string) {
  const strong = exchange.query.consistency === "consistent";
  try {
    return (await exchange.client.query("lookup.resolve", { name }, { strong })).value;
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.code !== "invalid_argument") throw error;
    if (error.details?.["reason"] !== undefined) throw refused(error.message);
    throw refused("prepared query templates can only be resolved up by name, not by ID");
  }
}

/** The datacenter that is asked, then the others, nearest to it first as far as anybody knows. */
function placesFrom(exchange: Exchange): string[] {
  const { names } = datacentersOf(exchange.env);
  return [exchange.datacenter, ...names.filter((name) => name !== exchange.datacenter)];
}

function limitOf(given: string): number {
  if (given === "") return 0;
  if (!/^[+-]?\d{1,15}$/.test(given)) {
    throw refused(`Bad limit: strconv.Atoi: parsing ${JSON.stringify(given)}: invalid syntax`);
  }
  return Number(given);
}

/** What answers of queries carry in their body besides the headers. */
function queryMeta(exchange: Exchange): Record<string, unknown> {
  const { consistency } = exchange.query;
  return {
    Index: 0,
    LastContact: 0,
    KnownLeader: true,
    ConsistencyLevel: consistency === "default" ? "leader" : consistency,
    NotModified: false,
    Backend: 0,
    ResultsFilteredByACLs: exchange.headers.has("x-consul-results-filtered-by-acls"),
  };
}
