/**
 * Instances as DNS names: an instance's address, its label, and the name that SRV records point to.
 *
 * Pure. A target is `<label>.instance.<service>.service.<dc>.<domain>` (with `.<namespace>.ns.<dc>.dc` outside the
 * default namespace), or in the other kind of zone `<node>.node.<dc>.<domain>` for an instance that has its node's address;
 * where that cannot be spelled, the address in hexadecimal, `<hex>.addr.<dc>.<domain>`.
 */
import ipaddr from "ipaddr.js";
import type { Instance } from "../../../objects/model.ts";

import type { Zone } from "./zone.ts";

export interface IpAddress {
  type: "ip";
  family: 4 | 6;
  address: string;
}

export type Address = IpAddress | { type: "host"; host: string };

export interface TargetScope {
  zone: Zone;
  datacenter: string;
  /** null = the default namespace. */
  namespace: string | null;
}

const NAME_CHARACTERS_MAX = 253;
const HASHED_LABEL = /^i-[0-9a-f]{16}$/;
const PLAIN_LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const HOST_LABEL = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/i;

/** What stands in an instance's address field; null when it is neither an IP address nor a host name. */
export function addressOf({ address }: Pick<Instance, "address">): Address | null {
  if (ipaddr.IPv4.isValidFourPartDecimal(address)) return { type: "ip", family: 4, address };
  if (address.includes(":")) return ipv6(address);
  const host = address.replace(/\.$/, "").toLowerCase();
  return isHostName(host) ? { type: "host", host } : null;
}

/** The label of an instance below its service: its id where that is a plain lower-case label, else a hash of it. */
export function instanceLabel(id: string): string {
  return PLAIN_LABEL.test(id) && !HASHED_LABEL.test(id) ? id : `i-${hash(id, 0x811c9dc5)}${hash(id, 0x9747b28c)}`;
}

/** Whether an instance has the label that was asked for; hashes only where a hash was asked for. */
export function hasLabel(id: string, asked: string): boolean {
  return HASHED_LABEL.test(asked) ? instanceLabel(id) === asked : id === asked;
}

/** The name that a SRV record of this instance points to; null when it has no address that DNS can express. */
export function targetOf(instance: Instance, scope: TargetScope): string | null {
  const address = addressOf(instance);
  if (address === null) return null;
  if (address.type === "host") return address.host;
  const name = scope.zone.targets === "node" ? instanceNode(instance, scope) : instanceName(instance, scope);
  if (name !== null) return name;
  const bytes = ipaddr.parse(address.address).toByteArray();
  const hex = bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return `${hex}.addr.${scope.datacenter}.${scope.zone.name}`;
}

/** Null for an address of its own. Nodes have no namespace in their name. */
function instanceNode({ node, inheritsAddress }: Instance, scope: TargetScope): string | null {
  return inheritsAddress && scope.namespace === null ? nodeName(node, scope) : null;
}

/** Null where the node's name is none in DNS. */
export function nodeName(node: string, { zone, datacenter }: Omit<TargetScope, "namespace">): string | null {
  const name = `${node.toLowerCase()}.node.${datacenter}.${zone.name}`;
  return isHostName(name) ? name : null;
}

/** The service as a whole, spelled as it is registered; null where its name is none in DNS. */
export function serviceName(service: string, { zone, datacenter }: Omit<TargetScope, "namespace">): string | null {
  const name = `${service}.service.${datacenter}.${zone.name}`;
  return isHostName(name) ? name : null;
}

/**
 * Null when the name would not lead back to the instance: a service in mixed case (a resolver may change the case of
 * what it asks), one with characters outside host names, or a name that is too long.
 */
function instanceName(instance: Instance, scope: TargetScope): string | null {
  const service = instance.service;
  if (service !== service.toLowerCase() && service !== service.toUpperCase()) return null;
  const place =
    scope.namespace === null ? scope.datacenter : `${scope.namespace.toLowerCase()}.ns.${scope.datacenter}.dc`;
  const name = `${instanceLabel(instance.id)}.instance.${service.toLowerCase()}.service.${place}.${scope.zone.name}`;
  return isHostName(name) ? name : null;
}

function ipv6(address: string): Address | null {
  // A zone (`%eth0`) means something on one machine only.
  if (address.includes("%") || !ipaddr.IPv6.isValid(address)) return null;
  const parsed = ipaddr.process(address);
  return { type: "ip", family: parsed.kind() === "ipv4" ? 4 : 6, address: parsed.toString() };
}

/** A last label of digits alone would be a broken IPv4 address, never a host. */
function isHostName(name: string): boolean {
  if (name.length > NAME_CHARACTERS_MAX) return false;
  const labels = name.split(".");
  return labels.every((label) => HOST_LABEL.test(label)) && !/^\d+$/.test(labels.at(-1)!);
}

/** FNV-1a over the text's 16-bit units, as 8 hex digits. Not for secrets: a collision only makes two share a name. */
function hash(text: string, seed: number): string {
  let state = seed;
  for (let i = 0; i < text.length; i++) state = Math.imul(state ^ text.charCodeAt(i), 0x01000193);
  // FNV's last characters barely reach the high bits; the final mix spreads them.
  state = Math.imul(state ^ (state >>> 16), 0x85ebca6b);
  state = Math.imul(state ^ (state >>> 13), 0xc2b2ae35);
  return ((state ^ (state >>> 16)) >>> 0).toString(16).padStart(8, "0");
}
