/** `/v1/config`: central configuration of services, proxies and the mesh, kept as rules. */
import type { Page } from "../../../../objects/policy/records.ts";
import type { RuleKind, StoredRule } from "../../../../objects/rules/model.ts";
import { ruleSpace } from "../../../../objects/rules/rules.ts";
import type { WatchRange } from "../../../../objects/store/store.ts";
import { HoldfastError } from "../../../../objects/errors.ts";
import { parseBody } from "../decode.ts";
import { badRequest, ConsulError, notFound, refused } from "../errors.ts";
import type { Exchange } from "../exchange.ts";
import { compileFilter } from "../filter/compile.ts";
import { SERVICE_DEFAULTS } from "../filter/schemas.ts";
import { primaryRoute } from "../route.ts";
import { REFUSED } from "./entries/enterprise.ts";
import { decodeEntry, encodeRule, finishEntry, ruleOf } from "./entry.ts";
import type { Need } from "./kind.ts";
import type { AnyKind } from "./kinds.ts";
import { kindNamed, kindOfRule, ruleNameOf } from "./kinds.ts";
import { inConsulsWords } from "./refusals.ts";

export const configRoutes = [
  primaryRoute("/config", { PUT: apply }),
  primaryRoute("/config/", { GET: read, DELETE: remove }),
];

async function apply(exchange: Exchange): Promise<Response> {
  const raw = decodeEntry(parseLoose(await exchange.bytes()));
  const cas = casOf(exchange);
  finishEntry(raw);
  const { kind, entry } = raw;
  const rule = ruleOf(raw);
  require(exchange, kind.write(kind.nameOf(entry)));
  for (const service of kind.related(entry)) {
    if (service !== "" && service !== rule.name) exchange.require("service", "read", service);
  }
  return exchange.json(await wasApplied(exchange.execute("rule.put", { rule, cas })));
}

/** Where bodies are decoded loosely, the texts of errors begin otherwise than everywhere else. */
export function parseLoose(bytes: Uint8Array): unknown {
  try {
    return parseBody(bytes);
  } catch (error) {
    if (!(error instanceof ConsulError)) throw error;
    throw new ConsulError(error.status, error.message.replace(/^Request decode failed/, "Request decoding failed"));
  }
}

/** False when compare-and-set failed; what was gone already counts as deleted. */
async function wasApplied(command: Promise<unknown>): Promise<boolean> {
  try {
    await command;
    return true;
  } catch (error) {
    if (error instanceof HoldfastError && error.code === "conflict") return false;
    throw inConsulsWords(error);
  }
}

function casOf(exchange: Exchange): number | undefined {
  const given = exchange.param("cas");
  if (given === "") return undefined;
  const told = `strconv.ParseUint: parsing ${JSON.stringify(given)}:`;
  if (!/^\d+$/.test(given)) throw refused(`${told} invalid syntax`);
  if (BigInt(given) >= 1n << 64n) throw refused(`${told} value out of range`);
  // No revision is that large, so none compares equal.
  return Math.min(Number(given), Number.MAX_SAFE_INTEGER);
}

function require(exchange: Exchange, need: Need): void {
  if (need) exchange.require(...need);
}

function mayRead(exchange: Exchange, kind: AnyKind, name: string): boolean {
  if (kind.isReadByServices && exchange.authorizer.allowsAny("service", "write")) return true;
  const need = kind.read(name);
  return need === null || exchange.allows(...need);
}

function read(exchange: Exchange): Promise<Response> {
  const slash = exchange.rest.indexOf("/");
  return slash === -1
    ? list(exchange, exchange.rest)
    : get(exchange, exchange.rest.slice(0, slash), exchange.rest.slice(slash + 1));
}

async function get(exchange: Exchange, kindName: string, name: string): Promise<Response> {
  const missing = notFound(`Config entry not found for ${JSON.stringify(kindName)} / ${JSON.stringify(name)}`);
  const kind = kindNamed(kindName);
  if (!kind) {
    if (!Object.hasOwn(REFUSED, kindName)) throw refused(`invalid config entry kind: ${kindName}`);
    await none(exchange);
    throw missing;
  }
  if (!mayRead(exchange, kind, name)) require(exchange, kind.read(name));
  const key = ruleSpace.key(kind.ruleKind, ruleNameOf(kind, name));
  const range = { space: ruleSpace.name, from: key, to: Uint8Array.of(...key, 0) };
  const input = { kind: kind.ruleKind, name: ruleNameOf(kind, name) };
  const { value } = await exchange.read("rule.get", input, [range]);
  if (!value || kindOfRule(value) !== kind) throw missing;
  return exchange.json(encodeRule(value));
}

async function list(exchange: Exchange, kindName: string): Promise<Response> {
  const kind = kindName === "" ? null : kindNamed(kindName);
  if (kind === undefined && !Object.hasOwn(REFUSED, kindName)) throw refused(`invalid config entry kind: ${kindName}`);
  const filter = filterOf(exchange, kindName);
  const rules = kind === undefined ? await none(exchange) : await rulesOf(exchange, kind);
  const visible = exchange.visible(rules, (rule) => mayRead(exchange, kindOfRule(rule), rule.name));
  return exchange.json(visible.map(encodeRule).filter(filter));
}

async function none(exchange: Exchange): Promise<StoredRule[]> {
  await exchange.changed([{ space: ruleSpace.name, ...ruleSpace.rangeUnder(["none"]) }]);
  return [];
}

function filterOf(exchange: Exchange, kindName: string): (entry: unknown) => boolean {
  const filter = exchange.param("filter");
  if (filter === "") return () => true;
  if (kindName !== "service-defaults") throw refused(`filtering not supported for config entry kind=${kindName}`);
  return compileFilter(filter, SERVICE_DEFAULTS);
}

/** Rules shown as this kind; null = as any. */
async function rulesOf(exchange: Exchange, kind: AnyKind | null): Promise<StoredRule[]> {
  const rules = await readRules(exchange, kind?.ruleKind ?? null);
  return kind === null ? rules : rules.filter((rule) => kindOfRule(rule) === kind);
}

export const rangeOfRules = (kind: RuleKind | null): WatchRange => ({
  space: ruleSpace.name,
  ...ruleSpace.rangeUnder(kind === null ? [] : [kind]),
});

/** All rules of a kind, waiting as the caller asked; null = of every kind. */
export async function readRules({ primary }: Exchange, kind: RuleKind | null): Promise<StoredRule[]> {
  return rulesFrom(primary, kind, (await primary.read("rule.list", { kind }, [rangeOfRules(kind)])).value);
}

/** The same as they are now, beside something else that was waited for. */
export async function knownRules({ primary }: Exchange, kind: RuleKind | null): Promise<StoredRule[]> {
  return rulesFrom(primary, kind, (await primary.client.query("rule.list", { kind })).value);
}

/** The pages after the first are as of a moment later. */
async function rulesFrom(primary: Exchange, kind: RuleKind | null, first: Page<StoredRule>): Promise<StoredRule[]> {
  const rules = [...first.items];
  for (let { after } = first; after !== null;) {
    const { value: page } = await primary.client.query("rule.list", { kind, after });
    rules.push(...page.items);
    after = page.after;
  }
  return rules;
}

async function remove(exchange: Exchange): Promise<Response> {
  const slash = exchange.rest.indexOf("/");
  if (slash === -1) throw notFound("Must provide both a kind and name to delete");
  const kindName = exchange.rest.slice(0, slash);
  const name = exchange.rest.slice(slash + 1);
  const kind = kindNamed(kindName);
  const refusal = Object.hasOwn(REFUSED, kindName) ? REFUSED[kindName] : undefined;
  if (refusal) throw refusal();
  if (!kind) throw badRequest(`invalid config entry kind: ${kindName}`);
  const cas = casOf(exchange);
  // Consul does not look at the name of the mesh's entry.
  if (kind.name === "proxy-defaults" && name !== kind.only!.entryName) {
    throw refused(`invalid name (${JSON.stringify(name)}), only "${kind.only!.entryName}" is supported`);
  }
  require(exchange, kind.write(name));
  const input = { kind: kind.ruleKind, name: kind.only?.ruleName ?? name, cas };
  const wasDeleted = await wasApplied(exchange.execute("rule.delete", input));
  return exchange.json(cas === undefined ? {} : wasDeleted);
}
