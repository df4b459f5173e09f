/** Roles: sets of policies, and statements of their own, that tokens and users link to. */
import { HoldfastError } from "../errors.ts";
import type { Context, Reader, Txn } from "../store/txn.ts";
import type { Link, LinkInput } from "./grants.ts";
import { linkReader, resolvePolicyLinks } from "./grants.ts";
import { changeLoginState } from "./login-state.ts";
import { findPolicy } from "./policies.ts";
import type { Extra, Page, PageInput, Stored } from "./records.ts";
import { assertDescription, assertExtra, assertId, assertLabel, freshId, NamedRecords } from "./records.ts";
import type { Statement } from "./statements.ts";
import { assertStatements, STATEMENTS_MAX } from "./statements.ts";

export interface Role {
  id: string;
  name: string;
  description: string;
  /** Ids. */
  policies: string[];
  statements: Statement[];
  extra: Extra;
}

/** As it is read: links with names, and no statements. */
export type RoleView = Omit<Stored<Role>, "policies" | "statements"> & { policies: Link[] };

export interface RoleInput {
  /** Absent: a new role. */
  id?: string | undefined;
  name: string;
  description?: string | undefined;
  policies?: LinkInput[] | undefined;
  statements?: Statement[] | undefined;
  extra?: Extra | undefined;
  cas?: number | undefined;
}

export const roles = new NamedRecords<Role>("role", "role");

/** Codes: `not_found` (the role, or a policy), `already_exists` (the name), `conflict`, `invalid_argument`, `too_large`. */
export function putRole(txn: Txn, context: Context, input: RoleInput): RoleView {
  const { id = freshId(context), name, description = "", statements = [], extra = {}, cas } = input;
  assertId("id", id);
  assertLabel("name", name);
  assertDescription("description", description);
  assertStatements("statements", statements);
  assertExtra("extra", extra);
  if (input.id !== undefined && !roles.find(txn, id)) throw roles.missing("id", id);
  const policies = resolvePolicyLinks(txn, input.policies ?? []);
  changeLoginState(txn);
  return viewOf(txn)(roles.put(txn, { id, name, description, policies, statements, extra }, cas));
}

/** False when there was none. Codes: `conflict`. */
export function deleteRole(
  txn: Txn,
  _context: Context,
  { id, cas }: { id: string; cas?: number | undefined },
): { existed: boolean } {
  const existed = roles.delete(txn, String(id), cas);
  if (existed) changeLoginState(txn);
  return { existed };
}

export interface RoleGrant {
  name: string;
  /** What it says of its place replaces what the role has said of it so far. */
  statement: Statement;
}

/** Codes: `not_found`, `invalid_argument`, `too_large`. */
export function grantToRole(txn: Txn, _context: Context, { name, statement }: RoleGrant): null {
  assertStatements("statement", [statement]);
  const role = requireRole(txn, name);
  const statements = [...role.statements.filter((one) => !isSamePlace(one, statement)), statement];
  if (statements.length > STATEMENTS_MAX) {
    const message = `the role has ${STATEMENTS_MAX} statements already`;
    throw new HoldfastError("too_large", message, { field: "statements", limit: STATEMENTS_MAX });
  }
  putStatements(txn, role, statements);
  return null;
}

/** `existed` false: it says nothing of the place. Codes: `not_found`. */
export function revokeFromRole(
  txn: Txn,
  _context: Context,
  { name, place }: { name: string; place: Place },
): { existed: boolean } {
  const role = requireRole(txn, name);
  const statements = role.statements.filter((one) => !isSamePlace(one, place));
  if (statements.length === role.statements.length) return { existed: false };
  putStatements(txn, role, statements);
  return { existed: true };
}

/** What a statement is about. */
export interface Place {
  kind: Statement["kind"];
  match: Statement["match"];
  name: string;
  /** Of a range. */
  end?: string | null;
}

const isSamePlace = (a: Place, b: Place): boolean =>
  a.kind === b.kind && a.match === b.match && a.name === b.name && a.end === b.end;

function requireRole(txn: Txn, name: string): Stored<Role> {
  const role = roles.findByName(txn, String(name));
  if (!role) throw roles.missing("name", String(name));
  return role;
}

function putStatements(
  txn: Txn,
  { createRevision: _create, modRevision: _mod, ...role }: Stored<Role>,
  statements: Statement[],
): void {
  changeLoginState(txn);
  roles.put(txn, { ...role, statements }, undefined);
}

/** Codes: `not_found`. */
export function describeRole(
  reader: Reader,
  wanted: { id: string } | { name: string },
): RoleView & { statements: Statement[] } {
  const found = "id" in wanted ? roles.find(reader, wanted.id) : roles.findByName(reader, wanted.name);
  if (!found) throw "id" in wanted ? roles.missing("id", wanted.id) : roles.missing("name", wanted.name);
  return { ...viewOf(reader)(found), statements: found.statements };
}

/** `policy`: only those that link to it. */
export function listRoles(reader: Reader, input: PageInput & { policy?: string | undefined }): Page<RoleView> {
  const { policy } = input;
  const { items, after } = roles.list(reader, input);
  const wanted = policy === undefined ? items : items.filter(({ policies }) => policies.includes(policy));
  return { items: wanted.map(viewOf(reader)), after };
}

function viewOf(reader: Reader): (role: Stored<Role>) => RoleView {
  const links = linkReader((id) => findPolicy(reader, id));
  return ({ statements: _statements, policies, ...role }) => ({ ...role, policies: links(policies) });
}
