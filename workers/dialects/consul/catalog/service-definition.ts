/**
 * What services have in common, whether an agent's client or the catalog's registers them: what may be wrong with them,
 * and the instance that they are.
 *
 * Source: Consul 1.21, `NodeService.Validate`, `structs.ValidateServiceMetadata`, `structs.ValidateWeights`.
 */
import type { InstanceSpec } from "../../../../objects/registry/spec.ts";
import { int, map, object, optional, text } from "../decode.ts";
import type { ProxyConfig, ServiceAddress, ServiceExtra } from "./extra.ts";
import { wrongWithProxy } from "./proxy.ts";
import { instanceIdOf } from "./service-id.ts";

export const weights = optional(object({ Passing: int, Warning: int }));
export const locality = optional(object({ Region: text, Zone: text }));
export const taggedAddresses = map(object({ Address: text, Port: int }));

/** A service as it was registered, defaults still to come. */
export interface ServiceRegistration {
  Kind: string;
  ID: string;
  Service: string;
  Tags: string[];
  Address: string;
  TaggedAddresses: Record<string, ServiceAddress>;
  Meta: Record<string, string>;
  Port: number;
  SocketPath: string;
  Weights: { Passing: number; Warning: number } | undefined;
  EnableTagOverride: boolean;
  Locality: { Region: string; Zone: string } | undefined;
  Proxy: ProxyConfig;
  isNative: boolean;
}

const PROXY_KIND = "connect-proxy";
const GATEWAY_KINDS = new Set(["mesh-gateway", "terminating-gateway", "ingress-gateway", "api-gateway"]);
const META_PAIRS_MAX = 64;
const META_KEY = /^[a-zA-Z0-9_-]+$/;
const META_KEY_MAX = 128;
const META_VALUE_MAX = 512;
const RESERVED = "consul-";
const MESH_GATEWAY_META = "consul-wan-federation";
const WEIGHT_MAX = 65_535;

/** An address that means all of them is none. */
export const isAnyAddress = (address: string): boolean => ["0.0.0.0", "::", "[::]"].includes(address);

export function wrongWithWeights(given: ServiceRegistration["Weights"]): string | null {
  if (!given) return null;
  if (given.Passing < 1) return "Passing must be greater than 0";
  if (given.Warning < 0) return "Warning must be greater or equal than 0";
  if (Math.max(given.Passing, given.Warning) > WEIGHT_MAX) return "DNS Weight must be between 0 and 65535";
  return null;
}

export function wrongWithMeta(kind: string, meta: Record<string, string>): string | null {
  const pairs = Object.entries(meta);
  if (pairs.length > META_PAIRS_MAX) return `Node metadata cannot contain more than ${META_PAIRS_MAX} key/value pairs`;
  for (const [key, value] of pairs) {
    const wrong = wrongWithPair(kind, key, value);
    if (wrong !== null) return `Couldn't load metadata pair ('${key}', '${value}'): ${wrong}`;
  }
  return null;
}

function wrongWithPair(kind: string, key: string, value: string): string | null {
  if (key === "") return "Key cannot be blank";
  if (!META_KEY.test(key)) return "Key contains invalid characters";
  if (key.length > META_KEY_MAX) return `Key is too long (limit: ${META_KEY_MAX} characters)`;
  if (key.startsWith(RESERVED) && !(kind === "mesh-gateway" && key === MESH_GATEWAY_META)) {
    return `Key prefix '${RESERVED}' is reserved for internal use`;
  }
  if (value.length > META_VALUE_MAX) return `Value is too long (limit: ${META_VALUE_MAX} characters)`;
  return null;
}

/** `isAgents`: a port may still be given to it. */
export function wrongWithService(service: ServiceRegistration, hasSidecar: boolean, isAgents = false): string[] {
  const { Kind: kind, Proxy: proxy, Port: port, SocketPath: path } = service;
  const wrong: string[] = [];
  if (service.Locality && service.Locality.Region === "" && service.Locality.Zone !== "") {
    wrong.push("zone cannot be set without region");
  }
  if (kind === PROXY_KIND) {
    if (!isAgents && port === 0 && path === "") wrong.push(`Port or SocketPath must be set for a ${kind}`);
    wrong.push(...wrongWithProxy(proxy));
    if (service.isNative) wrong.push("A Proxy cannot also be Connect Native, only typical services");
  } else if (GATEWAY_KINDS.has(kind)) {
    wrong.push(...wrongWithGateway(service, hasSidecar));
  }
  if (service.isNative && port === 0 && path === "") {
    wrong.push("Port or SocketPath must be set for a Connect native service.");
  }
  return wrong;
}

function wrongWithGateway(
  { Kind: kind, Port: port, Proxy: proxy }: ServiceRegistration,
  hasSidecar: boolean,
): string[] {
  const wrong: string[] = [];
  if (port === 0 && kind !== "ingress-gateway" && kind !== "api-gateway")
    wrong.push(`Port must be non-zero for a ${kind}`);
  if (hasSidecar) wrong.push(`A ${kind} cannot have a sidecar service defined`);
  const invalid = [
    "DestinationServiceName",
    "DestinationServiceID",
    "LocalServiceAddress",
    "LocalServicePort",
    "LocalServiceSocketPath",
    "Upstreams",
  ] as const;
  for (const field of invalid) {
    if (proxy[field] !== undefined) wrong.push(`The Proxy.${field} configuration is invalid for a ${kind}`);
  }
  return wrong;
}

/** `nodeAddress` is what it has when it gives none of its own. */
export function instanceSpec(service: ServiceRegistration, node: string, nodeAddress: string): InstanceSpec {
  const { Passing: weight = 1, Warning: warningWeight = 1 } = service.Weights ?? {};
  const inheritsAddress = service.Address === "";
  const destination = service.Kind === PROXY_KIND ? service.Proxy.DestinationServiceName : undefined;
  const meshFor = service.isNative ? service.Service : destination || undefined;
  const hasTagged = Object.keys(service.TaggedAddresses).length > 0;
  const extra: ServiceExtra = {
    ...(service.Kind !== "" && { Kind: service.Kind }),
    ...(hasTagged && { TaggedAddresses: service.TaggedAddresses }),
    ...(service.EnableTagOverride && { EnableTagOverride: true }),
    ...(service.SocketPath !== "" && { SocketPath: service.SocketPath }),
    ...(Object.keys(service.Proxy).length > 0 && { Proxy: service.Proxy }),
    ...(service.isNative && { Connect: { Native: true } }),
  };
  return {
    service: service.Service,
    id: instanceIdOf(service.ID || service.Service, node),
    node,
    address: inheritsAddress ? nodeAddress : service.Address,
    inheritsAddress,
    ports: service.Port === 0 ? {} : { default: service.Port },
    weight,
    ...(warningWeight !== weight && { warningWeight }),
    ...(meshFor !== undefined && { meshFor }),
    tags: service.Tags,
    meta: service.Meta,
    locality: { region: service.Locality?.Region, zone: service.Locality?.Zone },
    extra: { consul: extra },
  };
}
