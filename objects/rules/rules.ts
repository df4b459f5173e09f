/**
 * The room of rules: one record each, unique by kind and name, and for every service a list of the rules that lead to it.
 * A rule that would leave the whole of them broken is refused.
 */
import type { Page, PageInput } from "../policy/records.ts";
import { assertCas, pageOf, storedOf } from "../policy/records.ts";
import { isInMesh } from "../registry/views.ts";
import type { Context, Reader, StoredRecord, Txn } from "../store/txn.ts";
import { JsonSpace } from "../store/txn.ts";
import { assertIntegrity, before } from "./integrity.ts";
import { linkedServices, servicesAround } from "./links.ts";
import type { Rule, RuleKind, RuleReader, StoredRule } from "./model.ts";
import { ANY } from "./model.ts";
import { assertRule } from "./spec.ts";

export interface RuleName {
  kind: RuleKind;
  name: string;
}

export interface PutRuleInput {
  rule: Rule;
  /** The rule's revision as the caller knows it; 0 = there must be none. */
  cas?: number | undefined;
}

export interface DeleteRuleInput extends RuleName {
  cas?: number | undefined;
}

export const ruleSpace = new JsonSpace<Rule>("rule");
/** Key: the service that is led to, then the rule's kind and name. */
export const linkSpace = new JsonSpace<true>("rule_link");

/** Rules as the store has them; each is read once. */
export class StoredRules implements RuleReader {
  readonly #reader: Reader;
  readonly #known = new Map<string, StoredRule | undefined>();

  constructor(reader: Reader) {
    this.#reader = reader;
  }

  find<K extends RuleKind>(kind: K, name: string): StoredRule<K> | undefined {
    const key = `${kind}\0${name}`;
    if (!this.#known.has(key)) this.#known.set(key, findRule(this.#reader, { kind, name }));
    return this.#known.get(key) as StoredRule<K> | undefined;
  }

  all<K extends RuleKind>(kind: K): StoredRule<K>[] {
    return ruleSpace.under(this.#reader, [kind]).map((record) => stored(record) as StoredRule<K>);
  }

  /** Rules that lead to the service from elsewhere. */
  leadingTo(service: string): RuleName[] {
    return linkSpace.under(this.#reader, [service]).map(({ key }) => {
      const [, kind, name] = linkSpace.parts(key);
      return { kind: kind as RuleKind, name: name! };
    });
  }
}

export function findRule(reader: Reader, { kind, name }: RuleName): StoredRule | undefined {
  const record = ruleSpace.record(reader, kind, name);
  return record && stored(record);
}

/**
 * Writes a rule; one that changes nothing succeeds without a commit, whatever `cas` says.
 * Codes: `conflict`, `invalid_argument` (with a reason when the rules as a whole would break), `too_large`.
 */
export function putRule(txn: Txn, _context: Context, { rule, cas }: PutRuleInput): StoredRule {
  assertRule(rule);
  const { kind, name, spec, meta, extra } = rule;
  const value: Rule = { kind, name, spec, meta, extra };
  const current = findRule(txn, rule);
  if (current && sameRule(current, value)) return current;
  assertCas(current, cas);
  const past = before(new StoredRules(txn), value);
  if (current) unlink(txn, current);
  ruleSpace.put(txn, [kind, name], value);
  for (const service of linkedServices(value)) linkSpace.put(txn, [service, kind, name], true);
  assertIntegrity(new StoredRules(txn), value, current, past);
  return findRule(txn, rule)!;
}

/** False when there was none. Codes: `conflict`, `invalid_argument` with a reason. */
export function deleteRule(txn: Txn, _context: Context, { kind, name, cas }: DeleteRuleInput): boolean {
  const current = findRule(txn, { kind, name });
  if (!current) return false;
  assertCas(current, cas);
  const past = before(new StoredRules(txn), current);
  unlink(txn, current);
  ruleSpace.delete(txn, kind, name);
  assertIntegrity(new StoredRules(txn), null, current, past);
  return true;
}

export interface ListRulesInput extends PageInput {
  /** null = every kind. */
  kind: RuleKind | null;
}

export function listRules(reader: Reader, { kind, after }: ListRulesInput): Page<StoredRule> {
  return pageOf(ruleSpace, reader, { after, under: kind === null ? [] : [kind] }, stored);
}

/** Everything that a graph of the service is made of. Codes: `too_large`. */
export function rulesAround(reader: Reader, { service }: { service: string }): StoredRule[] {
  const rules = new StoredRules(reader);
  const found = [...servicesAround(rules, service)].flatMap((name) => [
    rules.find("defaults", name),
    rules.find("splitter", name),
    rules.find("resolver", name),
  ]);
  return [rules.find("defaults", ANY), rules.find("router", service), ...found].filter((rule) => rule !== undefined);
}

export interface IngressInput {
  service: string;
  /** Whether the mesh reaches the service, where that is known better than here. */
  meshed?: boolean | undefined;
}

/** Names of the gateways that let traffic in to a service. `*` in their rules stands for every service in the mesh. */
export function ingressesFor(reader: Reader, { service, meshed }: IngressInput): string[] {
  const rules = new StoredRules(reader);
  const isMeshed = meshed ?? isInMesh(reader, service);
  const leading = [...rules.leadingTo(service), ...(isMeshed ? rules.leadingTo(ANY) : [])];
  return [...new Set(leading.flatMap(({ kind, name }) => (kind === "ingress" ? [name] : [])))];
}

/** Rules that somebody fetched. */
export class RuleSet implements RuleReader {
  readonly #rules: Map<string, Rule>;

  constructor(rules: Iterable<Rule>) {
    this.#rules = new Map([...rules].map((rule) => [`${rule.kind}\0${rule.name}`, rule]));
  }

  find<K extends RuleKind>(kind: K, name: string): Rule<K> | undefined {
    return this.#rules.get(`${kind}\0${name}`) as Rule<K> | undefined;
  }
}

function unlink(txn: Txn, rule: Rule): void {
  for (const service of linkedServices(rule)) linkSpace.delete(txn, service, rule.kind, rule.name);
}

const stored = (record: StoredRecord): StoredRule => storedOf(ruleSpace, record);

function sameRule(current: StoredRule, value: Rule): boolean {
  const { kind, name, spec, meta, extra } = current;
  return JSON.stringify({ kind, name, spec, meta, extra }) === JSON.stringify(value);
}
