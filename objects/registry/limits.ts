/** What names, addresses and sizes the registry takes, whoever registers. Throws `invalid_argument` naming the field. */
import { invalid } from "../errors.ts";
import { LEASE_TTL_MAX_MS, LEASE_TTL_MIN_MS } from "../leases/leases.ts";

export const NAME_CHARACTERS_MAX = 255;
export const TAGS_MAX = 128;
export const META_PAIRS_MAX = 256;
export const META_VALUE_CHARACTERS_MAX = 4096;
export const PORTS_MAX = 64;
export const CHECKS_MAX = 32;
export const OUTPUT_CHARACTERS_MAX = 4096;
/** Distinct tags of one service. */
export const SERVICE_TAGS_MAX = 4096;
/** An instance's record as JSON. */
export const INSTANCE_CHARACTERS_MAX = 256 * 1024;

/** Control characters: NUL joins names into keys, the others only deceive readers. */
const CONTROL = /\p{Cc}/u;

/** A service name or an instance id: 1 to 255 characters, no control characters, not `.` or `..`, no space around. */
export function assertName(field: string, name: unknown): asserts name is string {
  assertText(field, name, NAME_CHARACTERS_MAX);
  if (name === "") throw invalid(field, "must not be empty");
  if (name === "." || name === "..") throw invalid(field, "must not be a dot segment");
  if (name.trim() !== name) throw invalid(field, "must not begin or end with a space");
}

export function assertText(field: string, text: unknown, charactersMax: number): asserts text is string {
  if (typeof text !== "string") throw invalid(field, "must be a text");
  if (text.length > charactersMax) throw invalid(field, `must have at most ${charactersMax} characters`);
  if (CONTROL.test(text)) throw invalid(field, "must not contain control characters");
  if (!text.isWellFormed()) throw invalid(field, "must be well-formed Unicode");
}

/** An IP address or a host name: what it means is judged where it is used, here only that it can be one. */
export function assertAddress(field: string, address: unknown): asserts address is string {
  assertText(field, address, NAME_CHARACTERS_MAX);
  if (!/^[A-Za-z0-9_.:%[\]-]+$/.test(address)) throw invalid(field, "must be an IP address or a host name");
}

export function assertPort(field: string, port: unknown): asserts port is number {
  if (!Number.isInteger(port) || (port as number) < 0 || (port as number) > 65535) {
    throw invalid(field, "must be a whole number from 0 to 65535");
  }
}

export function assertWhole(field: string, value: unknown, min: number, max: number): asserts value is number {
  if (!Number.isInteger(value) || (value as number) < min || (value as number) > max) {
    throw invalid(field, `must be a whole number from ${min} to ${max}`);
  }
}

export function assertDuration(field: string, ms: unknown, minMs = LEASE_TTL_MIN_MS, maxMs = LEASE_TTL_MAX_MS): void {
  if (typeof ms !== "number" || !(ms >= minMs) || !(ms <= maxMs)) {
    throw invalid(field, `must be between ${minMs / 1000} and ${maxMs / 1000} seconds`);
  }
}

export function assertTextMap(field: string, map: Record<string, unknown>, pairsMax: number, valueMax: number): void {
  const pairs = Object.entries(map);
  if (pairs.length > pairsMax) throw invalid(field, `must have at most ${pairsMax} entries`);
  for (const [key, value] of pairs) {
    assertText(`${field} key`, key, NAME_CHARACTERS_MAX);
    if (typeof value !== "string") throw invalid(`${field}.${key}`, "must be a text");
    if (value.length > valueMax) throw invalid(`${field}.${key}`, `must have at most ${valueMax} characters`);
    if (!value.isWellFormed()) throw invalid(`${field}.${key}`, "must be well-formed Unicode");
  }
}
