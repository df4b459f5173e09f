/**
 * The name grammar: which things in the registry a DNS name may mean.
 *
 * Pure text: it looks nothing up, and knows no wire format and no record types. One name may have several readings
 * (`v1.web.service` is tag `v1` of `web`, or the service `v1.web`); they are tried in order and the first that exists
 * is meant. No reading at all: the name does not exist.
 *
 * Sources: RFC 2782 (`_service._proto`), RFC 8020 (a name above an existing one exists too), and the name forms of
 * Consul's DNS interface, which its users already have in their configuration.
 */
import type { Standing } from "../../resolver/mesh.ts";
import type { Zone } from "./zone.ts";

/** Which instances of a service a name selects. */
export type Selection =
  | { type: "all" }
  | { type: "tag"; tag: string }
  /** The second label of `_service._label`: `tcp` is any instance, else a tag or the protocol that it speaks. */
  | { type: "transport"; label: string }
  /** Those with a port of this name. */
  | { type: "port"; port: string }
  /** The one instance with this label (`targets.ts`). */
  | { type: "instance"; label: string }
  /** A name that only has names below it (`instance.web.service`): it exists when the service does. */
  | { type: "nothing" };

/** Whose registry: `namespace` null is the default one. */
export interface Place {
  namespace: string | null;
  datacenter: string;
}

export type Reading =
  | { type: "apex" }
  /** An empty non-terminal: exists, has no records, whatever is registered. */
  | { type: "empty" }
  | { type: "address"; family: 4 | 6; address: string }
  /** Names are spelled as asked. */
  | ({ type: "service"; service: string; selection: Selection } & Place)
  | ({ type: "node"; node: string } & Place)
  /** A stored lookup, by its name or id. */
  | ({ type: "lookup"; name: string } & Place)
  /** What stands for a service: the mesh's endpoints, the gateways that let traffic in; the one address it always has. */
  | ({ type: Standing; service: string } & Place)
  | ({ type: "virtual"; service: string } & Place);

export interface ZoneName {
  zone: Zone;
  /** The labels in front of it, as asked. */
  labels: string[];
}

/** The datacenter whose names do not say one, and all there are. */
export interface Datacenters {
  own: string;
  names: readonly string[];
}

const EMPTY: Reading = { type: "empty" };
/** What a name is of, said by the label before its datacenter. */
const STANDING: ReadonlyMap<string, Standing | "virtual"> = new Map([
  ["connect", "mesh"],
  ["ingress", "ingress"],
  ["virtual", "virtual"],
]);
const KINDS = new Set<string>(["service", "addr", "node", "query", ...STANDING.keys()]);
const RESERVED = new Set([...KINDS, "ns", "dc", "ap"]);

/** The longest of our zones that a name is in; null when it is in none. */
export function findZone(labels: readonly string[], zones: readonly Zone[]): ZoneName | null {
  let best: ZoneName | null = null;
  for (const zone of zones) {
    const parts = zone.name.split(".");
    const cut = labels.length - parts.length;
    if (cut < 0 || !parts.every((part, i) => asciiLower(labels[cut + i]!) === part)) continue;
    if (best === null || zone.name.length > best.zone.name.length) best = { zone, labels: labels.slice(0, cut) };
  }
  return best;
}

/** The readings of the labels in front of the zone, likeliest first; at most three of them are services. */
export function readName({ zone, labels }: ZoneName, datacenters: Datacenters): Reading[] {
  if (labels.length === 0) return [{ type: "apex" }];
  const scope = takeScope(labels, datacenters);
  if (scope === null) return [];
  const { front, place, scoped } = scope;
  const first = front[0];
  const last = asciiLower(front.at(-1) ?? "");
  if (first === undefined) return [EMPTY];
  if (front.length === 1) return readOneLabel(first, scope, datacenters, zone);
  const before = front.slice(0, -1);
  if (last === "service") return readService(before, place, zone);
  if (last === "node") return place.namespace === null ? [{ type: "node", node: before.join("."), ...place }] : [];
  if (last === "query") return [{ type: "lookup", name: lookupName(before), ...place }];
  if (last === "addr") return before.length === 1 && place.namespace === null ? readAddress(first) : [];
  const standing = readStanding(before, last, place, zone);
  if (standing === null && first.startsWith("_")) return readShortUnderscore(front, place, datacenters);
  const readings = standing === null ? [] : [standing];
  if (zone.hasShortNames && !scoped && front.length === 2) {
    readings.push(service(first, { ...place, namespace: last }, { type: "all" }));
  }
  return readings;
}

/** Consul passes over what stands before the service; a dot elsewhere is one of the service's name. */
function readStanding(before: readonly string[], kind: string, place: Place, zone: Zone): Reading | null {
  const type = STANDING.get(kind);
  if (type === undefined) return null;
  return { type, service: zone.hasDottedTags ? before.at(-1)! : before.join("."), ...place };
}

interface Scope {
  front: readonly string[];
  place: Place;
  /** A datacenter or namespace was named, so the short forms without the word `service` do not apply. */
  scoped: boolean;
}

/** Takes `.<x>.ns`, `.default.ap`, `.<x>.dc` or a bare datacenter off the right; null when it is nobody's. */
function takeScope(labels: readonly string[], { own, names }: Datacenters): Scope | null {
  const known = (name: string): string | undefined => names.find((one) => asciiLower(one) === asciiLower(name));
  let front = labels;
  let namespace: string | null = null;
  let datacenter: string | undefined;
  while (front.length >= 2) {
    const value = asciiLower(front.at(-2)!);
    const kind = asciiLower(front.at(-1)!);
    if (kind === "ns" && namespace === null) namespace = value;
    else if (kind === "dc" && datacenter === undefined) {
      datacenter = known(value);
      if (datacenter === undefined) return null;
    } else if (kind !== "ap" || value !== "default") break;
    front = front.slice(0, -2);
  }
  const kind = asciiLower(front.at(-2) ?? "");
  if (datacenter === undefined && namespace === null && KINDS.has(kind) && !KINDS.has(asciiLower(front.at(-1)!))) {
    datacenter = known(front.at(-1)!);
    if (datacenter !== undefined) front = front.slice(0, -1);
    // Two labels may also be the short name of a service that is called like a kind.
    else if (front.length > 2 || kind === "service" || kind === "addr") return null;
  }
  const scoped = datacenter !== undefined || namespace !== null;
  return { front, place: { namespace, datacenter: datacenter ?? own }, scoped };
}

function readOneLabel(label: string, { place, scoped }: Scope, datacenters: Datacenters, zone: Zone): Reading[] {
  const reserved = RESERVED.has(asciiLower(label));
  if (scoped || !zone.hasShortNames) {
    const isAbove = reserved || label.startsWith("_") || (!scoped && isDatacenter(label, datacenters));
    return isAbove ? [EMPTY] : [];
  }
  const meant = service(label, place, { type: "all" });
  return reserved || isDatacenter(label, datacenters) || label.startsWith("_") ? [meant, EMPTY] : [meant];
}

const isDatacenter = (label: string, { names }: Datacenters): boolean => names.some((name) => same(name, label));

/** RFC 2782's form has the name between underscores, which may hold dots; what is behind it says the transport. */
function lookupName(labels: readonly string[]): string {
  const [first = ""] = labels;
  const isUnderscored = labels.length >= 2 && first.startsWith("_") && labels.at(-1)!.startsWith("_");
  return isUnderscored ? labels.slice(0, -1).join(".").slice(1) : labels.join(".");
}

/** What stands before `.service`. A dotted service name is allowed and comes after the reading as a tag. */
function readService(front: readonly string[], place: Place, zone: Zone): Reading[] {
  const [first = "", second, ...rest] = front;
  const whole = service(front.join("."), place, { type: "all" });
  if (second === undefined) return first.startsWith("_") ? [whole, EMPTY] : [whole];
  const tail = front.slice(1).join(".");
  if (first.startsWith("_") && second.startsWith("_")) {
    return rest.length === 0 ? readRfc2782(first, second, place) : readPort(first, second, rest.join("."), place);
  }
  if (first.startsWith("_") || same(first, "instance")) return [service(tail, place, { type: "nothing" })];
  if (rest.length > 0 && same(second, "instance")) {
    return [service(rest.join("."), place, { type: "instance", label: asciiLower(first) })];
  }
  const tagged = service(tail, place, { type: "tag", tag: asciiLower(first) });
  if (!zone.hasDottedTags || rest.length === 0) return [tagged, whole];
  const dotted = asciiLower(front.slice(0, -1).join("."));
  return [service(front.at(-1)!, place, { type: "tag", tag: dotted }), tagged, whole];
}

/** Underscore names without the word `service`: `_web._tcp`, `_web._tcp.<dc>`, `_http._tcp.<service>[.<namespace>]`. */
function readShortUnderscore(front: readonly string[], place: Place, datacenters: Datacenters): Reading[] {
  const [first = "", second = "", ...rest] = front;
  const datacenterOf = (label: string): string | undefined => datacenters.names.find((name) => same(name, label));
  if (!second.startsWith("_")) {
    if (front.length > 3 || (rest[0] !== undefined && place.namespace !== null)) return [];
    if (rest.length === 0 && datacenterOf(second) !== undefined) return [EMPTY];
    const namespace = rest[0] === undefined ? place.namespace : asciiLower(rest[0]);
    return [service(second, { ...place, namespace }, { type: "nothing" })];
  }
  const [owner, ownerNamespace] = rest;
  if (owner === undefined) return readRfc2782(first, second, place);
  if (ownerNamespace === undefined) {
    const datacenter = place.namespace === null ? datacenterOf(owner) : undefined;
    if (datacenter !== undefined) return readRfc2782(first, second, { namespace: null, datacenter });
    return readPort(first, second, owner, place);
  }
  if (rest.length !== 2 || place.namespace !== null) return [];
  return readPort(first, second, owner, { ...place, namespace: asciiLower(ownerNamespace) });
}

/** Consul's `_service._label`. */
function readRfc2782(first: string, second: string, place: Place): Reading[] {
  const label = asciiLower(second.slice(1));
  if (first === "_" || label === "") return [];
  return [service(first.slice(1), place, { type: "transport", label })];
}

/** `_port._tcp` in front of a service's own name; the registry holds nothing that speaks UDP. */
function readPort(first: string, second: string, owner: string, place: Place): Reading[] {
  if (first === "_" || !same(second, "_tcp")) return [];
  return [service(owner, place, { type: "port", port: asciiLower(first.slice(1)) })];
}

/** `0a000001.addr`: the address is in the name, in hexadecimal. */
function readAddress(label: string): Reading[] {
  if (/^[0-9a-f]{8}$/i.test(label)) {
    const bytes = label.match(/../g)!.map((pair) => Number.parseInt(pair, 16));
    return [{ type: "address", family: 4, address: bytes.join(".") }];
  }
  if (/^[0-9a-f]{32}$/i.test(label)) {
    return [{ type: "address", family: 6, address: asciiLower(label).match(/.{4}/g)!.join(":") }];
  }
  return [];
}

/** The address in a name below `in-addr.arpa` or `ip6.arpa`; null for every other name (RFC 1035 §3.5, RFC 3596 §2.5). */
export function readPointer(labels: readonly string[]): string | null {
  const name = asciiLower(labels.join("."));
  if (/^(?:\d{1,3}\.){4}in-addr\.arpa$/.test(name)) {
    const bytes = labels.slice(0, 4).toReversed();
    return bytes.every((byte) => String(Number(byte)) === byte && Number(byte) <= 255) ? bytes.join(".") : null;
  }
  if (!/^(?:[0-9a-f]\.){32}ip6\.arpa$/.test(name)) return null;
  return name.slice(0, 63).split(".").toReversed().join("").match(/.{4}/g)!.join(":");
}

function service(name: string, { namespace, datacenter }: Place, selection: Selection): Reading {
  return { type: "service", namespace, datacenter, service: name, selection };
}

const same = (a: string, b: string): boolean => asciiLower(a) === asciiLower(b);

/** Names are equal in any case of the ASCII letters only (RFC 4343): U+212A is not a `k` here. */
export function asciiLower(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}
