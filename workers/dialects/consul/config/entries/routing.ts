/** `service-router` and `service-splitter`: which requests go where, and how many of them. */
import type { RequestMatch, RetryPolicy, RouterSpec, SplitterSpec } from "../../../../../objects/rules/model.ts";
import { refused } from "../../errors.ts";
import { assertMeta, assertNamed, configKind, entryOf, serviceRead, serviceWrite } from "../kind.ts";
import {
  assertDefaultTenancy,
  assertMethods,
  assertPath,
  headerChanges,
  headerModifiers,
  partsOf,
  pathMatch,
  valueMatch,
} from "../parts.ts";
import type { Typed } from "../schema.ts";
import { bool, durationText, float32, list, opt, pointer, struct, text, uint32 } from "../schema.ts";

const httpMatch = struct({
  PathExact: opt(text),
  PathPrefix: opt(text),
  PathRegex: opt(text),
  CaseInsensitive: opt(bool),
  Header: opt(
    list(
      struct({
        Name: text,
        Present: opt(bool),
        Exact: opt(text),
        Prefix: opt(text),
        Suffix: opt(text),
        Regex: opt(text),
        Invert: opt(bool),
      }),
    ),
  ),
  QueryParam: opt(list(struct({ Name: text, Present: opt(bool), Exact: opt(text), Regex: opt(text) }))),
  Methods: opt(list(text)),
});
type HttpMatch = Typed<typeof httpMatch>;

const destination = struct({
  RequestTimeout: opt(durationText),
  IdleTimeout: opt(durationText),
  Service: opt(text),
  ServiceSubset: opt(text),
  Namespace: opt(text),
  Partition: opt(text),
  PrefixRewrite: opt(text),
  NumRetries: opt(uint32),
  RetryOnConnectFailure: opt(bool),
  RetryOn: opt(list(text)),
  RetryOnStatusCodes: opt(list(uint32)),
  RequestHeaders: opt(pointer(headerModifiers)),
  ResponseHeaders: opt(pointer(headerModifiers)),
});
type Destination = Typed<typeof destination>;

const routerSchema = entryOf({
  Routes: list(
    struct({
      Match: opt(pointer(struct({ HTTP: opt(pointer(httpMatch)) }))),
      Destination: opt(pointer(destination)),
    }),
  ),
});

const RETRY_CONDITIONS: readonly string[] = [
  "5xx",
  "gateway-error",
  "reset",
  "connect-failure",
  "envoy-ratelimited",
  "retriable-4xx",
  "refused-stream",
  "cancelled",
  "deadline-exceeded",
  "internal",
  "resource-exhausted",
  "unavailable",
];

export const serviceRouter = configKind({
  name: "service-router",
  ruleKind: "router",
  schema: routerSchema,
  read: serviceRead,
  write: serviceWrite,
  related: ({ Routes }) => (Routes ?? []).map((route) => route.Destination?.Service ?? ""),
  normalize({ Routes }) {
    for (const { Match } of Routes ?? []) {
      const http = Match?.HTTP;
      if (http?.Methods) http.Methods = http.Methods.map((method) => method.toUpperCase());
    }
  },
  validate({ Name, Meta, Routes }) {
    assertNamed(Name);
    assertMeta(Meta);
    for (const [index, route] of (Routes ?? []).entries()) {
      const at = `Route[${index}]`;
      const http = route.Match?.HTTP ?? null;
      if (http) assertHttpMatch(at, http);
      const canRewrite = http !== null && (http.PathExact !== "" || http.PathPrefix !== "");
      if (route.Destination) assertDestination(at, route.Destination, canRewrite);
    }
  },
  specOf: ({ Routes }): RouterSpec => ({
    routes: (Routes ?? []).map((route) => ({
      match: requestMatch(route.Match?.HTTP ?? null),
      destination: {
        service: route.Destination?.Service ?? "",
        subset: route.Destination?.ServiceSubset ?? "",
        rewritePrefix: route.Destination?.PrefixRewrite || null,
        timeoutMs: timeout(route.Destination?.RequestTimeout),
        idleTimeoutMs: timeout(route.Destination?.IdleTimeout),
        retry: route.Destination && retryPolicy(route.Destination),
        requestHeaders: headerChanges(route.Destination?.RequestHeaders ?? null),
        responseHeaders: headerChanges(route.Destination?.ResponseHeaders ?? null),
      },
    })),
  }),
});

/** Consul takes negative ones, and they mean nothing. */
const timeout = (ms = 0): number | null => (ms > 0 ? ms : null);

function assertHttpMatch(at: string, http: HttpMatch): void {
  assertPath(at, http, " ");
  for (const [index, header] of (http.Header ?? []).entries()) {
    if (header.Name === "") throw refused(`${at} Header[${index}] missing required Name field`);
    if (partsOf(header) !== 1) {
      throw refused(`${at} Header[${index}] should only contain one of Present, Exact, Prefix, Suffix, or Regex`);
    }
  }
  for (const [index, parameter] of (http.QueryParam ?? []).entries()) {
    if (parameter.Name === "") throw refused(`${at} QueryParam[${index}] missing required Name field`);
    if (partsOf(parameter) !== 1) {
      throw refused(`${at} QueryParam[${index}] should only contain one of Present, Exact, or Regex`);
    }
  }
  assertMethods(`${at} `, http.Methods);
}

function assertDestination(at: string, to: Destination, canRewrite: boolean): void {
  assertDefaultTenancy(`${at} `, { Namespace: to.Namespace, Partition: to.Partition });
  if (to.PrefixRewrite !== "" && !canRewrite) {
    throw refused(`${at} cannot make use of PrefixRewrite without configuring either PathExact or PathPrefix`);
  }
  for (const condition of to.RetryOn ?? []) {
    if (RETRY_CONDITIONS.includes(condition)) continue;
    throw refused(`${at} contains an invalid retry condition: ${JSON.stringify(condition)}`);
  }
}

const requestMatch = (http: HttpMatch | null): RequestMatch => ({
  path: http && pathMatch(http),
  headers: (http?.Header ?? []).map((header) => ({
    name: header.Name,
    match: valueMatch(header),
    invert: header.Invert,
  })),
  query: (http?.QueryParam ?? []).map((parameter) => ({
    name: parameter.Name,
    match: valueMatch(parameter),
    invert: false,
  })),
  methods: http?.Methods ?? [],
});

function retryPolicy(to: Destination): RetryPolicy | null {
  const on = [...(to.RetryOn ?? []), ...(to.RetryOnConnectFailure ? ["connect-failure"] : [])];
  const statusCodes = to.RetryOnStatusCodes ?? [];
  if (to.NumRetries === 0 && on.length === 0 && statusCodes.length === 0) return null;
  return { retries: to.NumRetries || 1, on: [...new Set(on)], statusCodes };
}

export const split = struct({
  Weight: float32,
  Service: opt(text),
  ServiceSubset: opt(text),
  Namespace: opt(text),
  Partition: opt(text),
  RequestHeaders: opt(pointer(headerModifiers)),
  ResponseHeaders: opt(pointer(headerModifiers)),
});

/** Shares are told in percent; the smallest is a hundredth of one. */
const scaled = (weight: number): number => Math.round(Math.fround(weight * 100));

export const serviceSplitter = configKind({
  name: "service-splitter",
  ruleKind: "splitter",
  schema: entryOf({ Splits: list(split) }),
  read: serviceRead,
  write: serviceWrite,
  related: ({ Splits }) => (Splits ?? []).map(({ Service }) => Service),
  normalize({ Splits }) {
    for (const part of Splits ?? []) part.Weight = scaled(part.Weight) / 100;
  },
  validate({ Name, Meta, Splits }) {
    assertNamed(Name);
    const splits = Splits ?? [];
    if (splits.length === 0) throw refused("no splits configured");
    assertMeta(Meta);
    const found = new Set<string>();
    for (const { Service, ServiceSubset, Namespace, Partition } of splits) {
      assertDefaultTenancy("", { Namespace, Partition });
      const told = { service: Service || Name, subset: ServiceSubset, namespace: Namespace, partition: Partition };
      const destinationText = Object.entries(told)
        .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
        .join(", ");
      if (found.has(destinationText)) throw refused(`split destination occurs more than once: ${destinationText}`);
      found.add(destinationText);
    }
    const sum = splits.reduce((total, { Weight }) => total + scaled(Weight), 0);
    if (sum !== 10_000) throw refused(`the sum of all split weights must be 100, not ${(sum / 100).toFixed(6)}`);
    if (splits.some(({ Weight }) => Weight < 0)) throw refused("the weight of a split must not be negative");
  },
  specOf: ({ Splits }): SplitterSpec => ({
    splits: (Splits ?? []).map((part) => ({
      weight: scaled(part.Weight),
      service: part.Service,
      subset: part.ServiceSubset,
      requestHeaders: headerChanges(part.RequestHeaders),
      responseHeaders: headerChanges(part.ResponseHeaders),
    })),
  }),
});
