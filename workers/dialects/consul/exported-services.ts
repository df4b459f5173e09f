/** `/v1/exported-services`: which services other clusters may use, a wildcard spelled out. */
import type { QueryOutput } from "../../../objects/commands.ts";
import { ANY } from "../../../objects/rules/model.ts";
import type { Rule } from "../../../objects/rules/model.ts";
import { serviceSpace } from "../../../objects/registry/spaces.ts";
import { rangeOfRules } from "./config/config.ts";
import type { Exchange } from "./exchange.ts";
import { route } from "./route.ts";

export const exportedServiceRoutes = [route("/exported-services", { GET: read })];

async function read(exchange: Exchange): Promise<Response> {
  exchange.require("mesh", "read");
  // A wildcard's meaning changes with the catalog.
  await exchange.changed([rangeOfRules("exports"), { space: serviceSpace.name, ...serviceSpace.rangeUnder([]) }]);
  const peers = new Map<string, Set<string>>();
  const exports = await exportsOf(exchange);
  for (const { service, peers: consumers } of exports) {
    const names = service === ANY ? await everyService(exchange) : [service];
    for (const name of names) {
      const known = peers.get(name) ?? new Set();
      for (const peer of consumers) known.add(peer);
      if (known.size > 0) peers.set(name, known);
    }
  }
  const services = [...peers].toSorted(([a], [b]) => (a < b ? -1 : 1));
  return exchange.json(
    services.map(([Service, consumers]) => ({ Service, Consumers: { Peers: [...consumers].toSorted() } })),
  );
}

async function exportsOf(exchange: Exchange): Promise<Rule<"exports">["spec"]["services"]> {
  const { value } = await exchange.primary.client.query("rule.list", { kind: "exports" });
  return (value.items as Rule<"exports">[]).flatMap(({ spec }) => spec.services);
}

async function everyService(exchange: Exchange): Promise<string[]> {
  const names: string[] = [];
  let after: string | null = null;
  do {
    const page: QueryOutput<"registry.services"> = (await exchange.client.query("registry.services", { after })).value;
    names.push(...page.services.map(({ name }) => name));
    after = page.after;
  } while (after !== null);
  return names.filter((name) => name !== "consul");
}
