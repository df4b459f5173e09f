/**
 * The registry's one model: what every dialect registers into and reads from.
 *
 * Durations are milliseconds (`…Ms`), instants epoch milliseconds (`…At`). Nothing here knows a wire format.
 */

/** Who asks. Established at the edge, carried by every command, recorded in the audit log. */
export interface Caller {
  /** `root`, `token:<accessor>`, `user:<name>`, `anonymous`, or Holdfast itself (`holdfast:prober`). */
  principal: string;
  /** The peer's address as the platform tells it, or "" when unknown. Never taken from a client's header. */
  source: string;
  /** The surface the request came through: `api`, `dns`, `consul`, … */
  dialect: string;
}

export interface Locality {
  region: string;
  zone: string;
  cluster: string;
}

/** `unknown`: the instance has no checks and no lease, so nobody vouches for it; it counts as healthy. */
export type HealthStatus = "passing" | "warning" | "critical" | "unknown";
export type AdminState = "up" | "draining" | "maintenance" | "out_of_service";
/** How an instance is reached: at its address, through an agent's tunnel, or through a gateway. */
export type Reach = "direct" | `tunnel:${string}` | `gateway:${string}`;

export interface CheckCommon {
  /** Unique within the instance, or the node. */
  id: string;
  name: string;
  /** For people. */
  notes: string;
  /** Consecutive results needed to turn passing, or critical. At least 1. */
  successThreshold: number;
  failureThreshold: number;
  /** Consecutive failures after which it is a warning already; at most `failureThreshold`. */
  warningThreshold: number;
  /** Deregister the instance after it has been critical this long; null = never. */
  deregisterAfterMs: number | null;
  /** Per dialect: what only that dialect knows of it. */
  extra?: Record<string, unknown>;
}

/** Pushed by the service: critical when no result arrived for `ttlMs`. */
export interface TtlCheck extends CheckCommon {
  type: "ttl";
  ttlMs: number;
}

/** Pulled: passing on 2xx, warning on 429, else critical. */
export interface HttpCheck extends CheckCommon {
  type: "http";
  url: string;
  method: string;
  headers: Record<string, string>;
  body: string;
  /** Redirects are followed, and the last answer is judged; else the redirect itself. */
  redirects: boolean;
  intervalMs: number;
  timeoutMs: number;
}

/** Pulled: passing when the connection opens. */
export interface TcpCheck extends CheckCommon {
  type: "tcp";
  host: string;
  port: number;
  /** It is open when the TLS handshake is done, with a certificate that is trusted. */
  tls: boolean;
  intervalMs: number;
  timeoutMs: number;
}

/** Run by an agent: a Worker cannot send datagrams. Passing unless the port is refused. */
export interface UdpCheck extends CheckCommon {
  type: "udp";
  host: string;
  port: number;
  intervalMs: number;
  timeoutMs: number;
}

/** Run by an agent: gRPC's health protocol (grpc.health.v1). Passing on SERVING. */
export interface GrpcCheck extends CheckCommon {
  type: "grpc";
  host: string;
  port: number;
  /** The service asked about; "" = the server. */
  grpcService: string;
  tls: boolean;
  /** Any certificate will do. */
  tlsSkipVerify: boolean;
  /** The name the certificate is for; "" = the host. */
  tlsServerName: string;
  intervalMs: number;
  timeoutMs: number;
}

/** Run by an agent: an HTTP/2 PING. */
export interface Http2Check extends CheckCommon {
  type: "h2ping";
  host: string;
  port: number;
  tls: boolean;
  tlsSkipVerify: boolean;
  tlsServerName: string;
  intervalMs: number;
  timeoutMs: number;
}

/** Run by an agent whose operator allows it: exit code 0 passes, 1 warns, others are critical. */
export interface ScriptCheck extends CheckCommon {
  type: "script";
  args: string[];
  intervalMs: number;
  timeoutMs: number;
}

/** As well as another instance and its node are. */
export interface AliasCheck extends CheckCommon {
  type: "alias";
  node: string;
  /** The instance's id; "" = the node alone. */
  instance: string;
}

/** What somebody else says; it stays until they say otherwise. */
export interface StatusCheck extends CheckCommon {
  type: "status";
}

/** Checks that the prober runs. */
export type PullCheck = HttpCheck | TcpCheck;
/** Checks that an agent beside the instance runs. */
export type AgentCheck = UdpCheck | GrpcCheck | Http2Check | ScriptCheck;
export type CheckDefinition = TtlCheck | PullCheck | AgentCheck | AliasCheck | StatusCheck;

export interface CheckState {
  status: HealthStatus;
  /** The last result's text, at most 4 KiB. */
  output: string;
  /** When `status` last changed. */
  sinceAt: number;
}

export type Check = CheckDefinition & CheckState;

export interface Instance {
  service: string;
  /** Unique within the service. */
  id: string;
  /** The machine it runs on; "" when not told. */
  node: string;
  /** An IP address or a host name. */
  address: string;
  /** Port by name; `default` is the one used when no name is asked for. May be empty (an address without ports). */
  ports: Record<string, number>;
  /** What the instance speaks: `http`, `https`, `grpc`, `tcp`. */
  protocol: string;
  /** 0 to 65535; 0 takes no traffic. */
  weight: number;
  tags: string[];
  meta: Record<string, string>;
  locality: Locality;
  /** Derived from the checks, its own and its node's: the worst of them. */
  status: HealthStatus;
  /** Derived from the checks of its node. */
  nodeStatus: HealthStatus;
  /** It gave no address of its own, and has its node's. */
  inheritsAddress: boolean;
  adminState: AdminState;
  /** True when it lives on a lease and goes with it. */
  ephemeral: boolean;
  /** Its address is never shown outside its namespace. */
  private: boolean;
  /** Its lease has lapsed, but self-preservation keeps it. */
  suspect: boolean;
  /** Time to live without a renewal; null = it lives until deregistered, or on a lease of its own. */
  ttlMs: number | null;
  /** When it was last registered: where its time to live begins, before any renewal. */
  renewedAt: number;
  checks: Check[];
  reach: Reach;
  /** The surface that registered it. */
  origin: string;
  /** Per dialect: what only that dialect knows, given back to it alone. */
  extra: Record<string, unknown>;
  registeredAt: number;
  /** Of an instance in warning; absent = `weight`. */
  warningWeight?: number;
  /**
   * The service that the mesh reaches through it: another one's where it is a proxy, its own where it speaks the mesh's
   * protocol itself. Absent = it is outside the mesh.
   */
  meshFor?: string;
  /** Derived: the virtual address of `meshFor`. */
  virtualIp?: string;
}

/** A machine, or whatever else instances run on. */
export interface Node {
  name: string;
  /** A UUID; "" when not told. */
  id: string;
  address: string;
  /** Further addresses by name: `lan`, `wan`, … */
  addresses: Record<string, string>;
  meta: Record<string, string>;
  locality: Locality;
  /** The worst of its checks; `passing` without any. */
  status: HealthStatus;
  checks: Check[];
  /** Nobody registered it: it is known by its instances, and goes with the last of them. */
  implicit: boolean;
  extra: Record<string, unknown>;
}

/** A node as it is read: with its place in the order. */
export interface RegisteredNode extends Node {
  createRevision: number;
  modRevision: number;
}

export type ServiceClass = "single" | "balanced" | "global";

/** What the store keeps for each service; its record's mod revision moves with every change below the service. */
export interface ServiceRecord {
  name: string;
  class: ServiceClass;
  instanceCount: number;
  /** Instances that would be handed out by default: see `isHealthy`. */
  healthyCount: number;
  /** How many instances carry each tag. */
  tags: Record<string, number>;
}

/** An instance as it is read: with its place in the order. */
export interface RegisteredInstance extends Instance {
  createRevision: number;
  modRevision: number;
}

/** All of a service at one revision: what resolvers cache and every dialect answers from. */
export interface ServiceView {
  service: string;
  class: ServiceClass;
  /** The revision of the last change below this service: 0 when the service does not exist. */
  modRevision: number;
  /** The namespace's revision at which this was read. */
  revision: number;
  instances: RegisteredInstance[];
  /** The nodes of these instances, by name in lower case, as far as they are known. */
  nodes: Record<string, RegisteredNode>;
  /** The namespace keeps lapsed instances because too many lapsed at once. */
  selfPreservation: boolean;
}

export const isPulled = <C extends CheckDefinition>(check: C): check is C & PullCheck =>
  check.type === "http" || check.type === "tcp";
export const isAgents = <C extends CheckDefinition>(check: C): check is C & AgentCheck =>
  check.type === "udp" || check.type === "grpc" || check.type === "h2ping" || check.type === "script";

/** Whether an instance is handed out to callers who ask for healthy ones. */
export function isHealthy(instance: Instance): boolean {
  return instance.adminState === "up" && instance.status !== "critical" && instance.weight > 0;
}

/** Its share of the traffic as it is now. */
export function weightOf({ status, weight, warningWeight = weight }: Instance): number {
  return status === "warning" ? warningWeight : weight;
}

/** The port asked for, else `default`, else the only one; undefined when there is none of that name. */
export function portOf(instance: Instance, name?: string): number | undefined {
  if (name !== undefined) return Object.hasOwn(instance.ports, name) ? instance.ports[name] : undefined;
  const ports = Object.values(instance.ports);
  return instance.ports["default"] ?? (ports.length === 1 ? ports[0] : undefined);
}
