/**
 * Auth methods: who outside vouches for callers, so that they may log in for a token; and the binding rules that say what
 * such a token grants.
 *
 * How a method proves an identity, and how a rule selects one, is for the edge: here both are texts that are kept.
 */
import { HoldfastError, invalid } from "../errors.ts";
import { assertText, assertWhole } from "../registry/limits.ts";
import type { Context, Reader, Txn } from "../store/txn.ts";
import { JsonSpace } from "../store/txn.ts";
import type { Extra, Page, PageInput, Stored } from "./records.ts";
import {
  assertCas,
  assertDescription,
  assertExtra,
  assertId,
  assertLabel,
  freshId,
  pageOf,
  storedOf,
} from "./records.ts";

export interface AuthMethod {
  /** Its identity: it cannot be renamed. */
  name: string;
  /** What the edge knows it by, e.g. `jwt`. It cannot be changed. */
  type: string;
  description: string;
  /** Longest life of a token given at a login; null = until logout. */
  tokenTtlMs: number | null;
  config: Extra;
  extra: Extra;
}

export interface AuthMethodInput {
  name: string;
  type: string;
  description?: string | undefined;
  tokenTtlMs?: number | null | undefined;
  config: Extra;
  extra?: Extra | undefined;
  cas?: number | undefined;
}

export interface BindingRule {
  id: string;
  method: string;
  description: string;
  /** Which identities it is for, in the language of the edge; empty = all. */
  selector: string;
  /** What is granted, as the edge understands it. */
  bind: { type: string; name: string; variables: Record<string, string> };
  extra: Extra;
}

export interface BindingRuleInput {
  /** Absent: a new rule. */
  id?: string | undefined;
  method: string;
  description?: string | undefined;
  selector?: string | undefined;
  bind: { type: string; name: string; variables?: Record<string, string> | undefined };
  extra?: Extra | undefined;
  cas?: number | undefined;
}

export const methodSpace = new JsonSpace<AuthMethod>("auth_method");
export const ruleSpace = new JsonSpace<BindingRule>("binding_rule");

const SELECTOR_CHARACTERS_MAX = 4096;
const TOKEN_TTL_MAX_MS = 366 * 86_400_000;
/** Of one method; all of them are looked at at every login. */
const RULES_MAX = 1000;

/** Codes: `conflict`, `invalid_argument`, `too_large`. */
export function putAuthMethod(txn: Txn, _context: Context, input: AuthMethodInput): Stored<AuthMethod> {
  const { name, type, description = "", tokenTtlMs = null, config, extra = {}, cas } = input;
  assertLabel("name", name);
  assertLabel("type", type);
  assertDescription("description", description);
  if (tokenTtlMs !== null) assertWhole("tokenTtlMs", tokenTtlMs, 1000, TOKEN_TTL_MAX_MS);
  assertExtra("config", config);
  assertExtra("extra", extra);
  const before = findAuthMethod(txn, name);
  assertCas(before, cas);
  if (before && before.type !== type) throw invalid("type", `cannot be changed: it is "${before.type}"`);
  methodSpace.put(txn, [name], { name, type, description, tokenTtlMs, config, extra });
  return findAuthMethod(txn, name)!;
}

export function findAuthMethod(reader: Reader, name: string): Stored<AuthMethod> | undefined {
  const record = methodSpace.record(reader, name);
  return record && storedOf(methodSpace, record);
}

/** Codes: `not_found`. */
export function describeAuthMethod(reader: Reader, { name }: { name: string }): Stored<AuthMethod> {
  const found = findAuthMethod(reader, name);
  if (!found) throw new HoldfastError("not_found", `there is no auth method "${name}"`, { name });
  return found;
}

export function listAuthMethods(reader: Reader, input: PageInput): Page<Stored<AuthMethod>> {
  return pageOf(methodSpace, reader, input, (record) => storedOf(methodSpace, record));
}

/** Codes: `not_found` (the rule, or its method), `conflict`, `invalid_argument`, `quota_exceeded`. */
export function putBindingRule(txn: Txn, context: Context, input: BindingRuleInput): Stored<BindingRule> {
  const { id = freshId(context), method, description = "", selector = "", extra = {}, cas } = input;
  assertId("id", id);
  assertDescription("description", description);
  assertText("selector", selector, SELECTOR_CHARACTERS_MAX);
  assertExtra("extra", extra);
  const { type, name, variables = {} } = input.bind;
  assertLabel("bind.type", type);
  assertText("bind.name", name, SELECTOR_CHARACTERS_MAX);
  assertExtra("bind.variables", variables);
  const before = ruleSpace.get(txn, id);
  if (input.id !== undefined && !before) throw noRule(id);
  if (before && before.method !== method) throw invalid("method", `cannot be changed: it is "${before.method}"`);
  describeAuthMethod(txn, { name: method });
  assertCas(findBindingRule(txn, id), cas);
  if (!before && bindingRulesOf(txn, method).length >= RULES_MAX) {
    throw new HoldfastError("quota_exceeded", `the auth method has ${RULES_MAX} rules already`, { limit: RULES_MAX });
  }
  ruleSpace.put(txn, [id], { id, method, description, selector, bind: { type, name, variables }, extra });
  return findBindingRule(txn, id)!;
}

/** False when there was none. Codes: `conflict`. */
export function deleteBindingRule(
  txn: Txn,
  _context: Context,
  { id, cas }: { id: string; cas?: number | undefined },
): { existed: boolean } {
  assertCas(findBindingRule(txn, String(id)), cas);
  return { existed: ruleSpace.delete(txn, String(id)) };
}

/** Codes: `not_found`. */
export function describeBindingRule(reader: Reader, { id }: { id: string }): Stored<BindingRule> {
  const found = findBindingRule(reader, id);
  if (!found) throw noRule(id);
  return found;
}

/** `method`: only those of this method. */
export function listBindingRules(
  reader: Reader,
  input: PageInput & { method?: string | undefined },
): Page<Stored<BindingRule>> {
  const { items, after } = pageOf(ruleSpace, reader, input, (record) => storedOf(ruleSpace, record));
  return { items: input.method === undefined ? items : items.filter(({ method }) => method === input.method), after };
}

/** All rules of one method. */
export function bindingRulesOf(reader: Reader, method: string): BindingRule[] {
  return ruleSpace
    .under(reader, [])
    .map((record) => ruleSpace.decode(record))
    .filter((rule) => rule.method === method);
}

function findBindingRule(reader: Reader, id: string): Stored<BindingRule> | undefined {
  const record = ruleSpace.record(reader, id);
  return record && storedOf(ruleSpace, record);
}

const noRule = (id: string): HoldfastError =>
  new HoldfastError("not_found", `there is no binding rule with id "${id}"`, { id });
