/**
 * The part of a service's definition that is about its place in the mesh: decoded from either spelling, and kept without
 * what says nothing.
 *
 * Source: Consul 1.21, `structs.ConnectProxyConfig`, `structs.Upstream`, `structs.ExposeConfig`.
 */
import type { Decoder } from "../decode.ts";
import { anything, bool, int, list, map, object, text } from "../decode.ts";
import type { ProxyConfig } from "./extra.ts";

const meshGateway = object({ Mode: text });

const upstream = object(
  {
    DestinationType: text,
    DestinationNamespace: text,
    DestinationPartition: text,
    DestinationPeer: text,
    DestinationName: text,
    Datacenter: text,
    LocalBindAddress: text,
    LocalBindPort: int,
    LocalBindSocketPath: text,
    LocalBindSocketMode: text,
    Config: map(anything),
    MeshGateway: meshGateway,
    CentrallyConfigured: bool,
  },
  {
    aliases: {
      destination_type: "DestinationType",
      destination_namespace: "DestinationNamespace",
      destination_partition: "DestinationPartition",
      destination_peer: "DestinationPeer",
      destination_name: "DestinationName",
      local_bind_address: "LocalBindAddress",
      local_bind_port: "LocalBindPort",
      local_bind_socket_path: "LocalBindSocketPath",
      local_bind_socket_mode: "LocalBindSocketMode",
      mesh_gateway: "MeshGateway",
    },
  },
);

const exposePath = object(
  { ListenerPort: int, Path: text, LocalPathPort: int, Protocol: text, ParsedFromCheck: bool },
  {
    aliases: {
      listener_port: "ListenerPort",
      local_path_port: "LocalPathPort",
      parsed_from_check: "ParsedFromCheck",
    },
  },
);

const proxy = object(
  {
    DestinationServiceName: text,
    DestinationServiceID: text,
    LocalServiceAddress: text,
    LocalServicePort: int,
    LocalServiceSocketPath: text,
    Mode: text,
    MutualTLSMode: text,
    Config: map(anything),
    Upstreams: list(upstream),
    MeshGateway: meshGateway,
    Expose: object({ Checks: bool, Paths: list(exposePath) }),
    TransparentProxy: object(
      { OutboundListenerPort: int, DialedDirectly: bool },
      { aliases: { outbound_listener_port: "OutboundListenerPort", dialed_directly: "DialedDirectly" } },
    ),
    AccessLogs: object(
      {
        Enabled: bool,
        DisableListenerLogs: bool,
        Type: text,
        Path: text,
        JSONFormat: text,
        TextFormat: text,
      },
      {
        aliases: { disable_listener_logs: "DisableListenerLogs", json_format: "JSONFormat", text_format: "TextFormat" },
      },
    ),
    EnvoyExtensions: list(map(anything)),
  },
  {
    aliases: {
      destination_service_name: "DestinationServiceName",
      destination_service_id: "DestinationServiceID",
      local_service_address: "LocalServiceAddress",
      local_service_port: "LocalServicePort",
      local_service_socket_path: "LocalServiceSocketPath",
      mutual_tls_mode: "MutualTLSMode",
      mesh_gateway: "MeshGateway",
      transparent_proxy: "TransparentProxy",
      access_logs: "AccessLogs",
      envoy_extensions: "EnvoyExtensions",
    },
  },
);

export const proxyConfig: Decoder<ProxyConfig> = {
  decode: (value, path) => {
    const { Upstreams: upstreams, Expose: expose, Config: config, ...rest } = proxy.decode(value, path);
    return {
      ...compact({
        ...rest,
        MeshGateway: compact(rest.MeshGateway),
        TransparentProxy: compact(rest.TransparentProxy),
        AccessLogs: compact(rest.AccessLogs),
        Config: config,
        Expose: compact({ Checks: expose.Checks, Paths: expose.Paths.map(compact) }),
      }),
      ...(upstreams.length > 0 && {
        Upstreams: upstreams.map((item) => ({
          ...compact({ ...item, MeshGateway: compact(item.MeshGateway) }),
          DestinationType: item.DestinationType || "service",
          DestinationName: item.DestinationName,
        })),
      }),
    };
  },
  zero: () => ({}),
};

/** Without the fields that have their zero value. */
function compact<T extends object>(fields: T): Partial<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => !isZero(value))) as Partial<T>;
}

function isZero(value: unknown): boolean {
  if (value === undefined || value === null || value === "" || value === 0 || value === false) return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}

const MODES = new Set(["", "none", "local", "remote"]);

/** Everything that is wrong with the proxy of a sidecar or another proxy. Source: `NodeService.ValidateForAgent`. */
export function wrongWithProxy(config: ProxyConfig): string[] {
  const wrong: string[] = [];
  const { DestinationServiceName: destination = "" } = config;
  if (destination.trim() === "") {
    wrong.push("Proxy.DestinationServiceName must be non-empty for Connect proxy services");
  }
  if (destination === "*") {
    wrong.push("Proxy.DestinationServiceName must not be a wildcard for Connect proxy services");
  }
  if (!MODES.has(config.MeshGateway?.Mode ?? ""))
    wrong.push(`Invalid Mesh Gateway Mode: "${config.MeshGateway!.Mode}"`);
  wrong.push(...wrongWithUpstreams(config), ...wrongWithPaths(config));
  return wrong;
}

function wrongWithUpstreams({ Upstreams: upstreams = [] }: ProxyConfig): string[] {
  const wrong: string[] = [];
  const addresses = new Set<string>();
  for (const item of upstreams) {
    const { DestinationName: name, LocalBindPort: port = 0, LocalBindSocketPath: path = "" } = item;
    const type = item.DestinationType ?? "";
    const address = path !== "" ? path : `${item.LocalBindAddress ?? "127.0.0.1"}:${port}`;
    if (!["", "service", "prepared_query"].includes(type)) wrong.push(`unknown upstream destination type: "${type}"`);
    else if (name === "") wrong.push("upstream destination name cannot be empty");
    else if (name === "*") wrong.push("upstream destination name cannot be a wildcard");
    else if (item.DestinationPeer && item.Datacenter) {
      wrong.push("upstream cannot specify both destination peer and datacenter");
    } else if (port === 0 && path === "") {
      wrong.push("upstream local bind port or local socket path must be defined and nonzero");
    } else if (port !== 0 && path !== "") {
      wrong.push("only one of upstream local bind port or local socket path can be defined and nonzero");
    } else if (addresses.has(address)) {
      wrong.push(
        `upstreams cannot contain duplicates by local bind address and port or unix path; "${address}" is specified twice`,
      );
    }
    addresses.add(address);
  }
  return wrong;
}

function wrongWithPaths({ Expose: expose = {} }: ProxyConfig): string[] {
  const wrong: string[] = [];
  const ports = new Set<number>();
  for (const path of expose.Paths ?? []) {
    const port = Number(path["ListenerPort"] ?? 0);
    const protocol = String(path["Protocol"] ?? "").toLowerCase();
    if (!path["Path"]) wrong.push("expose.paths: empty path exposed");
    if (ports.has(port)) wrong.push("expose.paths: duplicate listener ports exposed");
    ports.add(port);
    if (port <= 0 || port > 65_535) wrong.push(`expose.paths: invalid listener port: ${port}`);
    if (!["", "http", "http2"].includes(protocol)) {
      wrong.push(`protocol '${protocol}' not supported for path: ${String(path["Path"])}, must be in: [http http2]`);
    }
  }
  return wrong;
}
