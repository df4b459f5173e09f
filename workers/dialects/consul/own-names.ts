/**
 * What Consul's users find without anybody having registered it, for who resolves names beside Consul's API: the default
 * node, and the service `consul`.
 */
import type { RegisteredNode } from "../../../objects/model.ts";
import type { ResolvedView, ResolveOptions, Resolver } from "../../resolver/types.ts";
import { CONSUL_SERVICE, consulService, isDefaultNode, isUnregistered, nodeOf } from "./catalog/agent-node.ts";
import type { Place } from "./catalog/agent-node.ts";
import { nodeKeyOf } from "./catalog/service-id.ts";

/** The node as the catalog shows it; `known` is its record, and null when there is none. */
export function nodeShown(name: string, known: RegisteredNode | null, place: Place): RegisteredNode | null {
  if (known && !isUnregistered(known, place)) return known;
  return name !== "" && isDefaultNode(name, place) ? nodeOf({ node: name }, {}, place) : known;
}

/** The edge's own datacenter, and its default node. */
type Home = Omit<Place, "namespace">;

/** A resolver that also knows the service `consul`, which runs on the default node. */
export class ConsulsResolver implements Resolver {
  readonly #resolver: Resolver;
  readonly #home: Home;
  readonly #findNode: (place: Place, name: string) => Promise<RegisteredNode | null>;

  constructor(
    resolver: Resolver,
    home: Home,
    findNode: (place: Place, name: string) => Promise<RegisteredNode | null>,
  ) {
    this.#resolver = resolver;
    this.#home = home;
    this.#findNode = findNode;
  }

  async resolve(namespace: string, service: string, options: ResolveOptions = {}): Promise<ResolvedView> {
    const resolved = await this.#resolver.resolve(namespace, service, options);
    if (service !== CONSUL_SERVICE) return resolved;
    const { view } = resolved;
    const own = consulService(this.#home);
    const place = { ...this.#home, namespace, datacenter: options.datacenter ?? this.#home.datacenter };
    const node = (await this.#findNode(place, own.node))!;
    return {
      ...resolved,
      view: {
        ...view,
        modRevision: Math.max(1, view.modRevision),
        instances: [{ ...own, address: node.address }, ...view.instances],
        nodes: { ...view.nodes, [nodeKeyOf(own.node)]: node },
      },
    };
  }
}
