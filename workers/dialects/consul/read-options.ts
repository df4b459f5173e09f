/**
 * What a read may ask for: how fresh, how long to wait, and how to sort and filter. Texts of errors are Consul's.
 * Source: developer.hashicorp.com/consul/api-docs/features (blocking, consistency, caching).
 */
import { parseDuration } from "./durations.ts";
import { badRequest } from "./errors.ts";

export interface ReadQuery {
  /** 0 = answer at once. */
  index: number;
  /** With jitter. */
  waitMs: number;
  consistency: "default" | "consistent" | "stale";
  /** `?cached`: an answer from the edge's cache is welcome. */
  cached: boolean;
  /** With `?stale`: an answer that is older is not wanted; null = any will do. */
  maxStaleMs: number | null;
  /** Of `Cache-Control`, with `?cached`. */
  maxAgeSeconds: number | null;
}

const WAIT_DEFAULT_MS = 300_000;
const WAIT_MAX_MS = 600_000;

export function readQuery(params: URLSearchParams, headers: Headers, random: () => number): ReadQuery {
  const index = indexOf(params);
  const isStale = params.has("stale");
  const isConsistent = params.has("consistent");
  const cached = params.has("cached");
  if (isStale && isConsistent) {
    throw badRequest("Cannot specify ?stale with ?consistent, conflicting semantics.");
  }
  if (cached && isConsistent) {
    throw badRequest("Cannot specify ?cached with ?consistent, conflicting semantics.");
  }
  const maxStale = params.get("max_stale") ?? "";
  const maxStaleMs = maxStale === "" ? null : parseDuration(maxStale);
  if (maxStale !== "" && maxStaleMs === null) {
    throw badRequest(`Invalid max_stale value ${JSON.stringify(maxStale)}`);
  }
  return {
    index,
    waitMs: waitOf(params, random),
    consistency: isStale ? "stale" : isConsistent ? "consistent" : "default",
    cached,
    // Consul takes zero for none.
    maxStaleMs: isStale && maxStaleMs !== null && maxStaleMs > 0 ? maxStaleMs : null,
    maxAgeSeconds: cached ? maxAgeOf(headers.get("cache-control")) : null,
  };
}

/** An index from before a restore may be any 64-bit number; it is only ever compared. */
function indexOf(params: URLSearchParams): number {
  const given = params.get("index") ?? "";
  if (given === "") return 0;
  if (!/^\d{1,20}$/.test(given) || BigInt(given) >= 1n << 64n) throw badRequest("Invalid index");
  return Math.min(Number(given), Number.MAX_SAFE_INTEGER);
}

function waitOf(params: URLSearchParams, random: () => number): number {
  const given = params.get("wait") ?? "";
  const wait = given === "" ? WAIT_DEFAULT_MS : parseDuration(given);
  if (wait === null) throw badRequest("Invalid wait time");
  const waitMs = wait <= 0 ? WAIT_DEFAULT_MS : Math.min(wait, WAIT_MAX_MS);
  // So that clients that began together do not come back together.
  return waitMs + (random() * waitMs) / 16;
}

function maxAgeOf(header: string | null): number | null {
  if (header === null) return null;
  const found = /(?:^|[\s,])max-age=([^\s,]*)/i.exec(header);
  if (!found) return null;
  if (!/^\d{1,9}$/.test(found[1]!)) throw badRequest("Invalid Cache-Control header.");
  return Number(found[1]);
}

/** A switch whose presence is enough, unless it says no. */
export function isOn(params: URLSearchParams, name: string): boolean {
  const value = params.get(name);
  if (value === null) return false;
  if (value === "" || value === "1" || value === "true") return true;
  if (value === "0" || value === "false") return false;
  throw badRequest(`Invalid value for ?${name}`);
}
