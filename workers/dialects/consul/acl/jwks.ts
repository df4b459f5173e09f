/**
 * Key sets of issuers, fetched through the egress guard and kept in this isolate.
 *
 * A set is used for ten minutes. A token whose key it does not have may cause one more fetch, and no more than one in half
 * a minute, however many such tokens come. While the issuer cannot be reached, the last set is used for a day.
 * Source: RFC 7517; OpenID Connect Discovery 1.0, section 4.
 */
import type { JSONWebKeySet } from "jose";
import { errors } from "jose";
import { assertEgressUrl, parseEgressPolicy } from "../../../../objects/egress.ts";
import type { EgressEnv } from "../../../../objects/egress.ts";
import { readJson } from "../../../request/body.ts";

const FRESH_MS = 600_000;
const RETRY_MS = 30_000;
const STALE_MS = 86_400_000;
const TIMEOUT_MS = 5000;
const BYTES_MAX = 64 * 1024;
const KEYS_MAX = 20;
const KEPT_MAX = 100;

interface Kept {
  keys: JSONWebKeySet | null;
  fetchedAt: number;
  triedAt: number;
  /** Why the last try failed. */
  problem: string;
}

const kept = new Map<string, Kept>();

/** Why a key set cannot be had. */
export class KeySetError extends Error {}

/** Where an issuer's keys are, as it says itself. Throws `KeySetError`. */
export async function discoverKeySet(issuer: string, env: EgressEnv): Promise<string> {
  const url = `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
  const { issuer: named, jwks_uri: keys } = (await fetchJson(url, env)) as Record<string, unknown>;
  if (named !== issuer) throw new KeySetError(`issuer did not match the issuer returned by provider`);
  if (typeof keys !== "string") throw new KeySetError("the provider names no jwks_uri");
  return keys;
}

/** Runs `verify` with the issuer's keys, and once more with newer ones if none of them fits. Throws `KeySetError`. */
export async function withKeySet<T>(
  url: string,
  env: EgressEnv,
  verify: (keys: JSONWebKeySet) => Promise<T>,
): Promise<T> {
  const entry = await current(url, env, FRESH_MS);
  try {
    return await verify(keysOf(entry));
  } catch (error) {
    if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
    const newer = await current(url, env, RETRY_MS);
    if (newer === entry) throw error;
    return verify(keysOf(newer));
  }
}

function keysOf({ keys, fetchedAt, problem }: Kept): JSONWebKeySet {
  if (keys === null || Date.now() - fetchedAt > STALE_MS) throw new KeySetError(problem);
  return keys;
}

async function current(url: string, env: EgressEnv, freshMs: number): Promise<Kept> {
  // Before anything is remembered of it: that one may not go there is no answer of the issuer's.
  assertEgressUrl(url, parseEgressPolicy(env));
  const before = kept.get(url);
  const nowAt = Date.now();
  if (before && (nowAt - before.fetchedAt < freshMs || nowAt - before.triedAt < RETRY_MS)) return before;
  // Noted before the answer is there, so that others do not ask as well.
  if (before) before.triedAt = nowAt;
  let entry: Kept;
  try {
    entry = { keys: await fetchKeySet(url, env), fetchedAt: nowAt, triedAt: nowAt, problem: "" };
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    entry = { keys: before?.keys ?? null, fetchedAt: before?.fetchedAt ?? 0, triedAt: nowAt, problem };
  }
  kept.delete(url);
  kept.set(url, entry);
  if (kept.size > KEPT_MAX) kept.delete(kept.keys().next().value!);
  return entry;
}

async function fetchKeySet(url: string, env: EgressEnv): Promise<JSONWebKeySet> {
  const set = await fetchJson(url, env);
  const keys = (set as Partial<JSONWebKeySet>).keys;
  if (!Array.isArray(keys)) throw new KeySetError("the answer is no key set");
  if (keys.length > KEYS_MAX) throw new KeySetError(`the key set has more than ${KEYS_MAX} keys`);
  return { keys };
}

async function fetchJson(url: string, env: EgressEnv): Promise<object> {
  const target = assertEgressUrl(url, parseEgressPolicy(env));
  const response = await fetch(target, {
    headers: { accept: "application/json" },
    redirect: "manual",
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  if (response.status !== 200) {
    await response.body?.cancel();
    throw new KeySetError(`the answer has status ${response.status}`);
  }
  // Without its headers: a compressed body is longer than it says.
  const value = await readJson(new Response(response.body), BYTES_MAX);
  if (typeof value !== "object" || value === null) throw new KeySetError("the answer is no JSON object");
  return value;
}
