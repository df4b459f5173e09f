/** Parts that several kinds of entries have, with what Consul refuses about them. */
import type {
  FailoverPolicy,
  HeaderChanges,
  MeshGateway,
  OutlierPolicy,
  RequestMatch,
  TokenRequirement,
  ValueMatch,
} from "../../../../objects/rules/model.ts";
import { refused } from "../errors.ts";
import type { Typed } from "./schema.ts";
import { anyMap, bool, duration, int, list, map, opt, pointer, struct, text, uint32 } from "./schema.ts";

export const headerModifiers = struct({ Add: opt(map(text)), Set: opt(map(text)), Remove: opt(list(text)) });
export type HeaderModifiers = Typed<typeof headerModifiers>;

export const headerChanges = (modifiers: HeaderModifiers | null): HeaderChanges => ({
  set: modifiers?.Set ?? {},
  add: modifiers?.Add ?? {},
  remove: modifiers?.Remove ?? [],
});

export const hasHeaderChanges = (modifiers: HeaderModifiers | null): boolean => {
  const { set, add, remove } = headerChanges(modifiers);
  return Object.keys(set).length + Object.keys(add).length + remove.length > 0;
};

export const meshGateway = struct({ Mode: opt(text) });
/** A mode that Consul keeps though it knows none such says nothing. */
export const meshGatewayMode = ({ Mode }: Typed<typeof meshGateway>): MeshGateway =>
  Mode === "none" || Mode === "local" || Mode === "remote" ? Mode : "";

export const transparentProxy = struct({ OutboundListenerPort: opt(int), DialedDirectly: opt(bool) });

export const expose = struct({
  Checks: opt(bool),
  Paths: opt(
    list(
      struct({
        ListenerPort: opt(int),
        Path: opt(text),
        LocalPathPort: opt(int),
        Protocol: opt(text),
        ParsedFromCheck: opt(bool),
      }),
    ),
  ),
});

export const envoyExtension = struct(
  { Name: text, Required: bool, Arguments: anyMap, ConsulVersion: text, EnvoyVersion: text },
  { bare: true },
);
export const envoyExtensions = list(envoyExtension);

const EXTENSIONS: readonly string[] = [
  "builtin/lua",
  "builtin/aws/lambda",
  "builtin/property-override",
  "builtin/wasm",
  "builtin/ext-authz",
  "builtin/otel-access-logging",
];

/** Their arguments are judged by who runs them. */
export function extensionErrors(extensions: Typed<typeof envoyExtensions>): string[] {
  return (extensions ?? []).flatMap(({ Name }, index) => {
    if (Name === "") return [`invalid EnvoyExtensions[${index}]: Name is required`];
    const quoted = JSON.stringify(Name);
    return EXTENSIONS.includes(Name)
      ? []
      : [`invalid EnvoyExtensions[${index}][${Name}]: name ${quoted} is not a built-in extension`];
  });
}

export const failoverPolicy = struct({ Mode: opt(text), Regions: opt(list(text)) });

export function assertFailoverPolicy(policy: Typed<typeof failoverPolicy> | null, at = ""): void {
  if (policy === null || ["", "sequential", "order-by-locality"].includes(policy.Mode)) return;
  throw refused(`${at}Failover-policy mode must be one of '', 'sequential', or 'order-by-locality'`);
}

export const policyOf = (policy: Typed<typeof failoverPolicy> | null): FailoverPolicy | null =>
  policy && {
    mode: policy.Mode === "order-by-locality" ? "order-by-locality" : "sequential",
    regions: policy.Regions ?? [],
  };

export const prioritizeByLocality = struct({ Mode: opt(text) });

export function assertNoLocality(priority: Typed<typeof prioritizeByLocality> | null): void {
  if (priority !== null && priority.Mode !== "") throw refused("Prioritize-by-locality requires Consul Enterprise ");
}

export function assertTlsMode(mode: string): void {
  if (["", "strict", "permissive"].includes(mode)) return;
  const quoted = JSON.stringify(mode);
  throw refused(`Invalid MutualTLSMode ${quoted}. Must be one of "", "strict", or "permissive".`);
}

export const passiveHealthCheck = struct(
  {
    Interval: opt(duration),
    MaxFailures: opt(uint32),
    EnforcingConsecutive5xx: opt(pointer(uint32)),
    MaxEjectionPercent: opt(pointer(uint32)),
    BaseEjectionTime: opt(pointer(duration)),
  },
  { aliases: { enforcing_consecutive_5xx: "EnforcingConsecutive5xx" } },
);

export const outlierPolicy = (check: Typed<typeof passiveHealthCheck> | null): OutlierPolicy | null =>
  check && {
    intervalMs: check.Interval || null,
    failures: check.MaxFailures || null,
    enforcingPercent: check.EnforcingConsecutive5xx,
    ejectionPercentMax: check.MaxEjectionPercent,
    ejectionMs: check.BaseEjectionTime,
  };

export const jwtRequirement = struct({
  Providers: opt(
    list(
      struct({
        Name: opt(text),
        VerifyClaims: opt(list(struct({ Path: opt(list(text)), Value: opt(text) }))),
      }),
    ),
  ),
});

export const tokenRequirement = (requirement: Typed<typeof jwtRequirement> | null): TokenRequirement | null =>
  requirement && {
    issuers: (requirement.Providers ?? []).map(({ Name, VerifyClaims }) => ({
      name: Name,
      claims: (VerifyClaims ?? []).map(({ Path, Value }) => ({ path: Path ?? [], value: Value })),
    })),
  };

const METHODS: readonly string[] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE"];
export const isMethod = (method: string): boolean => METHODS.includes(method);

/** `at` is what the text begins with. */
export function assertMethods(at: string, methods: readonly string[] | null): void {
  const found = new Set<string>();
  for (const method of methods ?? []) {
    const quoted = JSON.stringify(method);
    if (!isMethod(method)) throw refused(`${at}Methods contains an invalid method ${quoted}`);
    if (found.has(method)) throw refused(`${at}Methods contains ${quoted} more than once`);
    found.add(method);
  }
}

export interface PathMatch {
  PathExact: string;
  PathPrefix: string;
  PathRegex: string;
  CaseInsensitive?: boolean;
}

/** How many ways of matching are given. */
export function assertPath(at: string, { PathExact, PathPrefix, PathRegex }: PathMatch, separator: string): number {
  for (const [name, path] of Object.entries({ PathExact, PathPrefix })) {
    if (path !== "" && !path.startsWith("/")) {
      throw refused(`${at}${separator}${name} doesn't start with '/': ${JSON.stringify(path)}`);
    }
  }
  const parts = [PathExact, PathPrefix, PathRegex].filter((path) => path !== "").length;
  if (parts > 1) throw refused(`${at} should only contain at most one of PathExact, PathPrefix, or PathRegex`);
  return parts;
}

export function pathMatch({
  PathExact,
  PathPrefix,
  PathRegex,
  CaseInsensitive = false,
}: PathMatch): RequestMatch["path"] {
  const ignoreCase = CaseInsensitive;
  if (PathExact !== "") return { type: "exact", value: PathExact, ignoreCase };
  if (PathPrefix !== "") return { type: "prefix", value: PathPrefix, ignoreCase };
  return PathRegex === "" ? null : { type: "regex", pattern: PathRegex, ignoreCase };
}

export interface FieldMatch {
  Present: boolean;
  Exact: string;
  Regex: string;
  Prefix?: string;
  Suffix?: string;
  Contains?: string;
  IgnoreCase?: boolean;
}

export const partsOf = ({ Present, Exact, Regex, Prefix = "", Suffix = "", Contains = "" }: FieldMatch): number =>
  [Exact, Regex, Prefix, Suffix, Contains].filter((part) => part !== "").length + (Present ? 1 : 0);

export function valueMatch(match: FieldMatch): ValueMatch {
  const { Exact, Regex, Prefix = "", Suffix = "", Contains = "", IgnoreCase: ignoreCase = false } = match;
  if (Exact !== "") return { type: "exact", value: Exact, ignoreCase };
  if (Regex !== "") return { type: "regex", pattern: Regex, ignoreCase };
  if (Prefix !== "") return { type: "prefix", value: Prefix, ignoreCase };
  if (Suffix !== "") return { type: "suffix", value: Suffix, ignoreCase };
  if (Contains !== "") return { type: "contains", value: Contains, ignoreCase };
  return { type: "present" };
}

/** Labels of 1 to 63 bytes, whatever is in them. Source: miekg/dns's IsDomainName. */
export function isDomainName(name: string): boolean {
  const labels = name.replace(/\.$/, "").split(".");
  return name.length <= 254 && (name === "." || labels.every((label) => label.length > 0 && label.length < 64));
}

export function refuseEnterprise(at: string, fields: Record<string, string>): void {
  for (const [name, value] of Object.entries(fields)) {
    if (value !== "") throw refused(`${at}Setting ${name} requires Consul Enterprise`);
  }
}

/** Consul keeps another namespace here and finds nothing in it; better to say that there is none. */
export function assertDefaultTenancy(at: string, fields: { Namespace: string; Partition: string }): void {
  const others = Object.entries(fields).filter(([, value]) => value !== "default");
  refuseEnterprise(at, Object.fromEntries(others));
}
