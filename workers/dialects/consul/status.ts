/** `/v1/status`: clients and test helpers wait for a leader before they begin. There is always one: the namespace's object. */
import type { Exchange } from "./exchange.ts";
import { route } from "./route.ts";

/** Consul's servers speak RPC at this port; nothing listens here, but the text is taken for an address. */
export const SERVER_PORT = 8300;

export const serverAddress = (exchange: Exchange): string => {
  const { hostname } = new URL(exchange.request.url);
  return `${hostname}:${SERVER_PORT}`;
};

export const statusRoutes = [
  route("/status/leader", { GET: (exchange) => exchange.json(serverAddress(exchange)) }),
  route("/status/peers", { GET: (exchange) => exchange.json([serverAddress(exchange)]) }),
];
