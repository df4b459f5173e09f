/** What only Consul knows of a service or a check: kept with the record, and given back to Consul's clients alone. */
import type { Check, Instance } from "../../../../objects/model.ts";

export interface ServiceAddress {
  Address: string;
  Port: number;
}

/** Of an instance. Absent fields have their zero value. */
export interface ServiceExtra {
  Kind?: string;
  TaggedAddresses?: Record<string, ServiceAddress>;
  EnableTagOverride?: boolean;
  SocketPath?: string;
  /** Fields that are not zero, by Go's names. */
  Proxy?: ProxyConfig;
  Connect?: { Native?: boolean };
  /** Registered in the definition of another service, and goes with it. */
  isSidecar?: boolean;
}

export interface Upstream {
  DestinationType?: string;
  DestinationNamespace?: string;
  DestinationPartition?: string;
  DestinationPeer?: string;
  DestinationName: string;
  Datacenter?: string;
  LocalBindAddress?: string;
  LocalBindPort?: number;
  LocalBindSocketPath?: string;
  LocalBindSocketMode?: string;
  Config?: Record<string, unknown>;
  MeshGateway?: { Mode?: string };
  /** Nobody registered it: config entries speak of it. */
  CentrallyConfigured?: boolean;
}

export interface ProxyConfig {
  DestinationServiceName?: string;
  DestinationServiceID?: string;
  LocalServiceAddress?: string;
  LocalServicePort?: number;
  LocalServiceSocketPath?: string;
  Mode?: string;
  MutualTLSMode?: string;
  Config?: Record<string, unknown>;
  Upstreams?: Upstream[];
  MeshGateway?: { Mode?: string };
  Expose?: { Checks?: boolean; Paths?: Record<string, unknown>[] };
  TransparentProxy?: { OutboundListenerPort?: number; DialedDirectly?: boolean };
  AccessLogs?: Record<string, unknown>;
  EnvoyExtensions?: Record<string, unknown>[];
}

/** Of a check, where it cannot be told from the check itself. */
export interface CheckExtra {
  Type?: string;
  Interval?: string;
  Timeout?: string;
  ExposedPort?: number;
  /** As its registration in the catalog told it. */
  Definition?: Record<string, unknown>;
}

/** Undefined for instances that Consul's clients did not register. */
export const consulExtraOf = ({ extra }: Pick<Instance, "extra">): ServiceExtra | undefined =>
  extra["consul"] as ServiceExtra | undefined;

export const checkExtraOf = ({ extra }: Pick<Check, "extra">): CheckExtra =>
  (extra?.["consul"] as CheckExtra | undefined) ?? {};
