/**
 * A zone, and how its names are read and answered where zones differ. Data: everything else is the same for all.
 *
 * Our own zone has short names, and follows the RFCs in what exists. The other kind is for names that are in the
 * configuration of Consul's users already, and answers them as its DNS interface does.
 * Source: developer.hashicorp.com/consul/docs/services/discovery/dns-overview, Consul 1.21 `agent/dns.go`.
 */

export interface Zone {
  /** In lower case, without the final dot. */
  name: string;
  /** Seconds that an answer may be kept, a negative one too. */
  ttlSeconds: number;
  /** `<service>.<zone>` and the like, without the word that says what the name is of. */
  hasShortNames: boolean;
  /** In `<tag>.<service>.service` everything before the last dot is the tag. */
  hasDottedTags: boolean;
  /** What has nothing healthy does not exist (NXDOMAIN); else it exists without records. */
  hidesUnhealthy: boolean;
  /** What SRV points to: the instance's own name, or its node's, or where it has an address of its own that address. */
  targets: "instance" | "node";
  /** One of several host names is told as an alias when there is no address at all. */
  hasAnyAlias: boolean;
  /** ANY is answered with what there is; else refused (RFC 8482). */
  answersAny: boolean;
}

export const ownZone = (name: string, ttlSeconds: number): Zone => ({
  name: lower(name),
  ttlSeconds,
  hasShortNames: true,
  hasDottedTags: false,
  hidesUnhealthy: false,
  targets: "instance",
  hasAnyAlias: false,
  answersAny: false,
});

export const consulZone = (name: string): Zone => ({
  name: lower(name),
  ttlSeconds: 0,
  hasShortNames: false,
  hasDottedTags: true,
  hidesUnhealthy: true,
  targets: "node",
  hasAnyAlias: true,
  answersAny: true,
});

const lower = (name: string): string => name.toLowerCase().replace(/\.$/, "");
