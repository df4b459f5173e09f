/**
 * `Node`, `Service` and `Check` operations of a transaction.
 *
 * Source: Consul 1.21, `state.txnNode`, `state.txnService`, `state.txnCheck`, and who may do them (`Txn.preCheck`).
 */
import type { ErrorValue } from "../../../../objects/errors.ts";
import type { Operation, OperationResult } from "../../../../objects/transactions/transactions.ts";
import { isStatus } from "../agent-check-definition.ts";
import { agentNodeSpec, isDefaultNode } from "../catalog/agent-node.ts";
import { assertService, checkFields, serviceFields, serviceOf, settled, specOf } from "../catalog/register.ts";
import { instanceSpec, locality } from "../catalog/service-definition.ts";
import { instanceIdOf } from "../catalog/service-id.ts";
import type { Decoded } from "../decode.ts";
import { int, map, object, text } from "../decode.ts";
import { ownedCheckEntry } from "../encode-check.ts";
import { nodeEntry } from "../encode-node.ts";
import { nodeServiceEntry } from "../encode-service.ts";
import { ConsulError } from "../errors.ts";
import type { Exchange } from "../exchange.ts";
import { quote } from "../../../request/go-strconv.ts";
import type { Plan, Refusal, Shown } from "./plan.ts";

const nodeFields = {
  ID: text,
  Node: text,
  Address: text,
  Datacenter: text,
  TaggedAddresses: map(text),
  Meta: map(text),
  Locality: locality,
  CreateIndex: int,
  ModifyIndex: int,
};

// Clients send their entities whole, with fields of versions before and after.
const lenient = { lenient: true };
export const nodeOperation = object({ Verb: text, Node: object(nodeFields, lenient) });
export const serviceOperation = object({ Verb: text, Node: text, Service: object(serviceFields, lenient) });
export const checkOperation = object({ Verb: text, Check: object(checkFields, lenient) });

type Verb = "get" | "set" | "cas" | "delete" | "delete-cas";
const VERBS: ReadonlySet<string> = new Set<Verb>(["get", "set", "cas", "delete", "delete-cas"]);
const isVerb = (verb: string): verb is Verb => VERBS.has(verb);

const unknown = (what: string, verb: string): Refusal => ({ refused: `unknown ${what} operation: ${verb}` });
const MISSING_NODE = "Missing node registration";

export function planNode(exchange: Exchange, { Verb: verb, Node }: Decoded<typeof nodeOperation>): Plan | Refusal {
  const { Node: name, ID: id, Address: address, TaggedAddresses: addresses, Meta: meta, ModifyIndex: index } = Node;
  if (!isVerb(verb)) return unknown("Node", verb);
  if (name === "" && (verb !== "get" || id === "")) return { refused: "Must provide node" };
  if (verb !== "get" && !exchange.allows("node", "write", name)) return denied(exchange, "node", name);
  const place = { region: Node.Locality?.Region, zone: Node.Locality?.Zone };
  const node = { name, id, address, addresses, meta, locality: place };
  const operations: Record<Verb, Operation> = {
    get: { type: "node.get", name: id || name },
    set: { type: "node.put", node },
    cas: { type: "node.put", node, cas: index },
    delete: { type: "node.delete", name },
    "delete-cas": { type: "node.delete", name, cas: index },
  };
  return {
    operations: [operations[verb]],
    isWrite: verb !== "get",
    results: (results) => results.flatMap((result) => shownNode(exchange, verb, result)),
    words: (error) =>
      error.code === "not_found" ? `node ${quote(name)} doesn't exist` : words(error, verb, `node ${quote(name)}`),
  };
}

function shownNode(exchange: Exchange, verb: Verb, { node, step }: OperationResult): Shown[] {
  const found = verb.startsWith("delete") ? undefined : (node ?? step?.node);
  if (!found) return [];
  return [{ entry: { Node: nodeEntry(found, exchange) }, isVisible: exchange.allows("node", "read", found.name) }];
}

export async function planService(
  exchange: Exchange,
  given: Decoded<typeof serviceOperation>,
): Promise<Plan | Refusal> {
  const { Verb: verb, Node: node, Service } = given;
  if (!isVerb(verb)) return unknown("Service", verb);
  const service = serviceOf(Service);
  const ids = [...new Set([instanceIdOf(service.ID, node), service.ID])];
  const existing = verb === "get" ? undefined : await instanceNamed(exchange, node, ids);
  if (verb !== "get") {
    const names = [service.Service, existing?.service ?? ""].filter((name) => name !== "");
    for (const name of names) if (!exchange.allows("service", "write", name)) return denied(exchange, "service", name);
    if (names.length === 0 && !exchange.allows("service", "write", "")) return denied(exchange, "service", "");
  }
  if (verb === "set" || verb === "cas") {
    const wrong = wrongWith(() => assertService(Service));
    if (wrong !== null) return { refused: wrong };
  }
  const { ModifyIndex: index } = Service;
  const put = (): Operation => ({
    type: "instance.put",
    instance: instanceSpec(service, node, ""),
    keepChecks: true,
    ...(verb === "cas" && { cas: index }),
  });
  const id = existing?.id ?? ids[0]!;
  const operations: Record<Verb, () => Operation[]> = {
    get: () => [{ type: "instance.get", node, ids }],
    set: () => [...nodeFor(exchange, node), put()],
    cas: () => [...nodeFor(exchange, node), put()],
    delete: () => [{ type: "instance.delete", node, id }],
    "delete-cas": () => [{ type: "instance.delete", node, id, cas: index }],
  };
  const what = `service ${quote(service.ID)} on node ${quote(node)}`;
  return {
    operations: operations[verb](),
    isWrite: verb !== "get",
    results: (results) => results.flatMap((result) => shownService(exchange, verb, result)),
    words(error) {
      if (error.details?.["what"] === "node") return MISSING_NODE;
      return error.code === "not_found" ? `${what} doesn't exist` : words(error, verb, what);
    },
  };
}

/** The agents' node is there whenever it is needed; any other has to be. */
const nodeFor = (exchange: Exchange, node: string): Operation[] =>
  isDefaultNode(node, exchange)
    ? [{ type: "node.ensure", node: agentNodeSpec(exchange, node, exchange.caller.source) }]
    : [{ type: "node.get", name: node }];

async function instanceNamed(
  { client }: Exchange,
  node: string,
  ids: string[],
): Promise<{ service: string; id: string } | undefined> {
  const answers = await Promise.all(ids.map((id) => client.query("nodes.instance", { node, id })));
  return answers.flatMap(({ value }) => value)[0];
}

function shownService(exchange: Exchange, verb: Verb, { instance, step }: OperationResult): Shown[] {
  const found = verb.startsWith("delete") ? undefined : (instance ?? step?.instance);
  if (!found) return [];
  const isVisible = exchange.allows("service", "read", found.service);
  return [{ entry: { Service: nodeServiceEntry(found) }, isVisible }];
}

export async function planCheck(exchange: Exchange, given: Decoded<typeof checkOperation>): Promise<Plan | Refusal> {
  const { Verb: verb } = given;
  const check = settled(given.Check, "");
  const { Node: node, CheckID: id, Status: status, ServiceID: serviceId, ModifyIndex: index } = check;
  if (!isVerb(verb)) return unknown("Check", verb);
  if (status !== "" && !isStatus(status)) return { refused: `Invalid check status: '${status}'` };
  const instances = serviceId === "" ? [] : [...new Set([instanceIdOf(serviceId, node), serviceId])];
  if (verb !== "get") {
    const refusal = await vetCheck(exchange, node, id, { instances, named: check.ServiceName });
    if (refusal) return refusal;
  }
  const set: Operation = { type: "check.set", node, instances, check: specOf(check) };
  const removed: Operation = { type: "check.remove", node, check: id };
  const operations: Record<Verb, Operation> = {
    get: { type: "check.get", node, check: id },
    set,
    cas: { ...set, cas: index },
    delete: removed,
    "delete-cas": { ...removed, cas: index },
  };
  const what = `check ${quote(id)} on node ${quote(node)}`;
  return {
    operations: [operations[verb]],
    isWrite: verb !== "get",
    results: (results) => results.flatMap((result) => shownCheck(exchange, verb, result)),
    words(error) {
      if (error.code !== "not_found") return words(error, verb, what);
      if (verb === "get") return `${what} doesn't exist`;
      return error.details?.["what"] === "instance" ? "Missing service registration" : MISSING_NODE;
    },
  };
}

/** Whose check it is now, and whose it is to be. */
async function vetCheck(
  exchange: Exchange,
  node: string,
  check: string,
  { instances, named }: { instances: string[]; named: string },
): Promise<Refusal | null> {
  const { authorizer, client } = exchange;
  if (authorizer.allowsBelow("node", "write", "") && authorizer.allowsBelow("service", "write", "")) return null;
  const { value: found } = await client.query("nodes.check", { node, check });
  const target = instances.length === 0 ? "" : ((await instanceNamed(exchange, node, instances))?.service ?? named);
  for (const service of [...found.map((owned) => owned.service), target]) {
    if (service === "" && !exchange.allows("node", "write", node)) return denied(exchange, "node", node);
    if (service !== "" && !exchange.allows("service", "write", service)) return denied(exchange, "service", service);
  }
  return null;
}

function shownCheck(exchange: Exchange, verb: Verb, { check }: OperationResult): Shown[] {
  if (!check || verb.startsWith("delete")) return [];
  const [resource, name] =
    check.service === "" ? (["node", check.node] as const) : (["service", check.service] as const);
  return [{ entry: { Check: ownedCheckEntry(check, exchange) }, isVisible: exchange.allows(resource, "read", name) }];
}

const denied = ({ authorizer }: Exchange, resource: "node" | "service", name: string): Refusal => ({
  refused: authorizer.denial(resource, "write", name),
});

function words(error: ErrorValue, verb: Verb, what: string): string {
  const isStale = error.code === "conflict" && error.details?.["field"] === "cas";
  return isStale ? `failed to ${verb === "cas" ? "set" : "delete"} ${what}, index is stale` : error.message;
}

function wrongWith(act: () => void): string | null {
  try {
    act();
    return null;
  } catch (error) {
    if (error instanceof ConsulError) return error.message;
    throw error;
  }
}
