/** Registering and deregistering on the caller's node: an agent's view, which is the catalog at once. */
import type { RegisteredInstance } from "../../../objects/model.ts";
import type { RegistryStep } from "../../../objects/registry/steps.ts";
import { assertScriptsAllowed } from "./agent-check-definition.ts";
import { HoldfastError } from "../../../objects/errors.ts";
import { portOf } from "../../../objects/model.ts";
import {
  assertDefinition,
  registrationOf,
  serviceDefinition,
  SIDECAR_PORT_MAX,
  SIDECAR_PORT_MIN,
  SIDECAR_SUFFIX,
  sidecarAt,
  sidecarOf,
} from "./agent-service-definition.ts";
import type { AgentRegistration } from "./agent-service-definition.ts";
import { agentNodeSpec, isDefaultNode } from "./catalog/agent-node.ts";
import { consulExtraOf } from "./catalog/extra.ts";
import { instancesOnNode } from "./catalog/pages.ts";
import { instanceSpec } from "./catalog/service-definition.ts";
import { instanceIdOf } from "./catalog/service-id.ts";
import { badRequest, notFound, refused } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import { emptyResponse } from "./encode.ts";
import { quote } from "../../request/go-strconv.ts";
import { route } from "./route.ts";

export const agentRegisterRoutes = [
  route("/agent/service/register", { PUT: registerService }),
  route("/agent/service/deregister/", { PUT: deregisterService }),
];

async function registerService(exchange: Exchange): Promise<Response> {
  const definition = await exchange.body(serviceDefinition);
  assertDefinition(definition);
  const { node } = exchange;
  const registration = registrationOf(definition, node);
  assertScriptsAllowed(registration.checks, exchange.env);
  const pending = sidecarOf(definition, node);
  await vetRegistration(exchange, registration);
  if (pending) await vetRegistration(exchange, pending);
  const replaces = ["", "true"].includes(exchange.params.get("replace-existing-checks") ?? "false");
  const steps: RegistryStep[] = [ensureStep(exchange)];
  if (pending) {
    const port = pending.service.Port || (await freeSidecarPort(exchange, pending.service.ID));
    const sidecar = sidecarAt(pending, port, registration.service.ID, node);
    steps.push(putStep(exchange, sidecar, replaces, true));
  }
  steps.push(putStep(exchange, registration, replaces, false));
  await applySteps(exchange, steps);
  return emptyResponse();
}

/** The agent's node, unless it is there. */
export const ensureStep = (exchange: Exchange): RegistryStep => ({
  type: "node.ensure",
  node: agentNodeSpec(exchange, exchange.node, exchange.caller.source),
});

function putStep(
  exchange: Exchange,
  { service, checks }: AgentRegistration,
  replacesChecks: boolean,
  isSidecar: boolean,
): RegistryStep {
  const { node, caller } = exchange;
  const spec = instanceSpec(service, node, agentNodeSpec(exchange, node, caller.source).address);
  // The default node stands for many machines: what the platform tells of this one is better than what it has.
  const inheritsAddress = spec.inheritsAddress && !(isDefaultNode(node, exchange) && caller.source !== "");
  const extra = isSidecar ? { consul: { ...(spec.extra!["consul"] as object), isSidecar: true } } : spec.extra;
  return {
    type: "instance.put",
    instance: { ...spec, inheritsAddress, extra, checks, keepStates: true },
    keepChecks: !replacesChecks,
  };
}

/** The caller may write the service, the one that it replaces, and the one that it is a proxy of. */
async function vetRegistration(exchange: Exchange, { service }: AgentRegistration): Promise<void> {
  exchange.require("service", "write", service.Service);
  if (service.Kind === "connect-proxy") {
    exchange.require("service", "write", service.Proxy.DestinationServiceName);
  }
  if (exchange.authorizer.isManagement) return;
  for (const other of await servicesNamed(exchange, service.ID)) exchange.require("service", "write", other.service);
}

/** The lowest free one on the node; a sidecar that has one keeps it. */
async function freeSidecarPort(exchange: Exchange, sidecarId: string): Promise<number> {
  const on = await instancesOnNode(exchange, exchange.node, false);
  const taken = new Map(on.map((instance) => [portOf(instance), instance.id]));
  const isFree = (port: number): boolean => !taken.has(port);
  const id = instanceIdOf(sidecarId, exchange.node);
  for (let port = SIDECAR_PORT_MIN; port <= SIDECAR_PORT_MAX; port++) if (taken.get(port) === id) return port;
  for (let port = SIDECAR_PORT_MIN; port <= SIDECAR_PORT_MAX; port++) if (isFree(port)) return port;
  throw refused(
    `failed to find a port for sidecar proxy: no ports left in the range [${SIDECAR_PORT_MIN}, ${SIDECAR_PORT_MAX}]`,
  );
}

async function deregisterService(exchange: Exchange): Promise<Response> {
  const { node, rest: id } = exchange;
  const found = await requireService(exchange, id);
  const steps = found.map(({ id: instance }): RegistryStep => ({ type: "instance.delete", node, id: instance }));
  for (const sidecar of await servicesNamed(exchange, id + SIDECAR_SUFFIX)) {
    if (consulExtraOf(sidecar)?.isSidecar) steps.push({ type: "instance.delete", node, id: sidecar.id });
  }
  await applySteps(exchange, steps);
  return emptyResponse();
}

/** The services of that id on the caller's node, which the caller may write. Throws 404. */
export async function requireService(exchange: Exchange, id: string): Promise<RegisteredInstance[]> {
  const found = await servicesNamed(exchange, id);
  if (found.length === 0) {
    throw notFound(`Unknown service ID ${quote(id)}. Ensure that the service ID is passed, not the service name.`);
  }
  for (const { service } of found) exchange.require("service", "write", service);
  return found;
}

/** By a service's id on the caller's node; more than one only where they were registered without regard to it. */
export async function servicesNamed(exchange: Exchange, id: string): Promise<RegisteredInstance[]> {
  const { node, client } = exchange;
  if (id === "") return [];
  const ids = new Set([instanceIdOf(id, node), id]);
  const answers = await Promise.all([...ids].map((named) => client.query("nodes.instance", { node, id: named })));
  return answers.flatMap(({ value }) => value);
}

/** What the registry refuses, without the place of the step that it was. */
export async function applySteps(exchange: Exchange, steps: RegistryStep[]): ReturnType<typeof apply> {
  try {
    return await apply(exchange, steps);
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.code !== "invalid_argument") throw error;
    throw badRequest(`Validation failed: ${error.message.replace(/^steps\[\d+\]: /, "")}`);
  }
}

const apply = (exchange: Exchange, steps: RegistryStep[]) => exchange.execute("registry.apply", steps);
