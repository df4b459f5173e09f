/** The pure parts: instances into Consul's three forms of a service, names into ids, checks into what they mean. */
import { describe, expect, test } from "vitest";
import type { RegisteredInstance } from "../../../../objects/model.ts";
import { checkDefinition, checkSpec } from "../../../../workers/dialects/consul/agent-check-definition.ts";
import {
  consulService,
  nodeIdOf,
  nodeOf,
  virtualNode,
} from "../../../../workers/dialects/consul/catalog/agent-node.ts";
import { instanceIdOf, serviceIdOf } from "../../../../workers/dialects/consul/catalog/service-id.ts";
import { healthEntry, isPassing } from "../../../../workers/dialects/consul/encode-health.ts";
import {
  agentServiceEntry,
  nodeServiceEntry,
  serviceNodeEntry,
} from "../../../../workers/dialects/consul/encode-service.ts";

const PLACE = { namespace: "default", datacenter: "dc1", defaultNode: "holdfast" };
const instance = (fields: Partial<RegisteredInstance> = {}): RegisteredInstance => ({
  ...consulService(PLACE),
  service: "web",
  id: "web-1",
  node: "",
  address: "192.0.2.1",
  inheritsAddress: false,
  ports: { default: 80 },
  extra: {},
  createRevision: 5,
  modRevision: 6,
  ...fields,
});

describe("ids", () => {
  test.each([
    ["web", "", "web"],
    ["web", "holdfast", "web"],
    ["web", "Holdfast", "web"],
    ["web", "Alpha", "web@alpha"],
  ])("%s on %j is the instance %s", (serviceId, node, id) => {
    expect(instanceIdOf(serviceId, node)).toBe(id);
    expect(serviceIdOf({ id, node, extra: { consul: {} } })).toBe(serviceId);
  });

  test("instances registered elsewhere keep theirs", () => {
    expect(serviceIdOf({ id: "web@alpha", node: "alpha", extra: {} })).toBe("web@alpha");
  });

  test("a node's id is a UUID, and its own", () => {
    const id = nodeIdOf(PLACE, "Alpha");
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(nodeIdOf(PLACE, "alpha")).toBe(id);
    expect(nodeIdOf({ ...PLACE, namespace: "other" }, "alpha")).not.toBe(id);
  });
});

describe("forms of a service", () => {
  const proxy = instance({
    service: "web-proxy",
    warningWeight: 0,
    meshFor: "web",
    virtualIp: "240.0.0.9",
    ports: { default: 21000 },
    extra: {
      consul: {
        Kind: "connect-proxy",
        SocketPath: "/run/x",
        Proxy: {
          DestinationServiceName: "web",
          Upstreams: [{ DestinationType: "service", DestinationName: "db", LocalBindPort: 1 }],
        },
      },
    },
    inheritsAddress: true,
  });

  test("of the catalog", () => {
    expect(serviceNodeEntry(proxy, virtualNode(PLACE), PLACE)).toMatchObject({
      Node: "holdfast",
      ServiceKind: "connect-proxy",
      ServiceAddress: "",
      ServiceSocketPath: "/run/x",
      ServiceTaggedAddresses: { "consul-virtual": { Address: "240.0.0.9", Port: 21000 } },
      ServiceWeights: { Passing: 1, Warning: 0 },
      ServiceProxy: {
        DestinationServiceName: "web",
        Mode: "",
        MeshGateway: {},
        Expose: {},
        Upstreams: [
          { DestinationType: "service", DestinationName: "db", Datacenter: "", LocalBindPort: 1, MeshGateway: {} },
        ],
      },
      CreateIndex: 5,
      ModifyIndex: 6,
    });
  });

  test("below a node and of an agent", () => {
    expect(nodeServiceEntry(proxy)).toMatchObject({ Kind: "connect-proxy", PeerName: "", Connect: {} });
    expect(nodeServiceEntry(instance())).not.toHaveProperty("Kind");
    const agents = agentServiceEntry(proxy, PLACE);
    expect(agents.Proxy).toEqual({
      DestinationServiceName: "web",
      Upstreams: [{ DestinationType: "service", DestinationName: "db", LocalBindPort: 1, MeshGateway: {} }],
      MeshGateway: {},
      Expose: {},
    });
    expect(agents).not.toHaveProperty("CreateIndex");
    expect(agentServiceEntry(instance(), PLACE)).not.toHaveProperty("Proxy");
  });
});

describe("health entries", () => {
  test("without a node of its own it is on the default one, which is alive", () => {
    const node = nodeOf(instance(), {}, PLACE);
    const entry = healthEntry(instance(), node, PLACE);
    expect(entry.Node.Node).toBe("holdfast");
    expect(entry.Checks.map(({ CheckID }) => CheckID)).toEqual(["serfHealth"]);
    expect(isPassing(entry)).toBe(true);
    expect(nodeOf(instance(), {}, { ...PLACE, defaultNode: "Web01" })).toMatchObject({
      name: "Web01",
      status: "passing",
    });
  });

  test("out of service elsewhere, it is in maintenance here", () => {
    const out = instance({ adminState: "out_of_service" });
    const entry = healthEntry(out, nodeOf(out, {}, PLACE), PLACE);
    expect(entry.Checks.at(-1)).toMatchObject({ CheckID: "_service_maintenance:web-1", Type: "maintenance" });
    expect(isPassing(entry)).toBe(false);
  });
});

describe("checks", () => {
  const spec = (body: object) => checkSpec(checkDefinition.decode(body, ""), "c", "n", "alpha");
  test.each<[object, object]>([
    [
      { HTTP: "http://a/", Interval: "10ms", Timeout: "5m" },
      { type: "http", method: "GET", intervalMs: 1000, timeoutMs: 60_000 },
    ],
    [
      { TCP: "[::1]:80", Interval: "10s" },
      { type: "tcp", host: "::1", port: 80 },
    ],
    [
      { GRPC: "a:1/x/y", Interval: "10s" },
      { type: "grpc", host: "a", port: 1, grpcService: "x/y", tls: false },
    ],
    [
      { H2PING: "a:1", Interval: "10s" },
      { type: "h2ping", tls: true },
    ],
    [
      { H2PING: "a:1", h2ping_use_tls: false, Interval: "10s" },
      { type: "h2ping", tls: false },
    ],
    [
      { args: ["x"], Interval: "10s" },
      { type: "script", args: ["x"], timeoutMs: 30_000 },
    ],
    [
      { args: ["x", "y"], DockerContainerID: "d", Shell: "sh", Interval: "10s" },
      { type: "script", args: ["docker", "exec", "d", "sh", "-c", "x y"] },
    ],
    [{ AliasService: "web" }, { type: "alias", node: "alpha", instance: "web@alpha" }],
    [
      { AliasNode: "holdfast", AliasService: "web" },
      { type: "alias", node: "holdfast", instance: "web" },
    ],
    [
      { TTL: "10s", FailuresBeforeCritical: 3, DeregisterCriticalServiceAfter: "1s" },
      { type: "ttl", failureThreshold: 3, warningThreshold: 3, successThreshold: 1, deregisterAfterMs: 60_000 },
    ],
  ])("%j", (body, expected) => {
    expect(spec(body)).toMatchObject({ id: "c", name: "n", status: "critical", ...expected });
  });
});
