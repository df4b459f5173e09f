/** From what a caller says of a check to a whole one: defaults, limits, and what an earlier one of the same kind found. */
import { invalid } from "../errors.ts";
import type {
  AgentCheck,
  AliasCheck,
  Check,
  CheckDefinition,
  GrpcCheck,
  HealthStatus,
  HttpCheck,
  Instance,
  ScriptCheck,
  StatusCheck,
  TcpCheck,
  TtlCheck,
} from "../model.ts";
import { isAgents } from "../model.ts";
import { NOT_RUN_YET } from "../probing/plan.ts";
import {
  assertAddress,
  assertDuration,
  assertName,
  assertPort,
  assertText,
  assertTextMap,
  assertWhole,
  CHECKS_MAX,
  NAME_CHARACTERS_MAX,
  OUTPUT_CHARACTERS_MAX,
} from "./limits.ts";

interface Times {
  /** Default 10 s. */
  intervalMs?: number | undefined;
  /** Default 10 s, or the interval when that is shorter. */
  timeoutMs?: number | undefined;
}

interface Target extends Times {
  /** Default: the address of the instance, or the node. */
  host?: string | undefined;
  /** Default: the instance's only or default port. */
  port?: number | undefined;
}

interface Tls {
  /** Default: true for `h2ping`, else false. */
  tls?: boolean | undefined;
  tlsSkipVerify?: boolean | undefined;
  tlsServerName?: string | undefined;
}

interface CheckSpecCommon {
  /** Unique within the instance; default `<type>`, or `<type>-<n>`. */
  id?: string | undefined;
  name?: string | undefined;
  notes?: string | undefined;
  successThreshold?: number | undefined;
  failureThreshold?: number | undefined;
  /** Default: `failureThreshold`. */
  warningThreshold?: number | undefined;
  deregisterAfterMs?: number | null | undefined;
  /** Until the first result; default `critical`. */
  status?: HealthStatus | undefined;
  output?: string | undefined;
  extra?: Record<string, unknown> | undefined;
}

export type CheckSpec = CheckSpecCommon &
  (
    | { type: "ttl"; ttlMs: number }
    | ({
        type: "http";
        url: string;
        method?: string | undefined;
        headers?: Record<string, string> | undefined;
        body?: string | undefined;
        /** Default true. */
        redirects?: boolean | undefined;
      } & Times)
    | ({ type: "tcp"; tls?: boolean | undefined } & Target)
    | ({ type: "udp" } & Target)
    | ({ type: "grpc"; grpcService?: string | undefined } & Tls & Target)
    | ({ type: "h2ping" } & Tls & Target)
    | ({ type: "script"; args: string[] } & Times)
    | { type: "alias"; node?: string | undefined; instance?: string | undefined }
    | { type: "status" }
  );

const INTERVAL_MS = 10_000;
const TIMEOUT_MS = 10_000;
const INTERVAL_MIN_MS = 1000;
const INTERVAL_MAX_MS = 86_400_000;
const CHECK_TEXT_MAX = 8192;
const EXTRA_CHARACTERS_MAX = 16_384;
const METHOD = /^[A-Z]{3,16}$/;
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/;

/** What checks run against when they do not say themselves. */
export interface CheckTarget {
  address: string;
  ports: Record<string, number>;
}

const ARGUMENTS_MAX = 64;

/** The worst of its checks and its node's; without checks, whether anything vouches for it at all. */
export function statusOf(instance: Pick<Instance, "checks" | "ephemeral" | "nodeStatus">): HealthStatus {
  const own = worstOf(instance.checks) ?? (instance.ephemeral ? "passing" : "unknown");
  return instance.nodeStatus === "critical" || own === "critical"
    ? "critical"
    : instance.nodeStatus === "warning"
      ? "warning"
      : own;
}

/** Undefined without checks. */
export function worstOf(checks: Check[]): HealthStatus | undefined {
  if (checks.length === 0) return undefined;
  const statuses = new Set(checks.map(({ status }) => status));
  if (statuses.has("critical")) return "critical";
  return statuses.has("warning") ? "warning" : "passing";
}

/** With `keepStates` a check whose id is known goes on with what that one found, whatever the specification says. */
export function checksFrom(
  specs: CheckSpec[],
  target: CheckTarget,
  now: number,
  earlier: Check[],
  keepStates = false,
): Check[] {
  if (specs.length > CHECKS_MAX) throw invalid("checks", `must have at most ${CHECKS_MAX} entries`);
  const ids = new Set<string>();
  return specs.map((spec, index) => {
    const field = `checks[${index}]`;
    const definition = checkDefinition(spec, target, index, field);
    if (ids.has(definition.id)) throw invalid(`${field}.id`, `"${definition.id}" is given twice`);
    ids.add(definition.id);
    const known = earlier.find((check) => check.id === definition.id);
    const output = spec.output ?? (isAgents(definition) ? NOT_RUN_YET : "");
    // Registering the same check again does not forget what it has found.
    if (known && isSameCheck(known, definition) && (keepStates || !isNews(spec, output, known))) {
      return { ...definition, status: known.status, output: known.output, sinceAt: known.sinceAt };
    }
    if (known && keepStates && definition.type !== "alias") {
      return { ...definition, status: known.status, output: known.output, sinceAt: now };
    }
    assertOutput(`${field}.output`, output);
    return { ...definition, status: spec.status ?? "critical", output, sinceAt: now };
  });
}

export function assertOutput(field: string, output: unknown): asserts output is string {
  if (typeof output !== "string" || output.length > OUTPUT_CHARACTERS_MAX || !output.isWellFormed()) {
    throw invalid(field, `must be a text of at most ${OUTPUT_CHARACTERS_MAX} characters`);
  }
}

/** A status that is told counts as a sign of life of a pushed check, even the same again. */
function isNews(spec: CheckSpec, output: string, known: Check): boolean {
  if (spec.status === undefined) return false;
  return known.type === "ttl" || spec.status !== known.status || output !== known.output;
}

function isSameCheck(check: Check, definition: CheckDefinition): boolean {
  const { status: _status, output: _output, sinceAt: _sinceAt, ...earlier } = check;
  return JSON.stringify(earlier) === JSON.stringify(definition);
}

function checkDefinition(spec: CheckSpec, target: CheckTarget, index: number, field: string): CheckDefinition {
  const id = spec.id ?? (index === 0 ? spec.type : `${spec.type}-${index + 1}`);
  const name = spec.name ?? id;
  assertName(`${field}.id`, id);
  assertText(`${field}.name`, name, NAME_CHARACTERS_MAX);
  const { notes = "", successThreshold = 1, failureThreshold = 1, deregisterAfterMs = null } = spec;
  const { warningThreshold = failureThreshold } = spec;
  assertText(`${field}.notes`, notes, CHECK_TEXT_MAX);
  assertWhole(`${field}.successThreshold`, successThreshold, 1, 100);
  assertWhole(`${field}.failureThreshold`, failureThreshold, 1, 100);
  assertWhole(`${field}.warningThreshold`, warningThreshold, 1, failureThreshold);
  if (deregisterAfterMs !== null) assertDuration(`${field}.deregisterAfter`, deregisterAfterMs);
  const { extra } = spec;
  if (extra !== undefined && JSON.stringify(extra).length > EXTRA_CHARACTERS_MAX) {
    throw invalid(`${field}.extra`, `must have at most ${EXTRA_CHARACTERS_MAX} characters as JSON`);
  }
  const common = {
    id,
    name,
    notes,
    successThreshold,
    failureThreshold,
    warningThreshold,
    deregisterAfterMs,
    ...(extra !== undefined && { extra }),
  };
  switch (spec.type) {
    case "ttl":
      assertDuration(`${field}.ttl`, spec.ttlMs);
      return { ...common, type: "ttl", ttlMs: spec.ttlMs } satisfies TtlCheck;
    case "http":
      return { ...common, ...httpFields(spec, field) } satisfies HttpCheck;
    case "tcp":
      return {
        ...common,
        type: "tcp",
        tls: spec.tls ?? false,
        ...targetFields(spec, target, field),
      } satisfies TcpCheck;
    case "udp":
      return { ...common, type: "udp", ...targetFields(spec, target, field) } satisfies AgentCheck;
    case "grpc": {
      const { grpcService = "" } = spec;
      assertText(`${field}.grpcService`, grpcService, NAME_CHARACTERS_MAX);
      const fields = { ...tlsFields(spec, false, field), ...targetFields(spec, target, field) };
      return { ...common, type: "grpc", grpcService, ...fields } satisfies AgentCheck;
    }
    case "h2ping": {
      const fields = { ...tlsFields(spec, true, field), ...targetFields(spec, target, field) };
      return { ...common, type: "h2ping", ...fields } satisfies AgentCheck;
    }
    case "script":
      return { ...common, type: "script", ...scriptFields(spec, field) } satisfies ScriptCheck;
    case "alias": {
      const { node = "", instance = "" } = spec;
      assertText(`${field}.node`, node, NAME_CHARACTERS_MAX);
      assertText(`${field}.instance`, instance, NAME_CHARACTERS_MAX);
      return { ...common, type: "alias", node, instance } satisfies AliasCheck;
    }
    case "status":
      return { ...common, type: "status" } satisfies StatusCheck;
  }
}

function httpFields(
  spec: CheckSpec & { type: "http" },
  field: string,
): Pick<HttpCheck, "type" | "url" | "method" | "headers" | "body" | "redirects" | "intervalMs" | "timeoutMs"> {
  const { url, method = "GET", headers = {}, body = "", redirects = true } = spec;
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
  return { type: "http", url, method, headers, body, redirects, ...times(spec, field) };
}

function tlsFields(
  { tls, tlsSkipVerify = false, tlsServerName = "" }: Tls,
  byDefault: boolean,
  field: string,
): Pick<GrpcCheck, "tls" | "tlsSkipVerify" | "tlsServerName"> {
  if (tlsServerName !== "") assertAddress(`${field}.tlsServerName`, tlsServerName);
  return { tls: tls ?? byDefault, tlsSkipVerify, tlsServerName };
}

function targetFields(
  spec: Target,
  target: CheckTarget,
  field: string,
): Pick<TcpCheck, "host" | "port" | "intervalMs" | "timeoutMs"> {
  const values = Object.values(target.ports);
  const host = spec.host ?? target.address;
  const port = spec.port ?? target.ports["default"] ?? (values.length === 1 ? values[0] : undefined);
  assertAddress(`${field}.host`, host);
  if (port === undefined) throw invalid(`${field}.port`, "must be given: there is no default port");
  assertPort(`${field}.port`, port);
  return { host, port, ...times(spec, field) };
}

function scriptFields(
  spec: CheckSpec & { type: "script" },
  field: string,
): Pick<ScriptCheck, "args" | "intervalMs" | "timeoutMs"> {
  const { args } = spec;
  if (!Array.isArray(args) || args.length === 0 || args.length > ARGUMENTS_MAX) {
    throw invalid(`${field}.args`, `must have 1 to ${ARGUMENTS_MAX} entries`);
  }
  args.forEach((argument, index) => assertText(`${field}.args[${index}]`, argument, CHECK_TEXT_MAX));
  return { args, ...times(spec, field) };
}

function times(
  { intervalMs = INTERVAL_MS, timeoutMs = Math.min(TIMEOUT_MS, intervalMs) }: Times,
  field: string,
): { intervalMs: number; timeoutMs: number } {
  assertDuration(`${field}.interval`, intervalMs, INTERVAL_MIN_MS, INTERVAL_MAX_MS);
  assertDuration(`${field}.timeout`, timeoutMs, 100, 60_000);
  return { intervalMs, timeoutMs };
}
