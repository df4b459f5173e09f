/** `service-defaults` and `proxy-defaults`: what holds for one service, and for all. */
import type { DefaultsSpec, UpstreamPolicy } from "../../../../../objects/rules/model.ts";
import { ANY } from "../../../../../objects/rules/model.ts";
import { refused } from "../../errors.ts";
import { multiError } from "../../multi-error.ts";
import {
  assertMeta,
  assertNamed,
  configKind,
  entryOf,
  freely,
  meshWrite,
  metaErrors,
  serviceRead,
  serviceWrite,
} from "../kind.ts";
import {
  assertFailoverPolicy,
  assertNoLocality,
  assertTlsMode,
  envoyExtensions,
  expose,
  extensionErrors,
  failoverPolicy,
  isDomainName,
  meshGateway,
  meshGatewayMode,
  outlierPolicy,
  passiveHealthCheck,
  policyOf,
  prioritizeByLocality,
  transparentProxy,
} from "../parts.ts";
import type { Typed } from "../schema.ts";
import { anyMap, bool, int, list, opt, pointer, struct, text } from "../schema.ts";

const upstreamConfig = struct({
  Name: opt(text),
  Peer: text,
  EnvoyListenerJSON: opt(text),
  EnvoyClusterJSON: opt(text),
  Protocol: opt(text),
  ConnectTimeoutMs: opt(int),
  Limits: opt(
    pointer(
      struct({
        MaxConnections: opt(pointer(int)),
        MaxPendingRequests: opt(pointer(int)),
        MaxConcurrentRequests: opt(pointer(int)),
      }),
    ),
  ),
  PassiveHealthCheck: opt(pointer(passiveHealthCheck)),
  MeshGateway: meshGateway,
  BalanceOutboundConnections: opt(text),
});
type UpstreamConfig = Typed<typeof upstreamConfig>;

const routeRateLimits = struct({
  PathExact: text,
  PathPrefix: text,
  PathRegex: text,
  RequestsPerSecond: int,
  RequestsMaxBurst: int,
});

const serviceSchema = entryOf({
  Protocol: text,
  Mode: opt(text),
  TransparentProxy: transparentProxy,
  MutualTLSMode: opt(text),
  MeshGateway: meshGateway,
  Expose: expose,
  ExternalSNI: opt(text),
  UpstreamConfig: opt(
    pointer(struct({ Overrides: opt(list(upstreamConfig)), Defaults: opt(pointer(upstreamConfig)) })),
  ),
  Destination: opt(pointer(struct({ Addresses: opt(list(text)), Port: opt(int) }))),
  MaxInboundConnections: opt(int),
  LocalConnectTimeoutMs: opt(int),
  LocalRequestTimeoutMs: opt(int),
  BalanceInboundConnections: opt(text),
  RateLimits: opt(
    pointer(
      struct({
        InstanceLevel: struct({ RequestsPerSecond: int, RequestsMaxBurst: int, Routes: list(routeRateLimits) }),
      }),
    ),
  ),
  EnvoyExtensions: opt(envoyExtensions),
});
type ServiceDefaults = Typed<typeof serviceSchema>;

export const serviceDefaults = configKind({
  name: "service-defaults",
  ruleKind: "defaults",
  schema: serviceSchema,
  read: serviceRead,
  write: serviceWrite,
  normalize(entry) {
    entry.Protocol = entry.Protocol.toLowerCase();
    const { Overrides, Defaults } = entry.UpstreamConfig ?? { Overrides: null, Defaults: null };
    for (const upstream of [...(Overrides ?? []), ...(Defaults ? [Defaults] : [])]) {
      upstream.Protocol = upstream.Protocol.toLowerCase();
      upstream.ConnectTimeoutMs = Math.max(0, upstream.ConnectTimeoutMs);
    }
  },
  validate(entry) {
    assertNamed(entry.Name);
    if (entry.Name === ANY) throw refused("service-defaults name must be the name of a service, and not a wildcard");
    const errors = [...metaErrors(entry.Meta), ...basicErrors(entry)];
    if (entry.UpstreamConfig && entry.Destination) {
      errors.push("UpstreamConfig and Destination are mutually exclusive for service defaults");
      throw refused(multiError(errors));
    }
    errors.push(...upstreamErrors(entry), ...destinationErrors(entry));
    if (entry.RateLimits) {
      errors.push("invalid rate_limits config. Rate limiting is a consul enterprise feature");
    }
    errors.push(...extensionErrors(entry.EnvoyExtensions));
    assertTlsMode(entry.MutualTLSMode);
    if (errors.length > 0) throw refused(multiError(errors));
  },
  specOf: (entry): DefaultsSpec => ({
    protocol: entry.Protocol,
    externalName: entry.ExternalSNI,
    meshGateway: meshGatewayMode(entry.MeshGateway),
    dialedDirectly: entry.TransparentProxy.DialedDirectly,
    permissiveTls: entry.MutualTLSMode === "permissive",
    connectionsMax: positive(entry.MaxInboundConnections),
    connectTimeoutMs: positive(entry.LocalConnectTimeoutMs),
    requestTimeoutMs: positive(entry.LocalRequestTimeoutMs),
    upstreams: {
      defaults: entry.UpstreamConfig?.Defaults ? upstreamPolicy(entry.UpstreamConfig.Defaults) : null,
      overrides: (entry.UpstreamConfig?.Overrides ?? []).map((upstream) => ({
        service: upstream.Name,
        peer: upstream.Peer,
        ...upstreamPolicy(upstream),
      })),
    },
    destination: entry.Destination && { addresses: entry.Destination.Addresses ?? [], port: entry.Destination.Port },
    failoverPolicy: null,
  }),
});

const positive = (value: number): number | null => (value > 0 ? value : null);

const upstreamPolicy = (upstream: UpstreamConfig): UpstreamPolicy => ({
  protocol: upstream.Protocol,
  connectTimeoutMs: positive(upstream.ConnectTimeoutMs),
  connectionsMax: upstream.Limits?.MaxConnections ?? null,
  pendingRequestsMax: upstream.Limits?.MaxPendingRequests ?? null,
  concurrentRequestsMax: upstream.Limits?.MaxConcurrentRequests ?? null,
  outlier: outlierPolicy(upstream.PassiveHealthCheck),
});

const isBalance = (value: string): boolean => value === "" || value === "exact_balance";

function basicErrors({ BalanceInboundConnections: balance, Protocol }: ServiceDefaults): string[] {
  const errors = isBalance(balance) ? [] : [`invalid value for balance_inbound_connections: ${balance}`];
  if (!["", "http", "http2", "grpc", "tcp"].includes(Protocol)) {
    errors.push(`invalid value for protocol: ${Protocol}`);
  }
  return errors;
}

function upstreamErrors({ UpstreamConfig: config }: ServiceDefaults): string[] {
  const errors = (config?.Overrides ?? []).flatMap((upstream) => {
    const named = upstream.Name === "" ? "Name is required" : "Wildcard name is not supported";
    const isNamed = upstream.Name !== "" && upstream.Name !== ANY;
    const error = isNamed ? limitsError(upstream) : named;
    return error === null ? [] : [`error in upstream override for ${upstream.Name}: ${error}`];
  });
  if (!config?.Defaults) return errors;
  const error = config.Defaults.Name === "" ? limitsError(config.Defaults) : "Name must be empty";
  return error === null ? errors : [...errors, `error in upstream defaults: ${error}`];
}

function limitsError(upstream: UpstreamConfig): string | null {
  const errors = [healthCheckError(upstream), negativeLimit(upstream)].filter((error) => error !== null);
  const balance = upstream.BalanceOutboundConnections;
  if (!isBalance(balance)) errors.push(`invalid value for balance_outbound_connections: ${balance}`);
  return errors.length === 0 ? null : multiError(errors);
}

function healthCheckError({ PassiveHealthCheck: check }: UpstreamConfig): string | null {
  if (!check) return null;
  const outside = (percent: number | null): boolean => percent !== null && percent > 100;
  if (check.Interval < 0) return "passive health check interval cannot be negative";
  if (outside(check.EnforcingConsecutive5xx)) {
    return "passive health check enforcing_consecutive_5xx must be a percentage between 0 and 100";
  }
  if (outside(check.MaxEjectionPercent)) {
    return "passive health check max_ejection_percent must be a percentage between 0 and 100";
  }
  return (check.BaseEjectionTime ?? 0) < 0 ? "passive health check base_ejection_time cannot be negative" : null;
}

function negativeLimit({ Limits: limits }: UpstreamConfig): string | null {
  if (!limits) return null;
  if ((limits.MaxConnections ?? 0) < 0) return "max connections cannot be negative";
  if ((limits.MaxPendingRequests ?? 0) < 0) return "max pending requests cannot be negative";
  return (limits.MaxConcurrentRequests ?? 0) < 0 ? "max concurrent requests cannot be negative" : null;
}

function destinationErrors({ Destination: destination }: ServiceDefaults): string[] {
  if (!destination) return [];
  const addresses = destination.Addresses ?? [];
  const errors = addresses.length === 0 ? ["Destination must contain at least one valid address"] : [];
  const seen = new Set<string>();
  for (const address of addresses) {
    if (seen.has(address)) {
      errors.push(`Duplicate address '${address}' is not allowed`);
    } else if (!isDomainName(address) || address.includes("*")) {
      const why = `Could not validate address ${address} as an IP or Hostname`;
      errors.push(`Destination address '${address}' is invalid ${why}`);
    }
    seen.add(address);
  }
  if (destination.Port < 1 || destination.Port > 65535) errors.push(`Invalid Port number ${destination.Port}`);
  return errors;
}

const GLOBAL = "global";
/** So that its path fits a socket's address, with the file's name behind it. */
const SOCKET_DIRECTORY_MAX = 70;

const proxySchema = entryOf({
  Config: anyMap,
  Mode: opt(text),
  TransparentProxy: transparentProxy,
  MutualTLSMode: opt(text),
  MeshGateway: meshGateway,
  Expose: expose,
  AccessLogs: struct({
    Enabled: opt(bool),
    DisableListenerLogs: opt(bool),
    Type: opt(text),
    Path: opt(text),
    JSONFormat: opt(text),
    TextFormat: opt(text),
  }),
  EnvoyExtensions: opt(envoyExtensions),
  FailoverPolicy: opt(pointer(failoverPolicy)),
  PrioritizeByLocality: opt(pointer(prioritizeByLocality)),
});
type ProxyDefaults = Typed<typeof proxySchema>;

export const proxyDefaults = configKind({
  name: "proxy-defaults",
  ruleKind: "defaults",
  only: { entryName: GLOBAL, ruleName: ANY },
  schema: proxySchema,
  read: freely,
  write: meshWrite,
  normalize(entry) {
    if (entry.Name !== "" && entry.Name !== GLOBAL) {
      throw refused(`invalid name (${JSON.stringify(entry.Name)}), only "${GLOBAL}" is supported`);
    }
    entry.Name = GLOBAL;
    protocolOf(entry);
  },
  validate(entry) {
    assertAccessLogs(entry);
    assertMeta(entry.Meta);
    const directory = entry.Config?.["envoy_hcp_metrics_bind_socket_dir"];
    if (typeof directory === "string" && directory.length > SOCKET_DIRECTORY_MAX) {
      const lengths = `length ${directory.length} exceeds max ${SOCKET_DIRECTORY_MAX}`;
      throw refused(`Config: envoy_hcp_metrics_bind_socket_dir ${lengths}`);
    }
    const errors = extensionErrors(entry.EnvoyExtensions);
    if (errors.length > 0) throw refused(multiError(errors));
    assertFailoverPolicy(entry.FailoverPolicy);
    assertNoLocality(entry.PrioritizeByLocality);
    assertTlsMode(entry.MutualTLSMode);
  },
  specOf: (entry): DefaultsSpec => ({
    protocol: protocolOf(entry),
    externalName: "",
    meshGateway: meshGatewayMode(entry.MeshGateway),
    dialedDirectly: entry.TransparentProxy.DialedDirectly,
    permissiveTls: entry.MutualTLSMode === "permissive",
    connectionsMax: null,
    connectTimeoutMs: null,
    requestTimeoutMs: null,
    upstreams: { defaults: null, overrides: [] },
    destination: null,
    failoverPolicy: policyOf(entry.FailoverPolicy),
  }),
});

/** It is one of the proxies' free settings, whose names match in any case. */
function protocolOf({ Config }: ProxyDefaults): string {
  const given = Object.entries(Config ?? {}).find(([name]) => name.toLowerCase() === "protocol")?.[1];
  const issues = { unused: [], errors: [] as string[] };
  const protocol = text.decode(given, "protocol", issues);
  if (issues.errors.length > 0) throw refused(`1 error(s) decoding:\n\n* ${issues.errors[0]}`);
  return protocol.toLowerCase();
}

function assertAccessLogs({ AccessLogs: logs }: ProxyDefaults): void {
  const isFile = logs.Type === "file";
  if (!["", "stderr", "stdout", "file"].includes(logs.Type)) throw refused(`invalid access log type: ${logs.Type}`);
  if (isFile && logs.Path === "") throw refused("path must be specified when using file type access logs");
  if (logs.JSONFormat !== "" && logs.TextFormat !== "") {
    throw refused("cannot specify both access log JSONFormat and TextFormat");
  }
  if (!isFile && logs.Path !== "") throw refused("path is only valid for file type access logs");
  if (logs.JSONFormat === "") return;
  try {
    JSON.parse(logs.JSONFormat);
  } catch {
    throw refused("invalid access log json for JSON format: invalid character in the text");
  }
}
