/**
 * `/v1/coordinate`: where nodes are in the network. Consul's agents measure it; what they tell is kept and sorted by.
 * Source: Consul 1.21, `structs.Coordinate`.
 */
import { HoldfastError } from "../../../objects/errors.ts";
import { coordinateSpace } from "../../../objects/coordinates/coordinates.ts";
import type { NodeCoordinate } from "../../../objects/coordinates/coordinates.ts";
import { ORIGIN } from "../../../objects/coordinates/vivaldi.ts";
import { nodeKey } from "../../../objects/registry/spaces.ts";
import type { WatchRange } from "../../../objects/store/store.ts";
import { datacentersOf } from "../../request/datacenter.ts";
import { float, list, object, text } from "./decode.ts";
import { emptyResponse } from "./encode.ts";
import { refused } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import { route } from "./route.ts";

export const coordinateRoutes = [
  route("/coordinate/datacenters", { GET: listDatacenters }),
  route("/coordinate/nodes", { GET: listNodes }),
  route("/coordinate/node/", { GET: readNode }),
  route("/coordinate/update", { PUT: update }),
];

const updateBody = object({
  Datacenter: text,
  Node: text,
  Segment: text,
  Token: text,
  Coord: object({ Vec: list(float), Error: float, Adjustment: float, Height: float }),
});

/** One server each, which has measured nothing: between datacenters nobody does. */
function listDatacenters(exchange: Exchange): Response {
  const { names } = datacentersOf(exchange.env);
  return exchange.json(
    names.map((name) => ({
      Datacenter: name,
      AreaID: "WAN",
      Coordinates: [entryOf({ node: `${exchange.defaultNode}.${name}`, segment: "", coordinate: ORIGIN })],
    })),
  );
}

async function listNodes(exchange: Exchange): Promise<Response> {
  const ranges: WatchRange[] = [{ space: coordinateSpace.name, from: new Uint8Array(), to: null }];
  const found: NodeCoordinate[] = [];
  let { value } = await exchange.read("coordinates.list", {}, ranges);
  for (;;) {
    found.push(...value.coordinates);
    if (value.after === null) break;
    ({ value } = await exchange.client.query("coordinates.list", { after: value.after }));
  }
  return exchange.json(shown(exchange, found));
}

async function readNode(exchange: Exchange): Promise<Response> {
  const node = exchange.rest;
  const ranges: WatchRange[] = [{ space: coordinateSpace.name, ...coordinateSpace.rangeUnder([nodeKey(node)]) }];
  const { value } = await exchange.read("coordinates.of", { node }, ranges);
  const found = shown(exchange, value);
  return found.length > 0 ? exchange.json(found) : new Response(null, { status: 404 });
}

async function update(exchange: Exchange): Promise<Response> {
  const { Node: node, Segment: segment, Coord: coord } = await exchange.body(updateBody);
  exchange.require("node", "write", node);
  const coordinate = { vec: coord.Vec, error: coord.Error, adjustment: coord.Adjustment, height: coord.Height };
  try {
    await exchange.execute("coordinates.update", [{ node, segment, coordinate }]);
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.code !== "invalid_argument") throw error;
    throw refused(error.details?.["field"] === "coordinate.vec" ? "incompatible coordinate" : "invalid coordinate");
  }
  return emptyResponse();
}

function shown(exchange: Exchange, found: readonly NodeCoordinate[]): object[] {
  const segment = exchange.params.get("segment");
  const wanted = segment === null ? found : found.filter((entry) => entry.segment === segment);
  return exchange.visible(wanted, ({ node }) => exchange.allows("node", "read", node)).map(entryOf);
}

function entryOf({ node, segment, coordinate }: NodeCoordinate): object {
  const { vec, error, adjustment, height } = coordinate;
  return { Node: node, Segment: segment, Coord: { Vec: vec, Error: error, Adjustment: adjustment, Height: height } };
}
