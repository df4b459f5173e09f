/**
 * `PUT /v1/agent/service/register`: the body, what Consul finds wrong with it, and what it registers: the service, and
 * the sidecar that may be defined in it.
 *
 * Source: Consul 1.21, `structs.ServiceDefinition`; developer.hashicorp.com/consul/api-docs/agent/service.
 */
import type { CheckSpec } from "../../../objects/registry/check-spec.ts";
import type { ServiceCheck } from "./agent-check-definition.ts";
import { checkSpec, isEmptyCheck, isStatus, serviceCheck, wrongWithCheck } from "./agent-check-definition.ts";
import type { ProxyConfig, ServiceAddress } from "./catalog/extra.ts";
import { proxyConfig } from "./catalog/proxy.ts";
import type { ServiceRegistration } from "./catalog/service-definition.ts";
import {
  isAnyAddress,
  locality,
  taggedAddresses,
  weights,
  wrongWithMeta,
  wrongWithService,
  wrongWithWeights,
} from "./catalog/service-definition.ts";
import type { Decoder } from "./decode.ts";
import { anything, bool, int, list, map, object, optional, text } from "./decode.ts";
import { badRequest } from "./errors.ts";
import { multiError } from "./multi-error.ts";

export interface ServiceDefinition {
  Kind: string;
  ID: string;
  Name: string;
  Tags: string[];
  Address: string;
  TaggedAddresses: Record<string, ServiceAddress>;
  Meta: Record<string, string>;
  Port: number;
  SocketPath: string;
  Check: ServiceCheck | undefined;
  Checks: ServiceCheck[];
  Weights: ServiceRegistration["Weights"];
  Token: string;
  EnableTagOverride: boolean;
  Locality: ServiceRegistration["Locality"];
  Proxy: ProxyConfig;
  Connect: { Native: boolean; SidecarService: ServiceDefinition | undefined; PeerMeta: unknown };
}

/** A definition has definitions in it. */
const nested: Decoder<ServiceDefinition> = {
  decode: (value, path) => serviceDefinition.decode(value, path),
  zero: () => serviceDefinition.zero(),
};

export const serviceDefinition: Decoder<ServiceDefinition> = object(
  {
    Kind: text,
    ID: text,
    Name: text,
    Tags: list(text),
    Address: text,
    TaggedAddresses: taggedAddresses,
    Meta: map(text),
    Port: int,
    SocketPath: text,
    Check: optional(serviceCheck),
    Checks: list(serviceCheck),
    Weights: weights,
    Token: text,
    EnableTagOverride: bool,
    Locality: locality,
    Proxy: proxyConfig,
    Connect: object(
      { Native: bool, SidecarService: optional(nested), PeerMeta: anything },
      { aliases: { sidecar_service: "SidecarService" } },
    ),
  },
  {
    aliases: {
      enable_tag_override: "EnableTagOverride",
      tagged_addresses: "TaggedAddresses",
      socket_path: "SocketPath",
    },
  },
);

export interface AgentRegistration {
  service: ServiceRegistration;
  checks: CheckSpec[];
}

export const SIDECAR_SUFFIX = "-sidecar-proxy";
/** Where sidecars get their ports, when they name none. */
export const SIDECAR_PORT_MIN = 21_000;
export const SIDECAR_PORT_MAX = 21_255;

/** Throws 400 in Consul's words. */
export function assertDefinition(definition: ServiceDefinition): void {
  if (definition.Name === "") throw badRequest("Missing service name");
  if (isAnyAddress(definition.Address)) throw badRequest("Invalid service address");
  const weight = wrongWithWeights(definition.Weights);
  if (weight !== null) throw badRequest(`Invalid Weights: ${weight}`);
  const meta = wrongWithMeta(definition.Kind, definition.Meta);
  if (meta !== null) throw badRequest(`Invalid Service Meta: ${meta}`);
  const sidecar = definition.Connect.SidecarService;
  const wrong = wrongWithService(serviceOf(definition), sidecar !== undefined);
  if (sidecar && sidecar.ID !== "") {
    wrong.push("A SidecarService cannot specify an ID as this is managed by the agent");
  }
  if (sidecar?.Connect.SidecarService) wrong.push("A SidecarService cannot have a nested SidecarService");
  if (wrong.length > 0) throw badRequest(`Validation failed: ${multiError(wrong)}`);
  assertChecks(definition, "Invalid check");
  if (sidecar) assertChecks(sidecar, "Invalid check in sidecar_service");
}

function assertChecks(definition: ServiceDefinition, prefix: string): void {
  const checks = checksIn(definition);
  for (const check of checks) {
    const wrong = wrongWithCheck(check);
    if (wrong !== null) throw badRequest(`${prefix}: ${wrong}`);
  }
  if (checks.some(({ Status: status }) => status !== "" && !isStatus(status))) {
    throw badRequest("Status for checks must 'passing', 'warning', 'critical'");
  }
}

/** `Check` and `Checks` are one list. */
function checksIn({ Check: check, Checks: checks }: ServiceDefinition): ServiceCheck[] {
  return check && !isEmptyCheck(check) ? [check, ...checks] : checks;
}

function serviceOf(definition: ServiceDefinition): ServiceRegistration {
  const { Name: name, ID: id, Connect: connect, ...rest } = definition;
  return { ...rest, Service: name, ID: id || name, isNative: connect.Native };
}

export function registrationOf(definition: ServiceDefinition, node: string): AgentRegistration {
  const service = withTaggedAddresses(serviceOf(definition));
  return { service, checks: checkSpecs(checksIn(definition), service, node) };
}

function checkSpecs(checks: ServiceCheck[], { ID: id, Service: name }: ServiceRegistration, node: string): CheckSpec[] {
  return checks.map((check, index) => {
    const numbered = checks.length > 1 ? `service:${id}:${index + 1}` : `service:${id}`;
    return checkSpec(check, check.CheckID || numbered, check.Name || `Service '${name}' check`, node);
  });
}

/** What a definition leaves open of its sidecar comes from the service. A port may still be missing: null without one. */
export function sidecarOf(definition: ServiceDefinition, node: string): AgentRegistration | null {
  const given = definition.Connect.SidecarService;
  if (!given) return null;
  const parent = serviceOf(definition);
  const wrong = wrongWithMeta(given.Kind, given.Meta);
  if (wrong !== null) throw badRequest(`Invalid SidecarService: ${wrong}`);
  const own = serviceOf(given);
  const isDefaultWeight = !own.Weights || (own.Weights.Passing === 1 && own.Weights.Warning === 1);
  const service: ServiceRegistration = {
    ...own,
    ID: parent.ID + SIDECAR_SUFFIX,
    Service: given.Name || parent.Service + SIDECAR_SUFFIX,
    Kind: own.Kind || "connect-proxy",
    Meta: Object.keys(own.Meta).length > 0 ? own.Meta : parent.Meta,
    Tags: own.Tags.length > 0 ? own.Tags : parent.Tags,
    Locality: own.Locality ?? parent.Locality,
    Address: own.Address || parent.Address,
    Weights: isDefaultWeight && parent.Weights ? parent.Weights : own.Weights,
    Proxy: sidecarProxy(own.Proxy, parent),
  };
  const faults = wrongWithService(service, false, true);
  if (faults.length > 0) throw badRequest(`Failed Validation: ${multiError(faults)}`);
  return { service, checks: checkSpecs(checksIn(given), service, node) };
}

function sidecarProxy(own: ProxyConfig, parent: ServiceRegistration): ProxyConfig {
  const proxy = { DestinationServiceName: parent.Service, DestinationServiceID: parent.ID, ...own };
  const isComplete = proxy.LocalServiceSocketPath || (proxy.LocalServiceAddress && proxy.LocalServicePort);
  if (isComplete) return proxy;
  if (parent.SocketPath !== "") return { ...proxy, LocalServiceSocketPath: parent.SocketPath };
  const { LocalServiceAddress: address = "127.0.0.1", LocalServicePort: port = parent.Port } = proxy;
  return { ...proxy, LocalServiceAddress: address, ...(port > 0 && { LocalServicePort: port }) };
}

/** With its port: tagged addresses tell it, and so do the checks of a sidecar that has none of its own. */
export function sidecarAt(sidecar: AgentRegistration, port: number, parentId: string, node: string): AgentRegistration {
  const service = withTaggedAddresses({ ...sidecar.service, Port: port });
  if (sidecar.checks.length > 0) return { service, checks: sidecar.checks };
  const zero = serviceCheck.zero();
  const host = service.Address || service.Proxy.LocalServiceAddress || "127.0.0.1";
  const target = host.includes(":") ? `[${host}]` : host;
  const checks = [
    { ...zero, Name: "Connect Sidecar Listening", TCP: `${target}:${port}`, Interval: 10_000 },
    { ...zero, Name: `Connect Sidecar Aliasing ${parentId}`, AliasService: parentId },
  ];
  return { service, checks: checkSpecs(checks, service, node) };
}

/** An address that is an IP is also told by its family. Source: `Agent.addServiceInternal`. */
function withTaggedAddresses(service: ServiceRegistration): ServiceRegistration {
  const { Address: address, Port: port, TaggedAddresses: given } = service;
  const family = /^\d{1,3}(?:\.\d{1,3}){3}$/.test(address) ? "ipv4" : address.includes(":") ? "ipv6" : null;
  if (family === null) return service;
  const own = { Address: address, Port: port };
  return { ...service, TaggedAddresses: { [`lan_${family}`]: own, [`wan_${family}`]: own, ...given } };
}
