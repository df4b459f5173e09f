/** Intentions by id, as Consul kept them before 1.9 and older clients still write them. */
import { HoldfastError } from "../../../../objects/errors.ts";
import type { IntentionsEntry } from "../config/entries/intentions.ts";
import { DESCRIPTION_BYTES_MAX, byteLength, metaErrors } from "../config/kind.ts";
import { readRules } from "../config/config.ts";
import { timeOf } from "../encode.ts";
import { badRequest, ConsulError, refused } from "../errors.ts";
import type { Exchange } from "../exchange.ts";
import { multiError } from "../multi-error.ts";
import type { IntentionBody } from "./body.ts";
import { assertNamespace, intentionBody } from "./body.ts";
import type { AccessRule, Intention } from "./intention.ts";
import { intentionsOf, told } from "./intention.ts";
import { changeSources, newSource, requireWrite } from "./write.ts";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

async function find(exchange: Exchange): Promise<Intention | undefined> {
  const id = exchange.rest;
  if (!UUID.test(id)) {
    const why = id.length === 36 ? "Invalid UUID element" : "UUID must be 36 characters";
    throw badRequest(`failed config entry lookup: index error: ${why}`);
  }
  const rules = (await readRules(exchange, "access")) as AccessRule[];
  return rules.flatMap(intentionsOf).find(({ written }) => written["LegacyID"] === id);
}

export const getById = async (exchange: Exchange): Promise<Response> => told(exchange, await find(exchange));

export async function createById(exchange: Exchange): Promise<Response> {
  const body = await bodyOf(exchange, "Failed to decode request body: ", 500);
  requireWrite(exchange, body.DestinationName);
  if (body.ID !== "") throw refused("ID must be empty when creating a new intention");
  assertIntention(body);
  const id = crypto.randomUUID();
  const now = timeOf(Date.now());
  await changeSources(exchange, {
    destination: body.DestinationName,
    byId: true,
    change(entry) {
      assertWrittenById(entry);
      entry.Sources = [...(entry.Sources ?? []), sourceOf(body, id, now, now)];
      return true;
    },
  });
  return exchange.json({ ID: id });
}

export async function updateById(exchange: Exchange): Promise<Response> {
  const id = exchange.rest;
  const body = await bodyOf(exchange, "Request decode failed: ", 400);
  const known = await find(exchange);
  if (!known) throw refused(`Cannot modify non-existent intention: '${id}'`);
  requireWrite(exchange, known.rule.name);
  if (body.DestinationName !== known.rule.name) {
    throw refused("Cannot modify Destination partition/namespace/name for an intention once it exists.");
  }
  assertIntention(body);
  const now = timeOf(Date.now());
  await changeSources(exchange, {
    destination: known.rule.name,
    byId: true,
    change(entry) {
      assertWrittenById(entry);
      const sources = entry.Sources ?? [];
      const index = sources.findIndex(({ LegacyID }) => LegacyID === id);
      const current = sources[index];
      if (!current) throw refused(`Cannot modify non-existent intention: '${id}'`);
      entry.Sources = sources.with(index, sourceOf(body, id, current.LegacyCreateTime ?? now, now));
      return true;
    },
  });
  return exchange.json({ ID: id });
}

export async function deleteById(exchange: Exchange): Promise<Response> {
  const id = exchange.rest;
  const known = await find(exchange);
  if (!known) throw refused(`Cannot delete non-existent intention: '${id}'`);
  requireWrite(exchange, known.rule.name);
  await changeSources(exchange, {
    destination: known.rule.name,
    byId: true,
    change(entry) {
      assertWrittenById(entry);
      entry.Sources = (entry.Sources ?? []).filter(({ LegacyID }) => LegacyID !== id);
      return true;
    },
  });
  return exchange.json(true);
}

/** Beginning and status of the text differ between endpoints. */
async function bodyOf(exchange: Exchange, begins: string, status: number): Promise<IntentionBody> {
  let body: IntentionBody;
  try {
    body = await exchange.body(intentionBody);
  } catch (error) {
    if (!(error instanceof ConsulError) || error instanceof HoldfastError) throw error;
    throw new ConsulError(status, begins + error.message.replace(/^Request decode failed: /, ""));
  }
  for (const [end, partition] of [
    ["destination", body.DestinationPartition],
    ["source", body.SourcePartition],
  ]) {
    if (partition === "" || partition === "default") continue;
    throw badRequest(`Cannot specify a ${end} partition with this endpoint`);
  }
  if (body.SourcePeer !== "") {
    throw refused("SourcePeer field is not supported on this endpoint. Use config entries instead");
  }
  assertNamespace("source namespace", body.SourceNS);
  assertNamespace("destination namespace", body.DestinationNS);
  return body;
}

function assertIntention(body: IntentionBody): void {
  const errors: string[] = [];
  for (const end of ["SourceName", "DestinationName"] as const) {
    if (body[end] === "") errors.push(`${end} must be set`);
    if (body[end] !== "*" && body[end].includes("*")) {
      errors.push(`${end}: wildcard character '*' cannot be used with partial values`);
    }
  }
  if (byteLength(body.Description) > DESCRIPTION_BYTES_MAX) {
    errors.push(`Description exceeds maximum length ${DESCRIPTION_BYTES_MAX}`);
  }
  errors.push(...metaErrors(body.Meta));
  if (body.Action !== "allow" && body.Action !== "deny") errors.push("Action must be set to 'allow' or 'deny'");
  if (Array.isArray(body.Permissions) && body.Permissions.length > 0) {
    errors.push("Permissions must not be set when using the legacy APIs");
  }
  if (body.SourceType !== "" && body.SourceType !== "consul") errors.push("SourceType must be set to 'consul'");
  if (errors.length > 0) throw refused(multiError(errors));
}

/** Ids would be lost otherwise: what was once written as an entry has none. */
function assertWrittenById(entry: IntentionsEntry): void {
  if ((entry.Sources ?? []).every(({ LegacyID }) => LegacyID !== "")) return;
  const destination = JSON.stringify(entry.Name);
  throw refused(
    `cannot use legacy intention API to edit intentions with a destination of ${destination} after editing them via a service-intentions config entry`,
  );
}

const sourceOf = (body: IntentionBody, id: string, createdAt: string, updatedAt: string) =>
  newSource({
    Name: body.SourceName,
    Action: body.Action,
    Type: body.SourceType,
    Description: body.Description,
    LegacyID: id,
    LegacyMeta: body.Meta,
    LegacyCreateTime: createdAt,
    LegacyUpdateTime: updatedAt,
  });
