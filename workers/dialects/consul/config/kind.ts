/**
 * What a kind of config entry is: its fields, what Consul makes of them, what it refuses, who may read and write it, and
 * which rule of the domain it is.
 */
import type { RuleKind, RuleSpecs } from "../../../../objects/rules/model.ts";
import type { Access, Resource } from "../authorizer.ts";
import { refused } from "../errors.ts";
import { multiError } from "../multi-error.ts";
import type { Fields, OmittedSchema, Schema, StructOptions, TypedFields } from "./schema.ts";
import { map, opt, struct, text } from "./schema.ts";

/** What a caller needs for an entry; null = nothing. */
export type Need = readonly [Resource, Access, string] | null;

/** Methods, so that kinds of different entries fit in one table. */
export interface ConfigKind<E> {
  readonly name: string;
  readonly ruleKind: RuleKind;
  readonly schema: Schema<E>;
  /** When there can be only one: its name, which need not be told, and that of its rule. */
  readonly only: { entryName: string; ruleName: string } | null;
  nameOf(entry: E): string;
  metaOf(entry: E): Record<string, string>;
  /** Changes the entry. */
  normalize(entry: E): void;
  /** Throws what is wrong with it. */
  validate(entry: E): void;
  read(name: string): Need;
  /** Whoever may write some service reads it too: a proxy has no other right. */
  readonly isReadByServices: boolean;
  write(name: string): Need;
  /** Services that a writer must be allowed to read. */
  related(entry: E): string[];
  specOf(entry: E): RuleSpecs[RuleKind];
}

interface Definition<E, K extends RuleKind> extends Partial<
  Pick<ConfigKind<E>, "normalize" | "related" | "only" | "nameOf" | "isReadByServices">
> {
  name: string;
  ruleKind: K;
  schema: Schema<E>;
  validate(entry: E): void;
  read(name: string): Need;
  write(name: string): Need;
  specOf(entry: E): RuleSpecs[K];
}

interface Common {
  Name?: string;
  Meta: Record<string, string> | null;
}

export function configKind<E extends Common, K extends RuleKind>(definition: Definition<E, K>): ConfigKind<E> {
  return {
    only: null,
    isReadByServices: false,
    nameOf: ({ Name = "" }) => Name,
    metaOf: ({ Meta }) => Meta ?? {},
    normalize: () => {},
    related: () => [],
    ...definition,
  };
}

export const serviceRead = (name: string): Need => ["service", "read", name];
export const serviceWrite = (name: string): Need => ["service", "write", name];
export const meshRead = (): Need => ["mesh", "read", ""];
export const meshWrite = (): Need => ["mesh", "write", ""];
export const freely = (): Need => null;

/** What an entry was read with may be sent back, and means nothing. */
const IGNORED = ["kind", "hash", "createindex", "modifyindex"];

type Meta = { Meta: OmittedSchema<Record<string, string> | null> };

/** An entry that has a name, its fields in Consul's order. */
export function entryOf<F extends Fields>(
  fields: F,
  options: StructOptions<F> = {},
): Schema<TypedFields<{ Name: Schema<string> } & F & Meta>> {
  return namelessEntryOf({ Name: text as Schema<string>, ...fields }, options);
}

/** An entry whose name is not told. */
export const namelessEntryOf = <F extends Fields>(
  fields: F,
  options: StructOptions<F> = {},
): Schema<TypedFields<F & Meta>> =>
  struct<F & Meta>({ ...fields, Meta: opt(map(text)) }, { ...options, ignored: IGNORED });

const META_PAIRS_MAX = 64;
const META_KEY_BYTES_MAX = 128;
const META_VALUE_BYTES_MAX = 512;
export const DESCRIPTION_BYTES_MAX = META_VALUE_BYTES_MAX;

export const byteLength = (value: string): number => new TextEncoder().encode(value).length;

export function metaErrors(meta: Record<string, string> | null): string[] {
  const entries = Object.entries(meta ?? {});
  const errors = entries.length > META_PAIRS_MAX ? [`Meta exceeds maximum element count ${META_PAIRS_MAX}`] : [];
  for (const [key, value] of entries) {
    const quoted = JSON.stringify(key);
    if (byteLength(key) > META_KEY_BYTES_MAX) {
      errors.push(`Meta key ${quoted} exceeds maximum length ${META_KEY_BYTES_MAX}`);
    }
    if (byteLength(value) > META_VALUE_BYTES_MAX) {
      errors.push(`Meta value for key ${quoted} exceeds maximum length ${META_VALUE_BYTES_MAX}`);
    }
  }
  return errors;
}

export function assertMeta(meta: Record<string, string> | null): void {
  const errors = metaErrors(meta);
  if (errors.length > 0) throw refused(multiError(errors));
}

export function assertNamed(name: string): void {
  if (name === "") throw refused("Name is required");
}
