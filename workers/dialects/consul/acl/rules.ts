/**
 * Consul's access rules, as text, to statements.
 *
 * A rule gives one level to a name or a prefix. `write` allows every verb there; `read` allows reading and stops the rest,
 * so that a wider `write` does not reach, yet a `write` at the same place in another policy wins; `deny` denies. What
 * Consul derives where nothing is spelled out (intentions from service rules, mesh and peering from operator rules) is
 * implied, and yields to a rule of its own.
 *
 * Texts of errors are Consul's, Go's notation included: clients show them.
 * Source: developer.hashicorp.com/consul/docs/security/acl/acl-rules.
 */
import type { Kind, Statement, Verb } from "../../../../objects/policy/statements.ts";
import { nameOf, VERBS } from "../../../../objects/policy/statements.ts";
import { refused } from "../errors.ts";
import { quote } from "../../../request/go-strconv.ts";
import type { HclItem, HclObject, HclValue } from "./hcl.ts";
import { HclError, parseHcl } from "./hcl.ts";

export type Level = "deny" | "read" | "list" | "write";

/** A rule of a named resource. */
export interface NamedRule {
  resource: NamedResource;
  match: "exact" | "prefix";
  name: string;
  policy: string;
  /** Of services: the level on intentions towards them. Empty = derived from `policy`. */
  intentions: string;
}

/** Rules as they were written, not yet judged. */
export interface Rules {
  named: NamedRule[];
  /** Of resources without names; the last one counts. */
  plain: Map<PlainResource, string>;
}

/** In the order in which Consul judges them: Go's name of the rule, and of the field that holds the name. */
const NAMED = {
  agent: { kind: "agent", go: ["AgentRule", "Node"] },
  key: { kind: "kv", go: ["KeyRule", "Prefix", "EnterpriseRule"] },
  node: { kind: "node", go: ["NodeRule", "Name", "EnterpriseRule"] },
  service: { kind: "service", go: ["ServiceRule", "Name", "EnterpriseRule"] },
  session: { kind: "session", go: ["SessionRule", "Node"] },
  event: { kind: "event", go: ["EventRule", "Event"] },
  query: { kind: "query", go: ["PreparedQueryRule", "Prefix"] },
} as const satisfies Record<string, { kind: Kind; go: readonly string[] }>;
export type NamedResource = keyof typeof NAMED;

const PLAIN = ["acl", "keyring", "operator", "mesh", "peering"] as const;
export type PlainResource = (typeof PLAIN)[number];

const READING: readonly Verb[] = ["read", "list", "watch"];
/** Listing keys is a level of its own, between reading and writing. */
const READING_KEYS: readonly Verb[] = ["read", "watch"];

/** Codes: 500 with Consul's text, for rules that cannot be read or that name no level. */
export function statementsOf(text: string): Statement[] {
  const rules = parseRules(text);
  assertRules(rules);
  return compileRules(rules);
}

/** Text to rules. Unknown resources and fields are passed over, as Consul does. */
export function parseRules(text: string): Rules {
  const rules: Rules = { named: [], plain: new Map() };
  if (text === "") return rules;
  try {
    for (const item of parseHcl(text)) readItem(rules, item);
  } catch (error) {
    if (error instanceof HclError) throw refused(`Failed to parse ACL rules: ${error.message}`);
    throw error;
  }
  return rules;
}

function readItem(rules: Rules, { keys, value }: HclItem): void {
  const [name, ...labels] = keys as [string, ...string[]];
  const resource = name.toLowerCase();
  if (isPlain(resource)) {
    if (labels.length > 0) throw mistyped(resource, value, "ObjectList");
    rules.plain.set(resource, literalOf(resource, value));
    return;
  }
  const match = resource.endsWith("_prefix") ? "prefix" : "exact";
  const named = match === "prefix" ? resource.slice(0, -"_prefix".length) : resource;
  if (!isNamed(named)) return;
  for (const [label, body] of labelled(labels, value)) {
    const field = (wanted: string) => fieldOf(body, wanted, `${resource}.${label}`);
    const intentions = named === "service" ? field("intentions") : "";
    rules.named.push({ resource: named, match, name: label, policy: field("policy"), intentions });
  }
}

/** `key "a" {…}`, `key { "a" {…} }`, and the lists that JSON may have for either. */
function* labelled(labels: string[], value: HclValue): Generator<[string, HclValue]> {
  const [label, ...deeper] = labels;
  if (label !== undefined) {
    const body: HclValue =
      deeper.length === 0 ? value : { type: "object", items: [{ keys: deeper, value }], position: value.position };
    for (const one of body.type === "list" ? body.values : [body]) yield [label, one];
    return;
  }
  if (value.type === "literal") throw mistaken(value, "unknown slice type: *ast.LiteralType");
  for (const object of value.type === "list" ? value.values : [value]) {
    if (object.type !== "object") throw mistaken(object, "not an object type for struct");
    for (const { keys, value: inner } of object.items) yield* labelled(keys, inner);
  }
}

/** A body that is no object has no fields, and is refused for having no policy. */
function fieldOf(body: HclValue, wanted: string, path: string): string {
  if (body.type !== "object") return "";
  const found = itemsNamed(body, wanted).at(-1);
  if (!found) return "";
  if (found.keys.length > 1) throw mistyped(`${path}.${wanted}`, found.value, "ObjectList");
  return literalOf(`${path}.${wanted}`, found.value);
}

const itemsNamed = ({ items }: HclObject, wanted: string): HclItem[] =>
  items.filter(({ keys }) => keys[0]!.toLowerCase() === wanted);

function literalOf(path: string, value: HclValue): string {
  if (value.type === "literal") return value.text;
  throw mistyped(path, value, value.type === "list" ? "ListType" : "ObjectType");
}

const mistyped = (path: string, value: HclValue, type: string): HclError =>
  mistaken(value, `${path}: unknown type for string *ast.${type}`);

const mistaken = ({ position: { line, column } }: HclValue, message: string): HclError =>
  new HclError(`At ${line}:${column}: ${message}`);

const isPlain = (name: string): name is PlainResource => PLAIN.some((one) => one === name);
const isNamed = (name: string): name is NamedResource => Object.hasOwn(NAMED, name);

/** In Consul's order, so that of several mistakes the same one is told. */
function assertRules({ named, plain }: Rules): void {
  assertPlain(plain, "acl");
  for (const resource of Object.keys(NAMED) as NamedResource[]) {
    for (const match of ["exact", "prefix"] as const) {
      for (const rule of named) if (rule.resource === resource && rule.match === match) assertNamed(rule);
    }
  }
  for (const resource of ["keyring", "operator", "mesh", "peering"] as const) assertPlain(plain, resource);
}

function assertPlain(plain: Rules["plain"], resource: PlainResource): void {
  const policy = plain.get(resource) ?? "";
  if (policy !== "" && !isLevel(policy, false)) {
    throw refused(`Invalid ${resource} policy: ${quote(policy)}`);
  }
}

function assertNamed(rule: NamedRule): void {
  const { resource, match, policy, intentions } = rule;
  if (!isLevel(policy, resource === "key")) {
    throw refused(`Invalid ${resource}${match === "prefix" ? "_prefix" : ""} policy: ${inGo(rule)}`);
  }
  if (intentions !== "" && !isLevel(intentions, false)) {
    throw refused(`Invalid ${resource}${match === "prefix" ? "_prefix" : ""} intentions policy: ${inGo(rule)}`);
  }
}

/** As Go's `%#v` writes it. */
function inGo({ resource, name, policy, intentions }: NamedRule): string {
  const [type, field, ...embedded] = NAMED[resource].go;
  const parts = [`${field}:${quote(name)}`, `Policy:${quote(policy)}`];
  if (resource === "service") parts.push(`Intentions:${quote(intentions)}`);
  for (const name of embedded) parts.push(`${name}:acl.${name}{}`);
  return `&acl.${type}{${parts.join(", ")}}`;
}

function isLevel(text: string, withList: boolean): boolean {
  const level = text.toLowerCase();
  return level === "deny" || level === "read" || level === "write" || (withList && level === "list");
}

const levelOf = (text: string): Level => text.toLowerCase() as Level;

/** Judged rules to statements. */
export function compileRules({ named, plain }: Rules): Statement[] {
  const statements: Statement[] = [];
  for (const { resource, match, name, policy, intentions } of named) {
    const origin = `${resource}${match === "prefix" ? "_prefix" : ""} ${JSON.stringify(name)}`.slice(0, 300);
    const place: Place = { match, name: nameOf(name), origin };
    statements.push(...grant(NAMED[resource].kind, levelOf(policy), place));
    if (resource !== "service") continue;
    if (intentions !== "") statements.push(...grant("intention", levelOf(intentions), place));
    // As it is written: of a level in other letters Consul derives none.
    else
      statements.push(...grant("intention", policy === "read" || policy === "write" ? "read" : "deny", implied(place)));
  }
  for (const [resource, text] of plain) {
    if (text === "") continue;
    const level = levelOf(text);
    const place: Place = { match: "prefix", name: "", origin: resource };
    statements.push(...grant(resource, level, place));
    if (resource === "acl") statements.push(...snapshots(level, place));
    if (resource !== "operator") continue;
    // What only Holdfast has to operate goes with it.
    for (const kind of ["settings", "audit"] as const) statements.push(...grant(kind, level, place));
    for (const kind of ["mesh", "peering"] as const) statements.push(...grant(kind, level, implied(place)));
  }
  return statements;
}

type Place = Pick<Statement, "name" | "origin" | "implied"> & { match: "exact" | "prefix" };

const implied = (place: Place): Place => ({ ...place, implied: true });

function grant(kind: Kind, level: Level, place: Place): Statement[] {
  if (level === "write") return [{ effect: "allow", verbs: VERBS, kind, ...place }];
  if (level === "deny") return [{ effect: "deny", verbs: VERBS, kind, ...place }];
  const allowed = kind === "kv" && level === "read" ? READING_KEYS : READING;
  return [
    { effect: "allow", verbs: allowed, kind, ...place },
    { effect: "stop", verbs: VERBS.filter((verb) => !allowed.includes(verb)), kind, ...place },
  ];
}

/** A snapshot holds all secrets: it takes `acl = "write"`, and no less. */
function snapshots(level: Level, place: Place): Statement[] {
  if (level !== "read") return grant("snapshot", level, place);
  return [{ effect: "stop", verbs: VERBS, kind: "snapshot", ...place }];
}
