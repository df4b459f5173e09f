/** What a rule must be for itself, whatever the others say. Throws `invalid_argument` or `too_large` naming the field. */
import { HoldfastError, invalid } from "../errors.ts";
import { assertText, assertTextMap, assertWhole } from "../registry/limits.ts";
import type {
  AccessSpec,
  Failover,
  Redirection,
  RequestMatch,
  ResolverSpec,
  RouterSpec,
  Rule,
  RuleKind,
  RuleSpecs,
  SplitterSpec,
} from "./model.ts";
import { ANY, RULE_KINDS } from "./model.ts";

export const RULE_NAME_CHARACTERS_MAX = 512;
export const META_PAIRS_MAX = 64;
export const META_VALUE_CHARACTERS_MAX = 512;
/** A rule as JSON, with what its dialect keeps. */
export const RULE_CHARACTERS_MAX = 768 * 1024;
const DURATION_MAX_MS = Number.MAX_SAFE_INTEGER;
export const WEIGHT_WHOLE = 10_000;

type Assertions = { [K in RuleKind]?: (spec: RuleSpecs[K], rule: Rule<K>) => void };

const ASSERTIONS: Assertions = {
  router: assertRouter,
  splitter: assertSplitter,
  resolver: assertResolver,
  access: assertAccess,
};

export function assertRule<K extends RuleKind>(rule: Rule<K>): void {
  if (!RULE_KINDS.includes(rule.kind)) throw invalid("kind", "is not a kind of rule");
  assertText("name", rule.name, RULE_NAME_CHARACTERS_MAX);
  if (rule.name === "") throw invalid("name", "must not be empty");
  assertTextMap("meta", rule.meta, META_PAIRS_MAX, META_VALUE_CHARACTERS_MAX);
  if (JSON.stringify(rule).length > RULE_CHARACTERS_MAX) {
    const message = `rule: more than ${RULE_CHARACTERS_MAX} characters as JSON`;
    throw new HoldfastError("too_large", message, { field: "rule", limit: RULE_CHARACTERS_MAX });
  }
  ASSERTIONS[rule.kind]?.(rule.spec, rule);
}

function assertRouter({ routes }: RouterSpec): void {
  for (const [index, { match, destination }] of routes.entries()) {
    assertMatch(`routes[${index}].match`, match);
    const at = `routes[${index}].destination`;
    if (destination.rewritePrefix !== null && match.path?.type !== "prefix" && match.path?.type !== "exact") {
      throw invalid(`${at}.rewritePrefix`, "needs a path that is matched as prefix or exactly");
    }
    assertTimeout(`${at}.timeoutMs`, destination.timeoutMs);
    assertTimeout(`${at}.idleTimeoutMs`, destination.idleTimeoutMs);
  }
}

function assertMatch(at: string, match: RequestMatch): void {
  const { path, headers, query } = match;
  if (path !== null && path.type !== "regex" && (path.type === "present" || !path.value.startsWith("/"))) {
    throw invalid(`${at}.path`, 'must begin with "/"');
  }
  for (const { name } of [...headers, ...query]) if (name === "") throw invalid(`${at}`, "names nothing");
}

function assertSplitter({ splits }: SplitterSpec, { name }: Rule<"splitter">): void {
  const seen = new Set<string>();
  for (const [index, { weight, service, subset }] of splits.entries()) {
    assertWhole(`splits[${index}].weight`, weight, 0, WEIGHT_WHOLE);
    const destination = `${service || name}\0${subset}`;
    if (seen.has(destination)) throw invalid(`splits[${index}]`, "has the destination of another split");
    seen.add(destination);
  }
  const sum = splits.reduce((total, { weight }) => total + weight, 0);
  if (sum !== WEIGHT_WHOLE) throw invalid("splits", `weights must sum to ${WEIGHT_WHOLE}, not ${sum}`);
}

function assertResolver(spec: ResolverSpec, { name }: Rule<"resolver">): void {
  const { defaultSubset, subsets, redirect, failover } = spec;
  const assertOwn = (field: string, { service, subset }: { service: string; subset: string }): void => {
    if (subset !== "" && (service === "" || service === name) && !Object.hasOwn(subsets, subset)) {
      throw invalid(field, `"${subset}" is not a subset of this service`);
    }
  };
  assertOwn("defaultSubset", { service: "", subset: defaultSubset });
  if (redirect && Object.keys(failover).length > 0) throw invalid("failover", "cannot be beside a redirect");
  if (redirect) assertRedirection("redirect", redirect);
  for (const [subset, entry] of Object.entries(failover)) {
    if (subset !== ANY) assertOwn(`failover[${subset}]`, { service: "", subset });
    assertFailover(`failover[${subset}]`, entry);
    for (const target of entry.targets) assertOwn(`failover[${subset}]`, target);
  }
  assertTimeout("connectTimeoutMs", spec.connectTimeoutMs);
  assertTimeout("requestTimeoutMs", spec.requestTimeoutMs);
}

function assertFailover(at: string, { targets }: Failover): void {
  if (targets.length === 0) throw invalid(at, "has no targets");
  for (const target of targets) assertRedirection(at, target);
}

function assertRedirection(at: string, { service, subset, datacenter, peer }: Redirection): void {
  if (service === "" && subset === "" && datacenter === "" && peer === "") throw invalid(at, "leads nowhere");
  if (peer !== "" && (subset !== "" || datacenter !== "")) {
    throw invalid(at, "cannot name a subset or a datacenter of another cluster");
  }
}

function assertAccess({ sources }: AccessSpec, { name }: Rule<"access">): void {
  const seen = new Set<string>();
  for (const [index, { service, peer, action, permissions }] of sources.entries()) {
    const at = `sources[${index}]`;
    if (service === "") throw invalid(`${at}.service`, "must not be empty");
    if ((action === null) !== permissions.length > 0) throw invalid(at, "has either an action or permissions");
    if (name === ANY && permissions.length > 0) throw invalid(at, "cannot have permissions towards any service");
    for (const [number, { match }] of permissions.entries()) assertMatch(`${at}.permissions[${number}].match`, match);
    const source = `${peer}\0${service}`;
    if (seen.has(source)) throw invalid(at, "is there twice");
    seen.add(source);
  }
}

function assertTimeout(field: string, ms: number | null): void {
  if (ms !== null && !(ms > 0 && ms <= DURATION_MAX_MS)) throw invalid(field, "must be longer than 0");
}
