/**
 * Tokens: secrets that stand for a principal. A token is named by its accessor, which is no secret.
 *
 * Of the secret only its SHA-256 is kept, and is what a token is found by; the secret is random, so a plain hash is enough.
 * Beside it lies the secret sealed by the edge, under a key that no object has: Consul shows a token's secret again to who
 * may write tokens, and only the edge can open it.
 *
 * A token given at a login belongs to the auth method as it was then: when that is deleted, also to be made again under
 * its name, the token is void. Likewise one of a user, when the user is deleted, gets another password, or logins are off.
 */
import { HoldfastError, invalid } from "../errors.ts";
import { assertWhole } from "../registry/limits.ts";
import type { Context, Reader, Txn } from "../store/txn.ts";
import { JsonSpace } from "../store/txn.ts";
import { bindingRulesOf, findAuthMethod, methodSpace, ruleSpace } from "./auth-methods.ts";
import type { Link, LinkInput } from "./grants.ts";
import { linkReader, resolveLinks, resolvePolicyLinks } from "./grants.ts";
import { loginStateOf } from "./login-state.ts";
import { findPolicy, MANAGEMENT_ID } from "./policies.ts";
import type { Extra, Page, PageInput, Stored } from "./records.ts";
import { assertCas, assertDescription, assertExtra, assertId, freshId, pageOf, storedOf } from "./records.ts";
import { roles } from "./roles.ts";
import type { Statement } from "./statements.ts";
import { assertStatements } from "./statements.ts";
import { users } from "./users.ts";

export interface Token {
  accessor: string;
  description: string;
  /** Ids. */
  policies: string[];
  roles: string[];
  statements: Statement[];
  /** Valid in one datacenter only. */
  local: boolean;
  /** Which one; "" = in all. */
  datacenter: string;
  /** The auth method it was given by; null = it was written by an operator. */
  method: { name: string; createRevision: number } | null;
  /** The user who has logged in; absent = it is nobody's. What the user may do, it may too. */
  user?: TokenUser;
  createdAt: number;
  expiresAt: number | null;
  /** SHA-256 of the secret, hex. */
  secretHash: string;
  sealedSecret: string;
  extra: Extra;
}

export interface TokenUser {
  id: string;
  /** It is void as soon as the user's, or the era of logins, is another one. */
  credential: string;
  era: string;
}

/** As it is read: links with names, no statements, no hash. */
export type TokenView = Omit<Stored<Token>, "policies" | "roles" | "statements" | "secretHash" | "method" | "user"> & {
  policies: Link[];
  roles: Link[];
  method: string | null;
};

export interface SecretInput {
  hash: string;
  sealed: string;
}

interface GrantsInput {
  description?: string | undefined;
  policies?: LinkInput[] | undefined;
  roles?: LinkInput[] | undefined;
  statements?: Statement[] | undefined;
  extra?: Extra | undefined;
}

export interface TokenInput extends GrantsInput {
  /** Absent: a random one. */
  accessor?: string | undefined;
  secret: SecretInput;
  local?: boolean | undefined;
  /** Where it is made; counts for a local one. */
  datacenter?: string | undefined;
  expiresAt?: number | null | undefined;
  /** The auth method of a login. Links that point nowhere are left out then, but something has to be granted. */
  method?: string | undefined;
}

export interface CloneInput {
  /** Of the original. */
  accessor: string;
  /** Absent: a random one. */
  newAccessor?: string | undefined;
  secret: SecretInput;
  description?: string | undefined;
}

/** Replaces everything that can be changed. */
export interface TokenUpdate extends GrantsInput {
  accessor: string;
  cas?: number | undefined;
}

/** Who asks without a token. It has no secret, cannot be deleted, and is stored once it has been written. */
export const ANONYMOUS_ACCESSOR = "00000000-0000-0000-0000-000000000002";

export const tokenSpace = new JsonSpace<Token>("token");
/** SHA-256 of the secret → accessor. */
const secretSpace = new JsonSpace<string>("token_secret");
/** `[expiry, accessor]`: the earliest first. */
const expirySpace = new JsonSpace<Record<never, never>>("token_expiry");
/** `[auth method, accessor]`. */
const methodTokens = new JsonSpace<Record<never, never>>("token_method");
const bootstrapSpace = new JsonSpace<{ accessor: string }>("token_bootstrap");

const SEALED_CHARACTERS_MAX = 1024;
/** Expired ones removed beside each new one: more than come in, so that none stay. */
const REAPED_PER_WRITE = 10;
/** Records removed in one command. */
const DELETE_MAX = 1000;
const TIME_DIGITS = 16;

/** Codes: `already_exists` (details.field: `accessor` or `secret`), `not_found` (a link), `invalid_argument`, `permission_denied`. */
export function createToken(txn: Txn, context: Context, input: TokenInput, user?: TokenUser): TokenView {
  const { accessor = freshId(context), secret, local = false, datacenter = "" } = input;
  const { expiresAt = null, method: methodName } = input;
  assertId("accessor", accessor);
  assertSecret(secret);
  if (expiresAt !== null) {
    assertWhole("expiresAt", expiresAt, context.now + 1, Number.MAX_SAFE_INTEGER);
  }
  reap(txn, context.now);
  if (accessor === ANONYMOUS_ACCESSOR || tokenSpace.get(txn, accessor)) throw inUse("accessor");
  if (secretSpace.get(txn, secret.hash) !== undefined) throw inUse("secret");
  const method = methodName === undefined ? undefined : findAuthMethod(txn, methodName);
  if (methodName !== undefined && !method) {
    throw new HoldfastError("not_found", `there is no auth method "${methodName}"`, { name: methodName });
  }
  const grants = grantsOf(txn, input, method !== undefined);
  if (method && grants.policies.length + grants.roles.length + grants.statements.length === 0) {
    throw new HoldfastError("permission_denied", "no binding rule grants anything to this identity");
  }
  const token: Token = {
    accessor,
    ...grants,
    local,
    datacenter: local ? datacenter : "",
    method: method ? { name: method.name, createRevision: method.createRevision } : null,
    ...(user && { user }),
    createdAt: context.now,
    expiresAt,
    secretHash: secret.hash,
    sealedSecret: secret.sealed,
  };
  tokenSpace.put(txn, [accessor], token);
  secretSpace.put(txn, [secret.hash], accessor);
  if (expiresAt !== null) expirySpace.put(txn, expiryKey(token), {});
  if (method) methodTokens.put(txn, [method.name, accessor], {});
  return viewOf(txn)(findToken(txn, accessor, context.now)!);
}

/** Codes: `not_found`, `conflict`, `invalid_argument`. */
export function updateToken(txn: Txn, context: Context, input: TokenUpdate): TokenView {
  const before = requireToken(txn, input.accessor, context.now);
  assertCas(before, input.cas);
  const { createRevision: _create, modRevision: _mod, ...token } = before;
  tokenSpace.put(txn, [token.accessor], { ...token, ...grantsOf(txn, input, false) });
  return viewOf(txn)(findToken(txn, token.accessor, context.now)!);
}

/** Another secret for the same grants. Codes: `not_found`, `unsupported` (it came from a login). */
export function cloneToken(
  txn: Txn,
  context: Context,
  { accessor, newAccessor, secret, description }: CloneInput,
): TokenView {
  const original = requireToken(txn, accessor, context.now);
  if (original.method || original.user)
    throw new HoldfastError("unsupported", "a token given at a login cannot be cloned", { accessor });
  const links = viewOf(txn)(original);
  return createToken(txn, context, {
    accessor: newAccessor,
    secret,
    description: description ?? original.description,
    policies: links.policies,
    roles: links.roles,
    statements: original.statements,
    local: original.local,
    datacenter: original.datacenter,
    expiresAt: original.expiresAt,
    extra: original.extra,
  });
}

/** One of a user. Codes: `not_found`. */
export function prolongToken(txn: Txn, context: Context, accessor: string, expiresAt: number): void {
  const before = requireToken(txn, accessor, context.now);
  if (!before.user || before.expiresAt === null || before.expiresAt >= expiresAt) return;
  const { createRevision: _create, modRevision: _mod, ...token } = before;
  expirySpace.delete(txn, ...expiryKey(token));
  tokenSpace.put(txn, [accessor], { ...token, expiresAt });
  expirySpace.put(txn, expiryKey({ accessor, expiresAt }), {});
}

/** False when there was none. Codes: `unsupported` (the anonymous one). */
export function deleteToken(txn: Txn, _context: Context, { accessor }: { accessor: string }): { existed: boolean } {
  if (accessor === ANONYMOUS_ACCESSOR) {
    throw new HoldfastError("unsupported", "the anonymous token cannot be deleted", { accessor });
  }
  return { existed: erase(txn, String(accessor)) };
}

/**
 * The first token, which may do everything; once. Codes: `conflict` with details `revision`, when it was done.
 */
export function bootstrap(
  txn: Txn,
  context: Context,
  { accessor, secret, description }: Pick<TokenInput, "accessor" | "secret" | "description">,
): TokenView {
  const done = bootstrapSpace.record(txn, "done");
  if (done) {
    throw new HoldfastError("conflict", "the first token has been given already", { revision: done.modRevision });
  }
  const token = createToken(txn, context, { accessor, secret, description, policies: [{ id: MANAGEMENT_ID }] });
  bootstrapSpace.put(txn, ["done"], { accessor: token.accessor });
  return token;
}

/** With its rules, and tokens up to `DELETE_MAX`: the others are void, call again while `remaining`. */
export function deleteAuthMethod(
  txn: Txn,
  _context: Context,
  { name, cas }: { name: string; cas?: number | undefined },
): { existed: boolean; remaining: boolean } {
  assertCas(findAuthMethod(txn, String(name)), cas);
  const existed = methodSpace.delete(txn, String(name));
  for (const { id } of bindingRulesOf(txn, name)) ruleSpace.delete(txn, id);
  const given = methodTokens.under(txn, [String(name)], { limit: DELETE_MAX + 1 });
  for (const { key } of given.slice(0, DELETE_MAX)) erase(txn, methodTokens.parts(key)[1]!);
  return { existed, remaining: given.length > DELETE_MAX };
}

export interface TokenFilter {
  /** Ids of what it links to. */
  policy?: string | undefined;
  role?: string | undefined;
  method?: string | undefined;
}

/** Without those that have expired or are void. */
export function listTokens(reader: Reader, input: PageInput & TokenFilter, now: number): Page<TokenView> {
  const { policy, role, method } = input;
  const { items, after } = pageOf(tokenSpace, reader, input, (record) => storedOf(tokenSpace, record));
  // The anonymous token is there before anybody has written it.
  const isFirst = input.after === undefined || input.after === null;
  const isStored = tokenSpace.record(reader, ANONYMOUS_ACCESSOR) !== undefined;
  const wanted = [...(isFirst && !isStored ? [ANONYMOUS] : []), ...items].filter(
    (token) =>
      (policy === undefined || token.policies.includes(policy)) &&
      (role === undefined || token.roles.includes(role)) &&
      (method === undefined || token.method?.name === method) &&
      isValid(reader, token, now),
  );
  return { items: wanted.map(viewOf(reader)), after };
}

/** One token by accessor or by its secret's hash. Codes: `not_found`. */
export function describeToken(
  reader: Reader,
  wanted: { accessor: string } | { secretHash: string },
  now: number,
): TokenView & { statements: Statement[] } {
  const found =
    "accessor" in wanted ? requireToken(reader, wanted.accessor, now) : findBySecret(reader, wanted.secretHash, now);
  if (!found) throw new HoldfastError("not_found", "there is no token with this secret");
  return { ...viewOf(reader)(found), statements: found.statements };
}

/** Undefined when it has expired or is void, too. */
export function findToken(reader: Reader, accessor: string, now: number): Stored<Token> | undefined {
  const record = tokenSpace.record(reader, accessor);
  if (record) {
    const token = storedOf(tokenSpace, record);
    return isValid(reader, token, now) ? token : undefined;
  }
  return accessor === ANONYMOUS_ACCESSOR ? ANONYMOUS : undefined;
}

export function findBySecret(reader: Reader, secretHash: string, now: number): Stored<Token> | undefined {
  const accessor = secretSpace.get(reader, secretHash);
  return accessor === undefined ? undefined : findToken(reader, accessor, now);
}

const ANONYMOUS: Stored<Token> = {
  accessor: ANONYMOUS_ACCESSOR,
  description: "Anonymous Token",
  policies: [],
  roles: [],
  statements: [],
  local: false,
  datacenter: "",
  method: null,
  createdAt: 0,
  expiresAt: null,
  secretHash: "",
  sealedSecret: "",
  extra: {},
  createRevision: 1,
  modRevision: 1,
};

function isValid(reader: Reader, { expiresAt, method, user }: Token, now: number): boolean {
  if (expiresAt !== null && expiresAt <= now) return false;
  if (user && !isLoggedIn(reader, user)) return false;
  return method === null || findAuthMethod(reader, method.name)?.createRevision === method.createRevision;
}

function isLoggedIn(reader: Reader, { id, credential, era }: TokenUser): boolean {
  const state = loginStateOf(reader);
  return state.isOn && state.era === era && users.find(reader, id)?.credential === credential;
}

function requireToken(reader: Reader, accessor: string, now: number): Stored<Token> {
  assertId("accessor", accessor);
  const found = findToken(reader, accessor, now);
  if (!found) throw new HoldfastError("not_found", `there is no token with accessor "${accessor}"`, { accessor });
  return found;
}

function grantsOf(txn: Txn, input: GrantsInput, lenient: boolean) {
  const { description = "", statements = [], extra = {} } = input;
  assertDescription("description", description);
  assertStatements("statements", statements);
  assertExtra("extra", extra);
  const findRole = (by: "id" | "name", wanted: string) =>
    by === "id" ? roles.find(txn, wanted) : roles.findByName(txn, wanted);
  return {
    description,
    statements,
    extra,
    policies: resolvePolicyLinks(txn, input.policies ?? [], lenient),
    roles: resolveLinks("roles", input.roles ?? [], findRole, lenient),
  };
}

function viewOf(reader: Reader): (token: Stored<Token>) => TokenView {
  const policyLinks = linkReader((id) => findPolicy(reader, id));
  const roleLinks = linkReader((id) => roles.find(reader, id));
  return ({ policies, roles: roleIds, statements: _statements, secretHash: _hash, method, user: _user, ...token }) => ({
    ...token,
    policies: policyLinks(policies),
    roles: roleLinks(roleIds),
    method: method?.name ?? null,
  });
}

function erase(txn: Txn, accessor: string): boolean {
  const token = tokenSpace.get(txn, accessor);
  if (!token) return false;
  tokenSpace.delete(txn, accessor);
  secretSpace.delete(txn, token.secretHash);
  if (token.expiresAt !== null) expirySpace.delete(txn, ...expiryKey(token));
  if (token.method) methodTokens.delete(txn, token.method.name, accessor);
  return true;
}

function reap(txn: Txn, now: number): void {
  for (const { key } of expirySpace.under(txn, [], { limit: REAPED_PER_WRITE })) {
    const [expiry, accessor] = expirySpace.parts(key);
    if (Number(expiry) > now) return;
    erase(txn, accessor!);
  }
}

function expiryKey({ expiresAt, accessor }: Pick<Token, "expiresAt" | "accessor">): [string, string] {
  return [String(expiresAt).padStart(TIME_DIGITS, "0"), accessor];
}

function assertSecret(secret: unknown): asserts secret is SecretInput {
  const { hash, sealed } = (secret ?? {}) as Record<string, unknown>;
  if (typeof hash !== "string" || !/^[0-9a-f]{64}$/.test(hash))
    throw invalid("secret.hash", "must be a SHA-256 in hex");
  if (typeof sealed !== "string" || sealed.length > SEALED_CHARACTERS_MAX) {
    throw invalid("secret.sealed", `must be a text of at most ${SEALED_CHARACTERS_MAX} characters`);
  }
}

const inUse = (field: "accessor" | "secret"): HoldfastError =>
  new HoldfastError("already_exists", `the ${field} is in use already`, { field });
