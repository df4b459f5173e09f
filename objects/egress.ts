/**
 * The egress guard: every request that Holdfast itself sends (checks, gateway, webhooks, JWKS) passes here first.
 *
 * The target is brought into the one spelling that `fetch` would give it, then judged by the address it means, inner
 * addresses included. Cloud metadata, link-local, multicast and unspecified addresses are refused always; private ones
 * where the operator has not allowed them; Holdfast's own hosts always, or a check could be turned into a caller.
 *
 * A name is judged by what it is, not by what it resolves to: on Cloudflare private addresses cannot be reached at all,
 * and on one machine the runtime refuses by address after resolution, with the rules of `networkRules`. So nothing hangs
 * on a look-up that could answer otherwise a moment later. Redirects are the caller's: never follow one unjudged.
 *
 * Refuses to know: who asks, and how the request is sent.
 */
import ipaddr from "ipaddr.js";
import { HoldfastError } from "./errors.ts";
import { parseHost } from "./egress/host.ts";
import type { Address, Host } from "./egress/host.ts";
import { parseSelfHost } from "./egress/policy.ts";
import type { EgressPolicy, SelfHost } from "./egress/policy.ts";
import { isPortAllowed } from "./egress/ports.ts";
import { isLoopbackName, isMetadataName, judged, parseCidr, placeOf, within } from "./egress/ranges.ts";
import type { Cidr, Place } from "./egress/ranges.ts";

export { parseEgressPolicy } from "./egress/policy.ts";
export type { EgressEnv, EgressPolicy } from "./egress/policy.ts";

export interface EgressTarget {
  /** `http`, `https`, `tcp` or `udp`, with or without the colon of `URL.protocol`. */
  protocol: string;
  /** A name or an address in any spelling; IPv6 with or without brackets. */
  host: string;
  port: number;
}

/** The `reason` in the details of a refusal: for metrics and tests. */
export type RefusalReason =
  | "protocol"
  | "port"
  | "malformed"
  | "credentials"
  | "self"
  | "denied"
  | Exclude<Place, "public">;

interface Compiled {
  allow: Cidr[];
  deny: Cidr[];
  selfHosts: SelfHost[];
}

const HTTP = new Set(["http", "https"]);
const LOOPBACKS: Address[] = [ipaddr.IPv4.parse("127.0.0.1"), ipaddr.IPv6.parse("::1")];
const NEVER = new Set<Place>(["metadata", "link_local", "multicast", "unspecified", "translated"]);
const PLACE_WORDS: Record<Place, string> = {
  metadata: "a cloud metadata service",
  link_local: "a link-local address, where clouds keep their metadata service",
  multicast: "a multicast or broadcast address",
  unspecified: "the unspecified address, which means this machine",
  translated: "a translation prefix whose inner address cannot be told",
  loopback: "a loopback address, and private targets are not allowed (HOLDFAST_EGRESS_ALLOW)",
  private: "a private address, and private targets are not allowed (HOLDFAST_EGRESS_ALLOW)",
  reserved: "a reserved address that is not listed in HOLDFAST_EGRESS_ALLOW",
  public: "a public address",
};

/** Throws `permission_denied` that names why; `details.reason` is a `RefusalReason`. */
export function assertEgress(target: EgressTarget, policy: EgressPolicy): void {
  resolveEgress(target, policy);
}

/** As `assertEgress`; answers the host in the one spelling to give to a raw socket: what was judged is what is dialled. */
export function resolveEgress(target: EgressTarget, policy: EgressPolicy): string {
  const protocol = target.protocol.replace(/:$/, "").toLowerCase();
  if (!HTTP.has(protocol) && protocol !== "tcp" && protocol !== "udp") {
    throw refused(target, "protocol", "only http, https, tcp and udp may leave");
  }
  if (!isPortAllowed(target.port, HTTP.has(protocol), policy.ports)) {
    throw refused(target, "port", `port ${target.port} is closed to ${protocol}`);
  }
  const host = parseHost(target.host);
  if (typeof host === "string") throw refused(target, "malformed", host);

  const rules = compile(policy);
  if (rules.selfHosts.some((self) => isSelf(self, host, target.port))) {
    throw refused(target, "self", "it is Holdfast's own address");
  }
  if (host.kind === "name") {
    if (isMetadataName(host.text)) throw refused(target, "metadata", `it is ${PLACE_WORDS.metadata}`);
    if (!isLoopbackName(host.text)) return host.text;
  }
  const addresses = host.kind === "address" ? [host.address, ...judged(host.address)] : LOOPBACKS;
  if (addresses.some((address) => rules.deny.some((cidr) => within(address, cidr)))) {
    throw refused(target, "denied", "HOLDFAST_EGRESS_DENY lists it");
  }
  for (const address of host.kind === "address" ? judged(host.address) : LOOPBACKS) {
    const place = placeOf(address);
    if (!isPlaceAllowed(place, address, policy, rules)) {
      throw refused(target, place as RefusalReason, `it is ${PLACE_WORDS[place]}`);
    }
  }
  return host.text;
}

/** For texts that hold a whole URL: answers it parsed. Also refuses credentials in it, which would be sent along. */
export function assertEgressUrl(text: string, policy: EgressPolicy): URL {
  const url = URL.parse(text);
  if (url === null) throw refused({ protocol: "", host: "", port: 0 }, "malformed", "the URL is malformed");
  const port = url.port === "" ? (url.protocol === "https:" ? 443 : 80) : Number(url.port);
  const target = { protocol: url.protocol, host: url.hostname, port };
  if (url.username !== "" || url.password !== "") {
    throw refused(target, "credentials", "a URL with a user or password in it is not accepted");
  }
  assertEgress(target, policy);
  return url;
}

function isPlaceAllowed(place: Place, address: Address, policy: EgressPolicy, rules: Compiled): boolean {
  if (NEVER.has(place)) return false;
  if (place === "public") return true;
  if (policy.allowPrivate && place !== "reserved") return true;
  return rules.allow.some((cidr) => within(address, cidr));
}

/** A listener on one loopback address is met under all of its names, so all of them count as the same. */
function isSelf(self: SelfHost, host: Host, port: number): boolean {
  if (self.port !== null && self.port !== port) return false;
  if (self.below) return host.text.endsWith(`.${self.host}`);
  return self.host === host.text || (self.port !== null && isLoopback(self.host) && isLoopback(host.text));
}

function isLoopback(text: string): boolean {
  const host = parseHost(text);
  if (typeof host === "string") return false;
  return host.kind === "name"
    ? isLoopbackName(host.text)
    : judged(host.address).some((address) => placeOf(address) === "loopback");
}

/** Policies live as long as their isolate; each is compiled once. */
const compiled = new WeakMap<EgressPolicy, Compiled>();

function compile(policy: EgressPolicy): Compiled {
  let rules = compiled.get(policy);
  if (rules === undefined) {
    rules = {
      allow: policy.allow.map(cidrOrThrow),
      deny: policy.deny.map(cidrOrThrow),
      selfHosts: policy.selfHosts.map((text) => parseSelfHost(text) ?? unusable(text)),
    };
    compiled.set(policy, rules);
  }
  return rules;
}

const cidrOrThrow = (text: string): Cidr => parseCidr(text) ?? unusable(text);

/** A rule that cannot be read must not silently allow. */
function unusable(text: string): never {
  throw new HoldfastError("internal", `egress policy: "${text}" cannot be read`);
}

function refused(target: EgressTarget, reason: RefusalReason, why: string): HoldfastError {
  const host = target.host.length > 253 ? `${target.host.slice(0, 250)}...` : target.host;
  return new HoldfastError(
    "permission_denied",
    `egress to ${JSON.stringify(host)} port ${target.port} refused: ${why}`,
    {
      reason,
      host,
      port: target.port,
    },
  );
}
