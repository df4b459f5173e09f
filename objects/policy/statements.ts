/**
 * Statements: who may do what, in one form that every dialect's access rules are written into.
 *
 * The decision, for one verb on one name: of the statements that name this verb and match, the most specific wins (an
 * exact name, then the longest prefix, then ranges). At the same place a statement that was spelled out wins over one
 * that another rule implies, and then deny wins over allow, allow over stop. Where nothing matches, the default holds.
 *
 * `stop` ends the reach of a wider `allow` without forbidding: Consul's `read` inside a wider `write`. A model that only
 * adds up (etcd, Nacos, ZooKeeper) writes nothing but `allow`.
 *
 * Names are byte strings, one character (U+0000 to U+00FF) a byte: see `nameOf`. Refuses to know: dialects, tokens.
 */
import { toBinaryString, utf8 } from "../bytes.ts";
import { HoldfastError, invalid } from "../errors.ts";
import { assertText } from "../registry/limits.ts";
import { KEY_BYTES_MAX } from "../store/txn.ts";

export const VERBS = [
  "read",
  "list", // a whole collection at once, where that is a right of its own (Consul's keys)
  "watch",
  "create",
  "update",
  "delete",
  "acquire", // locks, sessions on keys, leadership
  "publish", // send to a queue, fire an event
  "consume",
  "sign", // certificates in a service's name
  "grant", // give rights to others
  "backup", // snapshots, both ways
  "operate", // run the system; implies no right to data
] as const;
export type Verb = (typeof VERBS)[number];

/** Checks count as their service or node. A kind without names of its own is asked for with the empty name. */
export const KINDS = [
  "service", // name: the service
  "node", // name: the machine
  "kv", // name: the key
  "znode", // name: the path
  "session", // name: the node of the session; leases of the native API: the lease
  "lock",
  "queue",
  "config",
  "rule", // routing rules
  "query", // prepared queries
  "event",
  "agent", // name: the machine of the agent
  "intention", // name: the destination service
  "mesh",
  "peering",
  "keyring",
  "acl", // policies, roles, tokens, auth methods
  "operator",
  "settings",
  "audit",
  "snapshot",
] as const;
export type Kind = (typeof KINDS)[number];

export type Effect = "allow" | "deny" | "stop";

interface StatementBase {
  effect: Effect;
  verbs: readonly Verb[];
  kind: Kind;
  name: string;
  /** Follows from another rule: yields to what is spelled out at the same place. */
  implied?: true;
  /** The rule it was written from, for who asks why. */
  origin?: string;
}

/** A range goes from `name` (inclusive) to `end` (exclusive; null = no end). */
export type Statement = StatementBase & ({ match: "exact" | "prefix" } | { match: "range"; end: string | null });

export type DefaultPolicy = "allow" | "deny";

/** Of one policy, or written straight into a role or token. */
export const STATEMENTS_MAX = 8192;
const ORIGIN_CHARACTERS_MAX = 512;
const RANK: Record<Effect, number> = { deny: 2, allow: 1, stop: 0 };

/** A text or a key as a statement's name. */
export function nameOf(name: string | Uint8Array): string {
  if (typeof name !== "string") return toBinaryString(name);
  return ASCII.test(name) ? name : toBinaryString(utf8(name));
}

// oxlint-disable-next-line no-control-regex
const ASCII = /^[\x00-\x7f]*$/;

/** Whether `a` wins over `b` where both match with the same match and name. */
export function winsOver(a: Statement, b: Statement): boolean {
  if ((a.implied ?? false) !== (b.implied ?? false)) return b.implied ?? false;
  return RANK[a.effect] > RANK[b.effect];
}

/**
 * The statement that decides, or undefined where the default holds. This is the definition, and tells why; what runs on
 * every request is `CompiledPolicy`.
 */
export function deciding(
  statements: readonly Statement[],
  verb: Verb,
  kind: Kind,
  name: string,
): Statement | undefined {
  let best: Statement | undefined;
  for (const statement of statements) {
    if (statement.kind !== kind || !statement.verbs.includes(verb) || !matches(statement, name)) continue;
    const order = best === undefined ? 1 : specificity(statement) - specificity(best);
    if (best === undefined || order > 0 || (order === 0 && winsOver(statement, best))) best = statement;
  }
  return best;
}

export function decide(
  statements: readonly Statement[],
  verb: Verb,
  kind: Kind,
  name: string,
  otherwise: DefaultPolicy = "deny",
): boolean {
  return (deciding(statements, verb, kind, name)?.effect ?? otherwise) === "allow";
}

function matches(statement: Statement, name: string): boolean {
  switch (statement.match) {
    case "exact":
      return name === statement.name;
    case "prefix":
      return name.startsWith(statement.name);
    case "range":
      return name >= statement.name && (statement.end === null || name < statement.end);
  }
}

function specificity(statement: Statement): number {
  if (statement.match === "exact") return Number.MAX_SAFE_INTEGER;
  return statement.match === "prefix" ? statement.name.length : -1;
}

/** What came over a wire is a list of statements. Codes: `invalid_argument`, `too_large`. */
export function assertStatements(field: string, statements: unknown): asserts statements is Statement[] {
  if (!Array.isArray(statements)) throw invalid(field, "must be a list");
  if (statements.length > STATEMENTS_MAX) {
    const message = `${field}: more than ${STATEMENTS_MAX} statements`;
    throw new HoldfastError("too_large", message, { field, limit: STATEMENTS_MAX });
  }
  statements.forEach((statement: unknown, index) => assertStatement(`${field}[${index}]`, statement));
}

function assertStatement(field: string, statement: unknown): void {
  if (typeof statement !== "object" || statement === null) throw invalid(field, "must be a statement");
  const { effect, verbs, kind, match, name, end, implied, origin, ...rest } = statement as Record<string, unknown>;
  const unknown = Object.keys(rest)[0];
  if (unknown !== undefined) throw invalid(`${field}.${unknown.slice(0, 64)}`, "is not known here");
  assertOneOf(`${field}.effect`, effect, ["allow", "deny", "stop"]);
  assertOneOf(`${field}.kind`, kind, KINDS);
  assertOneOf(`${field}.match`, match, ["exact", "prefix", "range"]);
  if (!Array.isArray(verbs) || verbs.length === 0) throw invalid(`${field}.verbs`, "must name at least one verb");
  if (new Set(verbs).size !== verbs.length) throw invalid(`${field}.verbs`, "must name each verb once");
  for (const verb of verbs as unknown[]) assertOneOf(`${field}.verbs`, verb, VERBS);
  assertByteString(`${field}.name`, name);
  if (match === "range") {
    if (end !== null) assertByteString(`${field}.end`, end);
    if (end !== null && end <= name) throw invalid(`${field}.end`, "must be after name");
  } else if (end !== undefined) throw invalid(`${field}.end`, "is for ranges");
  if (implied !== undefined && implied !== true) throw invalid(`${field}.implied`, "must be true or absent");
  if (origin !== undefined) assertText(`${field}.origin`, origin, ORIGIN_CHARACTERS_MAX);
}

function assertOneOf(field: string, value: unknown, values: readonly string[]): void {
  if (typeof value !== "string" || !values.includes(value)) throw invalid(field, `must be one of ${values.join(", ")}`);
}

function assertByteString(field: string, name: unknown): asserts name is string {
  if (typeof name !== "string") throw invalid(field, "must be a text");
  if (name.length > KEY_BYTES_MAX) throw invalid(field, `must have at most ${KEY_BYTES_MAX} bytes`);
  // oxlint-disable-next-line no-control-regex
  if (!/^[\x00-\xff]*$/.test(name)) throw invalid(field, "must be a byte string: one character a byte");
}
