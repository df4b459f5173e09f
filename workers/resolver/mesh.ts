/**
 * Instances that stand for a service without being its own: the mesh's endpoints, and the gateways that let traffic in to
 * it. They are asked for where they are owned; only a gateway's own view may come from memory.
 */
import type { RegisteredInstance, ServiceView } from "../../objects/model.ts";
import type { InstancePage } from "../../objects/registry/views.ts";
import type { NamespaceClient } from "../request/namespace-client.ts";
import type { Resolver } from "./types.ts";

/** Whom a name is asked of instead of the service's own instances. */
export type Standing = "mesh" | "ingress";

/** Proxies of the service and those of its instances that speak the mesh's protocol; with `modRevision` 0 when none do. */
export async function meshView(client: NamespaceClient, service: string): Promise<ServiceView> {
  const { value: first, revision } = await client.query("registry.mesh", { service });
  return viewFrom(service, revision, await wholeMesh(client, service, first));
}

/** A listing of the mesh from its first page on. */
export async function wholeMesh(client: NamespaceClient, service: string, first: InstancePage): Promise<Standings> {
  const instances = [...first.instances];
  const nodes = new Map(Object.entries(first.nodes));
  for (let { after } = first; after !== null;) {
    const { value: page } = await client.query("registry.mesh", { service, after });
    instances.push(...page.instances);
    for (const [name, node] of Object.entries(page.nodes)) nodes.set(name, node);
    after = page.after;
  }
  return { instances, nodes: Object.fromEntries(nodes) };
}

/**
 * The instances of every gateway whose rules name the service, or, where it is in the mesh, all services. `primary` has the
 * rules.
 */
export async function ingressView(
  client: NamespaceClient,
  primary: NamespaceClient,
  resolver: Resolver,
  service: string,
): Promise<ServiceView> {
  const { namespace, datacenter } = client;
  const isElsewhere = primary.datacenter !== datacenter;
  const meshed = isElsewhere
    ? (await client.query("registry.mesh", { service })).value.instances.length > 0
    : undefined;
  const { value: names, revision } = await primary.query("rule.ingresses", { service, meshed });
  const gateways = await Promise.all(names.map((name) => resolver.resolve(namespace, name, { datacenter })));
  return viewFrom(service, revision, {
    instances: gateways.flatMap(({ view }) => view.instances),
    nodes: Object.fromEntries(gateways.flatMap(({ view }) => Object.entries(view.nodes))),
  });
}

type Standings = Pick<ServiceView, "nodes"> & { instances: RegisteredInstance[] };

const viewFrom = (service: string, revision: number, { instances, nodes }: Standings): ServiceView => ({
  service,
  class: "balanced",
  modRevision: instances.reduce((latest, { modRevision }) => Math.max(latest, modRevision), 0),
  revision,
  instances,
  nodes,
  selfPreservation: instances.some(({ suspect }) => suspect),
});
