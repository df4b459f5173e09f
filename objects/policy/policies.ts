/**
 * Policies: named sets of statements, with the text they were written as, so that the dialect that wrote it can give it
 * back unchanged.
 *
 * Two are built in and need no record; they carry the ids that Consul's clients know. One is stored only once it has been
 * renamed.
 */
import { HoldfastError, invalid } from "../errors.ts";
import { assertText } from "../registry/limits.ts";
import type { Context, Reader, Txn } from "../store/txn.ts";
import type { Extra, Page, PageInput, Stored } from "./records.ts";
import { assertDescription, assertExtra, assertId, assertLabel, freshId, NamedRecords } from "./records.ts";
import type { Statement } from "./statements.ts";
import { assertStatements, KINDS, VERBS } from "./statements.ts";

export interface Policy {
  id: string;
  name: string;
  description: string;
  statements: Statement[];
  source: PolicySource | null;
  extra: Extra;
}

/** What the statements were compiled from. */
export interface PolicySource {
  dialect: string;
  text: string;
}

/** As lists show it. */
export type PolicySummary = Omit<Stored<Policy>, "statements" | "source">;

export interface PolicyInput {
  /** Absent: a new policy. */
  id?: string | undefined;
  name: string;
  description?: string | undefined;
  statements: Statement[];
  source?: PolicySource | null | undefined;
  extra?: Extra | undefined;
  cas?: number | undefined;
}

export const MANAGEMENT_ID = "00000000-0000-0000-0000-000000000001";
export const READ_ONLY_ID = "00000000-0000-0000-0000-000000000002";
/** The statements of the largest source still fit a record. */
export const SOURCE_CHARACTERS_MAX = 64 * 1024;

const READING = ["read", "list", "watch"] as const;

const BUILTIN: readonly Policy[] = [
  {
    id: MANAGEMENT_ID,
    name: "global-management",
    description: "Everything, in this namespace",
    statements: KINDS.map((kind) => ({ effect: "allow", verbs: VERBS, kind, match: "prefix", name: "" })),
    source: null,
    extra: {},
  },
  {
    id: READ_ONLY_ID,
    name: "builtin/global-read-only",
    description: "Reading everything in this namespace, and changing nothing",
    statements: KINDS.flatMap((kind): Statement[] => [
      { effect: "allow", verbs: READING, kind, match: "prefix", name: "" },
      {
        effect: "stop",
        verbs: VERBS.filter((verb) => !READING.some((one) => one === verb)),
        kind,
        match: "prefix",
        name: "",
      },
    ]),
    source: null,
    extra: {},
  },
];
/** What was there before any write. */
const FIRST_REVISION = 1;

export const policies = new NamedRecords<Policy>("policy", "policy");

export const isBuiltin = (id: string): boolean => BUILTIN.some((builtin) => builtin.id === id);

/** Codes: `not_found`, `already_exists` (the name), `conflict`, `invalid_argument`, `too_large`, `unsupported` (builtin). */
export function putPolicy(txn: Txn, context: Context, input: PolicyInput): Stored<Policy> {
  const { id = freshId(context), name, description = "", source = null, extra = {}, statements, cas } = input;
  assertId("id", id);
  assertLabel("name", name);
  assertDescription("description", description);
  assertStatements("statements", statements);
  assertExtra("extra", extra);
  if (source !== null) assertSource(source);
  if (input.id !== undefined && !findPolicy(txn, id)) throw policies.missing("id", id);
  const namesake = findPolicyByName(txn, name);
  if (namesake && namesake.id !== id) throw policies.taken(name);
  const builtin = BUILTIN.find((one) => one.id === id);
  if (builtin && JSON.stringify(statements) !== JSON.stringify(builtin.statements)) {
    throw new HoldfastError("unsupported", `what the builtin policy ${builtin.name} allows cannot be changed`, { id });
  }
  return policies.put(txn, { id, name, description, statements, source, extra }, cas);
}

/** False when there was none. Codes: `conflict`, `unsupported` (builtin). */
export function deletePolicy(
  txn: Txn,
  _context: Context,
  { id, cas }: { id: string; cas?: number | undefined },
): { existed: boolean } {
  if (isBuiltin(id)) throw new HoldfastError("unsupported", "a builtin policy cannot be deleted", { id });
  return { existed: policies.delete(txn, String(id), cas) };
}

export function findPolicy(reader: Reader, id: string): Stored<Policy> | undefined {
  const builtin = BUILTIN.find((one) => one.id === id);
  const found = policies.find(reader, id);
  // The statements are those of this version, whatever was stored with a new name.
  if (builtin && found) return { ...found, statements: builtin.statements };
  return found ?? (builtin && { ...builtin, createRevision: FIRST_REVISION, modRevision: FIRST_REVISION });
}

export function findPolicyByName(reader: Reader, name: string): Stored<Policy> | undefined {
  const found = policies.findByName(reader, name);
  if (found) return findPolicy(reader, found.id);
  const builtin = BUILTIN.find((one) => one.name === name);
  return builtin && !policies.find(reader, builtin.id) ? findPolicy(reader, builtin.id) : undefined;
}

/** One policy by its id or its name. Codes: `not_found`. */
export function describePolicy(reader: Reader, wanted: { id: string } | { name: string }): Stored<Policy> {
  const found = "id" in wanted ? findPolicy(reader, wanted.id) : findPolicyByName(reader, wanted.name);
  if (!found) throw "id" in wanted ? policies.missing("id", wanted.id) : policies.missing("name", wanted.name);
  return found;
}

/** The builtin ones come with the first page. */
export function listPolicies(reader: Reader, input: PageInput): Page<PolicySummary> {
  const { items, after } = policies.list(reader, input);
  const stored = items.filter(({ id }) => !isBuiltin(id));
  const isFirst = (input.after ?? null) === null;
  const builtin = isFirst ? BUILTIN.map(({ id }) => findPolicy(reader, id)!) : [];
  const all = [...builtin, ...stored];
  return { items: all.map(({ statements: _statements, source: _source, ...summary }) => summary), after };
}

function assertSource({ dialect, text }: PolicySource): void {
  assertText("source.dialect", dialect, 32);
  if (typeof text !== "string" || !text.isWellFormed()) throw invalid("source.text", "must be well-formed text");
  if (text.length > SOURCE_CHARACTERS_MAX) {
    const message = `source.text: more than ${SOURCE_CHARACTERS_MAX} characters`;
    throw new HoldfastError("too_large", message, { field: "source.text", limit: SOURCE_CHARACTERS_MAX });
  }
}
