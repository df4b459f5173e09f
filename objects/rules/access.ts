/**
 * Who may call whom: which rule decides for a pair of services, and what it says.
 *
 * The more exact rule decides, its destination before its source; among equals the order is by name, and does not matter
 * for a single pair. A decision about a connection knows no requests, so permissions allow nothing yet.
 */
import { HoldfastError } from "../errors.ts";
import type { Reader } from "../store/txn.ts";
import type { AccessSource, Rule } from "./model.ts";
import { ANY } from "./model.ts";
import { findRule, listRules } from "./rules.ts";

/** 9 exact to exact, 8 any to exact, 6 exact to any, 5 any to any. */
export const precedenceOf = (source: string, destination: string): number =>
  (destination === ANY ? 6 : 9) - (source === ANY ? 1 : 0);

export interface AccessPair {
  source: AccessSource;
  /** The service called, or `*`. */
  destination: string;
  precedence: number;
}

export const pairsOf = ({ name, spec }: Rule<"access">): AccessPair[] =>
  spec.sources.map((source) => ({
    source,
    destination: name,
    precedence: precedenceOf(source.service, name),
  }));

/** The most exact first. */
export function comparePairs(a: AccessPair, b: AccessPair): number {
  return (
    b.precedence - a.precedence ||
    compareText(a.source.peer, b.source.peer) ||
    compareText(a.source.service, b.source.service) ||
    compareText(a.destination, b.destination)
  );
}

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

const MATCHES_MAX = 10_000;

export interface AccessMatchInput {
  by: "source" | "destination";
  service: string;
}

/** Every rule that has a say about calls from, or to, the service. Codes: `too_large`. */
export function accessMatching(reader: Reader, { by, service }: AccessMatchInput): Rule<"access">[] {
  const names = new Set([service, ANY]);
  if (by === "destination") {
    return [...names].flatMap((name) => (findRule(reader, { kind: "access", name }) as Rule<"access">) ?? []);
  }
  const found: Rule<"access">[] = [];
  for (let after: string | null = null; ;) {
    const page = listRules(reader, { kind: "access", after });
    for (const rule of page.items as Rule<"access">[]) {
      if (rule.spec.sources.some(({ service: name, peer }) => peer === "" && names.has(name))) found.push(rule);
    }
    if (found.length > MATCHES_MAX) {
      throw new HoldfastError("too_large", `more than ${MATCHES_MAX} rules match service "${service}"`, { service });
    }
    if (page.after === null) return found;
    after = page.after;
  }
}

export interface AccessCall {
  source: string;
  /** "" = here. */
  peer: string;
  destination: string;
}

/** The pair that decides about a connection; undefined = no rule says anything. */
export function decidingPair(rules: Iterable<Rule<"access">>, call: AccessCall): AccessPair | undefined {
  const fits = ({ source, destination }: AccessPair): boolean =>
    source.peer === call.peer &&
    (source.service === ANY || source.service === call.source) &&
    (destination === ANY || destination === call.destination);
  return [...rules].flatMap(pairsOf).filter(fits).toSorted(comparePairs)[0];
}
