/** Roles: sets of policies, and statements of their own, that tokens link to. */
import type { Context, Reader, Txn } from "../store/txn.ts";
import type { Link, LinkInput } from "./grants.ts";
import { linkReader, resolvePolicyLinks } from "./grants.ts";
import { findPolicy } from "./policies.ts";
import type { Extra, Page, PageInput, Stored } from "./records.ts";
import { assertDescription, assertExtra, assertId, assertLabel, freshId, NamedRecords } from "./records.ts";
import type { Statement } from "./statements.ts";
import { assertStatements } from "./statements.ts";

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
  return viewOf(txn)(roles.put(txn, { id, name, description, policies, statements, extra }, cas));
}

/** False when there was none. Codes: `conflict`. */
export function deleteRole(
  txn: Txn,
  _context: Context,
  { id, cas }: { id: string; cas?: number | undefined },
): { existed: boolean } {
  return { existed: roles.delete(txn, String(id), cas) };
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
