/** Joining and leaving, as far as it means something where nobody has to be joined. */
import { isDefaultNode, SERF_HEALTH } from "./catalog/agent-node.ts";
import { nodeKeyOf } from "./catalog/service-id.ts";
import { object, text } from "./decode.ts";
import { emptyResponse } from "./encode.ts";
import { notFound, refused } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import { quote } from "../../request/go-strconv.ts";
import { multiError } from "./multi-error.ts";
import { route } from "./route.ts";
import { blockedError } from "./agent-info.ts";
import { applySteps } from "./agent-register.ts";

export const agentClusterRoutes = [
  route("/agent/join/", { PUT: join }),
  route("/agent/leave", { PUT: leave }),
  route("/agent/force-leave/", { PUT: forceLeave }),
  route("/agent/reload", { PUT: reload }),
  route("/agent/token/", { PUT: setToken }),
];

/** An agent may join itself; no other one can be reached. */
function join(exchange: Exchange): Response {
  exchange.require("agent", "write", exchange.node);
  const { hostname } = new URL(exchange.request.url);
  const host = exchange.rest.replace(/:\d+$/, "");
  if (host === hostname) return emptyResponse();
  throw refused(multiError([`Failed to join ${exchange.rest}: there are no agents that could be joined`]));
}

/** A node that leaves takes its services along. */
async function leave(exchange: Exchange): Promise<Response> {
  exchange.require("agent", "write", exchange.node);
  if (isDefaultNode(exchange.node, exchange)) throw refused("the default node is every client's: it does not leave");
  await applySteps(exchange, [{ type: "node.delete", name: exchange.node }]);
  return emptyResponse();
}

/** Only a member that has failed is removed by it; one that is alive stays. */
async function forceLeave(exchange: Exchange): Promise<Response> {
  exchange.require("operator", "write");
  const { rest: name } = exchange;
  const { value: node } = await exchange.client.query("nodes.get", { name });
  const serf = node?.checks.find(({ id }) => id === SERF_HEALTH);
  const isNamed = node !== null && nodeKeyOf(node.name) === nodeKeyOf(name);
  const isServer = name !== "" && isDefaultNode(name, exchange);
  if (!isServer && (!isNamed || !serf)) throw refused(`agent: No node found with name '${name}'`);
  if (serf?.status === "critical") await applySteps(exchange, [{ type: "node.delete", name }]);
  return emptyResponse();
}

/** Settings are read anew for every request. */
function reload(exchange: Exchange): Response {
  exchange.require("agent", "write", exchange.node);
  return emptyResponse();
}

const TOKENS = new Set([
  "acl_token",
  "default",
  "acl_agent_token",
  "agent",
  "acl_agent_master_token",
  "agent_master",
  "agent_recovery",
  "acl_replication_token",
  "replication",
  "config_file_service_registration",
  "dns",
]);
const token = object({ Token: text });

/** An agent without a memory of its own cannot keep one: every caller brings theirs. */
async function setToken(exchange: Exchange): Promise<Response> {
  exchange.require("agent", "write", exchange.node);
  await exchange.body(token);
  if (!TOKENS.has(exchange.rest)) throw notFound(`Token ${quote(exchange.rest)} is unknown`);
  throw blockedError();
}
