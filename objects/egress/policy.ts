/**
 * What the operator allows and denies, as data, and how it is written in the environment.
 *
 * Refuses to know: targets. Lists are validated here once, so that a typing error stops the start and never opens a door.
 */
import { invalid } from "../errors.ts";
import { parseHost } from "./host.ts";
import { parsePortRange } from "./ports.ts";
import type { PortRange } from "./ports.ts";
import { formatCidr, parseCidr } from "./ranges.ts";

export interface EgressPolicy {
  /** Loopback, private, CGNAT and unique local addresses may be reached. */
  allowPrivate: boolean;
  /** Networks that may be reached besides public ones. */
  allow: string[];
  /** Networks that may never be reached: stronger than `allow`. */
  deny: string[];
  /** Own names, never a target: `host`, `host:port`, or `*.domain` for everything below it. */
  selfHosts: string[];
  /** Null: the default rule of `ports.ts`. */
  ports: PortRange[] | null;
}

/** The environment's part in it. All lists are separated by commas or blanks. */
export interface EgressEnv {
  /** `private` and networks (`10.1.0.0/16`, `fd12::/32`, single addresses). */
  HOLDFAST_EGRESS_ALLOW?: string;
  HOLDFAST_EGRESS_DENY?: string;
  /** `80,443,8000-8999`; unset or empty: the default rule. */
  HOLDFAST_EGRESS_PORTS?: string;
  HOLDFAST_SELF_HOSTS?: string;
  /** Its whole zone is Holdfast's own: gateway and namespace hosts. */
  HOLDFAST_DOMAIN?: string;
}

const LIST_LENGTH_MAX = 16_384;
const LIST_ENTRIES_MAX = 256;

/** Safe by default: an empty environment allows public addresses only. Throws `invalid_argument` naming the variable. */
export function parseEgressPolicy(env: EgressEnv): EgressPolicy {
  const allow = networks("HOLDFAST_EGRESS_ALLOW", env.HOLDFAST_EGRESS_ALLOW);
  const deny = networks("HOLDFAST_EGRESS_DENY", env.HOLDFAST_EGRESS_DENY);
  const ports = list("HOLDFAST_EGRESS_PORTS", env.HOLDFAST_EGRESS_PORTS).map((entry) => {
    const range = parsePortRange(entry);
    if (range === null) throw invalid("HOLDFAST_EGRESS_PORTS", `"${entry}" is neither a port nor a range of ports`);
    return range;
  });
  const selfHosts = list("HOLDFAST_SELF_HOSTS", env.HOLDFAST_SELF_HOSTS);
  for (const entry of selfHosts) {
    if (parseSelfHost(entry) === null) throw invalid("HOLDFAST_SELF_HOSTS", `"${entry}" is not a host`);
  }
  const domain = env.HOLDFAST_DOMAIN?.trim() ?? "";
  if (domain !== "") {
    if (parseSelfHost(domain) === null) throw invalid("HOLDFAST_DOMAIN", `"${domain}" is not a domain`);
    selfHosts.push(domain, `*.${domain}`);
  }
  return {
    allowPrivate: allow.private && !deny.private,
    allow: allow.cidrs,
    deny: deny.cidrs,
    selfHosts,
    ports: ports.length === 0 ? null : ports,
  };
}

export interface SelfHost {
  /** In its one spelling. */
  host: string;
  /** Null: every port. */
  port: number | null;
  below: boolean;
}

/** `host`, `host:port`, `[v6]:port`, `*.domain`; null when it is none of them. */
export function parseSelfHost(text: string): SelfHost | null {
  const below = text.startsWith("*.");
  const match = /^(\[[^\]]*\]|[^:]*)(?::(\d{1,5}))?$/.exec(below ? text.slice(2) : text);
  if (match === null) return null;
  const host = parseHost(match[1]!);
  if (typeof host === "string" || (below && host.kind === "address")) return null;
  return { host: host.text, port: match[2] === undefined ? null : Number(match[2]), below };
}

function networks(field: string, text: string | undefined): { private: boolean; cidrs: string[] } {
  const entries = list(field, text);
  const cidrs = entries
    .filter((entry) => entry !== "private")
    .map((entry) => {
      const cidr = parseCidr(entry);
      if (cidr === null) throw invalid(field, `"${entry}" is neither "private" nor a network such as 10.1.0.0/16`);
      return formatCidr(cidr);
    });
  return { private: cidrs.length < entries.length, cidrs };
}

function list(field: string, text = ""): string[] {
  if (text.length > LIST_LENGTH_MAX) throw invalid(field, `longer than ${LIST_LENGTH_MAX} characters`);
  const entries = text
    .toLowerCase()
    .split(/[\s,]+/)
    .filter((entry) => entry !== "");
  if (entries.length > LIST_ENTRIES_MAX) throw invalid(field, `more than ${LIST_ENTRIES_MAX} entries`);
  return entries;
}
