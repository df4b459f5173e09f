/**
 * The settings of an auth method of type `jwt`: whose tokens are trusted, and which claims are looked at. Pure; texts of
 * errors are Consul's. Source: developer.hashicorp.com/consul/docs/security/acl/auth-methods/jwt.
 */
import type { Decoded } from "../decode.ts";
import { duration, list, map, object, text } from "../decode.ts";
import { ConsulError, refused } from "../errors.ts";

const config = object({
  JWTSupportedAlgs: list(text),
  BoundAudiences: list(text),
  ClaimMappings: map(text),
  ListClaimMappings: map(text),
  OIDCDiscoveryURL: text,
  OIDCDiscoveryCACert: text,
  JWKSURL: text,
  JWKSCACert: text,
  JWTValidationPubKeys: list(text),
  BoundIssuer: text,
  ExpirationLeeway: duration,
  NotBeforeLeeway: duration,
  ClockSkewLeeway: duration,
});

export type JwtConfig = Decoded<typeof config>;

/** Only signatures that a public key checks: a shared secret would have to be told to us. */
export const ALGORITHMS = ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512"];
/** Ed25519 is taken when no algorithms are named, as Consul does. */
export const ALGORITHMS_UNNAMED = [...ALGORITHMS, "EdDSA"];
const KEYS_MAX = 20;
const AUDIENCES_MAX = 64;
const MAPPINGS_MAX = 64;

/** Codes: 500 in Consul's words. */
export function readJwtConfig(given: unknown): JwtConfig {
  const read = decoded(given);
  const sources = [read.OIDCDiscoveryURL !== "", read.JWTValidationPubKeys.length > 0, read.JWKSURL !== ""];
  if (sources.filter(Boolean).length !== 1) {
    const names = "'JWTValidationPubKeys', 'JWKSURL', or 'OIDCDiscoveryURL'";
    throw mistaken(`exactly one of ${names} must be set for type "jwt"`);
  }
  if (read.JWKSURL === "" && read.JWKSCACert !== "") {
    throw mistaken("'JWKSCACert' should not be set unless 'JWKSURL' is set");
  }
  if (read.OIDCDiscoveryURL === "" && read.OIDCDiscoveryCACert !== "") {
    throw mistaken("'OIDCDiscoveryCACert' should not be set unless 'OIDCDiscoveryURL' is set");
  }
  // The platform fetches with the public authorities only.
  if (read.JWKSCACert !== "") throw mistaken("error checking JWKSCACert: certificates of one's own are not supported");
  if (read.OIDCDiscoveryCACert !== "") {
    throw mistaken("error checking OIDCDiscoveryCACert: certificates of one's own are not supported");
  }
  for (const algorithm of read.JWTSupportedAlgs) {
    if (!ALGORITHMS.includes(algorithm)) throw mistaken(`Invalid supported algorithm: ${algorithm}`);
  }
  for (const field of ["ClaimMappings", "ListClaimMappings"] as const) assertMappings(field, read[field]);
  if (read.JWTValidationPubKeys.length > KEYS_MAX) throw mistaken(`more than ${KEYS_MAX} keys in JWTValidationPubKeys`);
  if (read.BoundAudiences.length > AUDIENCES_MAX)
    throw mistaken(`more than ${AUDIENCES_MAX} entries in BoundAudiences`);
  return read;
}

function decoded(given: unknown): JwtConfig {
  try {
    return config.decode(given, "");
  } catch (error) {
    if (!(error instanceof ConsulError)) throw error;
    throw mistaken(`error decoding config: ${error.message.replace("Request decode failed: ", "")}`);
  }
}

function assertMappings(field: string, mappings: Record<string, string>): void {
  const targets = Object.values(mappings);
  const twice = targets.find((target, index) => targets.indexOf(target) !== index);
  if (twice !== undefined) throw mistaken(`${field} contains multiple mappings for key ${JSON.stringify(twice)}`);
  if (targets.length > MAPPINGS_MAX) throw mistaken(`more than ${MAPPINGS_MAX} entries in ${field}`);
}

export const mistaken = (message: string): ConsulError => refused(`Invalid Auth Method: ${message}`);
