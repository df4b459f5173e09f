/** An intention: one source of a service's access rule, as Consul shows it by itself. */
import { comparePairs, pairsOf } from "../../../../objects/rules/access.ts";
import type { AccessPair } from "../../../../objects/rules/access.ts";
import type { StoredRule } from "../../../../objects/rules/model.ts";
import { contentOf } from "../config/entry.ts";
import { ConsulError, notFound } from "../errors.ts";
import type { Exchange } from "../exchange.ts";

export type AccessRule = StoredRule<"access">;

export interface Intention {
  rule: AccessRule;
  pair: AccessPair;
  /** As Consul keeps it with the rule. */
  written: Record<string, unknown>;
}

/** What a rule says, in its order. */
export function intentionsOf(rule: AccessRule): Intention[] {
  const sources = contentOf(rule)["Sources"] as Record<string, unknown>[] | undefined;
  return pairsOf(rule).map((pair, index) => ({ rule, pair, written: sources?.[index] ?? {} }));
}

/** The most exact first. */
export const sorted = (intentions: Intention[]): Intention[] =>
  intentions.toSorted((a, b) => comparePairs(a.pair, b.pair));

export function encodeIntention({ rule, pair, written }: Intention): Record<string, unknown> {
  const { source, destination, precedence } = pair;
  const id = written["LegacyID"];
  const meta = id === undefined ? rule.meta : written["LegacyMeta"];
  return {
    ...(written["LegacyCreateTime"] !== undefined && { CreatedAt: written["LegacyCreateTime"] }),
    ...(written["LegacyUpdateTime"] !== undefined && { UpdatedAt: written["LegacyUpdateTime"] }),
    ...(id !== undefined && { ID: id }),
    ...(source.description !== "" && { Description: source.description }),
    SourceNS: "default",
    SourceName: source.service,
    DestinationNS: "default",
    DestinationName: destination,
    ...(source.peer !== "" && { SourcePeer: source.peer }),
    SourceType: "consul",
    ...(source.action !== null && { Action: source.action }),
    ...(written["Permissions"] !== undefined && { Permissions: written["Permissions"] }),
    ...(contentOf(rule)["JWT"] !== undefined && { JWT: contentOf(rule)["JWT"] }),
    ...(Object.keys(meta ?? {}).length > 0 && { Meta: meta }),
    Precedence: precedence,
    CreateIndex: rule.createRevision,
    ModifyIndex: rule.modRevision,
  };
}

/** Either end may know why something works or does not. */
export function mayRead(exchange: Exchange, { pair }: Intention): boolean {
  const { source, destination } = pair;
  return (
    (source.peer === "" && exchange.allows("intention", "read", source.service)) ||
    exchange.allows("intention", "read", destination)
  );
}

/** One intention as an answer, or why not. */
export function told(exchange: Exchange, found: Intention | undefined): Response {
  if (!found) throw notFound("Intention not found");
  if (!mayRead(exchange, found)) throw new ConsulError(403, "Permission denied");
  return exchange.json(encodeIntention(found));
}
