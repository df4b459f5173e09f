/** `/v1/query`: prepared queries made, read, changed, deleted, executed and explained. */
import type { Lookup } from "../../../../objects/lookups/lookups.ts";
import { lookupSpace } from "../../../../objects/lookups/lookups.ts";
import type { WatchRange } from "../../../../objects/store/store.ts";
import { decodeBody } from "../decode.ts";
import { emptyResponse } from "../encode.ts";
import { ConsulError, notFound, refused } from "../errors.ts";
import type { Exchange } from "../exchange.ts";
import { route } from "../route.ts";
import type { QueryDefinition } from "./definition.ts";
import { lookupOf, queryDefinition, queryJson, wordsOfRefusal } from "./definition.ts";
import { executeQuery, explainQuery, isGuarded } from "./execute.ts";

const ALL: WatchRange[] = [{ space: lookupSpace.name, from: new Uint8Array(), to: null }];
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export const queryRoutes = [
  route("/query", { GET: listQueries, POST: createQuery }),
  route("/query/", { GET: readOne, PUT: updateQuery, DELETE: deleteQuery }),
];

async function listQueries(exchange: Exchange): Promise<Response> {
  const { authorizer } = exchange;
  const found: Stored[] = [];
  let { value } = await exchange.read("lookup.list", {}, ALL);
  for (;;) {
    found.push(...value.items);
    if (value.after === null) break;
    ({ value } = await exchange.client.query("lookup.list", { after: value.after }));
  }
  const visible = authorizer.isManagement
    ? found
    : exchange.visible(found, (lookup) => isGuarded(lookup) && exchange.allows("query", "read", lookup.name));
  return exchange.json(visible.map((lookup) => queryJson(lookup, authorizer.isManagement)));
}

type Stored = Lookup & { createRevision: number; modRevision: number };

async function createQuery(exchange: Exchange): Promise<Response> {
  const query = await exchange.body(queryDefinition);
  if (query.ID !== "") throw refused("ID must be empty when creating a new prepared query");
  requireWrite(exchange, { name: query.Name, isTemplate: query.Template.Type !== "" });
  return exchange.json({ ID: await put(exchange, query) });
}

/** `/query/<id>`, and for reading also `/query/<id or name>/execute` and `…/explain`. */
async function readOne(exchange: Exchange): Promise<Response> {
  const { rest } = exchange;
  const action = actionOf(rest);
  if (action === "execute") return executeQuery(exchange, rest.slice(0, -"/execute".length));
  if (action === "explain") return explainQuery(exchange, rest.slice(0, -"/explain".length));
  const id = idOf(rest, "failed prepared query lookup");
  const { value } = await exchange.read("lookup.get", { id }, ALL);
  if (!value) throw notFound("Query not found");
  const { isManagement } = exchange.authorizer;
  if (!isManagement && isGuarded(value) && !exchange.allows("query", "read", value.name)) {
    throw new ConsulError(403, "Permission denied");
  }
  return exchange.json([queryJson(value, isManagement)]);
}

async function updateQuery(exchange: Exchange): Promise<Response> {
  refuseAction(exchange);
  const bytes = await exchange.bytes();
  const query = bytes.length === 0 ? queryDefinition.zero() : decodeBody(bytes, queryDefinition);
  requireWrite(exchange, { name: query.Name, isTemplate: query.Template.Type !== "" });
  const before = await existing(exchange);
  await put(exchange, { ...query, ID: before.id });
  return emptyResponse();
}

async function deleteQuery(exchange: Exchange): Promise<Response> {
  refuseAction(exchange);
  const before = await existing(exchange);
  await exchange.execute("lookup.delete", { id: before.id });
  return emptyResponse();
}

async function put(exchange: Exchange, query: QueryDefinition): Promise<string> {
  const input = lookupOf(query);
  try {
    return (await exchange.execute("lookup.put", query.ID === "" ? input : { ...input, id: query.ID })).id;
  } catch (error) {
    throw wordsOfRefusal(error, query);
  }
}

/** The one that is about to be changed, by somebody who may. */
async function existing(exchange: Exchange): Promise<Stored> {
  const id = idOf(exchange.rest, "Prepared Query lookup failed: failed prepared query lookup");
  const { value } = await exchange.client.query("lookup.get", { id });
  if (!value) throw refused(`Cannot modify non-existent prepared query: '${exchange.rest}'`);
  requireWrite(exchange, { name: value.name, isTemplate: value.template !== null });
  return value;
}

function requireWrite(exchange: Exchange, { name, isTemplate }: { name: string; isTemplate: boolean }): void {
  if (name !== "" || isTemplate) exchange.require("query", "write", name);
}

function actionOf(rest: string): "execute" | "explain" | null {
  if (rest.endsWith("/execute")) return "execute";
  return rest.endsWith("/explain") ? "explain" : null;
}

/** An execution is only read. */
function refuseAction({ rest, method }: Exchange): void {
  if (actionOf(rest)) throw new ConsulError(405, `method ${method} not allowed`, { allow: "GET" });
}

function idOf(rest: string, doing: string): string {
  if (!UUID.test(rest)) throw refused(`${doing}: index error: UUID must be 36 characters`);
  return rest.toLowerCase();
}
