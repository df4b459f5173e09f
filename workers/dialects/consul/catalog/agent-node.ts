/**
 * The node that a client's agent would run on, and what Consul has on it without anybody's doing: the check `serfHealth`,
 * which sessions depend on, and the servers' own service `consul`.
 *
 * It is a record from an agent's first registration on; until then the default node is shown as if it were one.
 */
import { createHash } from "node:crypto";
import type { CheckSpec } from "../../../../objects/registry/check-spec.ts";
import type { NodeSpec } from "../../../../objects/registry/nodes.ts";
import type { RegisteredInstance, RegisteredNode } from "../../../../objects/model.ts";
import { SERVER_PORT } from "../status.ts";
import { CONSUL_VERSION } from "../version.ts";
import { nodeKeyOf } from "./service-id.ts";

/** A namespace in a datacenter, and the node on which instances without one are shown there. */
export interface Place {
  namespace: string;
  datacenter: string;
  defaultNode: string;
}

type WithDefault = Pick<Place, "defaultNode">;

export const isDefaultNode = (node: string, { defaultNode }: WithDefault): boolean =>
  node === "" || nodeKeyOf(node) === nodeKeyOf(defaultNode);

export const SERF_HEALTH = "serfHealth";
export const CONSUL_SERVICE = "consul";
/** Where nothing tells another one: on one machine everything is there. */
const LOCAL_ADDRESS = "127.0.0.1";

const SERF_CHECK = {
  id: SERF_HEALTH,
  name: "Serf Health Status",
  type: "status",
  status: "passing",
  output: "Agent alive and reachable",
} as const satisfies CheckSpec;

/** A UUID that is always the same for the same node. */
export function nodeIdOf({ namespace, datacenter }: Omit<Place, "defaultNode">, node: string): string {
  const hash = createHash("sha256")
    .update(`${namespace}\0${datacenter}\0${nodeKeyOf(node)}`)
    .digest("hex");
  return `${hash.slice(0, 8)}-${hash.slice(8, 12)}-8${hash.slice(13, 16)}-8${hash.slice(17, 20)}-${hash.slice(20, 32)}`;
}

/** `address` is where the client was seen; empty when no platform vouches for one. */
export function agentNodeSpec(place: Omit<Place, "defaultNode">, node: string, address: string): NodeSpec {
  const at = address || LOCAL_ADDRESS;
  const family = at.includes(":") ? "ipv6" : "ipv4";
  return {
    name: node,
    id: nodeIdOf(place, node),
    address: at,
    addresses: { lan: at, [`lan_${family}`]: at, wan: at, [`wan_${family}`]: at },
    meta: { "consul-network-segment": "", "consul-version": CONSUL_VERSION },
    checks: [SERF_CHECK],
  };
}

let shown: { of: string; node: RegisteredNode } | undefined;

/** The default node, as it is before anybody registered on it. */
export function virtualNode(place: Place): RegisteredNode {
  const of = `${place.namespace}@${place.datacenter}/${place.defaultNode}`;
  if (shown?.of !== of) shown = { of, node: makeVirtual(place) };
  return shown.node;
}

function makeVirtual(place: Place): RegisteredNode {
  const { name, id = "", address, addresses = {}, meta = {} } = agentNodeSpec(place, place.defaultNode, "");
  return {
    name,
    id,
    address,
    addresses,
    meta,
    locality: { region: "", zone: "", cluster: "" },
    status: "passing",
    checks: [
      {
        ...SERF_CHECK,
        notes: "",
        successThreshold: 1,
        failureThreshold: 1,
        warningThreshold: 1,
        deregisterAfterMs: null,
        sinceAt: 0,
      },
    ],
    implicit: true,
    extra: {},
    createRevision: 1,
    modRevision: 1,
  };
}

/** The node an instance is shown on; `nodes` are those that are known, by name in lower case. */
export function nodeOf(
  { node }: Pick<RegisteredInstance, "node">,
  nodes: Record<string, RegisteredNode>,
  place: Place,
): RegisteredNode {
  const key = nodeKeyOf(node);
  const known = Object.hasOwn(nodes, key) ? nodes[key] : undefined;
  return known === undefined || isUnregistered(known, place) ? virtualNode(place) : known;
}

/** The default node, known by its instances only. */
export const isUnregistered = (node: RegisteredNode, place: WithDefault): boolean =>
  node.implicit && isDefaultNode(node.name, place);

/** Consul's own service, as its servers register it. */
export function consulService({ defaultNode }: WithDefault): RegisteredInstance {
  return {
    service: CONSUL_SERVICE,
    id: CONSUL_SERVICE,
    node: defaultNode,
    address: LOCAL_ADDRESS,
    ports: { default: SERVER_PORT },
    protocol: "tcp",
    weight: 1,
    tags: [],
    meta: {},
    locality: { region: "", zone: "", cluster: "" },
    status: "passing",
    nodeStatus: "passing",
    inheritsAddress: true,
    adminState: "up",
    ephemeral: false,
    private: false,
    suspect: false,
    ttlMs: null,
    renewedAt: 0,
    checks: [],
    reach: "direct",
    origin: "consul",
    extra: { consul: {} },
    registeredAt: 0,
    createRevision: 1,
    modRevision: 1,
  };
}
