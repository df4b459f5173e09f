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

export type Reading =
  | { type: "apex" }
  /** An empty non-terminal: exists, has no records, whatever is registered. */
  | { type: "empty" }
  | { type: "address"; family: 4 | 6; address: string }
  /** `namespace` null is the default one; `service` is spelled as asked. */
  | { type: "service"; namespace: string | null; service: string; selection: Selection };

export interface ZoneName {
  /** The zone's name in lower case, without the final dot. */
  zone: string;
  /** The labels in front of it, as asked. */
  labels: string[];
}

const EMPTY: Reading = { type: "empty" };
const RESERVED = new Set(["service", "addr", "ns", "dc"]);

/** The longest of our zones that a name is in; null when it is in none. */
export function findZone(labels: readonly string[], domains: readonly string[]): ZoneName | null {
  let best: ZoneName | null = null;
  for (const domain of domains) {
    const zone = asciiLower(domain).replace(/\.$/, "");
    const parts = zone.split(".");
    const cut = labels.length - parts.length;
    if (cut < 0 || !parts.every((part, i) => asciiLower(labels[cut + i]!) === part)) continue;
    if (best === null || zone.length > best.zone.length) best = { zone, labels: labels.slice(0, cut) };
  }
  return best;
}

/** The readings of the labels in front of the zone, likeliest first; at most two of them are services. */
export function readName(labels: readonly string[], datacenter: string): Reading[] {
  if (labels.length === 0) return [{ type: "apex" }];
  const scope = takeScope(labels, asciiLower(datacenter));
  if (scope === null) return [];
  const { front, namespace, scoped } = scope;
  const first = front[0];
  const last = front.at(-1);
  if (first === undefined || last === undefined) return [EMPTY];
  if (front.length === 1) return readOneLabel(first, scope, datacenter);
  if (same(last, "service")) return readService(front.slice(0, -1), namespace);
  if (same(last, "addr")) return front.length === 2 && namespace === null ? readAddress(first) : [];
  if (first.startsWith("_")) return readShortUnderscore(front, namespace, datacenter);
  if (!scoped && front.length === 2) return [service(first, asciiLower(last), { type: "all" })];
  return [];
}

interface Scope {
  front: readonly string[];
  namespace: string | null;
  /** A datacenter or namespace was named, so the short forms without the word `service` do not apply. */
  scoped: boolean;
}

/** Takes `.<x>.ns`, `.<x>.dc` or Consul's bare datacenter off the right; null when it is another datacenter's. */
function takeScope(labels: readonly string[], datacenter: string): Scope | null {
  let front = labels;
  let namespace: string | null = null;
  let datacenterSeen = false;
  while (front.length >= 2) {
    const value = asciiLower(front.at(-2)!);
    const kind = asciiLower(front.at(-1)!);
    if (kind === "ns" && namespace === null) namespace = value;
    else if (kind === "dc" && !datacenterSeen) {
      if (value !== datacenter) return null;
      datacenterSeen = true;
    } else break;
    front = front.slice(0, -2);
  }
  const before = asciiLower(front.at(-2) ?? "");
  if (!datacenterSeen && namespace === null && (before === "service" || before === "addr")) {
    if (asciiLower(front.at(-1)!) !== datacenter) return null;
    return { front: front.slice(0, -1), namespace: null, scoped: true };
  }
  return { front, namespace, scoped: datacenterSeen || namespace !== null };
}

function readOneLabel(label: string, scope: Scope, datacenter: string): Reading[] {
  const reserved = RESERVED.has(asciiLower(label));
  if (scope.scoped) return reserved || label.startsWith("_") ? [EMPTY] : [];
  const meant = service(label, null, { type: "all" });
  return reserved || same(label, datacenter) || label.startsWith("_") ? [meant, EMPTY] : [meant];
}

/** What stands before `.service`. A dotted service name is allowed and comes after the reading as a tag. */
function readService(front: readonly string[], namespace: string | null): Reading[] {
  const [first = "", second, ...rest] = front;
  const whole = service(front.join("."), namespace, { type: "all" });
  if (second === undefined) return first.startsWith("_") ? [whole, EMPTY] : [whole];
  const tail = front.slice(1).join(".");
  if (first.startsWith("_") && second.startsWith("_")) {
    return rest.length === 0
      ? readRfc2782(first, second, namespace)
      : readPort(first, second, rest.join("."), namespace);
  }
  if (first.startsWith("_") || same(first, "instance")) return [service(tail, namespace, { type: "nothing" })];
  if (rest.length > 0 && same(second, "instance")) {
    return [service(rest.join("."), namespace, { type: "instance", label: asciiLower(first) })];
  }
  return [service(tail, namespace, { type: "tag", tag: asciiLower(first) }), whole];
}

/** Underscore names without the word `service`: `_web._tcp`, `_web._tcp.<our dc>`, `_http._tcp.<service>[.<namespace>]`. */
function readShortUnderscore(front: readonly string[], namespace: string | null, datacenter: string): Reading[] {
  const [first = "", second = "", ...rest] = front;
  if (!second.startsWith("_")) {
    if (front.length > 3 || (rest[0] !== undefined && namespace !== null)) return [];
    if (rest.length === 0 && same(second, datacenter)) return [EMPTY];
    return [service(second, rest[0] === undefined ? namespace : asciiLower(rest[0]), { type: "nothing" })];
  }
  const [owner, ownerNamespace] = rest;
  if (owner === undefined) return readRfc2782(first, second, namespace);
  if (ownerNamespace === undefined) {
    if (namespace === null && same(owner, datacenter)) return readRfc2782(first, second, null);
    return readPort(first, second, owner, namespace);
  }
  return rest.length === 2 && namespace === null ? readPort(first, second, owner, asciiLower(ownerNamespace)) : [];
}

/** Consul's `_service._label`. */
function readRfc2782(first: string, second: string, namespace: string | null): Reading[] {
  const label = asciiLower(second.slice(1));
  if (first === "_" || label === "") return [];
  return [service(first.slice(1), namespace, { type: "transport", label })];
}

/** `_port._tcp` in front of a service's own name; the registry holds nothing that speaks UDP. */
function readPort(first: string, second: string, owner: string, namespace: string | null): Reading[] {
  if (first === "_" || !same(second, "_tcp")) return [];
  return [service(owner, namespace, { type: "port", port: asciiLower(first.slice(1)) })];
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

function service(name: string, namespace: string | null, selection: Selection): Reading {
  return { type: "service", namespace, service: name, selection };
}

const same = (a: string, b: string): boolean => asciiLower(a) === asciiLower(b);

/** Names are equal in any case of the ASCII letters only (RFC 4343): U+212A is not a `k` here. */
export function asciiLower(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}
