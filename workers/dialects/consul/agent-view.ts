/** What an agent knows: the services and checks of the caller's node. */
import { createHash } from "node:crypto";
import { keyAfter, utf8 } from "../../../objects/bytes.ts";
import type { RegisteredInstance, RegisteredNode } from "../../../objects/model.ts";
import { WAIT_MAX_MS } from "../../../objects/waiting.ts";
import { servicesNamed } from "./agent-register.ts";
import { instancesOnNode } from "./catalog/pages.ts";
import { isDefaultNode, isUnregistered, SERF_HEALTH, virtualNode } from "./catalog/agent-node.ts";
import { nodeKeyOf } from "./catalog/service-id.ts";
import type { CheckEntry } from "./encode-check.ts";
import { nodeChecks, serviceChecks } from "./encode-check.ts";
import type { AgentServiceEntry } from "./encode-service.ts";
import { agentServiceEntry } from "./encode-service.ts";
import { jsonResponse, textResponse } from "./encode.ts";
import { badRequest, notFound } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import { compileFilter } from "./filter/compile.ts";
import { HEALTH_CHECK, NODE_SERVICE } from "./filter/schemas.ts";
import { route } from "./route.ts";

export const agentViewRoutes = [
  route("/agent/services", { GET: listServices }),
  route("/agent/service/", { GET: readService }),
  route("/agent/checks", { GET: listChecks }),
  route("/agent/health/service/id/", { GET: healthById }),
  route("/agent/health/service/name/", { GET: healthByName }),
];

const instances = (exchange: Exchange): Promise<RegisteredInstance[]> =>
  instancesOnNode(exchange, exchange.node, false);

/** The agent's node; on the default one it is there even before anything was registered. */
export async function agentNode(exchange: Exchange): Promise<RegisteredNode | null> {
  const { value } = await exchange.client.query("nodes.get", { name: exchange.node });
  const isOwn = value !== null && nodeKeyOf(value.name) === nodeKeyOf(exchange.node);
  if (isOwn && !isUnregistered(value, exchange)) return value;
  return isDefaultNode(exchange.node, exchange) ? virtualNode(exchange) : null;
}

async function listServices(exchange: Exchange): Promise<Response> {
  const isWanted = compileFilter(exchange.param("filter"), NODE_SERVICE);
  const found = (await instances(exchange)).map((instance) => agentServiceEntry(instance, exchange));
  const visible = exchange.visible(found, ({ Service: name }) => exchange.allows("service", "read", name));
  return exchange.json(byName(visible.filter(isWanted), ({ ID: id }) => id));
}

async function listChecks(exchange: Exchange): Promise<Response> {
  const isWanted = compileFilter(exchange.param("filter"), HEALTH_CHECK);
  const [node, on] = await Promise.all([agentNode(exchange), instances(exchange)]);
  const name = node?.name ?? exchange.node;
  // An agent's own liveness is judged by the others, so it is none of its checks.
  const own = node ? nodeChecks(node).filter(({ CheckID: id }) => id !== SERF_HEALTH) : [];
  const found = [...own, ...on.flatMap((instance) => serviceChecks(instance, name))];
  const visible = exchange.visible(found, (check) => maySeeCheck(exchange, check));
  return exchange.json(byName(visible.filter(isWanted), ({ CheckID: id }) => id));
}

const maySeeCheck = (exchange: Exchange, { ServiceName: service, Node: node }: CheckEntry): boolean =>
  service === "" ? exchange.allows("node", "read", node) : exchange.allows("service", "read", service);

/** Entries, because a name may be `__proto__`. */
const byName = <T>(items: readonly T[], nameOf: (item: T) => string): Record<string, T> =>
  Object.fromEntries(items.map((item) => [nameOf(item), item]));

/** With `?hash=` it waits until the service is another than that hash tells of. */
async function readService(exchange: Exchange): Promise<Response> {
  const { rest: id, query, node } = exchange;
  const wanted = exchange.param("hash");
  const until = Date.now() + query.waitMs;
  let [found] = await servicesNamed(exchange, id);
  let since = found?.modRevision ?? 0;
  for (;;) {
    if (!found) throw notFound(`unknown service ID: ${id}`);
    exchange.require("service", "read", found.service);
    const service = agentServiceEntry(found, exchange);
    const hash = hashOf(service);
    const remainingMs = until - Date.now();
    if (hash !== wanted || remainingMs <= 0 || exchange.request.signal.aborted) {
      exchange.headers.set("x-consul-contenthash", hash);
      return exchange.json({ ...service, ContentHash: hash });
    }
    // Its record changes with its checks, too; the loop goes on until what is shown has changed.
    const key = utf8(`${found.service}\0${found.id}`);
    const options = {
      ranges: [{ space: "instance", from: key, to: keyAfter(key) }],
      since,
      waitMs: Math.min(remainingMs, WAIT_MAX_MS),
    };
    const { value } = await exchange.client.read("nodes.instance", { node, id: found.id }, options);
    [found] = value.value;
    since = value.index;
  }
}

function hashOf(service: AgentServiceEntry): string {
  return createHash("sha256").update(JSON.stringify(service)).digest("hex").slice(0, 16);
}

type Aggregate = "passing" | "warning" | "critical" | "maintenance";

const CODE_OF: Record<Aggregate, number> = { passing: 200, warning: 429, critical: 503, maintenance: 503 };

interface ServiceHealth {
  AggregatedStatus: Aggregate;
  Service: AgentServiceEntry | null;
  Checks: CheckEntry[] | null;
}

function healthOf(exchange: Exchange, node: RegisteredNode | null, instance: RegisteredInstance): ServiceHealth {
  const checks = [...(node ? nodeChecks(node) : []), ...serviceChecks(instance, node?.name ?? exchange.node)];
  return { AggregatedStatus: aggregate(checks), Service: agentServiceEntry(instance, exchange), Checks: checks };
}

function aggregate(checks: CheckEntry[]): Aggregate {
  if (checks.some(({ CheckID: id }) => /^_(?:node_maintenance$|service_maintenance:)/.test(id))) return "maintenance";
  const statuses = new Set(checks.map(({ Status: status }) => status));
  if (statuses.has("critical")) return "critical";
  return statuses.has("warning") ? "warning" : "passing";
}

async function healthById(exchange: Exchange): Promise<Response> {
  const { rest: id } = exchange;
  if (id === "") throw badRequest("Missing serviceID");
  const [found] = await servicesNamed(exchange, id);
  if (!found) {
    const body: ServiceHealth = { AggregatedStatus: "critical", Service: null, Checks: null };
    return healthResponse(exchange, 404, `ServiceId ${id} not found`, body);
  }
  exchange.require("service", "read", found.service);
  const health = healthOf(exchange, await agentNode(exchange), found);
  const { AggregatedStatus: status } = health;
  return healthResponse(exchange, CODE_OF[status], status, health);
}

async function healthByName(exchange: Exchange): Promise<Response> {
  const { rest: name } = exchange;
  if (name === "") throw badRequest("Missing service Name");
  exchange.require("service", "read", name);
  const [node, on] = await Promise.all([agentNode(exchange), instances(exchange)]);
  const found = on.filter(({ service }) => service === name).map((instance) => healthOf(exchange, node, instance));
  if (found.length === 0) return healthResponse(exchange, 404, `ServiceName ${name} Not Found`, []);
  const worst = found.reduce((a, b) => (CODE_OF[b.AggregatedStatus] > CODE_OF[a.AggregatedStatus] ? b : a));
  const { AggregatedStatus: status } = worst;
  return healthResponse(exchange, CODE_OF[status], status, found);
}

/** The status is the answer; the word is the body for those who want nothing else. */
function healthResponse(exchange: Exchange, status: number, reason: string, body: unknown): Response {
  const accept = exchange.request.headers.get("accept") ?? "";
  const isText = accept.startsWith("text/plain") || exchange.param("format") === "text";
  if (status !== 200) exchange.headers.set("x-consul-reason", headerText(reason));
  if (isText) return textResponse(reason, status);
  return jsonResponse(body, { status, pretty: exchange.params.has("pretty") });
}

/** A name may have what a header may not. */
const headerText = (text: string): string => text.replace(/[^\x20-\x7e]/g, "?");
