/**
 * Which names have a virtual address: services that the mesh reaches, and those that rules are written for.
 *
 * A name comes to have one as in Consul (`configEntryHasVirtualIP`, `ensureServiceTxn`), and keeps it while it is a service
 * at all.
 */
import { isInMesh } from "../registry/views.ts";
import { meshSpace, serviceSpace } from "../registry/spaces.ts";
import type { RuleKind } from "../rules/model.ts";
import { ANY } from "../rules/model.ts";
import { linkSpace, ruleSpace, StoredRules } from "../rules/rules.ts";
import type { Change, Reader } from "../store/txn.ts";
import { findVirtualIp, virtualIpSpace } from "./virtual-ip.ts";

const NAMING: readonly RuleKind[] = ["router", "resolver", "splitter", "defaults", "access"];

/** The name that has come, or gone, in a way that may matter here. */
export function nameTouched({ space, key, before, after }: Change): string | null {
  if ((before === null) === (after === null)) return null;
  if (space === meshSpace.name) return meshSpace.parts(key)[0]!;
  if (space === serviceSpace.name) return after === null ? serviceSpace.parts(key)[0]! : null;
  // It may have gone while its address was on its way, or come back while that was being released.
  if (space === virtualIpSpace.name) return virtualIpSpace.parts(key)[0]!;
  if (space === ruleSpace.name) {
    const [kind, name = ""] = ruleSpace.parts(key);
    return NAMING.includes(kind as RuleKind) && name !== ANY ? name : null;
  }
  if (space !== linkSpace.name) return null;
  const [service = "", kind] = linkSpace.parts(key);
  return kind === "egress" && service !== ANY ? service : null;
}

export interface Unsettled {
  claims: string[];
  releases: string[];
}

/** What these names have or lack, and should not. */
export function unsettledOf(reader: Reader, names: Iterable<string>): Unsettled {
  const unsettled: Unsettled = { claims: [], releases: [] };
  for (const service of names) {
    const has = findVirtualIp(reader, { service }) !== null;
    if (!has && isEntitled(reader, service)) unsettled.claims.push(service);
    if (has && !isKept(reader, service)) unsettled.releases.push(service);
  }
  return unsettled;
}

export function isEntitled(reader: Reader, service: string): boolean {
  return (
    isInMesh(reader, service) ||
    NAMING.some((kind) => ruleSpace.record(reader, kind, service) !== undefined) ||
    new StoredRules(reader).leadingTo(service).some(({ kind }) => kind === "egress")
  );
}

const isKept = (reader: Reader, service: string): boolean =>
  serviceSpace.record(reader, service) !== undefined || isEntitled(reader, service);

/** Every name that may have something to settle: after a start, when nobody has told of changes. */
export function namesOf(reader: Reader): Set<string> {
  const names = new Set<string>();
  for (const { key } of meshSpace.under(reader, [])) names.add(meshSpace.parts(key)[0]!);
  for (const kind of NAMING) {
    for (const { key } of ruleSpace.under(reader, [kind])) names.add(ruleSpace.parts(key)[1]!);
  }
  for (const { key } of linkSpace.under(reader, [])) {
    const [service = "", kind] = linkSpace.parts(key);
    if (kind === "egress") names.add(service);
  }
  for (const { key } of virtualIpSpace.under(reader, [])) names.add(virtualIpSpace.parts(key)[0]!);
  names.delete(ANY);
  return names;
}
