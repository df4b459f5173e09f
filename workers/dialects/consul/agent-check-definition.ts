/**
 * Checks as an agent's clients define them: the body, what Consul finds wrong with it, and the registry's check that it
 * means. Whoever runs it is the registry's business; what none of them could run is refused here.
 *
 * Source: Consul 1.21, `structs.CheckType`, `structs.CheckDefinition`; developer.hashicorp.com/consul/api-docs/agent/check.
 */
import type { CheckSpec } from "../../../objects/registry/check-spec.ts";
import type { Bindings } from "../../request/bindings.ts";
import type { CheckExtra } from "./catalog/extra.ts";
import { instanceIdOf } from "./catalog/service-id.ts";
import type { Decoded } from "./decode.ts";
import { bool, duration, int, list, map, object, optional, text } from "./decode.ts";
import { badRequest, refused } from "./errors.ts";

/** What Consul's agents call themselves: services and their logs tell checks from visitors by it. */
const USER_AGENT = "Consul Health Check";

const common = {
  Name: text,
  Status: text,
  Notes: text,
  ScriptArgs: list(text),
  HTTP: text,
  H2PING: text,
  H2PingUseTLS: optional(bool),
  Header: map(list(text)),
  Method: text,
  Body: text,
  DisableRedirects: bool,
  TCP: text,
  TCPUseTLS: bool,
  UDP: text,
  Interval: duration,
  AliasNode: text,
  AliasService: text,
  DockerContainerID: text,
  Shell: text,
  GRPC: text,
  GRPCUseTLS: bool,
  OSService: text,
  TLSServerName: text,
  TLSSkipVerify: bool,
  Timeout: duration,
  TTL: duration,
  SuccessBeforePassing: int,
  FailuresBeforeWarning: int,
  FailuresBeforeCritical: int,
  DeregisterCriticalServiceAfter: duration,
  OutputMaxSize: int,
};

const aliases = {
  args: "ScriptArgs",
  script_args: "ScriptArgs",
  deregister_critical_service_after: "DeregisterCriticalServiceAfter",
  docker_container_id: "DockerContainerID",
  tls_server_name: "TLSServerName",
  tls_skip_verify: "TLSSkipVerify",
  tcp_use_tls: "TCPUseTLS",
  grpc_use_tls: "GRPCUseTLS",
  h2ping_use_tls: "H2PingUseTLS",
  disable_redirects: "DisableRedirects",
  service_id: "ServiceID",
};

/** Inside a service's definition. A service id is read and counts for nothing. */
export const serviceCheck = object(
  { ...common, CheckID: text, ServiceID: text, ProxyHTTP: text, ProxyGRPC: text },
  { aliases: { ...aliases, id: "CheckID" } },
);
export type ServiceCheck = Decoded<typeof serviceCheck>;

/** On its own. */
export const checkDefinition = object(
  { ...common, ID: text, ServiceID: text, Token: text },
  { aliases: { ...aliases, checkid: "ID" } },
);

export type CheckBody = Decoded<ReturnType<typeof object<typeof common>>>;

const ZERO = JSON.stringify(serviceCheck.zero());

/** `"Check": {}` is none. */
export const isEmptyCheck = (check: ServiceCheck): boolean => JSON.stringify(check) === ZERO;

export type ConsulStatus = "passing" | "warning" | "critical";

export const isStatus = (word: string): word is ConsulStatus =>
  word === "passing" || word === "warning" || word === "critical";

/** Null when there is nothing wrong with it. */
export function wrongWithCheck(check: CheckBody): string | null {
  const isAlias = check.AliasNode !== "" || check.AliasService !== "";
  const isTimed = [check.HTTP, check.TCP, check.UDP, check.GRPC, check.H2PING, check.OSService].some((to) => to !== "");
  const needsInterval = isTimed || check.ScriptArgs.length > 0;
  if (check.Interval > 0 && check.TTL > 0) return "Interval and TTL cannot both be specified";
  if (needsInterval && check.Interval <= 0) {
    return "Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService checks";
  }
  if (needsInterval && isAlias) return "Interval cannot be set for Alias checks";
  if (isAlias && check.TTL > 0) return "TTL must be not be set for Alias checks";
  if (!needsInterval && !isAlias && check.TTL <= 0) return "TTL must be > 0 for TTL checks";
  if (check.OutputMaxSize < 0) return "MaxOutputMaxSize must be positive";
  if (check.FailuresBeforeWarning > check.FailuresBeforeCritical) {
    return "FailuresBeforeWarning can't be higher than FailuresBeforeCritical";
  }
  return null;
}

const INTERVAL_MIN_MS = 1000;
const INTERVAL_MAX_MS = 86_400_000;
const TIMEOUT_MIN_MS = 100;
const TIMEOUT_MAX_MS = 60_000;
/** Scripts get longer than other checks. */
const SCRIPT_TIMEOUT_MS = 30_000;
const TTL_MIN_MS = 1000;
const DEREGISTER_MIN_MS = 60_000;

const within = (ms: number, min: number, max: number): number => Math.min(Math.max(ms, min), max);

/** `id` and `name` are settled; `node` is the agent's. Throws 400 for what nobody here could run. */
export function checkSpec(check: CheckBody, id: string, name: string, node: string): CheckSpec {
  const failureThreshold = Math.max(1, check.FailuresBeforeCritical);
  const common = {
    id,
    name,
    notes: check.Notes,
    successThreshold: Math.max(1, check.SuccessBeforePassing),
    failureThreshold,
    warningThreshold: check.FailuresBeforeWarning > 0 ? check.FailuresBeforeWarning : failureThreshold,
    deregisterAfterMs:
      check.DeregisterCriticalServiceAfter > 0
        ? Math.max(check.DeregisterCriticalServiceAfter, DEREGISTER_MIN_MS)
        : null,
    status: isStatus(check.Status) ? check.Status : ("critical" as const),
  };
  const times = {
    intervalMs: within(check.Interval, INTERVAL_MIN_MS, INTERVAL_MAX_MS),
    timeoutMs: check.Timeout > 0 ? within(check.Timeout, TIMEOUT_MIN_MS, TIMEOUT_MAX_MS) : undefined,
  };
  const verified = { tlsSkipVerify: check.TLSSkipVerify, tlsServerName: check.TLSServerName };
  if (check.GRPC !== "") {
    const [target = "", ...service] = check.GRPC.split("/");
    const fields = { ...hostAndPort(target), grpcService: service.join("/"), tls: check.GRPCUseTLS, ...verified };
    return { ...common, ...times, type: "grpc", ...fields };
  }
  if (check.HTTP !== "") {
    const headers = headersOf(check.Header);
    const method = check.Method === "" ? "GET" : check.Method.toUpperCase();
    const redirects = !check.DisableRedirects;
    return { ...common, ...times, type: "http", url: check.HTTP, method, headers, body: check.Body, redirects };
  }
  if (check.TTL > 0) return { ...common, type: "ttl", ttlMs: Math.max(check.TTL, TTL_MIN_MS) };
  if (check.TCP !== "") return { ...common, ...times, type: "tcp", ...hostAndPort(check.TCP), tls: check.TCPUseTLS };
  if (check.UDP !== "") return { ...common, ...times, type: "udp", ...hostAndPort(check.UDP) };
  if (check.AliasNode !== "" || check.AliasService !== "") {
    const target = check.AliasNode || node;
    const instance = check.AliasService === "" ? "" : instanceIdOf(check.AliasService, target);
    return { ...common, type: "alias", node: target, instance };
  }
  if (check.ScriptArgs.length > 0) {
    const { timeoutMs = SCRIPT_TIMEOUT_MS } = times;
    return { ...common, ...times, timeoutMs, type: "script", ...script(check) };
  }
  if (check.H2PING !== "") {
    const fields = { ...hostAndPort(check.H2PING), tls: check.H2PingUseTLS ?? true, ...verified };
    return { ...common, ...times, type: "h2ping", ...fields };
  }
  throw badRequest("Invalid check: OSService checks are run by no agent here");
}

/** With the name of who asks, unless another is given. */
function headersOf(given: CheckBody["Header"]): Record<string, string> {
  const headers = Object.entries(given).map(([field, values]) => [field, values.join(", ")] as const);
  const isNamed = headers.some(([field]) => field.toLowerCase() === "user-agent");
  return Object.fromEntries(isNamed ? headers : [...headers, ["User-Agent", USER_AGENT]]);
}

/** Whoever may register a script runs it on the agent's machine: only where its operator has said so. */
export function assertScriptsAllowed(checks: readonly CheckSpec[], env: Bindings): void {
  if (env.HOLDFAST_ENABLE_SCRIPT_CHECKS === "1" || !checks.some(({ type }) => type === "script")) return;
  throw refused(
    "Scripts are disabled on this agent from remote calls; to enable, configure 'enable_script_checks' to true. " +
      "See https://www.hashicorp.com/blog/protecting-consul-from-rce-risk-in-specific-configurations for more details.",
  );
}

/** In a container it is a command like any other, given to Docker's. */
function script(check: CheckBody): { args: string[]; extra?: Record<string, unknown> } {
  if (check.DockerContainerID === "") return { args: check.ScriptArgs };
  const command = check.Shell === "" ? check.ScriptArgs : [check.Shell, "-c", check.ScriptArgs.join(" ")];
  const extra: CheckExtra = { Type: "docker" };
  return { args: ["docker", "exec", check.DockerContainerID, ...command], extra: { consul: extra } };
}

/** `host:port`, `[::1]:port`. */
function hostAndPort(target: string): { host: string; port: number } {
  const found = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(target);
  if (!found) throw badRequest(`Invalid check: "${target.slice(0, 256)}" is not an address with a port`);
  return { host: found[1] ?? found[2]!, port: Number(found[3]) };
}
