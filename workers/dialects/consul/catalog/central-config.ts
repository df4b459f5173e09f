/**
 * `?merge-central-config`: proxies and gateways with what the config entries `proxy-defaults` and `service-defaults` add to
 * their own definitions. What an instance says itself stays.
 *
 * Source: Consul 1.21, `configentry.MergeServiceConfig`, `ComputeResolvedServiceConfig`, without upstreams' defaults.
 */
import type { RegisteredInstance } from "../../../../objects/model.ts";
import { ANY } from "../../../../objects/rules/model.ts";
import { contentOf } from "../config/entry.ts";
import type { Exchange } from "../exchange.ts";
import type { ProxyConfig, ServiceExtra } from "./extra.ts";
import { consulExtraOf } from "./extra.ts";

/** Of either entry, as far as proxies have it. */
interface Defaults {
  Config?: Record<string, unknown> | null;
  Protocol?: string;
  MaxInboundConnections?: number;
  LocalConnectTimeoutMs?: number;
  LocalRequestTimeoutMs?: number;
  BalanceInboundConnections?: string;
  Mode?: string;
  MeshGateway?: { Mode?: string };
  Expose?: { Checks?: boolean; Paths?: Record<string, unknown>[] | null };
  TransparentProxy?: { OutboundListenerPort?: number; DialedDirectly?: boolean };
  AccessLogs?: Record<string, unknown>;
  EnvoyExtensions?: Record<string, unknown>[] | null;
}

/** Settings of a service that a proxy has among its opaque ones. */
const OPAQUE = {
  Protocol: "protocol",
  MaxInboundConnections: "max_inbound_connections",
  LocalConnectTimeoutMs: "local_connect_timeout_ms",
  LocalRequestTimeoutMs: "local_request_timeout_ms",
  BalanceInboundConnections: "balance_inbound_connections",
} as const;

/** The service whose settings a proxy has. */
const settingsName = (instance: RegisteredInstance): string =>
  consulExtraOf(instance)?.Proxy?.DestinationServiceName || instance.service;

const isProxy = (instance: RegisteredInstance): boolean => (consulExtraOf(instance)?.Kind ?? "") !== "";

/** Ordinary services are as they are. */
export async function withCentralConfig(
  { primary }: Exchange,
  instances: readonly RegisteredInstance[],
): Promise<RegisteredInstance[]> {
  const names = new Set([ANY, ...instances.filter(isProxy).map(settingsName)]);
  const found = await Promise.all(
    [...names].map(async (name) => {
      const { value: rule } = await primary.client.query("rule.get", { kind: "defaults", name });
      return [name, (rule ? contentOf(rule) : {}) as Defaults] as const;
    }),
  );
  const defaults = new Map(found);
  return instances.map((instance) => {
    if (!isProxy(instance)) return instance;
    const extra = consulExtraOf(instance)!;
    const proxy = merged(extra.Proxy ?? {}, defaults.get(settingsName(instance))!, defaults.get(ANY)!);
    const merge: ServiceExtra = { ...extra, Proxy: proxy };
    return { ...instance, extra: { ...instance.extra, consul: merge } };
  });
}

function merged(own: ProxyConfig, service: Defaults, global: Defaults): ProxyConfig {
  const opaque = Object.entries(OPAQUE).flatMap(([field, name]) => {
    const value = service[field as keyof typeof OPAQUE];
    return value ? [[name, value] as const] : [];
  });
  const config = { ...global.Config, ...Object.fromEntries(opaque), ...own.Config };
  const mode = own.Mode || service.Mode || global.Mode;
  const gateway = own.MeshGateway?.Mode || service.MeshGateway?.Mode || global.MeshGateway?.Mode;
  const transparent = { ...global.TransparentProxy, ...service.TransparentProxy, ...own.TransparentProxy };
  const logs = { ...global.AccessLogs, ...own.AccessLogs };
  const extensions = [...(global.EnvoyExtensions ?? []), ...(service.EnvoyExtensions ?? [])];
  const exposed = [own.Expose, service.Expose, global.Expose];
  const paths = exposed.find((expose) => (expose?.Paths?.length ?? 0) > 0)?.Paths;
  const exposesChecks = exposed.some((expose) => expose?.Checks);
  return {
    ...own,
    ...(Object.keys(config).length > 0 && { Config: config }),
    ...(mode && { Mode: mode }),
    ...(gateway && { MeshGateway: { Mode: gateway } }),
    ...(Object.keys(transparent).length > 0 && { TransparentProxy: transparent }),
    ...(Object.keys(logs).length > 0 && { AccessLogs: logs }),
    ...(extensions.length > 0 && { EnvoyExtensions: extensions }),
    ...((paths || exposesChecks) && {
      Expose: { ...(exposesChecks && { Checks: true }), ...(paths && { Paths: paths }) },
    }),
  };
}
