/**
 * What the DNS dialect reads from, as somebody with these rights sees it: a service or node that may not be seen does not
 * exist. Instances are seen with their service and the node that they name, as in Consul.
 *
 * A lookup shows what its caller may see, and does not exist where that is nothing.
 */
import { HoldfastError } from "../../../objects/errors.ts";
import type { RegisteredInstance, ServiceView } from "../../../objects/model.ts";
import type { Authorizer } from "../../request/authorizer.ts";
import type { DnsDeps } from "./answer.ts";

type Sources = Pick<
  DnsDeps,
  "resolver" | "findNode" | "findNodesAt" | "findServicesAt" | "findStanding" | "findVirtualIp" | "runLookup"
>;

/** `rightsIn` may refuse: nothing of that namespace is seen then. */
export function visibleTo<T extends Sources>(
  rightsIn: (namespace: string) => Authorizer | Promise<Authorizer>,
  deps: T,
): T {
  const seenIn = async (namespace: string): Promise<Sight> => new Sight(await rightsOrNone(rightsIn, namespace));
  const sources: Sources = {
    resolver: {
      async resolve(namespace, service, options) {
        const sight = await seenIn(namespace);
        if (!sight.service(service)) return { view: nothingOf(service), ageSeconds: 0, stale: false };
        const resolved = await deps.resolver.resolve(namespace, service, options);
        return { ...resolved, view: sight.of(resolved.view) };
      },
    },
    async findNode(namespace, datacenter, name) {
      const node = await deps.findNode(namespace, datacenter, name);
      return node && (await seenIn(namespace)).node(node.name) ? node : null;
    },
    async findNodesAt(namespace, datacenter, address) {
      const sight = await seenIn(namespace);
      return (await deps.findNodesAt(namespace, datacenter, address)).filter((node) => sight.node(node));
    },
    async findServicesAt(namespace, datacenter, address, showPrivate) {
      const sight = await seenIn(namespace);
      const services = await deps.findServicesAt(namespace, datacenter, address, showPrivate);
      return services.filter((service) => sight.service(service));
    },
    async findStanding(standing, namespace, datacenter, service) {
      const sight = await seenIn(namespace);
      if (!sight.service(service)) return nothingOf(service);
      return sight.of(await deps.findStanding(standing, namespace, datacenter, service));
    },
    async findVirtualIp(namespace, datacenter, service) {
      const isSeen = (await seenIn(namespace)).service(service);
      return isSeen ? deps.findVirtualIp(namespace, datacenter, service) : null;
    },
    async runLookup(namespace, datacenter, name) {
      const found = await deps.runLookup(namespace, datacenter, name);
      if (found === null) return null;
      const sight = await seenIn(namespace);
      const instances = found.instances.filter((instance) => sight.instance(instance));
      const isSeen = instances.length > 0 || sight.service(found.view.service);
      return isSeen ? { ...found, instances } : null;
    },
  };
  return { ...deps, ...sources };
}

/** Null: nothing is seen. */
async function rightsOrNone(
  rightsIn: (namespace: string) => Authorizer | Promise<Authorizer>,
  namespace: string,
): Promise<Authorizer | null> {
  try {
    return await rightsIn(namespace);
  } catch (error) {
    if (error instanceof HoldfastError && error.code === "unauthenticated") return null;
    throw error;
  }
}

class Sight {
  readonly #rights: Authorizer | null;

  constructor(rights: Authorizer | null) {
    this.#rights = rights;
  }

  service(name: string): boolean {
    return this.#rights?.allows("read", "service", name) ?? false;
  }

  node(name: string): boolean {
    return this.#rights?.allows("read", "node", name) ?? false;
  }

  instance({ service, node }: RegisteredInstance): boolean {
    return this.service(service) && (node === "" || this.node(node));
  }

  /** One of whose instances none are seen does not exist. */
  of(view: ServiceView): ServiceView {
    const instances = view.instances.filter((instance) => this.instance(instance));
    const isHidden = instances.length === 0 && view.instances.length > 0;
    return isHidden ? nothingOf(view.service) : { ...view, instances };
  }
}

const nothingOf = (service: string): ServiceView => ({
  service,
  class: "balanced",
  modRevision: 0,
  revision: 0,
  instances: [],
  nodes: {},
  selfPreservation: false,
});
