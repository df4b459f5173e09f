/**
 * An instance in the three forms that Consul shows services in: of the catalog (`ServiceNode`), below a node
 * (`NodeService`), and of an agent (`AgentService`).
 *
 * Source: Consul 1.21, `structs.ServiceNode`, `structs.NodeService`, `api.AgentService`.
 */
import type { RegisteredInstance, RegisteredNode } from "../../../objects/model.ts";
import { portOf } from "../../../objects/model.ts";
import type { Place } from "./catalog/agent-node.ts";
import { consulExtraOf } from "./catalog/extra.ts";
import type { ProxyConfig, ServiceAddress, ServiceExtra, Upstream } from "./catalog/extra.ts";
import { serviceIdOf } from "./catalog/service-id.ts";
import type { LocalityEntry } from "./encode-node.ts";
import { locality, localityEntry } from "./encode-node.ts";

export interface Weights {
  Passing: number;
  Warning: number;
}

const NOTHING: ServiceExtra = {};

const extraOf = (instance: RegisteredInstance): ServiceExtra => consulExtraOf(instance) ?? NOTHING;

/** Its own address; one that follows its node's is not told. */
export const serviceAddress = (instance: RegisteredInstance): string =>
  instance.inheritsAddress ? "" : instance.address;

const weights = ({ weight, warningWeight = weight }: RegisteredInstance): Weights => ({
  Passing: weight,
  Warning: warningWeight,
});

const VIRTUAL = "consul-virtual";

/** Those it was registered with, and the virtual one of the service that the mesh reaches through it. */
function taggedAddresses(
  instance: RegisteredInstance,
  { TaggedAddresses: registered }: ServiceExtra,
): Record<string, ServiceAddress> | undefined {
  if (instance.virtualIp === undefined) return registered;
  return { ...registered, [VIRTUAL]: { Address: instance.virtualIp, Port: portOf(instance) ?? 0 } };
}

export interface ServiceNodeEntry {
  ID: string;
  Node: string;
  Address: string;
  Datacenter: string;
  TaggedAddresses: Record<string, string>;
  NodeMeta: Record<string, string>;
  ServiceKind: string;
  ServiceID: string;
  ServiceName: string;
  ServiceTags: string[];
  ServiceAddress: string;
  ServiceTaggedAddresses?: Record<string, ServiceAddress>;
  ServiceWeights: Weights;
  ServiceMeta: Record<string, string>;
  ServicePort: number;
  ServiceSocketPath: string;
  ServiceEnableTagOverride: boolean;
  ServiceProxy: object;
  ServiceConnect: { Native?: boolean };
  ServiceLocality: LocalityEntry | null;
  CreateIndex: number;
  ModifyIndex: number;
}

export function serviceNodeEntry(
  instance: RegisteredInstance,
  node: RegisteredNode,
  { datacenter }: Pick<Place, "datacenter">,
): ServiceNodeEntry {
  const extra = extraOf(instance);
  const tagged = taggedAddresses(instance, extra);
  return {
    ID: node.id,
    Node: node.name,
    Address: node.address,
    Datacenter: datacenter,
    TaggedAddresses: node.addresses,
    NodeMeta: node.meta,
    ServiceKind: extra.Kind ?? "",
    ServiceID: serviceIdOf(instance),
    ServiceName: instance.service,
    ServiceTags: instance.tags,
    ServiceAddress: serviceAddress(instance),
    ...(tagged && { ServiceTaggedAddresses: tagged }),
    ServiceWeights: weights(instance),
    ServiceMeta: instance.meta,
    ServicePort: portOf(instance) ?? 0,
    ServiceSocketPath: extra.SocketPath ?? "",
    ServiceEnableTagOverride: extra.EnableTagOverride ?? false,
    ServiceProxy: catalogProxy(extra.Proxy),
    ServiceConnect: extra.Connect ?? {},
    ServiceLocality: localityEntry(instance.locality),
    CreateIndex: instance.createRevision,
    ModifyIndex: instance.modRevision,
  };
}

export interface NodeServiceEntry {
  Kind?: string;
  ID: string;
  Service: string;
  Tags: string[];
  Address: string;
  TaggedAddresses?: Record<string, ServiceAddress>;
  Meta: Record<string, string>;
  Port: number;
  SocketPath?: string;
  Weights: Weights;
  EnableTagOverride: boolean;
  Locality?: LocalityEntry;
  Proxy: object;
  Connect: { Native?: boolean };
  PeerName: string;
  CreateIndex: number;
  ModifyIndex: number;
}

export function nodeServiceEntry(instance: RegisteredInstance): NodeServiceEntry {
  const extra = extraOf(instance);
  const tagged = taggedAddresses(instance, extra);
  return {
    ...(extra.Kind && { Kind: extra.Kind }),
    ID: serviceIdOf(instance),
    Service: instance.service,
    Tags: instance.tags,
    Address: serviceAddress(instance),
    ...(tagged && { TaggedAddresses: tagged }),
    Meta: instance.meta,
    Port: portOf(instance) ?? 0,
    ...(extra.SocketPath && { SocketPath: extra.SocketPath }),
    Weights: weights(instance),
    EnableTagOverride: extra.EnableTagOverride ?? false,
    ...locality(instance),
    Proxy: catalogProxy(extra.Proxy),
    Connect: extra.Connect ?? {},
    PeerName: "",
    CreateIndex: instance.createRevision,
    ModifyIndex: instance.modRevision,
  };
}

export interface AgentServiceEntry {
  Kind?: string;
  ID: string;
  Service: string;
  Tags: string[];
  Meta: Record<string, string>;
  Port: number;
  Address: string;
  SocketPath?: string;
  TaggedAddresses?: Record<string, ServiceAddress>;
  Weights: Weights;
  EnableTagOverride: boolean;
  Proxy?: object;
  Connect?: { Native: true };
  Datacenter: string;
  Locality?: LocalityEntry;
}

export function agentServiceEntry(
  instance: RegisteredInstance,
  { datacenter }: Pick<Place, "datacenter">,
): AgentServiceEntry {
  const extra = extraOf(instance);
  const tagged = taggedAddresses(instance, extra);
  return {
    ...(extra.Kind && { Kind: extra.Kind }),
    ID: serviceIdOf(instance),
    Service: instance.service,
    Tags: instance.tags,
    Meta: instance.meta,
    Port: portOf(instance) ?? 0,
    Address: serviceAddress(instance),
    ...(extra.SocketPath && { SocketPath: extra.SocketPath }),
    ...(tagged && { TaggedAddresses: tagged }),
    Weights: weights(instance),
    EnableTagOverride: extra.EnableTagOverride ?? false,
    ...(extra.Kind && { Proxy: agentProxy(extra.Proxy) }),
    ...(extra.Connect?.Native && { Connect: { Native: true } }),
    Datacenter: datacenter,
    ...locality(instance),
  };
}

/** Everything has one in the catalog, and some fields are there even when they say nothing. */
function catalogProxy({ Upstreams: upstreams, ...proxy }: ProxyConfig = {}): object {
  return {
    ...proxy,
    Mode: proxy.Mode ?? "",
    ...(upstreams && { Upstreams: upstreams.map(catalogUpstream) }),
    MeshGateway: proxy.MeshGateway ?? {},
    Expose: proxy.Expose ?? {},
  };
}

const catalogUpstream = (upstream: Upstream): object => ({
  ...upstream,
  DestinationType: upstream.DestinationType ?? "",
  Datacenter: upstream.Datacenter ?? "",
  MeshGateway: upstream.MeshGateway ?? {},
});

function agentProxy({ Upstreams: upstreams, ...proxy }: ProxyConfig = {}): object {
  return {
    ...proxy,
    ...(upstreams && {
      Upstreams: upstreams.map((upstream) => ({ ...upstream, MeshGateway: upstream.MeshGateway ?? {} })),
    }),
    MeshGateway: proxy.MeshGateway ?? {},
    Expose: proxy.Expose ?? {},
  };
}
