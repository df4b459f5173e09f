/**
 * Users: who shows a password, and what they may do once they have logged in.
 *
 * Of a password only the text that the edge has hashed it to is kept, and nobody but the edge is told it. A user grants as a
 * token does: by policies, roles and statements of its own. Their tokens follow it: rights are those of now, and a new
 * password, or the end of the user, voids them.
 */
import { HoldfastError, invalid } from "../errors.ts";
import type { Context, Reader, Txn } from "../store/txn.ts";
import type { Link, LinkInput } from "./grants.ts";
import { linkReader, resolveLinks, resolvePolicyLinks } from "./grants.ts";
import { changeLoginState, loginStateOf } from "./login-state.ts";
import { findPolicy, MANAGEMENT_ID } from "./policies.ts";
import type { Page, PageInput, Stored } from "./records.ts";
import { assertLabel, freshId, NamedRecords } from "./records.ts";
import { roles } from "./roles.ts";
import type { Statement } from "./statements.ts";
import { assertStatements } from "./statements.ts";

export interface User {
  id: string;
  name: string;
  /** As the edge hashed it; null = nobody logs in as this user. */
  password: string | null;
  /** New with each password: what was given for an older one is void. */
  credential: string;
  /** Ids. */
  policies: string[];
  roles: string[];
  statements: Statement[];
}

/** As it is read: links with names, and nothing of the password. */
export type UserView = Omit<Stored<User>, "password" | "credential" | "policies" | "roles" | "statements"> & {
  hasPassword: boolean;
  policies: Link[];
  roles: Link[];
};

export type DescribedUser = UserView & Pick<User, "statements">;

export interface UserInput {
  name: string;
  password: string | null;
  statements?: Statement[] | undefined;
}

/** Replaces what the user may. */
export interface UserPut {
  name: string;
  /** Absent: it stays as it is; a new user has none. */
  password?: string | null | undefined;
  policies?: LinkInput[] | undefined;
  roles?: LinkInput[] | undefined;
  statements?: Statement[] | undefined;
  cas?: number | undefined;
}

/** One of the two. */
export interface UserGrant {
  name: string;
  role?: LinkInput | undefined;
  policy?: LinkInput | undefined;
}

/** What a login is checked by; for the edge alone. */
export interface Credentials {
  isOn: boolean;
  user: Pick<User, "id" | "credential" | "password"> | null;
}

export const users = new NamedRecords<User>("user", "user");

const PASSWORD_CHARACTERS_MAX = 512;

/** Codes: `already_exists`, `invalid_argument`, `too_large`. */
export function createUser(txn: Txn, context: Context, { name, password, statements = [] }: UserInput): UserView {
  assertLabel("name", name);
  assertPassword(password);
  assertStatements("statements", statements);
  const [id, credential] = [freshId(context), freshId(context)];
  changeLoginState(txn);
  return viewOf(txn)(
    users.put(txn, { id, name, password, credential, policies: [], roles: [], statements }, undefined),
  );
}

/**
 * Writes a user, known or new. Codes: `not_found` (a policy or role), `conflict`, `unsupported` (the administrator's right to
 * all, while logins are on), `invalid_argument`, `too_large`.
 */
export function putUser(txn: Txn, context: Context, input: UserPut): DescribedUser {
  const { name, password, statements = [], cas } = input;
  assertLabel("name", name);
  if (password !== undefined) assertPassword(password);
  assertStatements("statements", statements);
  const before = users.findByName(txn, name);
  const policies = resolvePolicyLinks(txn, input.policies ?? []);
  if (before && !policies.includes(MANAGEMENT_ID)) assertNotAdministrator(txn, before);
  const grants = { policies, roles: resolveLinks("roles", input.roles ?? [], roleFinder(txn)), statements };
  const isKept = before !== undefined && password === undefined;
  const secret = isKept
    ? { password: before.password, credential: before.credential }
    : { password: password ?? null, credential: freshId(context) };
  changeLoginState(txn);
  users.put(txn, { id: before?.id ?? freshId(context), name, ...secret, ...grants }, cas);
  return describeUser(txn, { name });
}

/** Another password, or none. Codes: `not_found`, `invalid_argument`. */
export function setPassword(
  txn: Txn,
  context: Context,
  { name, password }: { name: string; password: string | null },
): UserView {
  assertPassword(password);
  return change(txn, requireUser(txn, name), { password, credential: freshId(context) });
}

/** Codes: `not_found`, `conflict`, `unsupported` (the administrator, while logins are on). */
export function deleteUser(
  txn: Txn,
  _context: Context,
  { name, cas }: { name: string; cas?: number | undefined },
): null {
  const user = requireUser(txn, name);
  assertNotAdministrator(txn, user);
  changeLoginState(txn);
  users.delete(txn, user.id, cas);
  return null;
}

/** Nothing happens where it is granted already. Codes: `not_found` (details.field: `roles`, `policies`; absent: the user). */
export function grantToUser(txn: Txn, _context: Context, { name, role, policy }: UserGrant): UserView {
  const user = requireUser(txn, name);
  const granted = {
    policies: known(user.policies, policy ? resolvePolicyLinks(txn, [policy]) : [], (id) => findPolicy(txn, id)),
    roles: known(user.roles, role ? resolveLinks("roles", [role], roleFinder(txn)) : [], (id) => roles.find(txn, id)),
  };
  const isHeld = granted.policies.length === user.policies.length && granted.roles.length === user.roles.length;
  return isHeld ? viewOf(txn)(user) : change(txn, user, granted);
}

/** `existed` false: it was not granted. Codes: `not_found` (the user), `unsupported` (the administrator's right to all). */
export function revokeFromUser(txn: Txn, _context: Context, { name, role, policy }: UserGrant): { existed: boolean } {
  const user = requireUser(txn, name);
  const lost = new Set([
    ...(role ? resolveLinks("roles", [role], roleFinder(txn), true) : []),
    ...(policy ? resolvePolicyLinks(txn, [policy], true) : []),
  ]);
  if (lost.has(MANAGEMENT_ID)) assertNotAdministrator(txn, user);
  const isKept = (id: string): boolean => !lost.has(id);
  const left = { policies: user.policies.filter(isKept), roles: user.roles.filter(isKept) };
  const existed = left.policies.length < user.policies.length || left.roles.length < user.roles.length;
  if (existed) change(txn, user, left);
  return { existed };
}

/** Codes: `not_found`. */
export function describeUser(reader: Reader, { name }: { name: string }): DescribedUser {
  const user = requireUser(reader, name);
  return { ...viewOf(reader)(user), statements: user.statements };
}

export function listUsers(reader: Reader, input: PageInput): Page<UserView> {
  const { items, after } = users.list(reader, input);
  return { items: items.map(viewOf(reader)), after };
}

export function credentialsOf(reader: Reader, { name }: { name: string }): Credentials {
  const found = users.findByName(reader, String(name));
  const user = found ? { id: found.id, credential: found.credential, password: found.password } : null;
  return { isOn: loginStateOf(reader).isOn, user };
}

export function requireUser(reader: Reader, name: string): Stored<User> {
  const found = users.findByName(reader, String(name));
  if (!found) throw users.missing("name", String(name));
  return found;
}

function change(txn: Txn, { createRevision: _create, modRevision: _mod, ...user }: Stored<User>, patch: Partial<User>) {
  changeLoginState(txn);
  return viewOf(txn)(users.put(txn, { ...user, ...patch }, undefined));
}

/** With those added, without those that have gone since. */
function known(held: readonly string[], added: readonly string[], find: (id: string) => unknown): string[] {
  if (added.every((id) => held.includes(id))) return [...held];
  return [...new Set([...held.filter((id) => find(id) !== undefined), ...added])];
}

const roleFinder = (reader: Reader) => (by: "id" | "name", wanted: string) =>
  by === "id" ? roles.find(reader, wanted) : roles.findByName(reader, wanted);

function assertNotAdministrator(reader: Reader, { id, name }: User): void {
  const { isOn, administrator } = loginStateOf(reader);
  if (isOn && administrator === id) {
    throw new HoldfastError("unsupported", `"${name}" administers the logins, which are on`, { name });
  }
}

function assertPassword(password: unknown): void {
  if (password === null) return;
  if (typeof password !== "string" || password === "" || password.length > PASSWORD_CHARACTERS_MAX) {
    throw invalid("password", `must be null, or a hash of 1 to ${PASSWORD_CHARACTERS_MAX} characters`);
  }
}

function viewOf(reader: Reader): (user: Stored<User>) => UserView {
  const policyLinks = linkReader((id) => findPolicy(reader, id));
  const roleLinks = linkReader((id) => roles.find(reader, id));
  return ({ password, credential: _credential, statements: _statements, policies, roles: roleIds, ...user }) => ({
    ...user,
    hasPassword: password !== null,
    policies: policyLinks(policies),
    roles: roleLinks(roleIds),
  });
}
