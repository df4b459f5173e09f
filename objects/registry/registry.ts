/**
 * Services and their instances: who is there, how to reach them, and whether they are well.
 *
 * Refuses to know: wire formats, and how checks are run.
 */
import { HoldfastError, invalid } from "../errors.ts";
import type { AdminState, HealthStatus, Instance, RegisteredInstance } from "../model.ts";
import { requireLease } from "../leases/leases.ts";
import type { Context, Reader, StoredRecord, Txn } from "../store/txn.ts";
import { assertText, assertTextMap, META_PAIRS_MAX, META_VALUE_CHARACTERS_MAX } from "./limits.ts";
import type { CheckSpec } from "./check-spec.ts";
import { assertOutput } from "./check-spec.ts";
import { instanceFrom } from "./spec.ts";
import type { InstanceSpec } from "./spec.ts";
import type { CheckSubject } from "./spaces.ts";
import { instanceSpace, nodeKey } from "./spaces.ts";
import { putInstance, removeInstance, setCheck } from "./write.ts";

/** Instances registered or reported in one command. */
export const BATCH_MAX = 1000;

/** Registers an instance, or replaces its registration. The same registration again is no change, but renews it. */
export function register(txn: Txn, context: Context, spec: InstanceSpec): RegisteredInstance {
  const found = instanceSpace.record(txn, String(spec.service), String(spec.id));
  const before = found && instanceSpace.decode(found);
  const instance = instanceFrom(spec, context, before);
  const lease = spec.lease ?? null;
  if (lease !== null) requireLease(txn, lease);
  if (found && before && lease === found.lease && isSameRegistration(before, instance)) {
    return registered(before, found);
  }
  return putInstance(txn, context.now, before, instance, lease);
}

/** All or none. */
export function registerMany(txn: Txn, context: Context, specs: InstanceSpec[]): RegisteredInstance[] {
  if (specs.length > BATCH_MAX) throw invalid("instances", `must have at most ${BATCH_MAX} entries`);
  return specs.map((spec, index) => within(`instances[${index}]`, () => register(txn, context, spec)));
}

/** Fields absent stay as they are; in `meta`, null removes a key. */
export interface InstancePatch {
  service: string;
  id: string;
  address?: string | undefined;
  ports?: Record<string, number> | undefined;
  protocol?: string | undefined;
  weight?: number | undefined;
  tags?: string[] | undefined;
  meta?: Record<string, string | null> | undefined;
  locality?: InstanceSpec["locality"];
  adminState?: AdminState | undefined;
  private?: boolean | undefined;
  ttlMs?: number | null | undefined;
  checks?: CheckSpec[] | undefined;
}

/** Codes: `not_found`, `invalid_argument`. */
export function update(txn: Txn, context: Context, patch: InstancePatch): RegisteredInstance {
  const found = requireRecord(txn, patch.service, patch.id);
  const before = instanceSpace.decode(found);
  const { meta: metaPatch, ttlMs = before.ttlMs, ...rest } = patch;
  const merged = Object.entries({ ...before.meta, ...metaPatch }).filter(([, value]) => value !== null);
  const meta = Object.fromEntries(merged) as Record<string, string>;
  assertTextMap("meta", meta, META_PAIRS_MAX, META_VALUE_CHARACTERS_MAX);
  const given = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined));
  const spec: InstanceSpec = {
    ...before,
    ...given,
    service: before.service,
    id: before.id,
    meta,
    ttlMs,
    lease: ttlMs === null ? found.lease : null,
    locality: { ...before.locality, ...patch.locality },
    checks: patch.checks ?? before.checks.map(({ status: _status, output: _output, sinceAt: _at, ...check }) => check),
  };
  const instance = instanceFrom(spec, context, before);
  instance.origin = before.origin;
  instance.suspect = before.suspect;
  // A change of the registration is no sign of life: the time to live goes on, unless it is a new one.
  if (ttlMs === before.ttlMs) instance.renewedAt = before.renewedAt;
  if (isSameRegistration(before, instance)) return registered(before, found);
  return putInstance(txn, context.now, before, instance, spec.lease ?? null);
}

/** False when there was none: whoever wants it gone has it so. */
export function deregister(
  txn: Txn,
  { now }: Pick<Context, "now">,
  { service, id }: InstanceName,
): { existed: boolean } {
  const before = instanceSpace.get(txn, String(service), String(id));
  if (!before) return { existed: false };
  removeInstance(txn, now, before);
  return { existed: true };
}

export interface InstanceName {
  service: string;
  id: string;
}

/** Removes a service with all its instances, up to `limit` at a time; call again while `remaining`. */
export function deregisterService(
  txn: Txn,
  context: Context,
  { service, limit = BATCH_MAX }: { service: string; limit?: number },
): { deregistered: number; remaining: boolean } {
  const records = instanceSpace.under(txn, [service], { limit: limit + 1 });
  for (const record of records.slice(0, limit)) deregister(txn, context, instanceSpace.decode(record));
  return { deregistered: Math.min(records.length, limit), remaining: records.length > limit };
}

export interface CheckReport extends InstanceName {
  /** Whose agent says so: counts only while the check is on that node, or on none. */
  node?: string | undefined;
  /** The check's id. */
  check: string;
  status: HealthStatus;
  output: string;
}

/** Results of checks. Those of instances or checks that are gone meanwhile count for nothing, and are counted. */
export function report(txn: Txn, context: Context, reports: CheckReport[]): { applied: number; ignored: number } {
  if (reports.length > BATCH_MAX) throw invalid("results", `must have at most ${BATCH_MAX} entries`);
  let applied = 0;
  for (const { service, id, check, status, output, node } of reports) {
    assertOutput("output", output);
    if (node !== undefined && !isOn(txn, { service, id }, nodeKey(node))) continue;
    if (setCheck(txn, context.now, { service, id }, check, status, output)) applied++;
  }
  return { applied, ignored: reports.length - applied };
}

function isOn(reader: Reader, { service, id }: CheckSubject, node: string): boolean {
  if (service === "") return id === node;
  const key = nodeKey(instanceSpace.get(reader, service, id)?.node ?? "");
  return key === node || key === "";
}

/** Marks instances as suspect, or clears the mark. */
export function markSuspect(txn: Txn, context: Context, marks: (InstanceName & { suspect: boolean })[]): void {
  for (const { service, id, suspect } of marks) {
    const found = instanceSpace.record(txn, service, id);
    const before = found && instanceSpace.decode(found);
    if (!before || before.suspect === suspect) continue;
    putInstance(txn, context.now, before, { ...before, suspect }, found.lease);
  }
}

/** Codes: `not_found`. */
export function describeInstance(reader: Reader, { service, id }: InstanceName): RegisteredInstance {
  const found = requireRecord(reader, service, id);
  return registered(instanceSpace.decode(found), found);
}

export function registered(instance: Instance, record: StoredRecord): RegisteredInstance {
  return { ...instance, createRevision: record.createRevision, modRevision: record.modRevision };
}

function requireRecord(reader: Reader, service: string, id: string): StoredRecord {
  assertText("service", service, 1000);
  assertText("id", id, 1000);
  const found = instanceSpace.record(reader, service, id);
  if (!found) throw new HoldfastError("not_found", `service "${service}" has no instance "${id}"`, { service, id });
  return found;
}

function isSameRegistration(a: Instance, b: Instance): boolean {
  return (
    JSON.stringify({ ...a, renewedAt: 0, suspect: false }) === JSON.stringify({ ...b, renewedAt: 0, suspect: false })
  );
}

/** Prefixes the field an error names. */
export function within<T>(prefix: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    const field = error.details?.["field"];
    const details = { ...error.details, field: field === undefined ? prefix : `${prefix}.${String(field)}` };
    throw new HoldfastError(error.code, `${prefix}: ${error.message}`, details, error.retryAfterMs);
  }
}
