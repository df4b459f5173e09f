/** What a graph of rules ends in: some instances of a service, somewhere. Its id is its parts, readable and reversible. */
import type { Redirection } from "./model.ts";

export type TargetParts = Readonly<Redirection>;

/** `service/subset/datacenter/peer`, each percent-encoded. */
export const targetId = ({ service, subset, datacenter, peer }: TargetParts): string =>
  [service, subset, datacenter, peer].map(encodeURIComponent).join("/");

export function targetParts(id: string): TargetParts {
  const [service = "", subset = "", datacenter = "", peer = ""] = id.split("/").map(decodeURIComponent);
  return { service, subset, datacenter, peer };
}

/** A target turned elsewhere: a subset is that of its service, so another service begins without one. */
export function redirected(target: TargetParts, to: Redirection, datacenter: string): TargetParts {
  const moves = to.service !== "" && to.service !== target.service;
  const service = moves ? to.service : target.service;
  const subset = to.subset || (moves ? "" : target.subset);
  if (to.peer !== "") return { service, subset, datacenter: "", peer: to.peer };
  return { service, subset, datacenter: to.datacenter || target.datacenter || datacenter, peer: "" };
}
