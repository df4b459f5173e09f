/**
 * Lookups: stored questions to the registry under a name of their own. Where a service is, which of its instances will do,
 * and where to look next when there are none.
 *
 * A lookup is found by id or by name, in any case; one that is a template answers every name that begins with its own, and
 * the longest beginning is meant. Whoever asks carries the answer out (workers/resolver/lookup.ts).
 *
 * Refuses to know: how answers are sorted and shown, and who may ask.
 */
import { keyAfter } from "../bytes.ts";
import { HoldfastError, invalid } from "../errors.ts";
import type { Extra, Page, PageInput, Stored } from "../policy/records.ts";
import { assertCas, assertExtra, assertId, freshId, pageOf, storedOf } from "../policy/records.ts";
import { assertText, assertTextMap, assertWhole } from "../registry/limits.ts";
import { requireSession } from "../sessions/sessions.ts";
import type { Context, Reader, Txn } from "../store/txn.ts";
import { JsonSpace } from "../store/txn.ts";
import type { TemplateScope } from "./template.ts";
import { compileRegexp, renderText } from "./template.ts";

/** Where the answer is looked for when the own datacenter has none. Another peer's services are nobody's here. */
export interface FailoverTarget {
  datacenter: string;
  peer: string;
}

export interface Failover {
  /** So many other datacenters, nearest first. */
  nearest: number;
  /** Then these, in this order. */
  datacenters: string[];
  /** Instead of both. */
  targets: FailoverTarget[];
}

/** What is asked of the registry. In a template these texts have `${…}` in them. */
export interface LookupTarget {
  service: string;
  /** Only proxies that lead to the service, and instances that speak for themselves in the mesh. */
  mesh: boolean;
  /** Of another cluster; "" = here. */
  peer: string;
  /** An instance with a warning is no answer either. */
  onlyPassing: boolean;
  /** Checks that count for nothing. */
  ignoreChecks: string[];
  /** All of these; none of those that begin with `!`. */
  tags: string[];
  meta: Record<string, string>;
  nodeMeta: Record<string, string>;
  /** A node; nearest to it first. `_agent` is the caller's, `_ip` the one with the caller's address. */
  near: string;
  failover: Failover;
}

export interface LookupTemplate {
  /** "" = none. */
  regexp: string;
  removeEmptyTags: boolean;
}

export interface Lookup {
  id: string;
  /** "" = none: found by id, or a template that answers every name. */
  name: string;
  /** It goes with this session; null = it stays. */
  session: string | null;
  template: LookupTemplate | null;
  target: LookupTarget;
  /** How long an answer may be kept; null = not at all. */
  ttlMs: number | null;
  extra: Extra;
}

export interface LookupInput extends Omit<Lookup, "id"> {
  /** Absent: a new one. */
  id?: string | undefined;
  cas?: number | undefined;
}

export const lookupSpace = new JsonSpace<Lookup>("lookup");
/** Name in lower case → id. */
const nameSpace = new JsonSpace<string>("lookup_name");
/** A template's name in lower case, which may be empty, behind a mark → id. */
const templateSpace = new JsonSpace<string>("lookup_template");
/** Session, id. */
const sessionIndex = new JsonSpace<Record<never, never>>("lookup_session");

export const LOOKUP_NAME_CHARACTERS_MAX = 255;
const TEXT_CHARACTERS_MAX = 512;
const LIST_MAX = 128;
const PAIRS_MAX = 64;
const TTL_MAX_MS = 366 * 86_400_000;
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const MARK = "=";

/**
 * Makes a lookup, or puts another in the place of the one with this id. Codes: `not_found` (the id, the session),
 * `already_exists` (the name: `field` is `name`, and `taken` says by what), `invalid_argument`, `too_large`, `conflict`.
 */
export function putLookup(txn: Txn, context: Context, { id: wanted, cas, ...input }: LookupInput): Stored<Lookup> {
  const id = wanted ?? freshId(context);
  assertId("id", id);
  const before = findLookup(txn, id);
  if (wanted !== undefined && !before) throw noLookup(id);
  assertCas(before, cas);
  const lookup = checked({ id, ...input });
  assertFree(txn, lookup);
  if (lookup.session !== null) requireSession(txn, lookup.session);
  if (before && isSame(before, lookup)) return before;
  if (before) unindex(txn, before);
  lookupSpace.put(txn, [id], lookup);
  if (lookup.name !== "") nameSpace.put(txn, [lookup.name.toLowerCase()], id);
  if (lookup.template) templateSpace.put(txn, [MARK + lookup.name.toLowerCase()], id);
  if (lookup.session !== null) sessionIndex.put(txn, [lookup.session, id], {});
  return findLookup(txn, id)!;
}

/** False when there was none. Codes: `conflict`. */
export function deleteLookup(
  txn: Txn,
  _context: Context,
  { id, cas }: { id: string; cas?: number | undefined },
): { existed: boolean } {
  const before = findLookup(txn, String(id));
  assertCas(before, cas);
  if (!before) return { existed: false };
  unindex(txn, before);
  return { existed: lookupSpace.delete(txn, before.id) };
}

/** What becomes of lookups whose session has ended. */
export function deleteLookupsOf(txn: Txn, context: Context, session: string): void {
  for (const { key } of sessionIndex.under(txn, [session])) {
    deleteLookup(txn, context, { id: sessionIndex.parts(key)[1]! });
  }
}

export function findLookup(reader: Reader, id: string): Stored<Lookup> | undefined {
  const record = lookupSpace.record(reader, id);
  return record && storedOf(lookupSpace, record);
}

export function listLookups(reader: Reader, input: PageInput): Page<Stored<Lookup>> {
  return pageOf(lookupSpace, reader, input, (record) => storedOf(lookupSpace, record));
}

/**
 * The lookup that an id or a name means, a template filled in; null when there is none.
 * Codes: `invalid_argument` for a template that is asked for by its id, which is no name to fill it in with.
 */
export function resolveLookup(reader: Reader, { name }: { name: string }): Stored<Lookup> | null {
  assertText("name", name, LOOKUP_NAME_CHARACTERS_MAX);
  if (name === "") return null;
  const byId = UUID.test(name) ? findLookup(reader, name.toLowerCase()) : undefined;
  if (byId?.template) throw invalid("name", "is the id of a template, which is asked for by name");
  if (byId) return byId;
  const id = nameSpace.get(reader, name.toLowerCase()) ?? longestTemplate(reader, name.toLowerCase());
  const found = id === undefined ? undefined : findLookup(reader, id);
  if (!found) return null;
  return found.template ? { ...found, target: renderTarget(found, name) } : found;
}

/** The greatest key not above the name is the longest beginning, or shares so much with the name as one can have. */
function longestTemplate(reader: Reader, name: string): string | undefined {
  let bound = templateSpace.key(MARK + name);
  for (;;) {
    const range = { from: new Uint8Array(), to: keyAfter(bound) };
    const [found] = reader.range(templateSpace.name, range, { limit: 1, reverse: true });
    if (!found) return undefined;
    const shared = sharedLength(bound, found.key);
    if (shared === found.key.length) return templateSpace.decode(found);
    bound = bound.subarray(0, shared);
  }
}

function sharedLength(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at++) if (a[at] !== b[at]) return at;
  return length;
}

function renderTarget({ name: prefix, template, target }: Lookup, full: string): LookupTarget {
  const isBelow = full.toLowerCase().startsWith(prefix.toLowerCase());
  const scope: TemplateScope = {
    full,
    prefix,
    suffix: isBelow ? full.slice(prefix.length) : full,
    matches: template!.regexp === "" ? [] : compileRegexp("template.regexp", template!.regexp)(full),
  };
  const rendered = mapTexts(target, (field, text) => renderText(field, text, scope));
  return template!.removeEmptyTags ? { ...rendered, tags: rendered.tags.filter((tag) => tag !== "") } : rendered;
}

/** All texts of a target, each with its field. */
function mapTexts(target: LookupTarget, map: (field: string, text: string) => string): LookupTarget {
  const list = (field: string, texts: string[]): string[] => texts.map((text, at) => map(`${field}[${at}]`, text));
  const record = (field: string, texts: Record<string, string>): Record<string, string> =>
    Object.fromEntries(Object.entries(texts).map(([key, text]) => [key, map(`${field}[${key}]`, text)]));
  const { failover } = target;
  return {
    ...target,
    service: map("service", target.service),
    peer: map("peer", target.peer),
    near: map("near", target.near),
    ignoreChecks: list("ignoreChecks", target.ignoreChecks),
    tags: list("tags", target.tags),
    meta: record("meta", target.meta),
    nodeMeta: record("nodeMeta", target.nodeMeta),
    failover: {
      nearest: failover.nearest,
      datacenters: list("failover.datacenters", failover.datacenters),
      targets: failover.targets.map(({ datacenter, peer }, at) => ({
        datacenter: map(`failover.targets[${at}].datacenter`, datacenter),
        peer: map(`failover.targets[${at}].peer`, peer),
      })),
    },
  };
}

function checked(lookup: Lookup): Lookup {
  const { name, session, template, target, ttlMs, extra } = lookup;
  assertText("name", name, LOOKUP_NAME_CHARACTERS_MAX);
  if (name === "" && template === null && session === null) {
    throw invalid("session", "is needed by what has neither a name nor a template");
  }
  if (session !== null) assertText("session", session, LOOKUP_NAME_CHARACTERS_MAX);
  if (target.service === "") throw invalid("service", "must not be empty");
  for (const field of ["ignoreChecks", "tags"] as const) assertCount(field, target[field].length);
  assertCount("failover.datacenters", target.failover.datacenters.length);
  assertCount("failover.targets", target.failover.targets.length);
  assertTextMap("meta", target.meta, PAIRS_MAX, TEXT_CHARACTERS_MAX);
  assertTextMap("nodeMeta", target.nodeMeta, PAIRS_MAX, TEXT_CHARACTERS_MAX);
  mapTexts(target, (field, text) => (assertText(field, text, TEXT_CHARACTERS_MAX), text));
  assertWhole("failover.nearest", target.failover.nearest, 0, 1_000_000);
  const { nearest, datacenters, targets } = target.failover;
  if (targets.length > 0 && (nearest > 0 || datacenters.length > 0)) {
    throw invalid("failover.targets", "cannot be given together with nearest or datacenters");
  }
  if (ttlMs !== null && !(ttlMs >= 0 && ttlMs <= TTL_MAX_MS)) throw invalid("ttl", "must be from 0 to 366 days");
  assertExtra("extra", extra);
  // The shortest name that it will be asked by shows what is wrong with it now, not later.
  if (template) renderTarget(lookup, name);
  return lookup;
}

/** Names and ids are looked for with the same words, so none may be taken for another. Codes: `already_exists`. */
function assertFree(reader: Reader, { id, name, template }: Lookup): void {
  const taken = (by: string): HoldfastError =>
    new HoldfastError("already_exists", `the name is taken by another ${by}`, { field: "name", name, taken: by });
  if (name === "") {
    const other = template ? templateSpace.get(reader, MARK) : undefined;
    if (other !== undefined && other !== id) throw taken("template");
    return;
  }
  const other = nameSpace.get(reader, name.toLowerCase());
  if (other !== undefined && other !== id) throw taken("name");
  if (UUID.test(name) && findLookup(reader, name.toLowerCase())) throw taken("id");
}

function unindex(txn: Txn, { id, name, template, session }: Lookup): void {
  if (name !== "") nameSpace.delete(txn, name.toLowerCase());
  if (template) templateSpace.delete(txn, MARK + name.toLowerCase());
  if (session !== null) sessionIndex.delete(txn, session, id);
}

function assertCount(field: string, count: number): void {
  if (count > LIST_MAX) throw invalid(field, `must have at most ${LIST_MAX} entries`);
}

function isSame({ createRevision: _create, modRevision: _mod, ...before }: Stored<Lookup>, lookup: Lookup): boolean {
  return JSON.stringify(before) === JSON.stringify(lookup);
}

function noLookup(id: string): HoldfastError {
  return new HoldfastError("not_found", `there is no lookup "${id}"`, { lookup: id });
}
