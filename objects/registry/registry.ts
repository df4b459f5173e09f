/**
 * Services and their instances: who is there, how to reach them, and whether they are well.
 *
 * Every change of an instance also writes its service's record in the same commit, so the service's mod revision is the
 * index of everything below it: a watcher of one service looks at one key.
 *
 * Refuses to know: wire formats, and how checks are run.
 */
import { HoldfastError, invalid } from "../errors.ts";
import type { AdminState, HealthStatus, Instance, RegisteredInstance, ServiceRecord } from "../model.ts";
import { isHealthy } from "../model.ts";
import { requireLease } from "../leases/leases.ts";
import type { Context, Reader, StoredRecord, Txn } from "../store/txn.ts";
import { JsonSpace } from "../store/txn.ts";
import { assertText, assertTextMap, META_PAIRS_MAX, META_VALUE_CHARACTERS_MAX, SERVICE_TAGS_MAX } from "./limits.ts";
import { assertOutput, instanceFrom, statusOf } from "./spec.ts";
import type { CheckSpec, InstanceSpec } from "./spec.ts";

export const serviceSpace = new JsonSpace<ServiceRecord>("service");
export const instanceSpace = new JsonSpace<Instance>("instance");
/** Which instances have checks that are pulled: the prober's list without reading them all. */
export const pulledSpace = new JsonSpace<Record<never, never>>("pulled");

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
  return write(txn, before, instance, lease);
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
  return write(txn, before, instance, spec.lease ?? null);
}

/** False when there was none: whoever wants it gone has it so. */
export function deregister(txn: Txn, _context: Context, { service, id }: InstanceName): { existed: boolean } {
  const before = instanceSpace.get(txn, String(service), String(id));
  if (!before) return { existed: false };
  instanceSpace.delete(txn, service, id);
  indexPulled(txn, before, null);
  updateService(txn, service, before, null);
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
  /** The check's id. */
  check: string;
  status: HealthStatus;
  output: string;
}

/** Results of checks. Those of instances or checks that are gone meanwhile count for nothing, and are counted. */
export function report(txn: Txn, context: Context, reports: CheckReport[]): { applied: number; ignored: number } {
  if (reports.length > BATCH_MAX) throw invalid("results", `must have at most ${BATCH_MAX} entries`);
  let applied = 0;
  for (const { service, id, check, status, output } of reports) {
    assertOutput("output", output);
    if (setCheck(txn, context.now, { service, id }, check, status, output)) applied++;
  }
  return { applied, ignored: reports.length - applied };
}

/** Marks instances as suspect, or clears the mark. */
export function markSuspect(txn: Txn, _context: Context, marks: (InstanceName & { suspect: boolean })[]): void {
  for (const { service, id, suspect } of marks) {
    const found = instanceSpace.record(txn, service, id);
    const before = found && instanceSpace.decode(found);
    if (!before || before.suspect === suspect) continue;
    write(txn, before, { ...before, suspect }, found.lease);
  }
}

/** Codes: `not_found` when there is no such instance or check. */
export function setCheck(
  txn: Txn,
  now: number,
  { service, id }: InstanceName,
  checkId: string,
  status: HealthStatus,
  output: string,
): boolean {
  const found = instanceSpace.record(txn, service, id);
  if (!found) return false;
  const before = instanceSpace.decode(found);
  const current = before.checks.find((check) => check.id === checkId);
  if (!current) return false;
  if (current.status === status && current.output === output) return true;
  const sinceAt = current.status === status ? current.sinceAt : now;
  const checks = before.checks.map((check) => (check === current ? { ...check, status, output, sinceAt } : check));
  const instance = { ...before, checks };
  instance.status = statusOf(instance);
  write(txn, before, instance, found.lease);
  return true;
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

function write(txn: Txn, before: Instance | undefined, instance: Instance, lease: string | null): RegisteredInstance {
  instanceSpace.put(txn, [instance.service, instance.id], instance, lease);
  indexPulled(txn, before ?? null, instance);
  updateService(txn, instance.service, before ?? null, instance);
  const record = instanceSpace.record(txn, instance.service, instance.id)!;
  return registered(instance, record);
}

const hasPulled = (instance: Instance | null): boolean => instance?.checks.some(({ type }) => type !== "ttl") ?? false;

function indexPulled(txn: Txn, before: Instance | null, after: Instance | null): void {
  const is = hasPulled(after);
  const { service, id } = (after ?? before)!;
  if (is === hasPulled(before)) return;
  if (is) pulledSpace.put(txn, [service, id], {});
  else pulledSpace.delete(txn, service, id);
}

function updateService(txn: Txn, service: string, before: Instance | null, after: Instance | null): void {
  const record = serviceSpace.get(txn, service) ?? newService(service);
  record.instanceCount += Number(after !== null) - Number(before !== null);
  record.healthyCount += Number(after !== null && isHealthy(after)) - Number(before !== null && isHealthy(before));
  // A map, because a tag may be called `constructor`.
  const tags = new Map(Object.entries(record.tags));
  for (const tag of before?.tags ?? []) {
    const left = (tags.get(tag) ?? 1) - 1;
    if (left > 0) tags.set(tag, left);
    else tags.delete(tag);
  }
  for (const tag of after?.tags ?? []) tags.set(tag, (tags.get(tag) ?? 0) + 1);
  record.tags = Object.fromEntries(tags);
  if (after !== null && tags.size > SERVICE_TAGS_MAX) {
    throw new HoldfastError(
      "quota_exceeded",
      `service "${service}" would have more than ${SERVICE_TAGS_MAX} distinct tags`,
      {
        limit: SERVICE_TAGS_MAX,
      },
    );
  }
  if (record.instanceCount === 0) serviceSpace.delete(txn, service);
  else serviceSpace.put(txn, [service], record);
}

function newService(name: string): ServiceRecord {
  return { name, class: "balanced", instanceCount: 0, healthyCount: 0, tags: {} };
}

function isSameRegistration(a: Instance, b: Instance): boolean {
  return (
    JSON.stringify({ ...a, renewedAt: 0, suspect: false }) === JSON.stringify({ ...b, renewedAt: 0, suspect: false })
  );
}

/** Prefixes the field an error names. */
function within<T>(prefix: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    const field = error.details?.["field"];
    const details = { ...error.details, field: field === undefined ? prefix : `${prefix}.${String(field)}` };
    throw new HoldfastError(error.code, `${prefix}: ${error.message}`, details, error.retryAfterMs);
  }
}
