/** `service-intentions`: who may call a service. Those written by id, as Consul once kept them, have an id and times. */
import { precedenceOf } from "../../../../../objects/rules/access.ts";
import type { AccessSource, AccessSpec, Permission } from "../../../../../objects/rules/model.ts";
import { ANY } from "../../../../../objects/rules/model.ts";
import { refused } from "../../errors.ts";
import { multiError } from "../../multi-error.ts";
import type { Need } from "../kind.ts";
import {
  assertMeta,
  assertNamed,
  byteLength,
  configKind,
  DESCRIPTION_BYTES_MAX,
  entryOf,
  metaErrors,
} from "../kind.ts";
import {
  assertMethods,
  assertPath,
  jwtRequirement,
  partsOf,
  pathMatch,
  tokenRequirement,
  valueMatch,
} from "../parts.ts";
import type { Typed } from "../schema.ts";
import { bool, int, list, map, opt, pointer, struct, text } from "../schema.ts";

const httpPermission = struct({
  PathExact: opt(text),
  PathPrefix: opt(text),
  PathRegex: opt(text),
  Header: opt(
    list(
      struct({
        Name: text,
        Present: opt(bool),
        Exact: opt(text),
        Prefix: opt(text),
        Suffix: opt(text),
        Contains: opt(text),
        Regex: opt(text),
        Invert: opt(bool),
        IgnoreCase: opt(bool),
      }),
    ),
  ),
  Methods: opt(list(text)),
});

export const permission = struct({
  Action: text,
  HTTP: opt(pointer(httpPermission)),
  JWT: opt(pointer(jwtRequirement)),
});
type PermissionEntry = Typed<typeof permission>;

export const source = struct({
  Name: text,
  Action: opt(text),
  Permissions: opt(list(permission)),
  Precedence: int,
  LegacyID: opt(text),
  Type: text,
  Description: opt(text),
  LegacyMeta: opt(map(text)),
  LegacyCreateTime: opt(pointer(text)),
  LegacyUpdateTime: opt(pointer(text)),
  Peer: opt(text),
  SamenessGroup: opt(text),
});
export type SourceEntry = Typed<typeof source>;

const intentionsSchema = entryOf({ Sources: list(source), JWT: opt(pointer(jwtRequirement)) });
export type IntentionsEntry = Typed<typeof intentionsSchema>;

const need =
  (access: "read" | "write") =>
  (name: string): Need => ["intention", access, name];

export const serviceIntentions = configKind({
  name: "service-intentions",
  ruleKind: "access",
  schema: intentionsSchema,
  read: need("read"),
  write: need("write"),
  normalize: (entry) => normalizeIntentions(entry, false),
  validate: (entry) => assertIntentions(entry, false),
  specOf: (entry): AccessSpec => ({
    sources: (entry.Sources ?? []).map((from): AccessSource => ({
      service: from.Name,
      peer: from.Peer,
      action: from.Action === "" ? null : (from.Action as AccessSource["action"]),
      permissions: (from.Permissions ?? []).map(permissionOf),
      description: from.Description,
    })),
    token: tokenRequirement(entry.JWT),
  }),
});

const permissionOf = ({ Action, HTTP, JWT }: PermissionEntry): Permission => ({
  action: Action === "allow" ? "allow" : "deny",
  match: {
    path: HTTP && pathMatch(HTTP),
    headers: (HTTP?.Header ?? []).map((header) => ({
      name: header.Name,
      match: valueMatch(header),
      invert: header.Invert,
    })),
    query: [],
    methods: HTTP?.Methods ?? [],
  },
  token: tokenRequirement(JWT),
});

/** `byId`: written by the old API, which keeps ids and times. */
export function normalizeIntentions(entry: IntentionsEntry, byId: boolean): void {
  for (const from of entry.Sources ?? []) {
    from.Type ||= "consul";
    from.Precedence = precedenceOf(from.Name, entry.Name);
    if (byId) {
      from.LegacyMeta ??= {};
    } else {
      // The old Meta stays, to be refused: dropping it without a word would lose it.
      from.LegacyID = "";
      from.LegacyCreateTime = null;
      from.LegacyUpdateTime = null;
    }
    for (const { HTTP } of from.Permissions ?? []) {
      if (HTTP?.Methods) HTTP.Methods = HTTP.Methods.map((method) => method.toUpperCase());
    }
  }
  entry.Sources?.sort((a, b) => b.Precedence - a.Precedence);
}

export function assertIntentions(entry: IntentionsEntry, byId: boolean): void {
  assertNamed(entry.Name);
  assertWildcard("", entry.Name);
  assertProviders(entry.JWT);
  if (byId && Object.keys(entry.Meta ?? {}).length > 0) {
    throw refused("Meta must be omitted for legacy intention writes");
  }
  assertMeta(entry.Meta);
  const sources = entry.Sources ?? [];
  if (sources.length === 0) throw refused("At least one source is required");
  const seen = new Set<string>();
  for (const [index, from] of sources.entries()) {
    const at = `Sources[${index}]`;
    assertSource(at, from, byId);
    assertAction(at, from, byId, entry.Name === ANY);
    for (const [number, entryPermission] of (from.Permissions ?? []).entries()) {
      assertPermission(`${at}.Permissions[${number}]`, entryPermission);
    }
    const named = from.Peer === "" ? "" : `peer(${JSON.stringify(from.Peer)}) `;
    const told = `${named}${JSON.stringify(from.Name)}`;
    if (seen.has(told)) throw refused(`${at} defines ${told} more than once`);
    seen.add(told);
  }
}

function assertWildcard(at: string, name: string): void {
  if (name === ANY || !name.includes(ANY)) return;
  throw refused(`${at}Name: wildcard character '*' cannot be used with partial values`);
}

function assertProviders(requirement: IntentionsEntry["JWT"]): void {
  const unnamed = (requirement?.Providers ?? []).filter(({ Name }) => Name === "");
  if (unnamed.length > 0) throw refused(multiError(unnamed.map(() => "JWT provider name is required")));
}

function assertSource(at: string, from: SourceEntry, byId: boolean): void {
  if (from.Name === "") throw refused(`${at}.Name is required`);
  if (from.SamenessGroup !== "")
    throw refused(`${at}.SamenessGroup: Setting SamenessGroup requires Consul Enterprise `);
  assertWildcard(`${at}.`, from.Name);
  if (from.Peer.includes(ANY)) throw refused(`${at}.Peer: cannot use wildcard '*' in peer`);
  if (byteLength(from.Description) > DESCRIPTION_BYTES_MAX) {
    throw refused(`${at}.Description exceeds maximum length ${DESCRIPTION_BYTES_MAX}`);
  }
  if (byId) {
    if (from.Peer !== "") throw refused(`${at}.Peer cannot be set by legacy intentions`);
    const [error] = metaErrors(from.LegacyMeta);
    if (error !== undefined) throw refused(`${at}.${error}`);
  } else if (Object.keys(from.LegacyMeta ?? {}).length > 0) {
    throw refused(`${at}.LegacyMeta must be omitted`);
  } else {
    from.LegacyMeta = null;
  }
}

const isAction = (action: string): boolean => action === "allow" || action === "deny";

function assertAction(at: string, from: SourceEntry, byId: boolean, isAnyDestination: boolean): void {
  const hasPermissions = (from.Permissions ?? []).length > 0;
  if ((byId || !hasPermissions) && !isAction(from.Action)) {
    throw refused(`${at}.Action must be set to 'allow' or 'deny'`);
  }
  if (hasPermissions && from.Action !== "") {
    throw refused(`${at}.Action must be omitted if Permissions are specified`);
  }
  if (hasPermissions && isAnyDestination) {
    throw refused(`${at}.Permissions cannot be specified on intentions with wildcarded destinations`);
  }
  if (from.Type !== "consul") throw refused(`${at}.Type must be set to 'consul'`);
}

function assertPermission(at: string, { Action, HTTP, JWT }: PermissionEntry): void {
  if (!isAction(Action)) throw refused(`${at}.Action must be set to 'allow' or 'deny'`);
  const http = `${at}.HTTP`;
  if (!HTTP) throw refused(`${http} is required`);
  let parts = assertPath(http, HTTP, ".");
  for (const [index, header] of (HTTP.Header ?? []).entries()) {
    const field = `${http}.Header[${index}]`;
    if (header.Name === "") throw refused(`${field} missing required Name field`);
    if (partsOf(header) !== 1) {
      throw refused(`${field} should only contain one of Present, Exact, Prefix, Suffix, Contains, or Regex`);
    }
    if (header.IgnoreCase && (header.Present || header.Regex !== "")) {
      throw refused(`${field} should set one of Exact, Prefix, Suffix, or Contains when using IgnoreCase`);
    }
    parts++;
  }
  assertMethods(`${http}.`, HTTP.Methods);
  if (HTTP.Methods?.length) parts++;
  if (parts === 0) throw refused(`${http} should not be empty`);
  assertProviders(JWT);
}
