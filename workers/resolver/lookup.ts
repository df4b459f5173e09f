/**
 * A stored lookup carried out: its service's instances that will do, from this datacenter, else from the first other one
 * that has any.
 *
 * Knows no dialect: who may see what and how near is measured is handed in.
 */
import { HoldfastError } from "../../objects/errors.ts";
import type { FailoverTarget, LookupTarget } from "../../objects/lookups/lookups.ts";
import type { RegisteredInstance, ServiceView } from "../../objects/model.ts";
import { worstOf } from "../../objects/registry/check-spec.ts";
import { nodeKey } from "../../objects/registry/spaces.ts";

export interface LookupPorts {
  /** The instances that the target's service has in a datacenter, whatever their health. */
  find: (target: LookupTarget, datacenter: string) => Promise<ServiceView>;
  /** Own first, the others nearest first. */
  datacenters: readonly string[];
  isVisible: (instance: RegisteredInstance) => boolean;
  /** Of the own datacenter, shuffled before. */
  sorted: (instances: RegisteredInstance[], view: ServiceView) => Promise<RegisteredInstance[]>;
  /** From 0 up to 1. */
  random: () => number;
}

export interface Found {
  view: ServiceView;
  instances: RegisteredInstance[];
  /** Where they are; the last one asked when there are none. */
  datacenter: string;
  peer: string;
  /** How many others were asked. */
  failovers: number;
}

/** `limit` 0 = all. */
export async function runLookup(target: LookupTarget, limit: number, ports: LookupPorts): Promise<Found> {
  const [own = ""] = ports.datacenters;
  const view = await ports.find(target, own);
  const here = answersOf(view, target, ports);
  const sorted = here.length > 0 ? await ports.sorted(here, view) : [];
  let found: Found = { view, instances: limited(sorted, limit), datacenter: own, peer: target.peer, failovers: 0 };
  for (const place of placesOf(target, ports.datacenters)) {
    if (found.instances.length > 0) break;
    found = await tried(found, { ...target, peer: place.peer }, place.datacenter || own, limit, ports);
  }
  return found;
}

/** One that is out of reach has been asked all the same, and the next one is. */
async function tried(
  before: Found,
  target: LookupTarget,
  datacenter: string,
  limit: number,
  ports: LookupPorts,
): Promise<Found> {
  const failovers = before.failovers + 1;
  try {
    const view = await ports.find(target, datacenter);
    const instances = limited(answersOf(view, target, ports), limit);
    return { view, instances, datacenter, peer: target.peer, failovers };
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.code === "permission_denied") throw error;
    return { ...before, failovers };
  }
}

/** Where to look next, in order; nobody twice, and nobody who is not known. */
export function placesOf({ failover }: LookupTarget, [own = "", ...others]: readonly string[]): FailoverTarget[] {
  const isKnown = (datacenter: string): boolean => others.includes(datacenter);
  if (failover.targets.length > 0) {
    return failover.targets.filter(({ peer, datacenter }) => peer !== "" || isKnown(datacenter) || datacenter === own);
  }
  const named = [...others.slice(0, failover.nearest), ...failover.datacenters.filter(isKnown)];
  return [...new Set(named)].map((datacenter) => ({ datacenter, peer: "" }));
}

/** In random order, so that those who take the first one spread. */
function answersOf(view: ServiceView, target: LookupTarget, { isVisible, random }: LookupPorts): RegisteredInstance[] {
  const found = view.instances.filter((instance) => isAnswer(instance, view, target) && isVisible(instance));
  for (let last = found.length - 1; last > 0; last--) {
    const other = Math.min(Math.floor(random() * (last + 1)), last);
    [found[last], found[other]] = [found[other]!, found[last]!];
  }
  return found;
}

export function isAnswer(instance: RegisteredInstance, view: ServiceView, target: LookupTarget): boolean {
  const node = view.nodes[nodeKey(instance.node)];
  return (
    isWell(instance, view, target) &&
    hasTags(instance.tags, target.tags) &&
    hasMeta(instance.meta, target.meta) &&
    hasMeta(node?.meta ?? {}, target.nodeMeta)
  );
}

function isWell(instance: RegisteredInstance, { nodes }: ServiceView, target: LookupTarget): boolean {
  if (instance.adminState !== "up" || instance.weight === 0) return false;
  const { ignoreChecks, onlyPassing } = target;
  let { status } = instance;
  if (ignoreChecks.length > 0) {
    const checks = [...(nodes[nodeKey(instance.node)]?.checks ?? []), ...instance.checks];
    status = worstOf(checks.filter(({ id }) => !ignoreChecks.includes(id))) ?? "passing";
  }
  return status !== "critical" && !(onlyPassing && status === "warning");
}

function hasTags(carried: string[], wanted: string[]): boolean {
  if (wanted.length === 0) return true;
  const tags = new Set(carried.map((tag) => tag.toLowerCase()));
  return wanted.every((tag) =>
    tag.startsWith("!") ? !tags.has(tag.slice(1).toLowerCase()) : tags.has(tag.toLowerCase()),
  );
}

const hasMeta = (meta: Record<string, string>, wanted: Record<string, string>): boolean =>
  Object.entries(wanted).every(([key, value]) => meta[key] === value);

const limited = <T>(items: T[], limit: number): T[] => (limit > 0 ? items.slice(0, limit) : items);
