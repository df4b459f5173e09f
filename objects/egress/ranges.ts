/**
 * What kind of place an address is, and which address hides inside another.
 *
 * Sources: the IANA special-purpose address registries (RFC 6890), RFC 4291 (mapped and compatible), RFC 6052 and 8215
 * (NAT64), RFC 7915 (translated), RFC 3056 (6to4), RFC 4380 (Teredo), RFC 5214 (ISATAP), and the public documentation of
 * the clouds for their metadata services.
 *
 * Refuses to know: the operator's policy.
 */
import ipaddr from "ipaddr.js";
import type { Address } from "./host.ts";

/**
 * `metadata`, `link_local`, `multicast`, `unspecified`, `translated`: never a target, whatever the operator says.
 * `loopback`, `private`: only where private targets are allowed. `reserved`: only where listed. `public`: the rest.
 */
export type Place =
  | "metadata"
  | "link_local"
  | "multicast"
  | "unspecified"
  | "translated"
  | "loopback"
  | "private"
  | "reserved"
  | "public";

export type Cidr = [Address, number];

/** Beside link-local, where most clouds keep theirs. 168.63.129.16 is Azure's host agent behind a public address. */
export const METADATA_CIDRS: readonly string[] = [
  "100.100.100.200/32",
  "192.0.0.192/32",
  "168.63.129.16/32",
  "fd00:ec2::/32",
  "fd20:ce::254/128",
];
const METADATA = METADATA_CIDRS.map((text) => ipaddr.parseCIDR(text));

const METADATA_NAMES = new Set([
  "metadata",
  "metadata.goog",
  "metadata.google.internal",
  "metadata.azure.internal",
  "metadata.azure.com",
  "metadata.tencentyun.com",
  "metadata.oraclecloud.com",
  "metadata.platformequinix.com",
  "metadata.packet.net",
  "metadata.ec2.internal",
  "instance-data",
  "instance-data.ec2.internal",
  "rancher-metadata",
]);

/** `localhost` and all below it (RFC 6761 §6.3), and the names that hosts files give to loopback. */
const LOOPBACK_NAMES = new Set([
  "localhost",
  "localhost4",
  "localhost6",
  "localhost.localdomain",
  "localhost4.localdomain4",
  "localhost6.localdomain6",
  "ip6-localhost",
  "ip6-loopback",
]);

export const isMetadataName = (name: string): boolean => METADATA_NAMES.has(name);
export const isLoopbackName = (name: string): boolean => LOOPBACK_NAMES.has(name) || name.endsWith(".localhost");

export function within(address: Address, [network, bits]: Cidr): boolean {
  return address.kind() === network.kind() && address.match([network, bits]);
}

/** The place of one address, taken literally: see `judged` for what hides inside. */
export function placeOf(address: Address): Place {
  if (METADATA.some((cidr) => within(address, cidr))) return "metadata";
  // A plain string: the library answers more ranges than its types name.
  const range: string = address.range();
  switch (range) {
    case "linkLocal":
      return "link_local";
    case "multicast":
    case "broadcast":
      return "multicast";
    case "unspecified":
      return "unspecified";
    case "loopback":
      return "loopback";
    case "private":
    case "carrierGradeNat":
    case "uniqueLocal":
    case "deprecatedSiteLocal":
      return "private";
    case "unicast":
    case "as112":
    case "as112v6":
    case "amt":
      return "public";
    // RFC 8215 leaves open where the inner address stands, so that it cannot be judged.
    case "rfc6052":
      return "translated";
    default:
      return "reserved";
  }
}

/** The addresses by which a target is judged: those inside of it where it only carries them, else itself. */
export function judged(address: Address): Address[] {
  if (address.kind() === "ipv4") return [address];
  const { parts } = address as ipaddr.IPv6;
  const low = inner(parts[6]!, parts[7]!);
  switch (address.range() as string) {
    case "ipv4Mapped":
    case "rfc6145":
      return [low];
    case "rfc6052":
      return parts[2] === 0 ? [low] : [address];
    case "6to4":
      return [inner(parts[1]!, parts[2]!)];
    case "teredo":
      return [inner(parts[2]!, parts[3]!), inner(parts[6]! ^ 0xffff, parts[7]! ^ 0xffff)];
    case "unspecified":
    case "loopback":
      return [address];
  }
  if (parts.slice(0, 6).every((part) => part === 0)) return [low]; // IPv4-compatible
  if ((parts[4]! & 0xfdff) === 0 && parts[5] === 0x5efe) return [address, low]; // ISATAP
  return [address];
}

function inner(high: number, low: number): ipaddr.IPv4 {
  return new ipaddr.IPv4([high >> 8, high & 0xff, low >> 8, low & 0xff]);
}

/** A network or a single address in its one spelling, with the bits below the mask cleared; null when it is neither. */
export function parseCidr(text: string): Cidr | null {
  const [address = "", bits] = text.split("/", 2);
  if (text.split("/").length > 2 || (bits !== undefined && !/^\d{1,3}$/.test(bits))) return null;
  if (ipaddr.IPv4.isValidFourPartDecimal(address)) {
    const prefix = bits === undefined ? 32 : Number(bits);
    if (prefix > 32) return null;
    return [ipaddr.IPv4.networkAddressFromCIDR(`${address}/${prefix}`), prefix];
  }
  if (!ipaddr.IPv6.isValid(address) || address.includes("%")) return null;
  const prefix = bits === undefined ? 128 : Number(bits);
  if (prefix > 128) return null;
  const network = ipaddr.IPv6.networkAddressFromCIDR(`${address}/${prefix}`);
  // Mapped addresses are judged by their inner address, so a mapped network has to mean the inner network.
  return network.isIPv4MappedAddress() && prefix >= 96 ? [network.toIPv4Address(), prefix - 96] : [network, prefix];
}

export const formatCidr = ([network, bits]: Cidr): string => `${network.toString()}/${bits}`;
