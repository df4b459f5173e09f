/**
 * `api-gateway` and what belongs to it: `http-route`, `tcp-route`, `inline-certificate`, `file-system-certificate`. They
 * are kept as written; `Status` is for whoever binds routes to gateways, and is never taken from a caller.
 */
import { refused } from "../../errors.ts";
import { assertMeta, configKind, entryOf, meshRead, meshWrite, serviceRead } from "../kind.ts";
import { isDomainName, isMethod } from "../parts.ts";
import type { Typed } from "../schema.ts";
import { duration, bool, int, list, map, opt, pointer, struct, text, uint32 } from "../schema.ts";
import { assertTls } from "../tls.ts";
import { assertCertificate } from "./certificates.ts";

const reference = struct({ Kind: text, Name: text, SectionName: text }, { bare: true });
type Reference = Typed<typeof reference>;

const condition = struct(
  {
    Type: text,
    Status: text,
    Reason: text,
    Message: text,
    Resource: pointer(reference),
    LastTransitionTime: pointer(text),
  },
  { bare: true },
);
const status = struct({ Conditions: list(condition) });

/** JWT policies of gateways are Consul Enterprise's; here they have no fields. */
const policy = struct({ JWT: opt(pointer(struct({}))) });

const listener = struct({
  Name: text,
  Hostname: text,
  Port: int,
  Protocol: text,
  TLS: struct(
    { Certificates: list(reference), MaxVersion: text, MinVersion: text, CipherSuites: list(text) },
    { bare: true },
  ),
  Override: opt(pointer(policy)),
  Default: opt(pointer(policy)),
});
type Listener = Typed<typeof listener>;

const opaque = (): Record<never, never> => ({});

export const apiGateway = configKind({
  name: "api-gateway",
  ruleKind: "gateway",
  schema: entryOf({ Listeners: list(listener), Status: status }),
  read: serviceRead,
  write: meshWrite,
  normalize(entry) {
    entry.Status = status.zero();
    for (const each of entry.Listeners ?? []) {
      each.Protocol = each.Protocol.toLowerCase();
      for (const certificate of each.TLS.Certificates ?? []) certificate.Kind ||= "inline-certificate";
    }
  },
  validate({ Meta, Listeners }) {
    assertMeta(Meta);
    const listeners = Listeners ?? [];
    if (listeners.length === 0) throw refused("api gateway must have at least one listener");
    assertListenerNames(listeners);
    const byPort = new Map<number, Listener>();
    for (const each of listeners) {
      const merged = byPort.get(each.Port);
      if (merged && (merged.Hostname !== each.Hostname || merged.Protocol !== each.Protocol)) {
        throw refused(`listeners ${quoted(merged.Name)} and ${quoted(each.Name)} cannot be merged`);
      }
      byPort.set(each.Port, each);
    }
    for (const each of listeners) assertListener(each);
  },
  specOf: opaque,
});

const quoted = JSON.stringify;
const LISTENER_NAME = /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/;

function assertListenerNames(listeners: readonly Listener[]): void {
  const names = new Set<string>();
  for (const { Name } of listeners) {
    if (!LISTENER_NAME.test(Name)) {
      const rule = "must be at least 1 character and contain only letters, numbers, or dashes";
      throw refused(`listener name ${quoted(Name)} is invalid, ${rule}`);
    }
    if (names.has(Name)) throw refused(`found multiple listeners with the name ${quoted(Name)}`);
    names.add(Name);
  }
}

function assertListener({ Protocol, Hostname, Port, TLS }: Listener): void {
  if (Protocol !== "http" && Protocol !== "tcp") {
    throw refused(`unsupported listener protocol ${quoted(Protocol)}, must be one of 'tcp', or 'http'`);
  }
  if (Protocol === "tcp" && Hostname !== "") throw refused("hostname specification is not supported when using TCP");
  if (Port <= 0 || Port > 65535) throw refused(`listener port ${Port} not in the range 1-65535`);
  if (Hostname.replace(/^\*\./, "").includes("*")) {
    throw refused(`host ${quoted(Hostname)} is not valid, a wildcard specifier is only allowed as the left-most label`);
  }
  for (const { Kind, Name } of TLS.Certificates ?? []) {
    if (Kind !== "file-system-certificate" && Kind !== "inline-certificate") {
      const kinds = "'file-system-certificate' or 'inline-certificate'";
      throw refused(`unsupported certificate kind: ${quoted(Kind)}, must be ${kinds}`);
    }
    if (Name === "") throw refused("certificate reference must have a name");
  }
  assertTls(TLS.MinVersion, TLS.MaxVersion, TLS.CipherSuites);
}

const headerFilter = struct({ Add: map(text), Remove: list(text), Set: map(text) });
const filters = struct(
  {
    Headers: list(headerFilter),
    URLRewrite: pointer(struct({ Path: text })),
    RetryFilter: pointer(
      struct(
        { NumRetries: uint32, RetryOn: list(text), RetryOnStatusCodes: list(uint32), RetryOnConnectFailure: bool },
        { bare: true },
      ),
    ),
    TimeoutFilter: pointer(struct({ RequestTimeout: duration, IdleTimeout: duration }, { bare: true })),
    JWT: pointer(struct({})),
  },
  { bare: true },
);
const responseFilters = struct({ Headers: list(headerFilter) });
const named = struct({ Match: text, Name: text, Value: text });
const match = struct({
  Headers: list(named),
  Method: text,
  Path: struct({ Match: text, Value: text }),
  Query: list(named),
});

const httpRouteRule = struct(
  {
    Filters: filters,
    ResponseFilters: responseFilters,
    Matches: list(match),
    Services: list(
      struct({ Name: text, Weight: int, Filters: filters, ResponseFilters: responseFilters }, { bare: true }),
    ),
  },
  { bare: true },
);

export const httpRoute = configKind({
  name: "http-route",
  ruleKind: "http-route",
  schema: entryOf({ Parents: list(reference), Rules: list(httpRouteRule), Hostnames: list(text), Status: status }),
  read: meshRead,
  write: meshWrite,
  normalize(entry) {
    entry.Status = status.zero();
    normalizeParents(entry.Parents);
    for (const rule of entry.Rules ?? []) {
      for (const each of rule.Matches ?? []) {
        each.Method = each.Method.toUpperCase();
        if (each.Path.Match === "") each.Path = { Match: "prefix", Value: "/" };
      }
      for (const service of rule.Services ?? []) if (service.Weight <= 0) service.Weight = 1;
    }
  },
  validate({ Meta, Parents, Rules, Hostnames }) {
    for (const host of Hostnames ?? []) {
      if (!isDomainName(host)) throw refused(`host ${quoted(host)} must be a valid DNS hostname`);
      if (host.includes("*")) throw refused(`host ${quoted(host)} must not be a wildcard`);
    }
    assertParents(Parents);
    assertMeta(Meta);
    for (const [index, rule] of (Rules ?? []).entries()) {
      for (const [number, each] of (rule.Matches ?? []).entries()) {
        assertMatch(`Rule[${index}], Match[${number}], `, each);
      }
    }
  },
  specOf: opaque,
});

function normalizeParents(parents: Reference[] | null): void {
  for (const parent of parents ?? []) parent.Kind ||= "api-gateway";
}

function assertParents(parents: readonly Reference[] | null): void {
  const unique = new Set<string>();
  for (const { Kind, Name, SectionName } of parents ?? []) {
    if (Kind !== "api-gateway") throw refused(`unsupported parent kind: ${quoted(Kind)}, must be 'api-gateway'`);
    const parent = quoted([Name, SectionName]);
    if (unique.has(parent)) throw refused("route parents must be unique");
    unique.add(parent);
  }
}

function assertMatch(at: string, { Method, Query, Headers, Path }: Typed<typeof match>): void {
  if (Method !== "" && !isMethod(Method)) throw refused(`${at}Method contains an invalid method ${quoted(Method)}`);
  for (const [index, query] of (Query ?? []).entries()) {
    assertNamedMatch(`${at}Query[${index}], `, query, ["present", "exact"], "present, exact, or regex");
  }
  for (const [index, header] of (Headers ?? []).entries()) {
    const kinds = ["present", "exact", "prefix", "suffix"];
    assertNamedMatch(`${at}Headers[${index}], `, header, kinds, "present, exact, prefix, suffix, or regex");
  }
  if (Path.Match === "regex") return;
  if (Path.Match !== "exact" && Path.Match !== "prefix") {
    throw refused(`${at}Path, match type should be one of exact, prefix, or regex`);
  }
  if (!Path.Value.startsWith("/")) {
    throw refused(`${at}Path, ${Path.Match} type match doesn't start with '/': ${quoted(Path.Value)}`);
  }
}

function assertNamedMatch(at: string, { Name, Match }: Typed<typeof named>, kinds: string[], told: string): void {
  if (Name === "") throw refused(`${at}missing required Name field`);
  if (Match !== "regex" && !kinds.includes(Match)) throw refused(`${at}match type should be one of ${told}`);
}

export const tcpRoute = configKind({
  name: "tcp-route",
  ruleKind: "tcp-route",
  schema: entryOf({ Parents: list(reference), Services: list(struct({ Name: text })), Status: status }),
  read: meshRead,
  write: meshWrite,
  normalize(entry) {
    entry.Status = status.zero();
    normalizeParents(entry.Parents);
  },
  validate({ Meta, Parents, Services }) {
    if ((Services ?? []).length > 1) throw refused("tcp-route currently only supports one service");
    assertParents(Parents);
    assertMeta(Meta);
  },
  specOf: opaque,
});

export const inlineCertificate = configKind({
  name: "inline-certificate",
  ruleKind: "certificate",
  schema: entryOf({ Certificate: text, PrivateKey: text }, { bare: true }),
  read: meshRead,
  write: meshWrite,
  validate({ Meta, Certificate, PrivateKey }) {
    assertMeta(Meta);
    assertCertificate(Certificate, PrivateKey);
  },
  specOf: opaque,
});

export const fileSystemCertificate = configKind({
  name: "file-system-certificate",
  ruleKind: "certificate-file",
  schema: entryOf({ Certificate: text, PrivateKey: text }, { bare: true }),
  read: meshRead,
  write: meshWrite,
  validate: ({ Meta }) => assertMeta(Meta),
  specOf: opaque,
});
