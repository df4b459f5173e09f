/**
 * `PUT /v1/txn`: up to 128 operations on keys, nodes, services and checks, all of them or none.
 *
 * What has been checked before any of it is carried out (verbs, permissions) is refused first and alone; then all failures
 * are told, each with its place.
 * Source: Consul 1.21, developer.hashicorp.com/consul/api-docs/txn, `agent/txn_endpoint.go`.
 */
import type { ReadOperation, Transacted } from "../../../../objects/transactions/transactions.ts";
import { boundedBody } from "../bounded-body.ts";
import type { Decoded } from "../decode.ts";
import { decodeBody, list, object, optional } from "../decode.ts";
import { badRequest, ConsulError } from "../errors.ts";
import type { Exchange } from "../exchange.ts";
import { route } from "../route.ts";
import { keyOperation, planKey } from "./keys.ts";
import type { Plan, Refusal } from "./plan.ts";
import { isRefusal } from "./plan.ts";
import { checkOperation, nodeOperation, planCheck, planNode, planService, serviceOperation } from "./registry.ts";

export const txnRoutes = [route("/txn", { PUT: run })];

const OPERATIONS_MAX = 128;

const operation = object({
  KV: optional(keyOperation),
  Node: optional(nodeOperation),
  Service: optional(serviceOperation),
  Check: optional(checkOperation),
});
const body = list(operation);

interface Problem {
  OpIndex: number;
  What: string;
}

async function run(exchange: Exchange): Promise<Response> {
  const given = await decode(exchange);
  if (given.length > OPERATIONS_MAX) {
    const message = `Transaction contains too many operations (${given.length} > ${OPERATIONS_MAX})`;
    throw new ConsulError(413, message);
  }
  const plans: Plan[] = [];
  const refused: Problem[] = [];
  for (const one of given) {
    const plan = await planOf(exchange, one);
    // One that says nothing counts for nothing.
    if (!plan) continue;
    const index = plans.length + refused.length;
    if (isRefusal(plan)) refused.push({ OpIndex: index, What: plan.refused });
    else plans.push(plan);
  }
  if (refused.length > 0) return conflict(exchange, refused);
  const isRead = plans.every(({ isWrite }) => !isWrite);
  const operations = plans.flatMap((plan) => plan.operations);
  const outcome = isRead
    ? await read(exchange, operations as ReadOperation[])
    : await exchange.execute("transaction.run", operations);
  return answer(exchange, plans, outcome, isRead ? READ_META : {});
}

async function decode(exchange: Exchange): Promise<Decoded<typeof body>> {
  const bytes = await boundedBody(exchange, "txn_max_req_len");
  try {
    return decodeBody(bytes, body);
  } catch (error) {
    if (!(error instanceof ConsulError) || error.status !== 400) throw error;
    throw badRequest(error.message.replace(/^Request decode failed/, "Failed to parse body"));
  }
}

function planOf(
  exchange: Exchange,
  { KV, Node, Service, Check }: Decoded<typeof operation>,
): Plan | Refusal | undefined | Promise<Plan | Refusal> {
  if (KV) return planKey(exchange, KV);
  if (Node) return planNode(exchange, Node);
  if (Service) return planService(exchange, Service);
  return Check && planCheck(exchange, Check);
}

async function read(exchange: Exchange, operations: ReadOperation[]): Promise<Transacted> {
  const strong = exchange.query.consistency === "consistent";
  const { value } = await exchange.client.query("transaction.read", operations, { strong });
  exchange.headers.set("x-consul-knownleader", "true");
  exchange.headers.set("x-consul-lastcontact", "0");
  return value;
}

/** Reads tell how they were made, in the body as well. */
const READ_META = {
  Index: 0,
  LastContact: 0,
  KnownLeader: true,
  ConsistencyLevel: "leader",
  NotModified: false,
  Backend: 0,
  ResultsFilteredByACLs: false,
};

function answer(exchange: Exchange, plans: Plan[], { results, failures }: Transacted, meta: object): Response {
  // A plan may be carried out in several steps.
  const planAt = plans.flatMap((plan, index) => plan.operations.map(() => index));
  if (failures.length > 0) {
    const problems = new Map<number, string>();
    for (const { index, error } of failures) {
      const at = planAt[index]!;
      if (!problems.has(at)) problems.set(at, plans[at]!.words(error));
    }
    return conflict(
      exchange,
      [...problems].map(([OpIndex, What]) => ({ OpIndex, What })),
      meta,
    );
  }
  const shown = plans.flatMap((plan, index) => {
    return plan.results(
      results.filter((_, at) => planAt[at] === index),
      exchange,
    );
  });
  const visible = exchange.visible(shown, ({ isVisible }) => isVisible);
  const isFiltered = visible.length < shown.length && exchange.authorizer.isKnown;
  return exchange.json({
    Results: visible.map(({ entry }) => entry),
    Errors: null,
    ...meta,
    ...("Index" in meta && { ResultsFilteredByACLs: isFiltered }),
  });
}

const conflict = (exchange: Exchange, Errors: Problem[], meta: object = {}): Response =>
  exchange.json({ Results: null, Errors, ...meta }, 409);
