/**
 * What an agent tells of itself, its cluster and its health, as far as there is something to tell: the agent is this
 * edge, its servers are the namespace's object, and its members are the nodes that have `serfHealth`.
 */
import type { NamespaceStatus } from "../../../objects/namespace.ts";
import type { RegisteredNode } from "../../../objects/model.ts";
import { datacenterOf, datacentersOf } from "../../request/datacenter.ts";
import { agentNode } from "./agent-view.ts";
import type { Place } from "./catalog/agent-node.ts";
import {
  agentNodeSpec,
  isDefaultNode,
  isUnregistered,
  nodeIdOf,
  SERF_HEALTH,
  virtualNode,
} from "./catalog/agent-node.ts";
import { toNanoseconds } from "./durations.ts";
import { badRequest, ConsulError } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import { compileFilter } from "./filter/compile.ts";
import { MEMBER } from "./filter/schemas.ts";
import { allNodes } from "./catalog/pages.ts";
import { route } from "./route.ts";
import { serverAddress } from "./status.ts";
import { CONSUL_VERSION } from "./version.ts";

export const agentInfoRoutes = [
  route("/agent/self", { GET: self }),
  route("/agent/version", { GET: version }),
  route("/agent/host", { GET: host }),
  route("/agent/members", { GET: members }),
  route("/agent/metrics", { GET: metrics }),
  route("/agent/metrics/stream", { GET: blocked("read") }),
  route("/agent/monitor", { GET: monitor }),
];

/** Consul's own default, where a build has no date. */
const BUILD_DATE = "1970-01-01T00:00:01Z";
const SERF_PORT = 8301;
const SERF_WAN_PORT = 8302;

async function self(exchange: Exchange): Promise<Response> {
  exchange.require("agent", "read", exchange.node);
  const { node: name, datacenter } = exchange;
  const [known, { value: status }] = await Promise.all([agentNode(exchange), exchange.client.status()]);
  const meta = known?.meta ?? agentNodeSpec(exchange, name, "").meta;
  return exchange.json({
    Config: {
      Datacenter: datacenter,
      PrimaryDatacenter: datacenterOf(exchange.env),
      NodeName: name,
      NodeID: known?.id || nodeIdOf(exchange, name),
      Revision: "",
      Server: true,
      Version: CONSUL_VERSION,
      BuildDate: BUILD_DATE,
    },
    DebugConfig: {},
    Coord: null,
    Member: memberOf(exchange, known ?? { ...virtualNode(exchange), name }),
    Stats: statsOf(exchange, status),
    Meta: meta,
  });
}

/** Consul's statistics are maps of texts. */
function statsOf(exchange: Exchange, status: NamespaceStatus): Record<string, Record<string, string>> {
  const index = String(status.revision);
  return {
    build: { prerelease: "", revision: "", version: CONSUL_VERSION, version_metadata: "" },
    consul: {
      acl: "enabled",
      bootstrap: "true",
      known_datacenters: String(datacentersOf(exchange.env).names.length),
      leader: "true",
      leader_addr: serverAddress(exchange),
      server: "true",
    },
    raft: { applied_index: index, commit_index: index, last_log_index: index, num_peers: "0", state: "Leader" },
  };
}

function version(exchange: Exchange): Response {
  return exchange.json({ SHA: "", BuildDate: BUILD_DATE, HumanVersion: CONSUL_VERSION, FIPS: "" });
}

/** There is no machine to tell of; Consul, too, tells what it could not find out. */
function host(exchange: Exchange): Response {
  exchange.require("operator", "read");
  return exchange.json({
    Memory: null,
    CPU: null,
    Host: null,
    Disk: null,
    CollectionTime: toNanoseconds(Date.now()),
    Errors: ["this agent runs on no machine of its own"],
  });
}

export interface Member {
  Name: string;
  Addr: string;
  Port: number;
  Tags: Record<string, string>;
  Status: number;
  ProtocolMin: number;
  ProtocolMax: number;
  ProtocolCur: number;
  DelegateMin: number;
  DelegateMax: number;
  DelegateCur: number;
}

const ALIVE = 1;
const FAILED = 4;
const PROTOCOL = {
  ProtocolMin: 1,
  ProtocolMax: 5,
  ProtocolCur: 2,
  DelegateMin: 2,
  DelegateMax: 5,
  DelegateCur: 4,
};

/** The default node is the server's; every other one is a client's. */
export function memberOf(place: Pick<Place, "datacenter" | "defaultNode">, node: RegisteredNode): Member {
  const isServer = isDefaultNode(node.name, place);
  const serf = node.checks.find(({ id }) => id === SERF_HEALTH);
  return {
    Name: node.name,
    Addr: node.address,
    Port: SERF_PORT,
    Tags: {
      acls: "1",
      build: `${CONSUL_VERSION}:`,
      dc: place.datacenter,
      id: node.id,
      role: isServer ? "consul" : "node",
      segment: "",
      vsn: "2",
      vsn_max: "3",
      vsn_min: "2",
      ...(isServer && { bootstrap: "1", port: "8300", raft_vsn: "3", wan_join_port: String(SERF_WAN_PORT) }),
    },
    Status: serf?.status === "critical" ? FAILED : ALIVE,
    ...PROTOCOL,
  };
}

/** Those whose agents are heard of; nodes that others registered have none. */
export async function lanMembers(exchange: Exchange): Promise<Member[]> {
  const nodes = (await allNodes(exchange)).filter((node) => node.checks.some(({ id }) => id === SERF_HEALTH));
  const hasServer = nodes.some((node) => isDefaultNode(node.name, exchange) && !isUnregistered(node, exchange));
  return (hasServer ? nodes : [virtualNode(exchange), ...nodes]).map((node) => memberOf(exchange, node));
}

function wanMembers({ env, namespace, defaultNode }: Exchange): Member[] {
  return datacentersOf(env).names.map((datacenter) => {
    const place = { namespace, datacenter, defaultNode };
    const member = memberOf(place, virtualNode(place));
    return { ...member, Name: `${member.Name}.${datacenter}`, Port: SERF_WAN_PORT };
  });
}

async function members(exchange: Exchange): Promise<Response> {
  const isWanted = compileFilter(exchange.param("filter"), MEMBER);
  const isWan = exchange.param("wan") !== "";
  const segment = exchange.param("segment");
  if (isWan && segment !== "" && segment !== "_all") throw badRequest("Cannot provide a segment with wan=true");
  const found = isWan ? wanMembers(exchange) : await lanMembers(exchange);
  const visible = exchange.visible(found, ({ Name: name }) => exchange.allows("node", "read", name));
  return exchange.json(visible.filter(isWanted));
}

interface Gauge {
  name: string;
  /** In the words of Prometheus: a counter only grows. */
  type: "gauge" | "counter";
  value: number;
}

/** What the namespace's object counts. Where Consul has a name for the same thing, that is its name. */
function gauges(status: NamespaceStatus): Gauge[] {
  return [
    { name: "consul.raft.applied_index", type: "gauge", value: status.revision },
    { name: "consul.rpc.queries_blocking", type: "gauge", value: status.waiters },
    { name: "holdfast.store.bytes", type: "gauge", value: status.sizeBytes },
    { name: "holdfast.leases", type: "gauge", value: status.leases },
    { name: "holdfast.self_preservation", type: "gauge", value: status.selfPreservation ? 1 : 0 },
    { name: "holdfast.commands", type: "counter", value: status.commands },
    { name: "holdfast.batches", type: "counter", value: status.batches },
    { name: "holdfast.renewals", type: "counter", value: status.renewals },
  ];
}

const OPEN_METRICS = /(?:^|,)\s*(?:application\/openmetrics-text|text\/plain;\s*version=0\.4\.0)\s*(?:[;,]|$)/i;

async function metrics(exchange: Exchange): Promise<Response> {
  exchange.require("agent", "read", exchange.node);
  const { value: status } = await exchange.client.status();
  const all = gauges(status);
  const isText =
    exchange.param("format") === "prometheus" || OPEN_METRICS.test(exchange.request.headers.get("accept") ?? "");
  if (isText) {
    const lines = all.map(({ name, type, value }) => {
      const metric = name.replaceAll(".", "_") + (type === "counter" ? "_total" : "");
      return `# TYPE ${metric} ${type}\n${metric} ${value}\n`;
    });
    return new Response(lines.join(""), { headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8" } });
  }
  const timestamp = `${new Date().toISOString().slice(0, 19).replace("T", " ")} +0000 UTC`;
  const shown = all.map(({ name, value }) => ({ Name: name, Value: value, Labels: {} }));
  return exchange.json({ Timestamp: timestamp, Gauges: shown, Points: [], Counters: [], Samples: [] });
}

const LOG_LEVELS = new Set(["TRACE", "DEBUG", "INFO", "WARN", "ERR", "ERROR"]);

function monitor(exchange: Exchange): Response {
  exchange.require("agent", "read", exchange.node);
  const level = exchange.param("loglevel") || "INFO";
  if (!LOG_LEVELS.has(level.toUpperCase())) throw badRequest(`Unknown log level: ${level}`);
  throw blockedError();
}

/** Consul's words for endpoints that an agent does not offer. */
export const blockedError = (): ConsulError => new ConsulError(403, "Endpoint is blocked by agent configuration");

function blocked(access: "read" | "write"): (exchange: Exchange) => Response {
  return (exchange) => {
    exchange.require("agent", access, exchange.node);
    throw blockedError();
  };
}
