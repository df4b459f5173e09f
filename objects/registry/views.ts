/** What resolvers and lists read of the registry. Pages, because one service may have more instances than one RPC carries. */
import { HoldfastError } from "../errors.ts";
import type { Probe } from "../probing/plan.ts";
import type { ServiceClass, ServiceView } from "../model.ts";
import type { Reader, StoredRecord } from "../store/txn.ts";
import { instanceSpace, pulledSpace, registered, serviceSpace } from "./registry.ts";

export interface ServiceSummary {
  name: string;
  class: ServiceClass;
  instanceCount: number;
  healthyCount: number;
  tags: string[];
  modRevision: number;
}

/** A part of a view; `after` continues it, and is null in the last part. */
export interface ViewPage extends ServiceView {
  after: string | null;
}

export interface ViewInput {
  service: string;
  /** The id after which to continue. */
  after?: string | null;
}

const VIEW_PAGE_INSTANCES = 2500;
const SERVICES_PAGE = 5000;

export function viewOf(
  reader: Reader,
  { service, after = null }: ViewInput,
  state: { revision: number; selfPreservation: boolean },
): ViewPage {
  const record = serviceSpace.record(reader, service);
  const summary = record && serviceSpace.decode(record);
  const records = record
    ? instanceSpace.under(reader, [service], {
        limit: VIEW_PAGE_INSTANCES + 1,
        ...(after !== null && { after: instanceSpace.key(service, after) }),
      })
    : [];
  const page = records.slice(0, VIEW_PAGE_INSTANCES);
  const instances = page.map((found) => registered(instanceSpace.decode(found), found));
  return {
    service,
    class: summary?.class ?? "balanced",
    modRevision: record?.modRevision ?? 0,
    revision: state.revision,
    instances,
    selfPreservation: state.selfPreservation,
    after: records.length > page.length ? instances.at(-1)!.id : null,
  };
}

/** Codes: `not_found`. */
export function describeService(reader: Reader, { service }: { service: string }): ServiceSummary {
  const record = serviceSpace.record(reader, service);
  if (!record) throw new HoldfastError("not_found", `there is no service "${service}"`, { service });
  return summaryOf(record);
}

function summaryOf(record: StoredRecord): ServiceSummary {
  const { tags, ...summary } = serviceSpace.decode(record);
  return { ...summary, tags: Object.keys(tags).toSorted(), modRevision: record.modRevision };
}

export interface ServiceList {
  services: ServiceSummary[];
  /** The name after which to continue; null at the end. */
  after: string | null;
}

export function listServices(reader: Reader, { after = null }: { after?: string | null }): ServiceList {
  const records = serviceSpace.under(reader, [], {
    limit: SERVICES_PAGE + 1,
    ...(after !== null && { after: serviceSpace.key(after) }),
  });
  const services = records.slice(0, SERVICES_PAGE).map(summaryOf);
  return { services, after: records.length > services.length ? services.at(-1)!.name : null };
}

/** The checks that the prober runs: up to `limit`, and one more if there are more. */
export function pulledChecks(reader: Reader, limit: number): Probe[] {
  const probes: Probe[] = [];
  for (const { key } of pulledSpace.under(reader, [], { limit: limit + 1 })) {
    const instance = instanceSpace.get(reader, ...pulledSpace.parts(key));
    if (!instance || instance.adminState === "out_of_service") continue;
    for (const check of instance.checks) {
      if (check.type !== "ttl")
        probes.push({ service: instance.service, instance: instance.id, address: instance.address, check });
    }
    if (probes.length > limit) break;
  }
  return probes;
}
