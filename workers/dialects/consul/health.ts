/** `/v1/health`: services with their checks, and checks alone. Source: developer.hashicorp.com/consul/api-docs/health. */
import type { HealthStatus } from "../../../objects/model.ts";
import { nodeKeyOf } from "./catalog/service-id.ts";
import { isDefaultNode, nodeOf, virtualNode } from "./catalog/agent-node.ts";
import { ingressEndpoints } from "./catalog/gateways.ts";
import { ALL_NODES, ALL_SERVICES, meshEndpoints } from "./catalog/mesh-endpoints.ts";
import { allNodes, checksFrom } from "./catalog/pages.ts";
import { readNode, withDefaultNode } from "./catalog/reads.ts";
import type { CheckEntry } from "./encode-check.ts";
import { nodeChecks, ownedCheckEntry, serviceChecks } from "./encode-check.ts";
import { badRequest } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import type { Predicate } from "./filter/compile.ts";
import { compileFilter } from "./filter/compile.ts";
import { CHECK_SERVICE_NODE, HEALTH_CHECK } from "./filter/schemas.ts";
import { sortNear } from "./near.ts";
import { route } from "./route.ts";
import { answerService, HEALTH, present } from "./service-answer.ts";
import { hasMeta, nodeMetaOf, selectionOf } from "./service-select.ts";
import { readService } from "./service-view.ts";

export const healthRoutes = [
  route("/health/service/", { GET: (exchange) => answerService(exchange, HEALTH) }),
  route("/health/connect/", { GET: (exchange) => answerEndpoints(exchange, meshEndpoints) }),
  route("/health/ingress/", { GET: (exchange) => answerEndpoints(exchange, ingressEndpoints) }),
  route("/health/node/", { GET: checksOnNode }),
  route("/health/checks/", { GET: checksOfService }),
  route("/health/state/", { GET: checksInState }),
];

async function answerEndpoints(exchange: Exchange, endpoints: typeof meshEndpoints): Promise<Response> {
  const selection = selectionOf(exchange);
  if (exchange.query.cached) exchange.headers.set("x-cache", "MISS");
  const isWanted = compileFilter(selection.filter, CHECK_SERVICE_NODE);
  return exchange.json(await present(exchange, HEALTH, await endpoints(exchange, selection), selection, isWanted));
}

const filterOf = (exchange: Exchange): Predicate => compileFilter(exchange.param("filter"), HEALTH_CHECK);

async function checksOnNode(exchange: Exchange): Promise<Response> {
  const isWanted = filterOf(exchange);
  const found = await readNode(exchange);
  if (!found) return exchange.json([]);
  const { node, instances } = found;
  const checks = [...nodeChecks(node), ...instances.flatMap((instance) => serviceChecks(instance, node.name))];
  return exchange.json(checks.filter(isWanted));
}

async function checksOfService(exchange: Exchange): Promise<Response> {
  const { rest: service } = exchange;
  if (service === "") throw badRequest("Missing service name");
  const wanted = nodeMetaOf(exchange.params);
  const isWanted = filterOf(exchange);
  const { view } = await readService(exchange, service);
  const checks = view.instances.flatMap((instance) => {
    const node = nodeOf(instance, view.nodes, exchange);
    return hasMeta(node, wanted) ? serviceChecks(instance, node.name) : [];
  });
  return answerChecks(exchange, checks, isWanted);
}

const STATUSES: ReadonlySet<string> = new Set(["passing", "warning", "critical"] satisfies HealthStatus[]);

async function checksInState(exchange: Exchange): Promise<Response> {
  const { rest: state } = exchange;
  if (state === "") throw badRequest("Missing check state");
  const wanted = nodeMetaOf(exchange.params);
  const isWanted = filterOf(exchange);
  const status = STATUSES.has(state) ? (state as HealthStatus) : undefined;
  const { value: first } = await exchange.read("registry.checks", { status }, [ALL_NODES, ALL_SERVICES]);
  exchange.tellConsistency();
  if (status === undefined && state !== "any") return exchange.json([]);
  const owned = await checksFrom(exchange, first, status);
  const entries = owned.map((check) => ownedCheckEntry(check, exchange));
  // The default node's, while that is no record.
  const hasDefault = owned.some(({ service, node }) => service === "" && isDefaultNode(node, exchange));
  if (!hasDefault && status !== "warning" && status !== "critical" && (await isVirtual(exchange))) {
    entries.unshift(...nodeChecks(virtualNode(exchange)));
  }
  if (wanted.length === 0) return answerChecks(exchange, entries, isWanted);
  const nodes = withDefaultNode(exchange, await allNodes(exchange)).filter((node) => hasMeta(node, wanted));
  const names = new Set(nodes.map(({ name }) => nodeKeyOf(name)));
  const onThose = entries.filter(({ Node: node }) => names.has(nodeKeyOf(node)));
  return answerChecks(exchange, onThose, isWanted);
}

async function isVirtual(exchange: Exchange): Promise<boolean> {
  const { value } = await exchange.client.query("nodes.get", { name: exchange.defaultNode });
  return value === null || value.implicit;
}

async function answerChecks(exchange: Exchange, checks: CheckEntry[], isWanted: Predicate): Promise<Response> {
  const visible = exchange.visible(
    checks,
    ({ Node: node, ServiceName: service }) =>
      exchange.allows("node", "read", node) && (service === "" || exchange.allows("service", "read", service)),
  );
  const sorted = await sortNear(exchange, exchange.param("near"), visible.filter(isWanted), ({ Node: node }) => ({
    node,
  }));
  return exchange.json(sorted);
}
