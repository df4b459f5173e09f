/**
 * What Consul's users find without anybody having registered it, for who resolves names beside Consul's API: the default
 * node, and the service `consul`.
 */
import type { RegisteredNode } from "../../../objects/model.ts";
import type { ResolvedView, ResolveOptions, Resolver } from "../../resolver/types.ts";
import { CONSUL_SERVICE, consulService, isUnregistered, nodeOf } from "./catalog/agent-node.ts";
import type { Place } from "./catalog/agent-node.ts";
import { isDefaultNode, nodeKeyOf } from "./catalog/service-id.ts";

/** The node as the catalog shows it; `known` is its record, and null when there is none. */
export function nodeShown(name: string, known: RegisteredNode | null, place: Place): RegisteredNode | null {
  if (known && !isUnregistered(known)) return known;
  return name !== "" && isDefaultNode(name) ? nodeOf({ node: name }, {}, place) : known;
}

/** A resolver that also knows the service `consul`, which runs on the default node. */
export class ConsulsResolver implements Resolver {
  readonly #resolver: Resolver;
  readonly #ownDatacenter: string;
  readonly #findNode: (place: Place, name: string) => Promise<RegisteredNode | null>;

  constructor(
    resolver: Resolver,
    ownDatacenter: string,
    findNode: (place: Place, name: string) => Promise<RegisteredNode | null>,
  ) {
    this.#resolver = resolver;
    this.#ownDatacenter = ownDatacenter;
    this.#findNode = findNode;
  }

  async resolve(namespace: string, service: string, options: ResolveOptions = {}): Promise<ResolvedView> {
    const resolved = await this.#resolver.resolve(namespace, service, options);
    if (service !== CONSUL_SERVICE) return resolved;
    const { view } = resolved;
    const own = consulService();
    const place = { namespace, datacenter: options.datacenter ?? this.#ownDatacenter };
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
