/** From what a caller asks for to a whole instance: defaults, limits, and what an earlier registration leaves behind. */
import { HoldfastError, invalid } from "../errors.ts";
import type {
  AdminState,
  Check,
  CheckDefinition,
  HealthStatus,
  HttpCheck,
  Instance,
  Locality,
  Reach,
  TcpCheck,
  TtlCheck,
} from "../model.ts";
import type { Context } from "../store/txn.ts";
import {
  assertAddress,
  assertDuration,
  assertName,
  assertPort,
  assertText,
  assertTextMap,
  assertWhole,
  CHECKS_MAX,
  INSTANCE_CHARACTERS_MAX,
  META_PAIRS_MAX,
  META_VALUE_CHARACTERS_MAX,
  NAME_CHARACTERS_MAX,
  OUTPUT_CHARACTERS_MAX,
  PORTS_MAX,
  TAGS_MAX,
} from "./limits.ts";

interface CheckSpecCommon {
  /** Unique within the instance; default `<type>`, or `<type>-<n>`. */
  id?: string | undefined;
  name?: string | undefined;
  successThreshold?: number | undefined;
  failureThreshold?: number | undefined;
  deregisterAfterMs?: number | null | undefined;
  /** Until the first result; default `critical`. */
  status?: HealthStatus | undefined;
  output?: string | undefined;
}

export type CheckSpec = CheckSpecCommon &
  (
    | { type: "ttl"; ttlMs: number }
    | {
        type: "http";
        url: string;
        method?: string | undefined;
        headers?: Record<string, string> | undefined;
        body?: string | undefined;
        intervalMs?: number | undefined;
        timeoutMs?: number | undefined;
      }
    | {
        type: "tcp";
        /** Default: the instance's address. */
        host?: string | undefined;
        /** Default: the instance's only or default port. */
        port?: number | undefined;
        intervalMs?: number | undefined;
        timeoutMs?: number | undefined;
      }
  );

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
}

const INTERVAL_MS = 10_000;
const TIMEOUT_MS = 10_000;
const INTERVAL_MIN_MS = 1000;
const INTERVAL_MAX_MS = 86_400_000;
const CHECK_TEXT_MAX = 8192;
const METHOD = /^[A-Z]{3,16}$/;
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/;

/** Throws `invalid_argument` naming the field. `before` is the registration it replaces. */
export function instanceFrom(spec: InstanceSpec, context: Context, before: Instance | undefined): Instance {
  const { service, id, address, ports = {}, tags = [], meta = {}, weight = 1 } = spec;
  const { node = "", protocol = "http", extra = {}, ttlMs = null, lease = null } = spec;
  assertName("service", service);
  assertName("id", id);
  assertAddress("address", address);
  assertPorts(ports);
  assertText("node", node, NAME_CHARACTERS_MAX);
  if (!/^[a-z][a-z0-9.+-]{0,31}$/.test(protocol))
    throw invalid("protocol", "must be a short lower-case name such as http");
  assertWhole("weight", weight, 0, 65_535);
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
  };
  instance.checks = checksFrom(spec.checks ?? [], instance, context.now, before?.checks ?? []);
  instance.status = statusOf(instance);
  if (JSON.stringify(instance).length > INSTANCE_CHARACTERS_MAX) {
    throw new HoldfastError("too_large", `the instance has more than ${INSTANCE_CHARACTERS_MAX} characters as JSON`, {
      limit: INSTANCE_CHARACTERS_MAX,
    });
  }
  return instance;
}

/** The worst of its checks; without checks, whether anything vouches for it at all. */
export function statusOf(instance: Pick<Instance, "checks" | "ephemeral">): HealthStatus {
  if (instance.checks.length === 0) return instance.ephemeral ? "passing" : "unknown";
  const statuses = new Set(instance.checks.map(({ status }) => status));
  if (statuses.has("critical")) return "critical";
  return statuses.has("warning") ? "warning" : "passing";
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

function localityFrom(given: InstanceSpec["locality"]): Locality {
  const { region = "", zone = "", cluster = "" } = given ?? {};
  assertText("locality.region", region, NAME_CHARACTERS_MAX);
  assertText("locality.zone", zone, NAME_CHARACTERS_MAX);
  assertText("locality.cluster", cluster, NAME_CHARACTERS_MAX);
  return { region, zone, cluster };
}

function checksFrom(specs: CheckSpec[], instance: Instance, now: number, earlier: Check[]): Check[] {
  if (specs.length > CHECKS_MAX) throw invalid("checks", `must have at most ${CHECKS_MAX} entries`);
  const ids = new Set<string>();
  return specs.map((spec, index) => {
    const field = `checks[${index}]`;
    const definition = checkDefinition(spec, instance, index, field);
    if (ids.has(definition.id)) throw invalid(`${field}.id`, `"${definition.id}" is given twice`);
    ids.add(definition.id);
    // Registering the same check again does not forget what it has found.
    const same = earlier.find((check) => isSameCheck(check, definition));
    if (same && spec.status === undefined) {
      return { ...definition, status: same.status, output: same.output, sinceAt: same.sinceAt };
    }
    const output = spec.output ?? "";
    assertOutput(`${field}.output`, output);
    return { ...definition, status: spec.status ?? "critical", output, sinceAt: now };
  });
}

export function assertOutput(field: string, output: unknown): asserts output is string {
  if (typeof output !== "string" || output.length > OUTPUT_CHARACTERS_MAX || !output.isWellFormed()) {
    throw invalid(field, `must be a text of at most ${OUTPUT_CHARACTERS_MAX} characters`);
  }
}

function isSameCheck(check: Check, definition: CheckDefinition): boolean {
  const { status: _status, output: _output, sinceAt: _sinceAt, ...earlier } = check;
  return JSON.stringify(earlier) === JSON.stringify(definition);
}

function checkDefinition(spec: CheckSpec, instance: Instance, index: number, field: string): CheckDefinition {
  const id = spec.id ?? (index === 0 ? spec.type : `${spec.type}-${index + 1}`);
  const name = spec.name ?? id;
  assertName(`${field}.id`, id);
  assertText(`${field}.name`, name, NAME_CHARACTERS_MAX);
  const { successThreshold = 1, failureThreshold = 1, deregisterAfterMs = null } = spec;
  assertWhole(`${field}.successThreshold`, successThreshold, 1, 100);
  assertWhole(`${field}.failureThreshold`, failureThreshold, 1, 100);
  if (deregisterAfterMs !== null) assertDuration(`${field}.deregisterAfter`, deregisterAfterMs);
  const common = { id, name, successThreshold, failureThreshold, deregisterAfterMs };
  switch (spec.type) {
    case "ttl":
      assertDuration(`${field}.ttl`, spec.ttlMs);
      return { ...common, type: "ttl", ttlMs: spec.ttlMs } satisfies TtlCheck;
    case "http":
      return { ...common, ...httpFields(spec, field) } satisfies HttpCheck;
    case "tcp":
      return { ...common, ...tcpFields(spec, instance, field) } satisfies TcpCheck;
  }
}

function httpFields(
  spec: CheckSpec & { type: "http" },
  field: string,
): Pick<HttpCheck, "type" | "url" | "method" | "headers" | "body" | "intervalMs" | "timeoutMs"> {
  const { url, method = "GET", headers = {}, body = "" } = spec;
  assertText(`${field}.url`, url, CHECK_TEXT_MAX);
  const parsed = URL.parse(url);
  if (parsed === null || !/^https?:$/.test(parsed.protocol))
    throw invalid(`${field}.url`, "must be an http or https URL");
  if (!METHOD.test(method)) throw invalid(`${field}.method`, "must be an upper-case HTTP method");
  assertTextMap(`${field}.headers`, headers, 64, 1024);
  for (const [name, value] of Object.entries(headers)) {
    if (!HEADER_NAME.test(name)) throw invalid(`${field}.headers`, `"${name}" is not a header name`);
    assertText(`${field}.headers.${name}`, value, 1024);
  }
  if (typeof body !== "string" || body.length > CHECK_TEXT_MAX) {
    throw invalid(`${field}.body`, `must be a text of at most ${CHECK_TEXT_MAX} characters`);
  }
  return { type: "http", url, method, headers, body, ...times(spec, field) };
}

function tcpFields(
  spec: CheckSpec & { type: "tcp" },
  instance: Instance,
  field: string,
): Pick<TcpCheck, "type" | "host" | "port" | "intervalMs" | "timeoutMs"> {
  const values = Object.values(instance.ports);
  const host = spec.host ?? instance.address;
  const port = spec.port ?? instance.ports["default"] ?? (values.length === 1 ? values[0] : undefined);
  assertAddress(`${field}.host`, host);
  if (port === undefined) throw invalid(`${field}.port`, "must be given: the instance has no default port");
  assertPort(`${field}.port`, port);
  return { type: "tcp", host, port, ...times(spec, field) };
}

function times(
  {
    intervalMs = INTERVAL_MS,
    timeoutMs = Math.min(TIMEOUT_MS, intervalMs),
  }: { intervalMs?: number | undefined; timeoutMs?: number | undefined },
  field: string,
): { intervalMs: number; timeoutMs: number } {
  assertDuration(`${field}.interval`, intervalMs, INTERVAL_MIN_MS, INTERVAL_MAX_MS);
  assertDuration(`${field}.timeout`, timeoutMs, 100, 60_000);
  return { intervalMs, timeoutMs };
}
