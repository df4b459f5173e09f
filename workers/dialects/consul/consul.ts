/**
 * Consul's HTTP API, version 1, as of Consul 1.21.
 *
 * The edge stands where a client expects its local agent: the caller's node (`X-Holdfast-Node`, else the default one) is
 * the agent's node, and the catalog is the namespace. The README beside this lists every endpoint.
 */
import { HoldfastError } from "../../../objects/errors.ts";
import type { Bindings } from "../../request/bindings.ts";
import { identify } from "../../request/authorizer.ts";
import { assertNamespace, DEFAULT_NAMESPACE } from "../../request/namespace.ts";
import { datacentersOf } from "../../request/datacenter.ts";
import type { EdgeResolver } from "../../resolver/resolver.ts";
import { PolicyAuthorizer } from "./acl/authorizer.ts";
import { credentialOf } from "./acl/credential.ts";
import { aclRoutes } from "./acl/endpoints.ts";
import { agentCheckRoutes } from "./agent-checks.ts";
import { agentClusterRoutes } from "./agent-cluster.ts";
import { agentInfoRoutes } from "./agent-info.ts";
import { agentMaintenanceRoutes } from "./agent-maintenance.ts";
import { agentRegisterRoutes } from "./agent-register.ts";
import { agentViewRoutes } from "./agent-view.ts";
import { gatewayRoutes } from "./catalog/gateways.ts";
import { catalogReadRoutes } from "./catalog/reads.ts";
import { catalogWriteRoutes } from "./catalog/register.ts";
import { configRoutes } from "./config/config.ts";
import { connectAuthorizeRoutes } from "./connect/authorize.ts";
import { connectCaRoutes } from "./connect/ca.ts";
import { connectLeafRoutes } from "./connect/leaf.ts";
import { coordinateRoutes } from "./coordinates.ts";
import { datacenterRoutes } from "./datacenters.ts";
import { discoveryChainRoutes } from "./discovery-chain/discovery-chain.ts";
import { badRequest, ConsulError, consulErrorOf } from "./errors.ts";
import { eventRoutes } from "./events.ts";
import { Exchange } from "./exchange.ts";
import { healthRoutes } from "./health.ts";
import { kvRoutes } from "./kv.ts";
import { exportedServiceRoutes } from "./exported-services.ts";
import { intentionRoutes } from "./intentions/intentions.ts";
import { confirmedAnswer } from "./kept-answers.ts";
import { defaultNodeOf } from "./node-name.ts";
import { operatorRoutes } from "./operator.ts";
import { peeringRoutes } from "./peering.ts";
import { queryRoutes } from "./queries/queries.ts";
import { dispatch, errorResponse, RouteTable } from "./route.ts";
import { serviceVirtualIpRoutes } from "./service-virtual-ip.ts";
import { sessionRoutes } from "./sessions.ts";
import { snapshotRoutes } from "./snapshot.ts";
import { statusRoutes } from "./status.ts";
import { uiRoutes } from "./ui/ui.ts";
import { txnRoutes } from "./txn/txn.ts";

const NODE_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
const NON_PRINTABLE = /[^\P{C}\u00ad]/u;

export const routes = new RouteTable([
  ...statusRoutes,
  ...aclRoutes,
  ...datacenterRoutes,
  ...agentInfoRoutes,
  ...agentClusterRoutes,
  ...agentViewRoutes,
  ...agentRegisterRoutes,
  ...agentCheckRoutes,
  ...agentMaintenanceRoutes,
  ...catalogReadRoutes,
  ...catalogWriteRoutes,
  ...healthRoutes,
  ...gatewayRoutes,
  ...uiRoutes,
  ...queryRoutes,
  ...kvRoutes,
  ...txnRoutes,
  ...sessionRoutes,
  ...eventRoutes,
  ...coordinateRoutes,
  ...operatorRoutes,
  ...peeringRoutes,
  ...snapshotRoutes,
  ...configRoutes,
  ...discoveryChainRoutes,
  ...intentionRoutes,
  ...serviceVirtualIpRoutes,
  ...exportedServiceRoutes,
  ...connectCaRoutes,
  ...connectLeafRoutes,
  ...connectAuthorizeRoutes,
]);

export interface ConsulPorts {
  env: Bindings;
  resolver: EdgeResolver;
  /** From the path's prefix or the host; null = the request may say. */
  namespace: string | null;
}

/** `pathAndQuery` is raw and begins with `/v1`. */
export async function handleConsul(request: Request, pathAndQuery: string, ports: ConsulPorts): Promise<Response> {
  let exchange: Exchange | undefined;
  let response: Response;
  try {
    const confirmed = request.method === "GET" ? await confirmedAnswer(request, pathAndQuery, ports) : null;
    if (confirmed) return confirmed;
    const at = pathAndQuery.indexOf("?");
    const rawPath = at === -1 ? pathAndQuery : pathAndQuery.slice(0, at);
    if (rawPath.includes("//")) return redirect(rawPath.replace(/\/{2,}/g, "/"), pathAndQuery, at);
    const path = decodePath(rawPath).slice("/v1".length);
    const found = routes.find(path);
    if (!found) {
      if (routes.isBareprefix(path)) return redirect(`${rawPath}/`, pathAndQuery, at);
      throw new ConsulError(404, "Invalid URL path: not a recognized HTTP API endpoint\n");
    }
    const params = new URLSearchParams(at === -1 ? "" : pathAndQuery.slice(at));
    exchange = await exchangeOf(request, path, params, ports);
    response = await dispatch(found, exchange);
    const mayHaveWaited = request.method === "GET" && ["index", "hash"].some((name) => params.has(name));
    if (mayHaveWaited) {
      // With rights as they are now, and without waiting: they may be others than those that the answer was made with.
      params.delete("index");
      params.delete("hash");
      const { authorizer } = exchange;
      const again = await exchangeOf(request, path, params, ports);
      if (!again.authorizer.isSameAs(authorizer)) {
        exchange = again;
        response = await dispatch(found, again);
      }
    }
  } catch (error) {
    response = errorResponse(wordsOf(error));
  }
  return finish(response, exchange);
}

async function exchangeOf(
  request: Request,
  path: string,
  params: URLSearchParams,
  ports: ConsulPorts,
): Promise<Exchange> {
  const { env, resolver } = ports;
  const namespace = namespaceOf(request, params, ports.namespace);
  const datacenter = dataCenterNamed(params, env);
  const credential = credentialOf(request.headers, params);
  const target = { namespace, datacenter, dialect: "consul" };
  const { caller, authorizer } = await identify(request, credential, env, target);
  return new Exchange({
    request,
    path,
    params,
    env,
    resolver,
    caller,
    authorizer: new PolicyAuthorizer(authorizer),
    namespace,
    datacenter,
    node: nodeOf(request) ?? defaultNodeOf(env),
  });
}

/** `?ns=` and its header choose one, unless path or host already did; those who then name another are refused. */
function namespaceOf(request: Request, params: URLSearchParams, fixed: string | null): string {
  for (const name of ["partition", "ap"]) {
    const given = params.get(name) ?? "";
    if (given !== "" && given !== "default") {
      throw badRequest(`Invalid query parameter: "${name}" - Partitions are a Consul Enterprise feature`);
    }
  }
  const asked = params.get("ns") ?? request.headers.get("x-consul-namespace") ?? "";
  if (asked === "" || asked === fixed) return fixed ?? DEFAULT_NAMESPACE;
  if (fixed !== null) throw badRequest(`Invalid query parameter: "ns" - the address is that of namespace "${fixed}"`);
  assertNamespace(asked);
  return asked;
}

function dataCenterNamed(params: URLSearchParams, env: Bindings): string {
  const asked = params.get("datacenter") || params.get("dc") || "";
  const { own, names } = datacentersOf(env);
  if (asked !== "" && !names.includes(asked)) throw new ConsulError(500, "No path to datacenter");
  return asked || own;
}

function nodeOf(request: Request): string | null {
  const given = request.headers.get("x-holdfast-node");
  if (given === null || given === "") return null;
  if (!NODE_NAME.test(given)) throw badRequest('Invalid header: "X-Holdfast-Node" - not a node name');
  return given;
}

function decodePath(raw: string): string {
  let path: string;
  try {
    path = decodeURIComponent(raw);
  } catch {
    throw badRequest("");
  }
  if (NON_PRINTABLE.test(path)) throw badRequest("");
  return path;
}

function redirect(path: string, pathAndQuery: string, queryAt: number): Response {
  const location = path + (queryAt === -1 ? "" : pathAndQuery.slice(queryAt));
  return new Response(null, { status: 301, headers: { location } });
}

/** Nothing but our own errors is told; the rest is a bug. */
function wordsOf(error: unknown): ConsulError {
  if (error instanceof ConsulError) return error;
  if (error instanceof HoldfastError) return consulErrorOf(error);
  console.error("unhandled", error);
  return new ConsulError(500, "internal error");
}

/** The headers that every answer has. */
function finish(response: Response, exchange: Exchange | undefined): Response {
  response.headers.set("x-content-type-options", "nosniff");
  if (exchange) {
    for (const [name, value] of exchange.headers) response.headers.set(name, value);
    response.headers.set("x-consul-default-acl-policy", exchange.authorizer.defaultPolicy);
  }
  return response;
}
