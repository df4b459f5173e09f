/**
 * Records that have an id and a unique name: policies, roles, and what else is written by an operator and linked by id.
 *
 * Links hold ids, so a rename breaks nothing; ids are random and never given twice, so a link to what was deleted points
 * nowhere for ever, and is left out whenever it is read. Deleting costs one record, however many tokens link to it.
 */
import { toHex } from "../bytes.ts";
import { HoldfastError, invalid } from "../errors.ts";
import { assertText } from "../registry/limits.ts";
import type { Context, Reader, StoredRecord, Txn } from "../store/txn.ts";
import { assertRevision, JsonSpace } from "../store/txn.ts";

export interface Named {
  id: string;
  name: string;
}

export type Stored<T> = T & { createRevision: number; modRevision: number };

/** A part of a list; `after` continues it, and is null in the last part. */
export interface Page<T> {
  items: T[];
  after: string | null;
}

export interface PageInput {
  after?: string | null | undefined;
}

/** Opaque to everybody but the dialect that wrote it, and given back to it alone. */
export type Extra = Record<string, unknown>;

export const NAME_CHARACTERS_MAX = 256;
export const DESCRIPTION_CHARACTERS_MAX = 4096;
const EXTRA_CHARACTERS_MAX = 32 * 1024;
const PAGE_RECORDS = 1000;
/** Far below what one RPC carries. */
const PAGE_BYTES = 4 * 1024 * 1024;
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export class NamedRecords<T extends Named> {
  readonly space: JsonSpace<T>;
  /** Name → id. */
  readonly #names: JsonSpace<string>;
  /** As errors call it: `policy`, `auth method`. */
  readonly #what: string;

  constructor(space: string, what: string) {
    this.space = new JsonSpace(space);
    this.#names = new JsonSpace(`${space}_name`);
    this.#what = what;
  }

  find(reader: Reader, id: string): Stored<T> | undefined {
    const record = this.space.record(reader, id);
    return record && this.#stored(record);
  }

  findByName(reader: Reader, name: string): Stored<T> | undefined {
    const id = this.#names.get(reader, name);
    return id === undefined ? undefined : this.find(reader, id);
  }

  list(reader: Reader, input: PageInput): Page<Stored<T>> {
    return pageOf(this.space, reader, input, (record) => this.#stored(record));
  }

  /** Writes it under its id; `before` is what is there. Codes: `already_exists` (the name), `conflict`. */
  put(txn: Txn, value: T, cas: number | undefined): Stored<T> {
    const before = this.find(txn, value.id);
    assertCas(before, cas);
    if (before?.name !== value.name) {
      if (this.#names.get(txn, value.name) !== undefined) throw this.taken(value.name);
      if (before) this.#names.delete(txn, before.name);
      this.#names.put(txn, [value.name], value.id);
    }
    this.space.put(txn, [value.id], value);
    return this.find(txn, value.id)!;
  }

  /** False when there was none: whoever wants it gone has it so. Codes: `conflict`. */
  delete(txn: Txn, id: string, cas?: number): boolean {
    const before = this.find(txn, id);
    assertCas(before, cas);
    if (!before) return false;
    this.#names.delete(txn, before.name);
    return this.space.delete(txn, id);
  }

  missing(by: "id" | "name", wanted: string): HoldfastError {
    return new HoldfastError("not_found", `there is no ${this.#what} with ${by} "${wanted}"`, { [by]: wanted });
  }

  taken(name: string): HoldfastError {
    return new HoldfastError("already_exists", `a ${this.#what} is named "${name}" already`, { field: "name", name });
  }

  #stored(record: StoredRecord): Stored<T> {
    return storedOf(this.space, record);
  }
}

export function storedOf<T>(space: JsonSpace<T>, record: StoredRecord): Stored<T> {
  return { ...space.decode(record), createRevision: record.createRevision, modRevision: record.modRevision };
}

/** Records of a space by key, as many as one answer carries. */
export function pageOf<T, U>(
  space: JsonSpace<T>,
  reader: Reader,
  { after = null, under = [] }: PageInput & { under?: string[] },
  read: (record: StoredRecord) => U,
): Page<U> {
  const records = space.under(reader, under, {
    limit: PAGE_RECORDS + 1,
    ...(after !== null && { after: space.key(after) }),
  });
  let bytes = 0;
  const rest = records.findIndex(({ value }, index) => index === PAGE_RECORDS || (bytes += value.length) > PAGE_BYTES);
  const page = rest === -1 ? records : records.slice(0, Math.max(rest, 1));
  const last = page.at(-1);
  return {
    items: page.map(read),
    after: last && page.length < records.length ? space.parts(last.key).join("\0") : null,
  };
}

/** `cas` 0 = only if there is none. Codes: `conflict`. */
export function assertCas(before: { modRevision: number } | undefined, cas: number | undefined): void {
  if (cas === undefined) return;
  assertRevision("cas", cas);
  const revision = before?.modRevision ?? 0;
  if (revision !== cas) throw new HoldfastError("conflict", `its revision is ${revision}, not ${cas}`, { revision });
}

/** A random UUID (version 4), from the only randomness a command has. */
export function freshId(context: Context): string {
  const bytes = context.random(16).slice();
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  return toHex(bytes).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

export function assertId(field: string, id: unknown): asserts id is string {
  if (typeof id !== "string" || !UUID.test(id)) throw invalid(field, "must be a UUID in lower case");
}

export function assertLabel(field: string, name: unknown): asserts name is string {
  assertText(field, name, NAME_CHARACTERS_MAX);
  if (name === "") throw invalid(field, "must not be empty");
}

/** Free text, on as many lines as it likes. */
export function assertDescription(field: string, description: unknown): asserts description is string {
  if (typeof description !== "string") throw invalid(field, "must be a text");
  if (description.length > DESCRIPTION_CHARACTERS_MAX) {
    throw invalid(field, `must have at most ${DESCRIPTION_CHARACTERS_MAX} characters`);
  }
  if (!description.isWellFormed()) throw invalid(field, "must be well-formed Unicode");
}

export function assertExtra(field: string, extra: unknown): asserts extra is Extra {
  if (typeof extra !== "object" || extra === null || Array.isArray(extra)) throw invalid(field, "must be an object");
  if (JSON.stringify(extra).length > EXTRA_CHARACTERS_MAX) {
    const message = `${field}: more than ${EXTRA_CHARACTERS_MAX} characters as JSON`;
    throw new HoldfastError("too_large", message, { field, limit: EXTRA_CHARACTERS_MAX });
  }
}
