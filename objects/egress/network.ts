/**
 * The same policy for the runtime's own network service, which judges the address that a name resolved to.
 *
 * workerd takes `allow` and `deny` lists of networks and the words `public` and `private`. Of all entries that match an
 * address the most specific one decides, and a denial wins a tie only. Hence: denials here are never wider than the
 * runtime's own entry for the same place (it lists 0.0.0.0/32, not 0.0.0.0/8), and an allowed network inside of a denied
 * one is left out. It matches mapped addresses by their inner address, but no other form that carries one.
 *
 * Refuses to know: who configures the runtime with it.
 */
import type { EgressPolicy } from "./policy.ts";
import { METADATA_CIDRS, formatCidr, parseCidr, within } from "./ranges.ts";
import type { Cidr } from "./ranges.ts";

export interface NetworkRules {
  allow: string[];
  deny: string[];
}

const ALWAYS_DENIED: readonly string[] = [
  ...METADATA_CIDRS,
  "169.254.0.0/16",
  "fe80::/10",
  "0.0.0.0/8",
  "0.0.0.0/32",
  "::/128",
  "224.0.0.0/4",
  "255.255.255.255/32",
  "ff00::/8",
  "64:ff9b:1::/48",
];
const PRIVATE: readonly string[] = [
  "127.0.0.0/8",
  "10.0.0.0/8",
  "172.16.0.0/12",
  "192.168.0.0/16",
  "100.64.0.0/10",
  "::1/128",
  "fc00::/7",
  "fec0::/10",
];
const RESERVED: readonly string[] = [
  "192.0.0.0/24",
  "192.0.2.0/24",
  "192.88.99.0/24",
  "198.18.0.0/15",
  "198.51.100.0/24",
  "203.0.113.0/24",
  "240.0.0.0/4",
  "2001:db8::/32",
  "3fff::/20",
];

/** To be given to workerd as a network service together with its TLS settings. */
export function networkRules(policy: EgressPolicy): NetworkRules {
  const never = [...ALWAYS_DENIED, ...policy.deny].map(read);
  const allowed = policy.allow.map(read).filter((cidr) => !never.some((outer) => contains(outer, cidr)));
  const byDefault = [...RESERVED, ...(policy.allowPrivate ? [] : PRIVATE)]
    .map(read)
    .filter((cidr) => !allowed.some((outer) => contains(outer, cidr)));
  return {
    allow: ["public", ...(policy.allowPrivate ? ["private"] : []), ...carried(allowed)],
    deny: [...carried([...never, ...byDefault]), "unix", "unix-abstract"],
  };
}

/** Every IPv4 network also in the form in which NAT64 (RFC 6052) and 6to4 (RFC 3056) carry it. */
function carried(cidrs: Cidr[]): string[] {
  const out = new Set<string>();
  for (const cidr of cidrs) {
    out.add(formatCidr(cidr));
    const [network, bits] = cidr;
    if (network.kind() !== "ipv4") continue;
    const [a, b, c, d] = network.toByteArray() as [number, number, number, number];
    const [high, low] = [((a << 8) | b).toString(16), ((c << 8) | d).toString(16)];
    out.add(`64:ff9b::${high}:${low}/${96 + bits}`);
    out.add(`2002:${high}:${low}::/${16 + bits}`);
  }
  return [...out];
}

const contains = (outer: Cidr, inner: Cidr): boolean => inner[1] >= outer[1] && within(inner[0], outer);

function read(text: string): Cidr {
  const cidr = parseCidr(text);
  if (cidr === null) throw new TypeError(`not a network: ${text}`);
  return cidr;
}
