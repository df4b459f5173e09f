/**
 * What config entries add to a proxy's upstreams: what the service behind the proxy says of all it calls and of some, how each
 * of those wants to be spoken to, and what holds for all proxies. What an upstream says itself stays.
 *
 * Source: Consul 1.21, `configentry.ComputeResolvedServiceConfig`, `MergeServiceConfig`, `UpstreamConfig.MergeInto`.
 */
import { ANY } from "../../../../objects/rules/model.ts";
import type { ProxyConfig, Upstream } from "./extra.ts";

export interface UpstreamDefaults {
  Name?: string;
  Peer?: string;
  EnvoyListenerJSON?: string;
  EnvoyClusterJSON?: string;
  Protocol?: string;
  ConnectTimeoutMs?: number;
  Limits?: Record<string, unknown> | null;
  PassiveHealthCheck?: Record<string, unknown> | null;
  MeshGateway?: { Mode?: string };
  BalanceOutboundConnections?: string;
}

/** Of a `service-defaults` or `proxy-defaults` entry, as far as upstreams have it. */
export interface CallerDefaults {
  Config?: Record<string, unknown> | null;
  Protocol?: string;
  MeshGateway?: { Mode?: string };
  UpstreamConfig?: { Overrides?: UpstreamDefaults[] | null; Defaults?: UpstreamDefaults | null } | null;
}

/** By a proxy's own names. */
type Opaque = Record<string, unknown>;

const NAMES = {
  EnvoyListenerJSON: "envoy_listener_json",
  EnvoyClusterJSON: "envoy_cluster_json",
  Protocol: "protocol",
  ConnectTimeoutMs: "connect_timeout_ms",
  Limits: "limits",
  PassiveHealthCheck: "passive_health_check",
  BalanceOutboundConnections: "balance_outbound_connections",
} as const;
const GATEWAY = "mesh_gateway";

const gatewayOf = (of: { MeshGateway?: { Mode?: string } } | null | undefined): Opaque =>
  of?.MeshGateway?.Mode ? { [GATEWAY]: { Mode: of.MeshGateway.Mode } } : {};

/** What is not said is not there. */
function opaque(given: UpstreamDefaults | null | undefined): Opaque {
  const said = Object.entries(NAMES).flatMap(([field, name]) => {
    const value = given?.[field as keyof typeof NAMES];
    return value ? [[name, value] as const] : [];
  });
  return { ...Object.fromEntries(said), ...gatewayOf(given) };
}

const isService = ({ DestinationType: type }: Upstream): boolean => !type || type === "service";
const idOf = (name: string, peer: string): string => `${peer}\0${name}`;
const upstreamId = ({ DestinationName: name, DestinationPeer: peer = "" }: Upstream): string => idOf(name, peer);

/** Services whose own defaults the upstreams depend on. */
export function calledServices(own: ProxyConfig, service: CallerDefaults): string[] {
  const upstreams = (own.Upstreams ?? []).filter((upstream) => isService(upstream) && !upstream.DestinationPeer);
  const overrides = (service.UpstreamConfig?.Overrides ?? []).filter(({ Peer: peer }) => !peer);
  return [...upstreams.map(({ DestinationName: name }) => name), ...overrides.map(({ Name: name = "" }) => name)];
}

export interface UpstreamInput {
  own: ProxyConfig;
  /** The proxy takes all traffic: whatever is said of an upstream holds, also of those it does not name. */
  isTransparent: boolean;
  /** Of the service behind the proxy. */
  service: CallerDefaults;
  global: CallerDefaults;
  /** The protocol that a called service asks for; "" = none. */
  protocolOf: (service: string) => string;
}

export function mergedUpstreams(input: UpstreamInput): Upstream[] {
  const { own, isTransparent } = input;
  const upstreams = own.Upstreams ?? [];
  if (!isTransparent && !upstreams.some(isService)) return upstreams;
  const central = centralUpstreams(input);
  const merged = upstreams.map((upstream) => {
    const config = isService(upstream) ? central.get(upstreamId(upstream))?.config : undefined;
    return config ? withConfig(upstream, config) : upstream;
  });
  if (!isTransparent) return merged;
  const named = new Set(upstreams.filter(isService).map(upstreamId));
  const others = [...central]
    .filter(([id]) => !named.has(id))
    .map(([, { name, peer, config }]) => synthetic(name, peer, config));
  return [...merged, ...others];
}

interface Central {
  name: string;
  peer: string;
  config: Opaque;
}

/** By id. Under the name `*` is what holds for those that nobody names. */
function centralUpstreams({ own, service, global, protocolOf }: UpstreamInput): Map<string, Central> {
  const defaults = service.UpstreamConfig?.Defaults;
  const overrides = new Map(
    (service.UpstreamConfig?.Overrides ?? []).map((override) => [
      idOf(override.Name ?? "", override.Peer ?? ""),
      override,
    ]),
  );
  const common = { ...gatewayOf(global), ...gatewayOf(service), ...opaque(defaults), ...gatewayOf(own) };
  const anyGateway = global.Config?.[GATEWAY] === undefined ? {} : { [GATEWAY]: global.Config[GATEWAY] };
  const forAny: Opaque = { ...anyGateway, ...common };
  const upstreams = new Map<string, Central>();
  if (Object.keys(forAny).length > 0) upstreams.set(idOf(ANY, ""), { name: ANY, peer: "", config: forAny });
  const named = [
    ...(own.Upstreams ?? [])
      .filter(isService)
      .map((to) => ({ name: to.DestinationName, peer: to.DestinationPeer ?? "" })),
    ...[...overrides.values()].map(({ Name: name = "", Peer: peer = "" }) => ({ name, peer })),
  ];
  for (const { name, peer } of named) {
    const id = idOf(name, peer);
    const asked = protocolOf(peer === "" ? name : "") || protocolIn(global.Config);
    const config = { ...(asked && { protocol: asked }), ...forAny, ...opaque(overrides.get(id)) };
    if (Object.keys(config).length > 0) upstreams.set(id, { name, peer, config });
  }
  return upstreams;
}

/** A free setting's name matches in any case. */
const protocolIn = (config: Opaque | null | undefined): string =>
  String(Object.entries(config ?? {}).find(([name]) => name.toLowerCase() === "protocol")?.[1] ?? "").toLowerCase();

function withConfig(upstream: Upstream, { [GATEWAY]: gateway, ...central }: Opaque): Upstream {
  const { Config: own = {}, MeshGateway: ownGateway } = upstream;
  // Another cluster's service is spoken to as that cluster says.
  const { protocol, ...rest } = central;
  const added = upstream.DestinationPeer || protocol === undefined ? rest : { ...rest, protocol };
  const { [GATEWAY]: _resolved, ...config } = { ...added, ...own };
  const mode = ownGateway?.Mode || modeOf(gateway);
  return {
    ...upstream,
    ...(Object.keys(config).length > 0 && { Config: config }),
    ...(mode && { MeshGateway: { Mode: mode } }),
  };
}

const synthetic = (name: string, peer: string, config: Opaque): Upstream => {
  const mode = modeOf(config[GATEWAY]);
  return {
    DestinationNamespace: "default",
    DestinationPartition: "default",
    ...(peer !== "" && { DestinationPeer: peer }),
    DestinationName: name,
    Config: config,
    ...(mode && { MeshGateway: { Mode: mode } }),
    CentrallyConfigured: true,
  };
};

/** In either spelling; nothing where it is something else. */
function modeOf(gateway: unknown): string {
  if (typeof gateway !== "object" || gateway === null) return "";
  const mode = Object.entries(gateway).find(([name]) => name.toLowerCase() === "mode")?.[1] as unknown;
  return typeof mode === "string" ? mode : "";
}
