/** `/v1/catalog/datacenters`: the ones there are, nearest first. Without an index: the list is a setting, not state. */
import { datacentersOf } from "../../request/datacenter.ts";
import { route } from "./route.ts";

export const datacenterRoutes = [
  route("/catalog/datacenters", { GET: (exchange) => exchange.json(datacentersOf(exchange.env).names) }),
];
