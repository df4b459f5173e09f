/** From what a caller asks for to a whole instance: defaults, limits, and what an earlier registration leaves behind. */
import { HoldfastError, invalid } from "../errors.ts";
import type { AdminState, Instance, Locality, Reach } from "../model.ts";
import type { Context } from "../store/txn.ts";
import type { CheckSpec } from "./check-spec.ts";
import { checksFrom, statusOf } from "./check-spec.ts";
import {
  assertAddress,
  assertDuration,
  assertName,
  assertPort,
  assertText,
  assertTextMap,
  assertWhole,
  INSTANCE_CHARACTERS_MAX,
  META_PAIRS_MAX,
  META_VALUE_CHARACTERS_MAX,
  NAME_CHARACTERS_MAX,
  PORTS_MAX,
  TAGS_MAX,
} from "./limits.ts";

/** What a registration may say; everything absent gets its default. */
export interface InstanceSpec {
  service: string;
  id: string;
  address: string;
  ports?: Record<string, number> | undefined;
  node?: string | undefined;
  protocol?: string | undefined;
  weight?: number | undefined;
  tags?: string[] | undefined;
  meta?: Record<string, string> | undefined;
  locality?: Partial<{ [field in keyof Locality]: string | undefined }> | undefined;
  adminState?: AdminState | undefined;
  private?: boolean | undefined;
  /** Time to live; null or absent = persistent. */
  ttlMs?: number | null | undefined;
  /** A granted lease to live on, instead of a time to live of its own. */
  lease?: string | null | undefined;
  checks?: CheckSpec[] | undefined;
  reach?: Reach | undefined;
  extra?: Record<string, unknown> | undefined;
  warningWeight?: number | undefined;
  meshFor?: string | undefined;
  /** `address` is its node's, and follows it. */
  inheritsAddress?: boolean | undefined;
  /** Checks whose ids are known go on with what they have found, however they are defined now. */
  keepStates?: boolean | undefined;
}

/** Throws `invalid_argument` naming the field. `before` is the registration it replaces. */
export function instanceFrom(spec: InstanceSpec, context: Context, before: Instance | undefined): Instance {
  const { service, id, address, ports = {}, tags = [], meta = {}, weight = 1 } = spec;
  const { node = "", protocol = "http", extra = {}, ttlMs = null, lease = null, inheritsAddress = false } = spec;
  const { warningWeight, meshFor } = spec;
  assertName("service", service);
  assertName("id", id);
  assertAddress("address", address);
  assertPorts(ports);
  assertText("node", node, NAME_CHARACTERS_MAX);
  if (!/^[a-z][a-z0-9.+-]{0,31}$/.test(protocol))
    throw invalid("protocol", "must be a short lower-case name such as http");
  assertWhole("weight", weight, 0, 65_535);
  if (warningWeight !== undefined) assertWhole("warningWeight", warningWeight, 0, 65_535);
  if (meshFor !== undefined) assertName("meshFor", meshFor);
  assertTags(tags);
  assertTextMap("meta", meta, META_PAIRS_MAX, META_VALUE_CHARACTERS_MAX);
  if (ttlMs !== null) assertDuration("ttl", ttlMs);
  if (ttlMs !== null && lease !== null) throw invalid("lease", "cannot be given together with ttl");
  const instance: Instance = {
    service,
    id,
    node,
    address,
    ports,
    protocol,
    weight,
    tags: [...new Set(tags)],
    meta,
    locality: localityFrom(spec.locality),
    status: "unknown",
    nodeStatus: before?.nodeStatus ?? "passing",
    inheritsAddress,
    adminState: spec.adminState ?? before?.adminState ?? "up",
    ephemeral: ttlMs !== null || lease !== null,
    private: spec.private ?? false,
    suspect: false,
    ttlMs,
    renewedAt: context.now,
    checks: [],
    reach: spec.reach ?? "direct",
    origin: context.caller.dialect,
    extra,
    registeredAt: before?.registeredAt ?? context.now,
    ...(warningWeight !== undefined && { warningWeight }),
    ...(meshFor !== undefined && { meshFor }),
    ...(before?.virtualIp !== undefined && before.meshFor === meshFor && { virtualIp: before.virtualIp }),
  };
  instance.checks = checksFrom(spec.checks ?? [], instance, context.now, before?.checks ?? [], spec.keepStates);
  instance.status = statusOf(instance);
  if (JSON.stringify(instance).length > INSTANCE_CHARACTERS_MAX) {
    throw new HoldfastError("too_large", `the instance has more than ${INSTANCE_CHARACTERS_MAX} characters as JSON`, {
      limit: INSTANCE_CHARACTERS_MAX,
    });
  }
  return instance;
}

function assertPorts(ports: Record<string, number>): void {
  const pairs = Object.entries(ports);
  if (pairs.length > PORTS_MAX) throw invalid("ports", `must have at most ${PORTS_MAX} entries`);
  for (const [name, port] of pairs) {
    assertName("ports name", name);
    assertPort(`ports.${name}`, port);
  }
}

function assertTags(tags: string[]): void {
  if (tags.length > TAGS_MAX) throw invalid("tags", `must have at most ${TAGS_MAX} entries`);
  tags.forEach((tag, index) => assertText(`tags[${index}]`, tag, NAME_CHARACTERS_MAX));
}

export function localityFrom(given: InstanceSpec["locality"]): Locality {
  const { region = "", zone = "", cluster = "" } = given ?? {};
  assertText("locality.region", region, NAME_CHARACTERS_MAX);
  assertText("locality.zone", zone, NAME_CHARACTERS_MAX);
  assertText("locality.cluster", cluster, NAME_CHARACTERS_MAX);
  return { region, zone, cluster };
}
