/** A stored lookup found by its name and carried out over this isolate's views, for those who ask no more than the name. */
import type { RegisteredInstance, ServiceView } from "../../objects/model.ts";
import type { Bindings } from "../request/bindings.ts";
import { datacentersOf } from "../request/datacenter.ts";
import { NamespaceClient } from "../request/namespace-client.ts";
import { runLookup } from "./lookup.ts";
import { meshView } from "./mesh.ts";
import { nearestFirst, spotOf } from "./near.ts";
import type { Resolver } from "./types.ts";

export interface NamedAnswer {
  view: ServiceView;
  instances: RegisteredInstance[];
  /** Where they are. */
  datacenter: string;
  /** How long the answer may be kept; null = the lookup does not say. */
  ttlMs: number | null;
}

/** Null when there is no such lookup. Codes: those of the resolver, `invalid_argument` (a template asked for by its id). */
export async function runNamed(
  env: Bindings,
  resolver: Resolver,
  namespace: string,
  datacenter: string,
  name: string,
): Promise<NamedAnswer | null> {
  const client = new NamespaceClient(env, namespace, datacenter);
  const lookup = (await client.query("lookup.resolve", { name })).value;
  // There are no peers.
  if (lookup === null || lookup.target.peer !== "") return null;
  const { near } = lookup.target;
  const others = datacentersOf(env).names.filter((other) => other !== datacenter);
  const found = await runLookup(lookup.target, 0, {
    find: async ({ service, mesh }, where) =>
      mesh
        ? meshView(new NamespaceClient(env, namespace, where), service)
        : (await resolver.resolve(namespace, service, { datacenter: where })).view,
    datacenters: [datacenter, ...others],
    isVisible: () => true,
    // Who asks by name alone is on no node.
    sorted: async (instances, { nodes }) =>
      near === "" || near.startsWith("_")
        ? instances
        : nearestFirst(client, near, instances, (instance) => spotOf(instance, nodes)),
    random: Math.random,
  });
  return { view: found.view, instances: found.instances, datacenter: found.datacenter, ttlMs: lookup.ttlMs };
}
