/** Taking a service or the whole node out for a while: a check that is critical until it is taken away. */
import type { RegistryStep } from "../../../objects/registry/steps.ts";
import type { CheckSpec } from "../../../objects/registry/check-spec.ts";
import { applySteps, ensureStep, requireService } from "./agent-register.ts";
import type { CheckExtra } from "./catalog/extra.ts";
import { serviceIdOf } from "./catalog/service-id.ts";
import { emptyResponse } from "./encode.ts";
import { NODE_MAINTENANCE, serviceMaintenanceId } from "./encode-check.ts";
import { badRequest } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import { parseBool, quote } from "../../request/go-strconv.ts";
import { route } from "./route.ts";

export const agentMaintenanceRoutes = [
  route("/agent/maintenance", { PUT: nodeMaintenance }),
  route("/agent/service/maintenance/", { PUT: serviceMaintenance }),
];

const NODE_REASON = "Maintenance mode is enabled for this node, but no reason was provided. This is a default message.";
const SERVICE_REASON =
  "Maintenance mode is enabled for this service, but no reason was provided. This is a default message.";

function isEnabling(exchange: Exchange): boolean {
  const given = exchange.params.get("enable");
  if (given === null) throw badRequest("Missing value for enable");
  try {
    return parseBool(given);
  } catch {
    throw badRequest(`Invalid value for enable: ${quote(given)}`);
  }
}

const EXTRA: CheckExtra = { Type: "maintenance" };

const maintenanceCheck = (id: string, name: string, notes: string): CheckSpec => ({
  type: "status",
  id,
  name,
  notes,
  status: "critical",
  extra: { consul: EXTRA },
});

async function nodeMaintenance(exchange: Exchange): Promise<Response> {
  const isOn = isEnabling(exchange);
  exchange.require("node", "write", exchange.node);
  const { node, client } = exchange;
  const owner = { node };
  const { value: known } = await client.query("nodes.check", { node, check: NODE_MAINTENANCE });
  // Its reason stays, if it is on already.
  if (isOn === known.length > 0) return emptyResponse();
  const check = maintenanceCheck(NODE_MAINTENANCE, "Node Maintenance Mode", exchange.param("reason") || NODE_REASON);
  const steps: RegistryStep[] = isOn
    ? [ensureStep(exchange), { type: "check.put", owner, check }]
    : [{ type: "check.delete", owner, check: NODE_MAINTENANCE }];
  await applySteps(exchange, steps);
  return emptyResponse();
}

async function serviceMaintenance(exchange: Exchange): Promise<Response> {
  const { rest: id } = exchange;
  if (id === "") throw badRequest("Missing service ID");
  const isOn = isEnabling(exchange);
  const found = await requireService(exchange, id);
  const reason = exchange.param("reason") || SERVICE_REASON;
  for (const instance of found) {
    const checkId = serviceMaintenanceId(serviceIdOf(instance));
    const owner = { service: instance.service, id: instance.id };
    const isKnown = instance.checks.some((check) => check.id === checkId);
    const check = maintenanceCheck(checkId, "Service Maintenance Mode", reason);
    if (isOn && !isKnown) await applySteps(exchange, [{ type: "check.put", owner, check }]);
    if (!isOn && isKnown) await applySteps(exchange, [{ type: "check.delete", owner, check: checkId }]);
    // Taken out by somebody who does not speak Consul: here it looked the same, so it ends the same.
    if (!isOn && instance.adminState !== "up") {
      await exchange.execute("registry.update", { ...owner, adminState: "up" });
    }
  }
  return emptyResponse();
}
