/**
 * `?merge-central-config`: proxies and gateways with what the config entries `proxy-defaults` and `service-defaults` add to
 * their own definitions. What an instance says itself stays.
 *
 * Source: Consul 1.21, `configentry.MergeServiceConfig`, `ComputeResolvedServiceConfig`.
 */
import type { RegisteredInstance } from "../../../../objects/model.ts";
import { ANY } from "../../../../objects/rules/model.ts";
import { knownRules } from "../config/config.ts";
import { contentOf } from "../config/entry.ts";
import type { Exchange } from "../exchange.ts";
import type { ProxyConfig, ServiceExtra } from "./extra.ts";
import { consulExtraOf } from "./extra.ts";
import type { CallerDefaults } from "./upstream-config.ts";
import { calledServices, mergedUpstreams } from "./upstream-config.ts";

/** Of either entry, as far as proxies have it. */
interface Defaults extends CallerDefaults {
  MaxInboundConnections?: number;
  LocalConnectTimeoutMs?: number;
  LocalRequestTimeoutMs?: number;
  BalanceInboundConnections?: string;
  Mode?: string;
  MutualTLSMode?: string;
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

const proxyOf = (instance: RegisteredInstance): ProxyConfig => consulExtraOf(instance)?.Proxy ?? {};

const isProxy = (instance: RegisteredInstance): boolean => (consulExtraOf(instance)?.Kind ?? "") !== "";

/** Entries asked for one by one; more of them are quicker read with all the others. */
const NAMES_MAX = 32;

/** Entries by name; `*` is the one for all. */
class DefaultsByName {
  readonly #exchange: Exchange;
  readonly #known = new Map<string, Defaults>();

  constructor(exchange: Exchange) {
    this.#exchange = exchange;
  }

  async learn(names: Iterable<string>): Promise<void> {
    const unknown = [...new Set(names)].filter((name) => name !== "" && !this.#known.has(name));
    const { client } = this.#exchange.primary;
    const rules =
      unknown.length > NAMES_MAX
        ? await knownRules(this.#exchange, "defaults")
        : await Promise.all(
            unknown.map(async (name) => (await client.query("rule.get", { kind: "defaults", name })).value),
          );
    for (const name of unknown) this.#known.set(name, {});
    for (const rule of rules) if (rule) this.#known.set(rule.name, contentOf(rule));
  }

  /** Empty when there is none. */
  of(name: string): Defaults {
    return this.#known.get(name) ?? {};
  }
}

/** Ordinary services are as they are. */
export async function withCentralConfig(
  exchange: Exchange,
  instances: readonly RegisteredInstance[],
): Promise<RegisteredInstance[]> {
  const defaults = new DefaultsByName(exchange);
  const proxies = instances.filter(isProxy);
  await defaults.learn([ANY, ...proxies.map(settingsName)]);
  await defaults.learn(proxies.flatMap((proxy) => calledServices(proxyOf(proxy), defaults.of(settingsName(proxy)))));
  return instances.map((instance) => {
    if (!isProxy(instance)) return instance;
    const extra = consulExtraOf(instance)!;
    const [own, service, global] = [proxyOf(instance), defaults.of(settingsName(instance)), defaults.of(ANY)];
    const proxy = merged(own, service, global);
    const upstreams = mergedUpstreams({
      own,
      isTransparent: proxy.Mode === "transparent",
      service,
      global,
      protocolOf: (name) => defaults.of(name).Protocol ?? "",
    });
    const merge: ServiceExtra = {
      ...extra,
      Proxy: { ...proxy, ...(upstreams.length > 0 && { Upstreams: upstreams }) },
    };
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
  const tls = own.MutualTLSMode || service.MutualTLSMode || global.MutualTLSMode;
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
    ...(tls && { MutualTLSMode: tls }),
    ...(gateway && { MeshGateway: { Mode: gateway } }),
    ...(Object.keys(transparent).length > 0 && { TransparentProxy: transparent }),
    ...(Object.keys(logs).length > 0 && { AccessLogs: logs }),
    ...(extensions.length > 0 && { EnvoyExtensions: extensions }),
    ...((paths || exposesChecks) && {
      Expose: { ...(exposesChecks && { Checks: true }), ...(paths && { Paths: paths }) },
    }),
  };
}
