/**
 * What a role or a token grants: links to policies and roles, and statements of its own.
 *
 * Statements of its own are what a dialect writes without a policy: Consul's identities, a ZooKeeper ACL.
 */
import { HoldfastError, invalid } from "../errors.ts";
import type { Reader } from "../store/txn.ts";
import { findPolicy, findPolicyByName } from "./policies.ts";
import type { Named } from "./records.ts";
import { assertLabel } from "./records.ts";

/** By id, or by name when there is no id. */
export interface LinkInput {
  id?: string | undefined;
  name?: string | undefined;
}

/** As it is read. */
export interface Link {
  id: string;
  name: string;
}

const LINKS_MAX = 256;

/**
 * The ids of what links name, each once; what does not exist is an error, or left out if `lenient`.
 * Codes: `invalid_argument`, `not_found` with details `field`, and `id` or `name`.
 */
export function resolveLinks(
  field: string,
  links: readonly LinkInput[],
  find: (by: "id" | "name", wanted: string) => Named | undefined,
  lenient = false,
): string[] {
  if (!Array.isArray(links)) throw invalid(field, "must be a list");
  if (links.length > LINKS_MAX) throw invalid(field, `must have at most ${LINKS_MAX} entries`);
  const ids = new Set<string>();
  links.forEach(({ id, name }: LinkInput, index: number) => {
    const by = id ? "id" : "name";
    const wanted = id || name;
    assertLabel(`${field}[${index}].${by}`, wanted);
    const found = find(by, wanted);
    if (found) ids.add(found.id);
    else if (!lenient) {
      throw new HoldfastError("not_found", `${field}: there is none with ${by} "${wanted}"`, { field, [by]: wanted });
    }
  });
  return [...ids];
}

export function resolvePolicyLinks(reader: Reader, links: readonly LinkInput[], lenient?: boolean): string[] {
  const find = (by: "id" | "name", wanted: string) =>
    by === "id" ? findPolicy(reader, wanted) : findPolicyByName(reader, wanted);
  return resolveLinks("policies", links, find, lenient);
}

/** Turns ids into links: without those to what is gone, with the names of now. Each is looked up once. */
export function linkReader(find: (id: string) => Named | undefined): (ids: readonly string[]) => Link[] {
  const names = new Map<string, string | undefined>();
  return (ids) =>
    ids.flatMap((id) => {
      if (!names.has(id)) names.set(id, find(id)?.name);
      const name = names.get(id);
      return name === undefined ? [] : [{ id, name }];
    });
}
