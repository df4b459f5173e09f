/**
 * What of a value a filter may select, and what it may ask of it: the types of Go's fields, as data.
 *
 * A field is named in a filter as in JSON. One that JSON leaves out has Go's zero value; so has a pointer that is null.
 * A list of structs is looked through: a selector goes on into its elements, and one that fits is enough. A map's keys are
 * fields of any name.
 */
import type { MatchOperator } from "./expression.ts";
import type { UnsignedSize } from "../../../request/go-strconv.ts";

export type FieldType =
  | { kind: "string" | "bool" | "int" }
  | { kind: "uint"; size: UnsignedSize }
  | { kind: "list" | "map"; of: FieldType }
  | StructType;

export interface StructType {
  kind: "struct";
  fields: Readonly<Record<string, FieldType>>;
}

/** The type of the values that a filter picks from. */
export type FilterSchema = StructType;

export const STRING: FieldType = { kind: "string" };
export const BOOL: FieldType = { kind: "bool" };
export const INT: FieldType = { kind: "int" };
export const uint = (size: UnsignedSize): FieldType => ({ kind: "uint", size });
export const list = (of: FieldType): FieldType => ({ kind: "list", of });
export const map = (of: FieldType): FieldType => ({ kind: "map", of });
export const struct = (fields: StructType["fields"]): StructType => ({ kind: "struct", fields });

const EQUALITY: readonly MatchOperator[] = ["Equal", "Not Equal"];
const MEMBERSHIP: readonly MatchOperator[] = ["In", "Not In"];
const EMPTINESS: readonly MatchOperator[] = ["Is Empty", "Is Not Empty"];
const OF_STRINGS: readonly MatchOperator[] = [...EQUALITY, ...MEMBERSHIP, "Matches", "Not Matches"];
const OF_CONTAINERS: readonly MatchOperator[] = [...MEMBERSHIP, ...EMPTINESS];

/** Strings are never asked for emptiness, and structs for nothing: as go-bexpr 0.1.2 has it. */
export function operatorsOf(type: FieldType): readonly MatchOperator[] {
  switch (type.kind) {
    case "string":
      return OF_STRINGS;
    case "bool":
    case "int":
    case "uint":
      return EQUALITY;
    case "list":
      return isPrimitive(type.of) ? OF_CONTAINERS : EMPTINESS;
    case "map":
      return OF_CONTAINERS;
    case "struct":
      return [];
  }
}

/** The type of the field of that name, null when there is none to select. */
export function fieldOf(type: FieldType, name: string): FieldType | null {
  switch (type.kind) {
    case "struct":
      return Object.hasOwn(type.fields, name) ? type.fields[name]! : null;
    case "map":
      return type.of;
    case "list":
      return fieldOf(type.of, name);
    default:
      return null;
  }
}

const isPrimitive = ({ kind }: FieldType): boolean => kind !== "list" && kind !== "map" && kind !== "struct";
