/**
 * A login with a JSON Web Token: is it signed by whom the auth method trusts, is it meant for us and valid now, and what
 * does it claim. The algorithm is fixed by the method and the kind of its keys, never by the token; `jku` and `x5u` are not
 * looked at.
 *
 * Source: RFC 7519, RFC 8725; developer.hashicorp.com/consul/docs/security/acl/auth-methods/jwt.
 */
import type { CryptoKey, JWTPayload } from "jose";
import { createLocalJWKSet, decodeProtectedHeader, errors, importSPKI, importX509, jwtVerify } from "jose";
import type { EgressEnv } from "../../../../objects/egress.ts";
import { HoldfastError } from "../../../../objects/errors.ts";
import { refused } from "../errors.ts";
import type { Claims } from "./binding.ts";
import { discoverKeySet, KeySetError, withKeySet } from "./jwks.ts";
import type { JwtConfig } from "./jwt-config.ts";
import { ALGORITHMS_UNNAMED, mistaken } from "./jwt-config.ts";

const LEEWAY_SECONDS = 150;
const SKEW_SECONDS = 60;
const TOKEN_CHARACTERS_MAX = 16 * 1024;

/** Whether the method's keys can be had. Codes: 500 in Consul's words. */
export async function checkKeys(config: JwtConfig, env: EgressEnv): Promise<void> {
  for (const [index, pem] of config.JWTValidationPubKeys.entries()) {
    const parsed = await Promise.all(ALGORITHMS_UNNAMED.map((algorithm) => importPem(pem, algorithm)));
    if (parsed.every((key) => key === null)) {
      const reason = "data does not contain any valid RSA, ECDSA, or ED25519 public keys";
      throw mistaken(`error parsing public key JWTValidationPubKeys[${index}]: ${reason}`);
    }
  }
  const source = config.JWKSURL !== "" ? "JWKSURL" : "OIDCDiscoveryURL";
  if (config[source] === "") return;
  try {
    await withKeySet(await keySetUrl(config, env), env, async () => undefined);
  } catch (error) {
    throw mistaken(`error checking ${source}: ${reasonOf(error)}`);
  }
}

/** Codes: 500 in Consul's words, for a token that proves nothing. */
export async function verifyLogin(token: string, config: JwtConfig, env: EgressEnv, nowAt: number): Promise<Claims> {
  if (token === "") throw refused("missing jwt");
  if (token.length > TOKEN_CHARACTERS_MAX) throw refused("error parsing token: the token is too long");
  const payload = await verified(token, config, env);
  assertTimes(payload, config, nowAt / 1000);
  assertAudience(payload, config);
  return claimsOf(payload, config);
}

async function verified(token: string, config: JwtConfig, env: EgressEnv): Promise<JWTPayload> {
  const algorithms = config.JWTSupportedAlgs.length > 0 ? config.JWTSupportedAlgs : ALGORITHMS_UNNAMED;
  const issuer = config.OIDCDiscoveryURL || config.BoundIssuer;
  // Times are judged afterwards, with Consul's leeways; until then any will do.
  const options = { algorithms, ...(issuer !== "" && { issuer }), clockTolerance: Number.MAX_SAFE_INTEGER };
  try {
    if (config.JWTValidationPubKeys.length === 0) {
      const url = await keySetUrl(config, env);
      return await withKeySet(url, env, async (keys) => {
        try {
          return (await jwtVerify(token, createLocalJWKSet(keys), options)).payload;
        } catch (error) {
          if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error;
          return await verifiedByAny(token, error, options);
        }
      });
    }
    const { alg = "" } = decodeProtectedHeader(token);
    const keys = algorithms.includes(alg)
      ? await Promise.all(config.JWTValidationPubKeys.map((pem) => importPem(pem, alg)))
      : [];
    return await verifiedByAny(token, keys, options);
  } catch (error) {
    throw refused(`error verifying token: ${reasonOf(error)}`);
  }
}

async function verifiedByAny(
  token: string,
  keys: Iterable<CryptoKey | null> | AsyncIterable<CryptoKey>,
  options: Parameters<typeof jwtVerify>[2],
): Promise<JWTPayload> {
  for await (const key of keys) {
    if (key === null) continue;
    try {
      return (await jwtVerify(token, key, options)).payload;
    } catch (error) {
      if (!(error instanceof errors.JWSSignatureVerificationFailed)) throw error;
    }
  }
  throw new KeySetError("no known key successfully validated the token signature");
}

async function keySetUrl({ JWKSURL, OIDCDiscoveryURL }: JwtConfig, env: EgressEnv): Promise<string> {
  return JWKSURL !== "" ? JWKSURL : discoverKeySet(OIDCDiscoveryURL, env);
}

/** Null when it is no key for that algorithm. */
async function importPem(pem: string, algorithm: string): Promise<CryptoKey | null> {
  try {
    return await (pem.includes("-----BEGIN CERTIFICATE-----") ? importX509 : importSPKI)(pem.trim(), algorithm);
  } catch {
    return null;
  }
}

/** What went wrong, as far as it is for a caller: never what a fetched page said. */
function reasonOf(error: unknown): string {
  const isTold = error instanceof KeySetError || error instanceof HoldfastError || error instanceof errors.JOSEError;
  return isTold ? error.message : "the keys could not be fetched";
}

/** A token says from when or until when it is valid; what it leaves out follows from the other, with some leeway. */
function assertTimes(payload: JWTPayload, config: JwtConfig, now: number): void {
  const { iat = 0, nbf = 0, exp = 0 } = payload;
  if (iat === 0 && nbf === 0 && exp === 0) {
    throw refused("no issue time, notbefore, or expiration time encoded in token");
  }
  const skew = secondsOf(config.ClockSkewLeeway, SKEW_SECONDS);
  const expiry = exp || Math.max(iat, nbf) + secondsOf(config.ExpirationLeeway, LEEWAY_SECONDS);
  const start = nbf || iat || expiry - secondsOf(config.NotBeforeLeeway, LEEWAY_SECONDS);
  if (now > expiry + skew) throw refused("error validating claims: validation failed, token is expired (exp)");
  if (now < start - skew) throw refused("error validating claims: validation failed, token not valid yet (nbf)");
  if (now < iat - skew) throw refused("error validating claims: validation field, token issued in the future (iat)");
}

/** 0 = the default, below = none. */
const secondsOf = (ms: number, otherwise: number): number => (ms === 0 ? otherwise : Math.max(0, ms / 1000));

function assertAudience({ aud }: JWTPayload, { BoundAudiences }: JwtConfig): void {
  const audiences = aud === undefined ? [] : [aud].flat();
  if (BoundAudiences.length === 0 && audiences.length > 0) {
    throw refused("error validating claims: audience claim found in JWT but no audiences are bound");
  }
  if (BoundAudiences.length > 0 && !BoundAudiences.some((bound) => audiences.includes(bound))) {
    throw refused("error validating claims: aud claim does not match any bound audience");
  }
}

/** The claims that the method maps; one that the token lacks is empty, so that selectors can ask for it. */
function claimsOf(payload: JWTPayload, { ClaimMappings, ListClaimMappings }: JwtConfig): Claims {
  const claims: Claims = { value: {}, list: {} };
  for (const [source, target] of Object.entries(ClaimMappings)) {
    const found = claimAt(payload, source);
    const value = found === undefined || found === null ? "" : textOf(found);
    if (value === null) throw refused(`error converting claim '${source}' to string from unknown type`);
    claims.value[target] = value;
  }
  for (const [source, target] of Object.entries(ListClaimMappings)) {
    const found = claimAt(payload, source);
    const items = found === undefined || found === null ? [] : [found].flat();
    const texts = items.map((item) => {
      const value = textOf(item);
      if (value === null) throw refused(`value in ${JSON.stringify(source)} list claim could not be parsed as string`);
      return value;
    });
    claims.list[target] = texts.filter((value) => value !== "");
  }
  return claims;
}

/** By name, or by a JSON pointer (RFC 6901). */
function claimAt(payload: JWTPayload, source: string): unknown {
  const path = source.startsWith("/")
    ? source
        .slice(1)
        .split("/")
        .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"))
    : [source];
  let value: unknown = payload;
  for (const part of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, part)) return undefined;
    value = (value as Record<string, unknown>)[part];
  }
  return value;
}

function textOf(value: unknown): string | null {
  if (typeof value === "string") return value;
  if (typeof value === "boolean") return String(value);
  return typeof value === "number" ? String(Math.trunc(value)) : null;
}
