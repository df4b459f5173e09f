/** Between the wire and the domain: seconds and ISO instants outside, milliseconds inside. */
import { fromBase64, toBase64, utf8 } from "../../objects/bytes.ts";
import { invalid } from "../../objects/errors.ts";
import type { Check, RegisteredInstance, RegisteredNode } from "../../objects/model.ts";
import { portOf } from "../../objects/model.ts";
import type { CheckSpec } from "../../objects/registry/check-spec.ts";
import type { InstanceSpec } from "../../objects/registry/spec.ts";
import type { StoredRecord } from "../../objects/store/txn.ts";
import type { CheckInput, InstanceInput } from "./schemas.ts";

export function instanceSpec(service: string, id: string, input: InstanceInput): InstanceSpec {
  const { port, ports, ttl, checks, ...rest } = input;
  return Object.assign(rest, {
    service,
    id,
    ports: portsOf(port, ports) ?? {},
    ttlMs: milliseconds(ttl),
    checks: checks?.map(checkSpec),
  });
}

/** `port` is short for the port named `default`. Undefined when neither is given. */
export function portsOf(
  port: number | null | undefined,
  ports: Record<string, number> | undefined,
): Record<string, number> | undefined {
  if (port === undefined || port === null) return ports;
  if (ports && Object.hasOwn(ports, "default")) throw invalid("port", "is given twice: also as ports.default");
  return { ...ports, default: port };
}

export function checkSpec({ ttl, interval, timeout, deregisterAfter, ...rest }: CheckInput): CheckSpec {
  return {
    ...rest,
    deregisterAfterMs: milliseconds(deregisterAfter),
    ...(ttl !== undefined && { ttlMs: ttl * 1000 }),
    ...(interval !== undefined && { intervalMs: interval * 1000 }),
    ...(timeout !== undefined && { timeoutMs: timeout * 1000 }),
  } as CheckSpec;
}

/** Undefined stays undefined, null stays null. */
export function milliseconds<T extends number | null | undefined>(seconds: T): T {
  return (typeof seconds === "number" ? Math.round(seconds * 1000) : seconds) as T;
}

/** What was asked for last is at hand: what happens together has one time. */
export function isoTime(ms: number): string {
  if (ms !== last.ms) last = { ms, iso: new Date(ms).toISOString() };
  return last.iso;
}

let last = { ms: Number.NaN, iso: "" };

export function instanceOutput(instance: RegisteredInstance) {
  const {
    renewedAt: _renewedAt,
    extra: _extra,
    inheritsAddress: _inherits,
    ttlMs,
    checks,
    registeredAt,
    ...rest
  } = instance;
  return Object.assign(rest, {
    port: portOf(instance) ?? null,
    ttl: ttlMs === null ? null : ttlMs / 1000,
    checks: checks.map(checkOutput),
    registeredAt: isoTime(registeredAt),
  });
}

export function nodeOutput({ extra: _extra, checks, ...node }: RegisteredNode) {
  return { ...node, checks: checks.map(checkOutput) };
}

export function checkOutput(check: Check) {
  const { sinceAt, deregisterAfterMs, ...rest } = check;
  const common = {
    since: isoTime(sinceAt),
    deregisterAfter: deregisterAfterMs === null ? null : deregisterAfterMs / 1000,
  };
  if (rest.type === "ttl") {
    const { ttlMs, ...ttlRest } = rest;
    return { ...ttlRest, ttl: ttlMs / 1000, ...common };
  }
  if (rest.type === "alias" || rest.type === "status") return { ...rest, ...common };
  const { intervalMs, timeoutMs, ...pulled } = rest;
  return { ...pulled, interval: intervalMs / 1000, timeout: timeoutMs / 1000, ...common };
}

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A key as text; as base64 beside it when it is not UTF-8. */
export function keyOutput(key: Uint8Array): { key: string; keyBase64?: string } {
  try {
    return { key: strict.decode(key) };
  } catch {
    return { key: new TextDecoder().decode(key), keyBase64: toBase64(key) };
  }
}

export function recordOutput(record: StoredRecord, keysOnly = false) {
  const { key, value, createRevision, modRevision, version, lease } = record;
  return {
    ...keyOutput(key),
    ...(!keysOnly && { value: toBase64(value) }),
    createRevision,
    modRevision,
    version,
    lease,
  };
}

/** Null: they are not UTF-8. */
export function textIn(bytes: Uint8Array): string | null {
  try {
    return strict.decode(bytes);
  } catch {
    return null;
  }
}

/** Bytes given as text or as base64; exactly one of them. */
export function bytesOf(field: string, given: string | undefined, base64: string | undefined): Uint8Array {
  if ((given === undefined) === (base64 === undefined)) throw invalid(field, `give either ${field} or ${field}Base64`);
  return given === undefined ? base64Bytes(`${field}Base64`, base64 ?? "") : utf8(given);
}

function base64Bytes(field: string, base64: string): Uint8Array {
  // atob also takes blanks and a missing padding: RFC 4648 does not.
  if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(base64)) {
    throw invalid(field, "is not base64");
  }
  return fromBase64(base64);
}
