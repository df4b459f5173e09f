/** What config entries add to the upstreams of a proxy, rule by rule. */
import { describe, expect, test } from "vitest";
import type { Upstream } from "../../../../../workers/dialects/consul/catalog/extra.ts";
import type { UpstreamInput } from "../../../../../workers/dialects/consul/catalog/upstream-config.ts";
import { calledServices, mergedUpstreams } from "../../../../../workers/dialects/consul/catalog/upstream-config.ts";

const upstream = (fields: Partial<Upstream> = {}): Upstream => ({ DestinationName: "db", LocalBindPort: 1, ...fields });
const merge = (fields: Partial<UpstreamInput>): Upstream[] =>
  mergedUpstreams({
    own: { Upstreams: [upstream()] },
    isTransparent: false,
    service: {},
    global: {},
    protocolOf: () => "",
    ...fields,
  });
const configOf = (fields: Partial<UpstreamInput>) => merge(fields)[0]!.Config;
const gatewayOf = (fields: Partial<UpstreamInput>) => merge(fields)[0]!.MeshGateway;
const Defaults = (fields: object) => ({ UpstreamConfig: { Defaults: fields } });

test("an upstream of which nobody says anything is as it is", () => {
  expect(merge({})).toEqual([upstream()]);
});

test("a protocol: from what holds for all, what is called, the caller's defaults, its override, the upstream itself", () => {
  const global = { Config: { Protocol: "HTTP" } };
  const protocolOf = () => "http2";
  const service = Defaults({ Protocol: "grpc" });
  const overridden = { UpstreamConfig: { ...service.UpstreamConfig, Overrides: [{ Name: "db", Protocol: "tcp" }] } };
  const own = { Upstreams: [upstream({ Config: { protocol: "own" } })] };
  expect(configOf({ global })).toEqual({ protocol: "http" });
  expect(configOf({ global, protocolOf })).toEqual({ protocol: "http2" });
  expect(configOf({ global, protocolOf, service })).toEqual({ protocol: "grpc" });
  expect(configOf({ global, protocolOf, service: overridden })).toEqual({ protocol: "tcp" });
  expect(configOf({ global, protocolOf, service: overridden, own })).toEqual({ protocol: "own" });
});

test("a mesh gateway: from what holds for all up to the upstream itself, and never among the free settings", () => {
  const mode = (Mode: string) => ({ MeshGateway: { Mode } });
  const [none, local, remote] = [mode("none"), mode("local"), mode("remote")];
  const upstreams = { Upstreams: [upstream()] };
  expect(gatewayOf({ global: { Config: { mesh_gateway: { mode: "local" } } } })).toEqual({ Mode: "local" });
  expect(gatewayOf({ global: none })).toEqual({ Mode: "none" });
  expect(gatewayOf({ global: none, service: local })).toEqual({ Mode: "local" });
  expect(gatewayOf({ service: { ...local, ...Defaults(remote) } })).toEqual({ Mode: "remote" });
  expect(gatewayOf({ service: Defaults(remote), own: { ...none, ...upstreams } })).toEqual({ Mode: "none" });
  const overrides = { UpstreamConfig: { Overrides: [{ Name: "db", ...remote }] } };
  expect(gatewayOf({ service: overrides, own: { ...none, ...upstreams } })).toEqual({ Mode: "remote" });
  expect(gatewayOf({ service: overrides, own: { Upstreams: [upstream(local)] } })).toEqual({ Mode: "local" });
  expect(configOf({ service: overrides })).toBeUndefined();
});

test("everything else that is said goes by a proxy's own names", () => {
  const service = Defaults({
    EnvoyListenerJSON: "{}",
    ConnectTimeoutMs: 100,
    Limits: { MaxConnections: 3 },
    PassiveHealthCheck: { MaxFailures: 5 },
    BalanceOutboundConnections: "exact_balance",
  });
  expect(configOf({ service, own: { Upstreams: [upstream({ Config: { connect_timeout_ms: 7 } })] } })).toEqual({
    envoy_listener_json: "{}",
    connect_timeout_ms: 7,
    limits: { MaxConnections: 3 },
    passive_health_check: { MaxFailures: 5 },
    balance_outbound_connections: "exact_balance",
  });
});

describe("which upstreams", () => {
  test("prepared queries have none; another cluster's service keeps its own protocol", () => {
    const service = Defaults({ Protocol: "http", ConnectTimeoutMs: 1 });
    const query = upstream({ DestinationType: "prepared_query" });
    expect(merge({ service, own: { Upstreams: [query] } })).toEqual([query]);
    const far = { DestinationPeer: "east" };
    expect(configOf({ service, own: { Upstreams: [upstream(far)] } })).toEqual({ connect_timeout_ms: 1 });
    expect(configOf({ service, own: { Upstreams: [upstream({ ...far, Config: { protocol: "tcp" } })] } })).toEqual({
      connect_timeout_ms: 1,
      protocol: "tcp",
    });
  });

  test("a proxy that takes all traffic gets those that it does not name", () => {
    const service = {
      UpstreamConfig: {
        Defaults: { ConnectTimeoutMs: 9 },
        Overrides: [{ Name: "mail", Peer: "east", Protocol: "http" }],
      },
      MeshGateway: { Mode: "local" },
    };
    const place = { DestinationNamespace: "default", DestinationPartition: "default", CentrallyConfigured: true };
    const common = { connect_timeout_ms: 9, mesh_gateway: { Mode: "local" } };
    const MeshGateway = { Mode: "local" };
    expect(merge({ service, isTransparent: true })).toEqual([
      { ...upstream(), Config: { connect_timeout_ms: 9 }, MeshGateway },
      { ...place, DestinationName: "*", Config: common, MeshGateway },
      {
        ...place,
        DestinationName: "mail",
        DestinationPeer: "east",
        Config: { ...common, protocol: "http" },
        MeshGateway,
      },
    ]);
    expect(merge({ service, own: {} })).toEqual([]);
  });

  test("services whose own defaults count", () => {
    const own = {
      Upstreams: [
        upstream(),
        upstream({ DestinationName: "far", DestinationPeer: "east" }),
        upstream({ DestinationName: "query", DestinationType: "prepared_query" }),
      ],
    };
    const service = { UpstreamConfig: { Overrides: [{ Name: "mail" }, { Name: "away", Peer: "east" }] } };
    expect(calledServices(own, service)).toEqual(["db", "mail"]);
  });
});
