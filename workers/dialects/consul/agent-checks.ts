/** Checks of the caller's node: registering them alone, and telling how they are. */
import type { OwnedCheck } from "../../../objects/registry/views.ts";
import type { CheckOwner, RegistryStep } from "../../../objects/registry/steps.ts";
import type { ConsulStatus } from "./agent-check-definition.ts";
import {
  assertScriptsAllowed,
  checkDefinition,
  checkSpec,
  isStatus,
  wrongWithCheck,
} from "./agent-check-definition.ts";
import { applySteps, ensureStep, servicesNamed } from "./agent-register.ts";
import { nodeKeyOf } from "./catalog/service-id.ts";
import { object, text } from "./decode.ts";
import { emptyResponse } from "./encode.ts";
import { badRequest, notFound, refused } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import { quote } from "../../request/go-strconv.ts";
import { route } from "./route.ts";

export const agentCheckRoutes = [
  route("/agent/check/register", { PUT: registerCheck }),
  route("/agent/check/deregister/", { PUT: deregisterCheck }),
  route("/agent/check/pass/", { PUT: (exchange) => tell(exchange, "passing", exchange.param("note")) }),
  route("/agent/check/warn/", { PUT: (exchange) => tell(exchange, "warning", exchange.param("note")) }),
  route("/agent/check/fail/", { PUT: (exchange) => tell(exchange, "critical", exchange.param("note")) }),
  route("/agent/check/update/", { PUT: updateCheck }),
];

async function registerCheck(exchange: Exchange): Promise<Response> {
  const definition = await exchange.body(checkDefinition);
  const { Name: name, Status: status, ServiceID: serviceId } = definition;
  if (name === "") throw badRequest("Missing check name");
  if (status !== "" && !isStatus(status)) throw badRequest("Bad check status");
  const wrong = wrongWithCheck(definition);
  if (wrong !== null) throw badRequest(`Invalid check: ${wrong}`);
  const check = checkSpec(definition, definition.ID || name, name, exchange.node);
  assertScriptsAllowed([check], exchange.env);
  const steps: RegistryStep[] = [];
  let owner: CheckOwner;
  if (serviceId === "") {
    exchange.require("node", "write", exchange.node);
    owner = { node: exchange.node };
    steps.push(ensureStep(exchange));
  } else {
    const [service] = await servicesNamed(exchange, serviceId);
    if (!service) throw notFound(`ServiceID ${quote(serviceId)} does not exist`);
    exchange.require("service", "write", service.service);
    owner = { service: service.service, id: service.id };
  }
  // An id is one check on its node: another's of that id makes way.
  for (const known of await checksNamed(exchange, check.id!)) {
    requireWrite(exchange, known);
    if (!isSame(ownerOf(known), owner)) {
      steps.push({ type: "check.delete", owner: ownerOf(known), check: check.id! });
    }
  }
  steps.push({ type: "check.put", owner, check, keepState: true });
  await applySteps(exchange, steps);
  return emptyResponse();
}

const ownerOf = ({ service, id, node }: OwnedCheck): CheckOwner => (service === "" ? { node } : { service, id });

function isSame(a: CheckOwner, b: CheckOwner): boolean {
  if ("node" in a || "node" in b) return "node" in a && "node" in b && nodeKeyOf(a.node) === nodeKeyOf(b.node);
  return a.service === b.service && a.id === b.id;
}

async function checksNamed(exchange: Exchange, check: string): Promise<OwnedCheck[]> {
  if (check === "") return [];
  return (await exchange.client.query("nodes.check", { node: exchange.node, check })).value;
}

/** Throws 404 when there is none, 403 when the caller may not write it. */
async function requireChecks(exchange: Exchange, id: string): Promise<OwnedCheck[]> {
  const found = await checksNamed(exchange, id);
  if (found.length === 0) {
    throw notFound(`Unknown check ID ${quote(id)}. Ensure that the check ID is passed, not the check name.`);
  }
  for (const check of found) requireWrite(exchange, check);
  return found;
}

function requireWrite(exchange: Exchange, { service, node }: OwnedCheck): void {
  if (service === "") exchange.require("node", "write", node);
  else exchange.require("service", "write", service);
}

async function deregisterCheck(exchange: Exchange): Promise<Response> {
  const { rest: id } = exchange;
  const found = await requireChecks(exchange, id);
  await applySteps(
    exchange,
    found.map((check) => ({ type: "check.delete", owner: ownerOf(check), check: id })),
  );
  return emptyResponse();
}

const update = object({ Status: text, Output: text });
const OUTPUT_BYTES_MAX = 4096;

async function updateCheck(exchange: Exchange): Promise<Response> {
  const { Status: status, Output: output } = await exchange.body(update);
  if (!isStatus(status)) throw badRequest(`Invalid check status: '${status}'`);
  return tell(exchange, status, output);
}

/**
 * The same status again renews the check in memory; another one is a commit, and so is another output.
 */
async function tell(exchange: Exchange, status: ConsulStatus, output: string): Promise<Response> {
  const { rest: id } = exchange;
  const checks = (await requireChecks(exchange, id)).filter(({ check }) => check.type === "ttl");
  if (checks.length === 0) throw refused(`CheckID ${quote(id)} does not have associated TTL`);
  const shown = cut(output);
  const changed = checks.filter(({ check }) => check.status !== status);
  if (changed.length > 0) {
    const report = { type: "check.report", check: id, status, output: shown } as const;
    await applySteps(
      exchange,
      changed.map((check) => ({ ...report, owner: ownerOf(check) })),
    );
  }
  await exchange.client.heartbeat(
    checks.map(({ service, id: subject }) => ({ service, id: subject, check: id, status, output: shown })),
  );
  return emptyResponse();
}

/** What is more than is kept is told by its number. */
function cut(output: string): string {
  const text = output.toWellFormed();
  if (text.length <= OUTPUT_BYTES_MAX) return text;
  const note = ` ... (captured ${OUTPUT_BYTES_MAX} of ${text.length} bytes)`;
  return text.slice(0, OUTPUT_BYTES_MAX - note.length).toWellFormed() + note;
}
