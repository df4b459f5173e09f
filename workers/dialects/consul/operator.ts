/**
 * `/v1/operator`: what operators' tools look at. One server stands for the namespace's object: it is leader, voter and well
 * whenever it answers. Consul's settings of autopilot are kept and given back; there is nothing they could steer.
 *
 * Source: Consul 1.21, `agent/operator_endpoint.go`, `api/operator_*.go`.
 */
import { HoldfastError } from "../../../objects/errors.ts";
import { nodeIdOf } from "./catalog/agent-node.ts";
import { bool, duration, int, object, text, uint64 } from "./decode.ts";
import { formatDuration } from "./durations.ts";
import { timeOf } from "./encode.ts";
import { badRequest, refused } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import { multiError } from "./multi-error.ts";
import { route } from "./route.ts";
import { serverAddress } from "./status.ts";
import { CONSUL_VERSION } from "./version.ts";

const AUTOPILOT = "consul/autopilot";

export const operatorRoutes = [
  route("/operator/raft/configuration", { GET: raftConfiguration }),
  route("/operator/raft/transfer-leader", { POST: transferLeader }),
  route("/operator/raft/peer", { DELETE: removePeer }),
  route("/operator/autopilot/configuration", { GET: readAutopilot, PUT: writeAutopilot }),
  route("/operator/autopilot/health", { GET: autopilotHealth }),
  route("/operator/autopilot/state", { GET: autopilotState }),
  route("/operator/usage", { GET: usage }),
  route("/operator/keyring", { GET: listKeys, POST: changeKeys, PUT: changeKeys, DELETE: changeKeys }),
];

const serverId = (exchange: Exchange): string => nodeIdOf(exchange, exchange.defaultNode);

async function raftConfiguration(exchange: Exchange): Promise<Response> {
  exchange.require("operator", "read");
  const { revision } = await exchange.client.status();
  const server = {
    ID: serverId(exchange),
    Node: exchange.defaultNode,
    Address: serverAddress(exchange),
    Leader: true,
    ProtocolVersion: "3",
    Voter: true,
    LastIndex: revision,
  };
  return exchange.json({ Servers: [server], Index: 0 });
}

function transferLeader(exchange: Exchange): never {
  exchange.require("operator", "write");
  throw refused("cannot find peer");
}

function removePeer(exchange: Exchange): never {
  exchange.require("operator", "write");
  const [id, address] = [exchange.params.get("id"), exchange.params.get("address")];
  if (id === null && address === null) {
    throw badRequest("Must specify either ?id with the server's ID or ?address with IP:port of peer to remove");
  }
  if (id !== null && address !== null) throw badRequest("Must specify only one of ?id or ?address");
  const [what, given, own] =
    id === null ? ["address", address, serverAddress(exchange)] : ["id", id, serverId(exchange)];
  if (given !== own) throw refused(`${what} ${JSON.stringify(given)} was not found in the Raft configuration`);
  throw refused("need at least one voter in configuration: {[]}");
}

const autopilotBody = object({
  CleanupDeadServers: bool,
  LastContactThreshold: duration,
  MaxTrailingLogs: int,
  MinQuorum: int,
  ServerStabilizationTime: duration,
  RedundancyZoneTag: text,
  DisableUpgradeMigration: bool,
  UpgradeVersionTag: text,
  CreateIndex: uint64,
  ModifyIndex: uint64,
});

const AUTOPILOT_DEFAULTS = {
  CleanupDeadServers: true,
  LastContactThreshold: "200ms",
  MaxTrailingLogs: 250,
  MinQuorum: 0,
  ServerStabilizationTime: "10s",
  RedundancyZoneTag: "",
  DisableUpgradeMigration: false,
  UpgradeVersionTag: "",
};

async function readAutopilot(exchange: Exchange): Promise<Response> {
  exchange.require("operator", "read");
  const { value } = await exchange.client.query("document.get", { name: AUTOPILOT });
  return exchange.json({
    ...AUTOPILOT_DEFAULTS,
    ...value?.value,
    CreateIndex: value?.createRevision ?? 1,
    ModifyIndex: value?.modRevision ?? 1,
  });
}

async function writeAutopilot(exchange: Exchange): Promise<Response> {
  exchange.require("operator", "write");
  const { CreateIndex: _create, ModifyIndex: _modify, ...given } = await exchange.body(autopilotBody);
  const value = {
    ...given,
    LastContactThreshold: formatDuration(given.LastContactThreshold),
    ServerStabilizationTime: formatDuration(given.ServerStabilizationTime),
  };
  const cas = casOf(exchange);
  try {
    await exchange.execute("document.put", { name: AUTOPILOT, value, ...(cas !== undefined && { cas }) });
  } catch (error) {
    if (cas !== undefined && error instanceof HoldfastError && error.code === "conflict") return exchange.json(false);
    throw error;
  }
  return exchange.json(true);
}

/** The settings nobody has changed are told with index 1. */
function casOf(exchange: Exchange): number | undefined {
  const given = exchange.params.get("cas");
  if (given === null) return undefined;
  if (!/^\d{1,15}$/.test(given)) {
    const parse = `strconv.ParseUint: parsing ${JSON.stringify(given)}: invalid syntax`;
    throw badRequest(`Error parsing cas value: ${parse}`);
  }
  return given === "1" ? 0 : Number(given);
}

interface Health {
  address: string;
  revision: number;
  since: string;
}

async function health(exchange: Exchange): Promise<Health> {
  exchange.require("operator", "read");
  const { value, revision } = await exchange.client.status();
  // Go rounds to the second here.
  const since = timeOf(Math.round(value.startedAt / 1000) * 1000);
  return { address: serverAddress(exchange), revision, since };
}

async function autopilotHealth(exchange: Exchange): Promise<Response> {
  const { address, revision, since } = await health(exchange);
  const server = {
    ID: serverId(exchange),
    Name: exchange.defaultNode,
    Address: address,
    SerfStatus: "alive",
    Version: CONSUL_VERSION,
    Leader: true,
    LastContact: "0s",
    LastTerm: 1,
    LastIndex: revision,
    Healthy: true,
    Voter: true,
    StableSince: since,
  };
  return exchange.json({ Healthy: true, FailureTolerance: 0, Servers: [server] });
}

async function autopilotState(exchange: Exchange): Promise<Response> {
  const { address, revision, since } = await health(exchange);
  const id = serverId(exchange);
  const server = {
    ID: id,
    Name: exchange.defaultNode,
    Address: address,
    NodeStatus: "alive",
    Version: CONSUL_VERSION,
    LastContact: "0s",
    LastTerm: 1,
    LastIndex: revision,
    Healthy: true,
    StableSince: since,
    ReadReplica: false,
    Status: "leader",
    Meta: {},
    NodeType: "voter",
  };
  return exchange.json({
    Healthy: true,
    FailureTolerance: 0,
    OptimisticFailureTolerance: 0,
    Servers: { [id]: server },
    Leader: id,
    Voters: [id],
  });
}

/** Of the asked datacenter: `?global` would need each other one's word. Proxies are counted as what they are: instances. */
async function usage(exchange: Exchange): Promise<Response> {
  exchange.require("operator", "read");
  const { client } = exchange;
  let [services, instances, nodes] = [0, 0, 0];
  let { value: named } = await client.query("registry.services", {});
  for (;;) {
    services += named.services.length;
    for (const { instanceCount } of named.services) instances += instanceCount;
    if (named.after === null) break;
    ({ value: named } = await client.query("registry.services", { after: named.after }));
  }
  let { value: page } = await client.query("nodes.list", {});
  for (;;) {
    nodes += page.nodes.length;
    if (page.after === null) break;
    ({ value: page } = await client.query("nodes.list", { after: page.after }));
  }
  exchange.tellIndex((await client.status()).revision);
  exchange.tellConsistency();
  const counted = {
    Nodes: nodes,
    Services: services,
    ServiceInstances: instances,
    ConnectServiceInstances: {},
    BillableServiceInstances: instances,
  };
  return exchange.json({ Usage: { [exchange.datacenter]: counted } });
}

/** No gossip, so no keys of it: as Consul answers where encryption is off. */
function listKeys(exchange: Exchange): never {
  exchange.require("keyring", "read");
  return refuseKeys(exchange);
}

function changeKeys(exchange: Exchange): never {
  exchange.require("keyring", "write");
  return refuseKeys(exchange);
}

function refuseKeys(exchange: Exchange): never {
  const relay = exchange.param("relay-factor");
  if (relay !== "" && !/^[0-5]$/.test(relay)) throw badRequest("Invalid relay-factor: value must be in range: [0, 5]");
  throw refused(
    multiError([
      `${exchange.datacenter} (LAN) error: 1/1 nodes reported failure`,
      `${exchange.defaultNode}: Keyring is empty (encryption not enabled)`,
    ]),
  );
}
