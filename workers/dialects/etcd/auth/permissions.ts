/**
 * Permissions of a role as statements, one each, and back. READ is to read, list and watch keys, WRITE to make, change and
 * delete them.
 */
import { fromBinaryString, toBinaryString } from "../../../../objects/bytes.ts";
import type { Place } from "../../../../objects/policy/roles.ts";
import type { Statement, Verb } from "../../../../objects/policy/statements.ts";
import { GRPC } from "../../../tunnel/wire/status.ts";
import { refused } from "../errors.ts";
import type { Permission } from "../gen/authpb_pb.js";
import { Permission_Type as Type } from "../gen/authpb_pb.js";
import { isEmptyRange, targetOf } from "../ranges.ts";

const READ: readonly Verb[] = ["read", "list", "watch"];
const WRITE: readonly Verb[] = ["create", "update", "delete"];
const VERBS: Record<Type, readonly Verb[]> = {
  [Type.READ]: READ,
  [Type.WRITE]: WRITE,
  [Type.READWRITE]: [...READ, ...WRITE],
};

/**
 * What everybody has who has logged in: leases. Their ids are numbers; sessions of other dialects are named by a machine,
 * and none of these begins so.
 */
export const ON_LEASES: readonly Statement[] = [
  { effect: "allow", verbs: ["create"], kind: "session", match: "exact", name: "" },
  ...[
    { name: "-", end: "." },
    { name: "0", end: ":" },
  ].map((ids): Statement => {
    return { effect: "allow", verbs: ["create", "read", "update", "delete"], kind: "session", match: "range", ...ids };
  }),
];

export type PermissionParts = Pick<Permission, "permType" | "key" | "rangeEnd">;

/** Codes: 3. */
export function statementOf({ permType, key, rangeEnd }: PermissionParts): Statement {
  const verbs = VERBS[permType];
  if (verbs === undefined || key.length === 0 || isEmptyRange(targetOf(key, rangeEnd))) {
    throw refused(GRPC.invalidArgument, "invalid auth management");
  }
  return { effect: "allow", verbs, kind: "kv", ...rangeOf(key, rangeEnd) };
}

export const placeOf = (key: Uint8Array, rangeEnd: Uint8Array): Place => ({ kind: "kv", ...rangeOf(key, rangeEnd) });

type Range = { match: "exact"; name: string } | { match: "range"; name: string; end: string | null };

function rangeOf(key: Uint8Array, rangeEnd: Uint8Array): Range {
  const { to } = targetOf(key, rangeEnd);
  const name = toBinaryString(key);
  return to === undefined ? { match: "exact", name } : { match: "range", name, end: to && toBinaryString(to) };
}

/** Ordered by their keys. What a role says of other things, or in other ways, etcd has no words for. */
export function permissionsOf(statements: readonly Statement[]): PermissionParts[] {
  return statements
    .flatMap((statement) => permissionOf(statement) ?? [])
    .toSorted((a, b) => Buffer.compare(a.key, b.key) || Buffer.compare(a.rangeEnd, b.rangeEnd));
}

function permissionOf(statement: Statement): PermissionParts | null {
  const { effect, kind, name, verbs } = statement;
  if (effect !== "allow" || kind !== "kv" || statement.match === "prefix") return null;
  const [canRead, canWrite] = [READ, WRITE].map((all) => all.every((verb) => verbs.includes(verb)));
  if (!canRead && !canWrite) return null;
  const permType = canRead ? (canWrite ? Type.READWRITE : Type.READ) : Type.WRITE;
  const rangeEnd = statement.match === "range" ? fromBinaryString(statement.end ?? "\0") : new Uint8Array();
  return { permType, key: fromBinaryString(name), rangeEnd };
}
