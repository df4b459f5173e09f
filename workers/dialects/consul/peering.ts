/**
 * Peering and federation, as Consul answers them where there is none: lists are empty, and nothing can be established.
 * Source: Consul 1.21, `agent/rpc/peering/service.go`, `agent/federation_state_endpoint.go`.
 */
import { badRequest, notFound, refused } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import { route } from "./route.ts";

function refuse(exchange: Exchange): never {
  exchange.require("peering", "write");
  throw refused("rpc error: code = FailedPrecondition desc = peering must be enabled to use this endpoint");
}

function listPeerings(exchange: Exchange): Response {
  exchange.require("peering", "read");
  exchange.tellIndex(1);
  return exchange.json([]);
}

function readPeering(exchange: Exchange): Response {
  if (exchange.rest === "") throw badRequest("Must specify a name to fetch.");
  exchange.require("peering", "read");
  throw notFound(`Peering not found for ${JSON.stringify(exchange.rest)}`);
}

function readFederationState(exchange: Exchange): Response {
  if (exchange.rest === "") throw badRequest("Missing datacenter name");
  exchange.require("operator", "read");
  exchange.tellIndex(1);
  return new Response(null, { status: 404 });
}

function nothing(answer: object): (exchange: Exchange) => Response {
  return (exchange) => {
    exchange.require("operator", "read");
    exchange.tellIndex(1);
    return exchange.json(answer);
  };
}

export const peeringRoutes = [
  route("/peerings", { GET: listPeerings }),
  route("/peering/token", { POST: refuse }),
  route("/peering/establish", { POST: refuse }),
  route("/peering/", { GET: readPeering, DELETE: refuse }),
  route("/internal/federation-states", { GET: nothing([]) }),
  route("/internal/federation-states/mesh-gateways", { GET: nothing({}) }),
  route("/internal/federation-state/", { GET: readFederationState }),
];
