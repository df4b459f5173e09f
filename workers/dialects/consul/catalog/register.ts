/**
 * `PUT /v1/catalog/register` and `/deregister`: the catalog written directly, node, service and checks in one step.
 *
 * Checks registered here are run by nobody: they are as somebody says, as in Consul.
 * Source: Consul 1.21, `Catalog.Register`, `Catalog.Deregister`.
 */
import { HoldfastError } from "../../../../objects/errors.ts";
import type { RegisteredInstance, RegisteredNode } from "../../../../objects/model.ts";
import type { CheckSpec } from "../../../../objects/registry/check-spec.ts";
import type { CheckOwner, RegistryStep } from "../../../../objects/registry/steps.ts";
import { isStatus } from "../agent-check-definition.ts";
import type { Decoded } from "../decode.ts";
import { anything, bool, decodeBody, duration, int, list, map, object, optional, text } from "../decode.ts";
import { formatDuration, toNanoseconds } from "../durations.ts";
import { badRequest, ConsulError, refused } from "../errors.ts";
import type { Exchange } from "../exchange.ts";
import { quote } from "../../../request/go-strconv.ts";
import { multiError } from "../multi-error.ts";
import { route } from "../route.ts";
import { agentNodeSpec, isDefaultNode } from "./agent-node.ts";
import type { CheckExtra } from "./extra.ts";
import { instancesOnNode } from "./pages.ts";
import { proxyConfig } from "./proxy.ts";
import type { ServiceRegistration } from "./service-definition.ts";
import {
  instanceSpec,
  isAnyAddress,
  locality,
  taggedAddresses,
  weights,
  wrongWithService,
} from "./service-definition.ts";
import { instanceIdOf, nodeKeyOf, serviceIdOf } from "./service-id.ts";

export const catalogWriteRoutes = [
  route("/catalog/register", { PUT: register }),
  route("/catalog/deregister", { PUT: deregister }),
];

/** Of a service as it is written in the catalog. */
export const serviceFields = {
  Kind: text,
  ID: text,
  Service: text,
  Tags: list(text),
  Address: text,
  TaggedAddresses: taggedAddresses,
  Meta: map(text),
  Port: int,
  SocketPath: text,
  Weights: weights,
  EnableTagOverride: bool,
  Locality: locality,
  Proxy: proxyConfig,
  Connect: object({ Native: bool, PeerMeta: anything, SidecarService: anything }, { lenient: true }),
  PeerName: text,
  CreateIndex: int,
  ModifyIndex: int,
};
const nodeService = object(serviceFields);
type NodeService = Decoded<typeof nodeService>;

/** Read as Go reads it: what it does not know is passed over. */
const definition = object(
  {
    HTTP: text,
    TLSServerName: text,
    TLSSkipVerify: bool,
    Header: map(list(text)),
    Method: text,
    Body: text,
    DisableRedirects: bool,
    TCP: text,
    TCPUseTLS: bool,
    UDP: text,
    H2PING: text,
    OSService: text,
    H2PingUseTLS: bool,
    Interval: duration,
    OutputMaxSize: int,
    Timeout: duration,
    DeregisterCriticalServiceAfter: duration,
    ScriptArgs: list(text),
    DockerContainerID: text,
    Shell: text,
    GRPC: text,
    GRPCUseTLS: bool,
    AliasNode: text,
    AliasService: text,
    SessionName: text,
    TTL: duration,
  },
  { lenient: true },
);

/** Of a check as it is written in the catalog. */
export const checkFields = {
  Node: text,
  CheckID: text,
  Name: text,
  Status: text,
  Notes: text,
  Output: text,
  ServiceID: text,
  ServiceName: text,
  ServiceTags: list(text),
  Type: text,
  Interval: text,
  Timeout: text,
  ExposedPort: int,
  PeerName: text,
  Definition: definition,
  CreateIndex: int,
  ModifyIndex: int,
};
const healthCheck = object(checkFields);
export type HealthCheck = Decoded<typeof healthCheck>;

const registration = object({
  Datacenter: text,
  ID: text,
  Node: text,
  Address: text,
  TaggedAddresses: map(text),
  NodeMeta: map(text),
  Service: optional(nodeService),
  Check: optional(healthCheck),
  Checks: list(healthCheck),
  Locality: locality,
  SkipNodeUpdate: bool,
  PeerName: text,
  Token: text,
  CreateIndex: int,
  ModifyIndex: int,
});
type Registration = Decoded<typeof registration>;

const deregistration = object({
  Datacenter: text,
  Node: text,
  Address: text,
  ServiceID: text,
  CheckID: text,
  PeerName: text,
  Token: text,
});

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const OUTPUT_MAX = 4096;
/** In one request; each may be another service's. */
const CHECKS_MAX = 128;

async function register(exchange: Exchange): Promise<Response> {
  const body = await decode(exchange, registration);
  const { Node: node, ID: id, Address: address } = body;
  const to = exchange.at(body.Datacenter);
  const checks = (body.Check ? [...body.Checks, body.Check] : body.Checks).map((check) => settled(check, node));
  assertRegistration(body, checks);
  const service = body.Service && serviceOf(body.Service);
  const serviceIds = [service?.ID ?? "", ...checks.map(({ ServiceID: serviceId }) => serviceId)];
  const { known, instances } = await knownOn(to, node, new Set(serviceIds.filter((serviceId) => serviceId !== "")));
  vet(to, body, known, instances, service, checks);
  const steps: RegistryStep[] = [];
  if (isDefaultNode(node, to)) steps.push({ type: "node.ensure", node: agentNodeSpec(to, node, "") });
  const nodeStep = nodeStepOf(to, body, known);
  if (nodeStep) steps.push(nodeStep);
  if (service) {
    const instance = instanceSpec(service, node, address || (known?.address ?? ""));
    steps.push({ type: "instance.put", instance, keepChecks: true });
  }
  for (const check of checks) {
    const owner = ownerOf(check, node, service, instances);
    steps.push({ type: "check.put", owner, check: specOf(check) });
  }
  if (steps.length > 0) await apply(to, steps, { node, id, address });
  return exchange.json(true);
}

/** Fields that only Consul Enterprise has are told as such. */
async function decode<T>(exchange: Exchange, schema: Parameters<typeof decodeBody<T>>[1]): Promise<T> {
  try {
    return decodeBody(await exchange.bytes(), schema);
  } catch (error) {
    const field =
      error instanceof ConsulError ? /unknown field "(namespace|partition)"$/i.exec(error.message)?.[1] : null;
    if (!field) throw error;
    const feature = field.toLowerCase() === "namespace" ? "Namespaces" : "Partitions";
    throw badRequest(`${(error as ConsulError).message} - ${feature} are a Consul Enterprise feature`);
  }
}

export function settled(check: HealthCheck, node: string): HealthCheck {
  return { ...check, Node: check.Node || node, CheckID: check.CheckID || check.Name };
}

function assertRegistration(body: Registration, checks: HealthCheck[]): void {
  if (checks.length > CHECKS_MAX) throw badRequest(`Checks: at most ${CHECKS_MAX} can be registered at once`);
  const peers = [body.PeerName, body.Service?.PeerName ?? "", ...checks.map(({ PeerName: peer }) => peer)];
  if (peers.some((peer) => peer !== "")) throw refused("cannot register requests with PeerName in them");
  if (body.Node === "") throw refused("Must provide node");
  if (body.ID !== "" && !UUID.test(body.ID)) {
    const why = body.ID.length === 36 ? `invalid UUID: ${quote(body.ID)}` : "uuid string is wrong length";
    throw refused(`Bad node ID: ${why}`);
  }
  if (body.Address === "" && !body.SkipNodeUpdate) throw refused("Must provide address if SkipNodeUpdate is not set");
  if (body.Service) assertService(body.Service);
  for (const { Node: node, CheckID: id, Status: status } of checks) {
    if (nodeKeyOf(node) !== nodeKeyOf(body.Node)) {
      throw refused(`Node '${node}' for check '${id}' doesn't match register request node '${body.Node}'`);
    }
    if (id === "") throw refused("Must provide CheckID or Name of a check");
    if (status !== "" && !isStatus(status)) throw badRequest(`Invalid check status: '${status}'`);
  }
}

export function assertService(service: NodeService): void {
  const wrong = wrongWithService({ ...service, isNative: service.Connect.Native }, false);
  if (wrong.length > 0) throw refused(multiError(wrong));
  if (service.Service === "") {
    const when = service.ID === "" ? "" : " when service ID is provided";
    throw refused(`Must provide service name (Service.Service)${when}`);
  }
  if (isAnyAddress(service.Address)) throw refused("Invalid service address");
}

export function serviceOf({ Connect: connect, ...rest }: NodeService): ServiceRegistration {
  return { ...rest, ID: rest.ID || rest.Service, isNative: connect.Native };
}

/** What the catalog has of a node already. */
interface KnownNode {
  known: RegisteredNode | null;
  instances: Map<string, RegisteredInstance>;
}

async function knownOn({ client }: Exchange, node: string, serviceIds: Set<string>): Promise<KnownNode> {
  const { value: found } = await client.query("nodes.get", { name: node });
  const known = found !== null && nodeKeyOf(found.name) === nodeKeyOf(node) ? found : null;
  if (!known) return { known, instances: new Map() };
  const ids = new Set([...serviceIds].flatMap((id) => [instanceIdOf(id, node), id]));
  const answers = await Promise.all([...ids].map((id) => client.query("nodes.instance", { node, id })));
  const on = answers.flatMap(({ value }) => value);
  return { known, instances: new Map(on.map((instance) => [serviceIdOf(instance), instance])) };
}

/** Source: `vetRegisterWithACL`. */
function vet(
  exchange: Exchange,
  body: Registration,
  known: RegisteredNode | null,
  instances: Map<string, RegisteredInstance>,
  service: ServiceRegistration | undefined,
  checks: HealthCheck[],
): void {
  if (known === null || changesNode(body, known)) exchange.require("node", "write", body.Node);
  if (service) {
    exchange.require("service", "write", service.Service);
    if (service.Kind === "connect-proxy") {
      exchange.require("service", "write", service.Proxy.DestinationServiceName);
    }
    const other = instances.get(service.ID);
    if (other) exchange.require("service", "write", other.service);
  }
  for (const { ServiceID: serviceId, CheckID: id } of checks) {
    if (serviceId === "") exchange.require("node", "write", body.Node);
    if (serviceId === "" || serviceId === service?.ID) continue;
    const other = instances.get(serviceId);
    if (!other) throw refused(`Unknown service ID '${serviceId}' for check ID '${id}'`);
    exchange.require("service", "write", other.service);
  }
}

function changesNode(body: Registration, known: RegisteredNode): boolean {
  if (body.SkipNodeUpdate) return false;
  const same = (a: Record<string, string>, b: Record<string, string>): boolean =>
    JSON.stringify(Object.entries(a).toSorted()) === JSON.stringify(Object.entries(b).toSorted());
  return (
    (body.ID !== "" && body.ID.toLowerCase() !== known.id) ||
    body.Address !== known.address ||
    !same(body.TaggedAddresses, known.addresses) ||
    !same(body.NodeMeta, known.meta)
  );
}

function nodeStepOf(exchange: Exchange, body: Registration, known: RegisteredNode | null): RegistryStep | null {
  const { Node: name, ID: id, Address: address, TaggedAddresses: addresses, NodeMeta: meta, Locality: place } = body;
  if (body.SkipNodeUpdate && known && !known.implicit) return null;
  if (address === "") {
    // It is known by its instances, and has their address.
    if (known || isDefaultNode(name, exchange)) return null;
    throw refused("Must provide address: the node is not registered yet");
  }
  const node = { name, id, address, addresses, meta, locality: { region: place?.Region, zone: place?.Zone } };
  return body.SkipNodeUpdate ? { type: "node.ensure", node } : { type: "node.put", node };
}

function ownerOf(
  { ServiceID: serviceId }: HealthCheck,
  node: string,
  service: ServiceRegistration | undefined,
  instances: Map<string, RegisteredInstance>,
): CheckOwner {
  if (serviceId === "") return { node };
  if (serviceId === service?.ID) return { service: service.Service, id: instanceIdOf(serviceId, node) };
  const other = instances.get(serviceId)!;
  return { service: other.service, id: other.id };
}

export function specOf(check: HealthCheck): CheckSpec {
  const shown = Object.fromEntries(
    Object.entries(check.Definition).filter(([, value]) => {
      if (typeof value === "object") return Object.keys(value).length > 0;
      return value !== "" && value !== 0 && value !== false;
    }),
  );
  for (const field of ["Interval", "Timeout", "DeregisterCriticalServiceAfter"] as const) {
    if (field in shown) shown[field] = formatDuration(check.Definition[field]);
  }
  if ("TTL" in shown) shown["TTL"] = toNanoseconds(check.Definition.TTL);
  const extra: CheckExtra = {
    Type: check.Type || typeOf(check),
    Interval: check.Interval,
    Timeout: check.Timeout,
    ...(check.ExposedPort !== 0 && { ExposedPort: check.ExposedPort }),
    ...(Object.keys(shown).length > 0 && { Definition: shown }),
  };
  return {
    type: "status",
    id: check.CheckID,
    name: check.Name || check.CheckID,
    notes: check.Notes,
    status: isStatus(check.Status) ? check.Status : "critical",
    output: check.Output.toWellFormed().slice(0, OUTPUT_MAX).toWellFormed(),
    extra: { consul: extra },
  };
}

/** Of those that say what they would check. Source: `CheckType.Type`. */
function typeOf({ Definition: of }: HealthCheck): string {
  const isTimed = of.Interval > 0;
  if (of.GRPC !== "" && isTimed) return "grpc";
  if (of.HTTP !== "" && isTimed) return "http";
  if (of.TTL > 0) return "ttl";
  if (of.TCP !== "" && isTimed) return "tcp";
  if (of.UDP !== "" && isTimed) return "udp";
  if (of.AliasNode !== "" || of.AliasService !== "") return "alias";
  if (of.ScriptArgs.length > 0) return of.DockerContainerID !== "" && isTimed ? "docker" : "script";
  if (of.H2PING !== "" && isTimed) return "h2ping";
  return of.OSService !== "" && isTimed ? "os_service" : "";
}

async function deregister(exchange: Exchange): Promise<Response> {
  const body = await decode(exchange, deregistration);
  const { Node: node, ServiceID: serviceId, CheckID: check } = body;
  if (node === "") throw refused("Must provide node");
  const to = exchange.at(body.Datacenter);
  if (serviceId !== "") await deregisterService(to, node, serviceId);
  else if (check !== "") await deregisterCheck(to, node, check);
  else {
    to.require("node", "write", node);
    await to.execute("registry.apply", [{ type: "node.delete", name: node }]);
  }
  return exchange.json(true);
}

/** Whoever may write the node may take anything off it. */
async function deregisterService(exchange: Exchange, node: string, serviceId: string): Promise<void> {
  const ids = [...new Set([instanceIdOf(serviceId, node), serviceId])];
  const answers = await Promise.all(ids.map((id) => exchange.client.query("nodes.instance", { node, id })));
  let found = answers.flatMap(({ value }) => value);
  if (found.length === 0 && isDefaultNode(node, exchange)) {
    // Those that named no node are shown there, too.
    const shown = await instancesOnNode(exchange, node, true);
    found = shown.filter((instance) => instance.node === "" && serviceIdOf(instance) === serviceId);
  }
  if (!exchange.allows("node", "write", node)) {
    if (found.length === 0) throw refused(`Unknown service ID '${serviceId}'`);
    for (const { service } of found) exchange.require("service", "write", service);
  }
  for (const { service, id } of found) await exchange.execute("registry.deregister", { service, id });
}

async function deregisterCheck(exchange: Exchange, node: string, check: string): Promise<void> {
  const { value: found } = await exchange.client.query("nodes.check", { node, check });
  if (!exchange.allows("node", "write", node)) {
    if (found.length === 0) throw refused(`Unknown check ID '${check}'`);
    for (const { service } of found) {
      if (service === "") exchange.require("node", "write", node);
      else exchange.require("service", "write", service);
    }
  }
  const steps = found.map(({ service, id }): RegistryStep => {
    const owner = service === "" ? { node } : { service, id };
    return { type: "check.delete", owner, check };
  });
  if (steps.length > 0) await exchange.execute("registry.apply", steps);
}

async function apply(
  exchange: Exchange,
  steps: RegistryStep[],
  { node, id, address }: { node: string; id: string; address: string },
): Promise<void> {
  try {
    await exchange.execute("registry.apply", steps);
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    if (error.code === "already_exists") {
      const owner = String(error.details?.["id"] ?? "");
      throw refused(
        `failed inserting node: Error while renaming Node ID: ${quote(id)}: ` +
          `Node name ${node} is reserved by node ${owner} with name ${node} (${address})`,
      );
    }
    if (error.code !== "invalid_argument") throw error;
    throw badRequest(error.message.replace(/^steps\[\d+\]: /, ""));
  }
}
