/**
 * What can be filtered in Consul, and by which fields: one schema for each kind of value that an endpoint lists.
 *
 *     CHECK_SERVICE_NODE   health/service, health/connect, health/ingress, internal/ui/services, subsets of a resolver
 *     HEALTH_CHECK         health/node, health/checks, health/state, agent/checks
 *     NODE                 catalog/nodes
 *     SERVICE_NODE         catalog/service, catalog/connect, catalog/services
 *     NODE_SERVICE         catalog/node, catalog/node-services, agent/services
 *     NODE_INFO            internal/ui/nodes
 *     MEMBER               agent/members
 *     INTENTION            connect/intentions
 *     SERVICE_DEFAULTS     config/service-defaults; Consul filters no other kind of config entry
 *     …_IDENTITY           what the selectors of ACL binding rules see, by type of auth method
 *
 * What is not listed cannot be selected: definitions, indexes, namespaces, localities, opaque configuration. Lists of
 * ACL tokens, policies, roles, auth methods and binding rules have no filter; Consul ignores theirs.
 *
 * Source: the field configurations that go-bexpr 0.1.2 derives from the types of Consul 1.21.
 */
import { BOOL, INT, list, map, STRING, struct, uint } from "./schema.ts";

/** Fields that exist and answer to no operator. */
const OPAQUE = struct({});

const MESH_GATEWAY = struct({ Mode: STRING });
const TRANSPARENT_PROXY = struct({ OutboundListenerPort: INT, DialedDirectly: BOOL });
const WEIGHTS = struct({ Passing: INT, Warning: INT });
const CONNECT = struct({ Native: BOOL });
const TAGGED_ADDRESSES = map(struct({ Address: STRING, Port: INT }));

const EXPOSE = struct({
  Checks: BOOL,
  Paths: list(struct({ ListenerPort: INT, Path: STRING, LocalPathPort: INT, Protocol: STRING, ParsedFromCheck: BOOL })),
});

const ENVOY_EXTENSIONS = list(struct({ Name: STRING, Required: BOOL, ConsulVersion: STRING, EnvoyVersion: STRING }));

const UPSTREAM = struct({
  DestinationType: STRING,
  DestinationNamespace: STRING,
  DestinationPartition: STRING,
  DestinationPeer: STRING,
  DestinationName: STRING,
  Datacenter: STRING,
  LocalBindAddress: STRING,
  LocalBindPort: INT,
  LocalBindSocketPath: STRING,
  LocalBindSocketMode: STRING,
  MeshGateway: MESH_GATEWAY,
});

const PROXY = struct({
  DestinationServiceName: STRING,
  DestinationServiceID: STRING,
  LocalServiceAddress: STRING,
  LocalServicePort: INT,
  LocalServiceSocketPath: STRING,
  Mode: STRING,
  Upstreams: list(UPSTREAM),
  MeshGateway: MESH_GATEWAY,
  Expose: EXPOSE,
  TransparentProxy: TRANSPARENT_PROXY,
  AccessLogs: struct({
    Enabled: BOOL,
    DisableListenerLogs: BOOL,
    Type: STRING,
    Path: STRING,
    JSONFormat: STRING,
    TextFormat: STRING,
  }),
  EnvoyExtensions: ENVOY_EXTENSIONS,
});

export const HEALTH_CHECK = struct({
  Node: STRING,
  CheckID: STRING,
  Name: STRING,
  Status: STRING,
  Notes: STRING,
  Output: STRING,
  ServiceID: STRING,
  ServiceName: STRING,
  ServiceTags: list(STRING),
  Type: STRING,
  Interval: STRING,
  Timeout: STRING,
  ExposedPort: INT,
  PeerName: STRING,
});

export const NODE = struct({
  ID: STRING,
  Node: STRING,
  Address: STRING,
  Datacenter: STRING,
  Partition: STRING,
  PeerName: STRING,
  TaggedAddresses: map(STRING),
  Meta: map(STRING),
});

export const NODE_SERVICE = struct({
  Kind: STRING,
  ID: STRING,
  Service: STRING,
  Tags: list(STRING),
  Address: STRING,
  TaggedAddresses: TAGGED_ADDRESSES,
  Meta: map(STRING),
  Port: INT,
  SocketPath: STRING,
  Weights: WEIGHTS,
  EnableTagOverride: BOOL,
  Proxy: PROXY,
  Connect: CONNECT,
  PeerName: STRING,
});

export const SERVICE_NODE = struct({
  ID: STRING,
  Node: STRING,
  Address: STRING,
  Datacenter: STRING,
  TaggedAddresses: map(STRING),
  NodeMeta: map(STRING),
  ServiceKind: STRING,
  ServiceID: STRING,
  ServiceName: STRING,
  ServiceTags: list(STRING),
  ServiceAddress: STRING,
  ServiceTaggedAddresses: TAGGED_ADDRESSES,
  ServiceWeights: WEIGHTS,
  ServiceMeta: map(STRING),
  ServicePort: INT,
  ServiceSocketPath: STRING,
  ServiceEnableTagOverride: BOOL,
  ServiceProxy: PROXY,
  ServiceConnect: CONNECT,
  PeerName: STRING,
});

export const CHECK_SERVICE_NODE = struct({
  Node: NODE,
  Service: NODE_SERVICE,
  Checks: list(HEALTH_CHECK),
});

export const NODE_INFO = struct({
  ID: STRING,
  Node: STRING,
  Partition: STRING,
  PeerName: STRING,
  Address: STRING,
  TaggedAddresses: map(STRING),
  Meta: map(STRING),
  Services: list(NODE_SERVICE),
  Checks: list(HEALTH_CHECK),
});

export const MEMBER = struct({
  Name: STRING,
  // In Consul the bytes of an address, which compare with nothing that one would write.
  Addr: OPAQUE,
  Port: uint(16),
  Tags: map(STRING),
  Status: INT,
  ProtocolMin: uint(8),
  ProtocolMax: uint(8),
  ProtocolCur: uint(8),
  DelegateMin: uint(8),
  DelegateMax: uint(8),
  DelegateCur: uint(8),
});

export const INTENTION = struct({
  ID: STRING,
  Description: STRING,
  SourcePeer: STRING,
  SourceSamenessGroup: STRING,
  SourcePartition: STRING,
  SourceNS: STRING,
  SourceName: STRING,
  DestinationPartition: STRING,
  DestinationNS: STRING,
  DestinationName: STRING,
  SourceType: STRING,
  Action: STRING,
  Precedence: INT,
  Meta: map(STRING),
});

const UPSTREAM_DEFAULTS = struct({
  Name: STRING,
  EnterpriseMeta: OPAQUE,
  Peer: STRING,
  EnvoyListenerJSON: STRING,
  EnvoyClusterJSON: STRING,
  Protocol: STRING,
  ConnectTimeoutMs: INT,
  Limits: struct({ MaxConnections: INT, MaxPendingRequests: INT, MaxConcurrentRequests: INT }),
  // Durations are nanoseconds.
  PassiveHealthCheck: struct({
    Interval: INT,
    MaxFailures: uint(32),
    EnforcingConsecutive5xx: uint(32),
    MaxEjectionPercent: uint(32),
    BaseEjectionTime: INT,
  }),
  MeshGateway: MESH_GATEWAY,
  BalanceOutboundConnections: STRING,
});

export const SERVICE_DEFAULTS = struct({
  Kind: STRING,
  Name: STRING,
  Protocol: STRING,
  Mode: STRING,
  TransparentProxy: TRANSPARENT_PROXY,
  MutualTLSMode: STRING,
  MeshGateway: MESH_GATEWAY,
  Expose: EXPOSE,
  ExternalSNI: STRING,
  UpstreamConfig: struct({ Overrides: list(UPSTREAM_DEFAULTS), Defaults: UPSTREAM_DEFAULTS }),
  Destination: struct({ Addresses: list(STRING), Port: INT }),
  MaxInboundConnections: INT,
  LocalConnectTimeoutMs: INT,
  LocalRequestTimeoutMs: INT,
  BalanceInboundConnections: STRING,
  RateLimits: struct({
    InstanceLevel: struct({
      RequestsPerSecond: INT,
      RequestsMaxBurst: INT,
      Routes: list(
        struct({
          PathExact: STRING,
          PathPrefix: STRING,
          PathRegex: STRING,
          RequestsPerSecond: INT,
          RequestsMaxBurst: INT,
        }),
      ),
    }),
  }),
  EnvoyExtensions: ENVOY_EXTENSIONS,
  Meta: map(STRING),
  Hash: uint(64),
  EnterpriseMeta: OPAQUE,
  RaftIndex: OPAQUE,
});

/** Auth methods `kubernetes`. */
export const KUBERNETES_IDENTITY = struct({
  serviceaccount: struct({ namespace: STRING, name: STRING, uid: STRING }),
});

/** Auth methods `jwt` and `oidc`: the claims that the method maps. */
export const JWT_IDENTITY = struct({ value: map(STRING), list: map(list(STRING)) });

/** Auth methods `aws-iam`. */
export const AWS_IDENTITY = struct({
  entity_name: STRING,
  entity_id: STRING,
  account_id: STRING,
  entity_path: STRING,
  entity_tags: map(STRING),
});
