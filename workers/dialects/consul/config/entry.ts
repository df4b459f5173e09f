/**
 * An entry on its way: from a body to a rule, and from a rule to what Consul shows. What the domain has no word for is kept
 * with the rule, as Consul writes it, so that what was written comes back.
 */
import type { Rule, StoredRule } from "../../../../objects/rules/model.ts";
import { badRequest } from "../errors.ts";
import { multiError } from "../multi-error.ts";
import { REFUSED } from "./entries/enterprise.ts";
import type { AnyKind } from "./kinds.ts";
import { kindNamed, kindOfRule, ruleNameOf } from "./kinds.ts";
import type { Issues } from "./schema.ts";

/** Decoded and not yet looked at. */
export interface RawEntry {
  kind: AnyKind;
  entry: unknown;
}

const failed = (why: string): Error => badRequest(`Request decoding failed: ${why}`);

export function decodeEntry(body: unknown): RawEntry {
  const kindName = kindNameOf(body);
  const refusal = Object.hasOwn(REFUSED, kindName) ? REFUSED[kindName] : undefined;
  if (refusal) throw refusal();
  const kind = kindNamed(kindName);
  if (!kind) throw failed(`invalid config entry kind: ${kindName}`);
  const issues: Issues = { unused: [], errors: [] };
  const entry = kind.schema.decode(body, "", issues);
  if (issues.errors.length > 0) {
    const lines = issues.errors.map((error) => `* ${error}`).join("\n");
    throw failed(`${issues.errors.length} error(s) decoding:\n\n${lines}`);
  }
  if (issues.unused.length > 0) throw failed(multiError(issues.unused.map(unusedText)));
  return { kind, entry };
}

function kindNameOf(body: unknown): string {
  if (Array.isArray(body) || (typeof body !== "object" && body !== undefined)) {
    const type = Array.isArray(body) ? "array" : typeof body;
    throw failed(`json: cannot unmarshal ${type} into Go value of type map[string]interface {}`);
  }
  const { Kind, kind } = (body ?? {}) as { Kind?: unknown; kind?: unknown };
  const name = Kind === undefined ? kind : Kind;
  if (name === undefined) throw failed("Payload does not contain a kind/Kind key at the top level");
  if (typeof name !== "string") throw failed("Kind value in payload is not a string");
  return name;
}

function unusedText(path: string): string {
  const lower = path.toLowerCase();
  const key = `invalid config key ${JSON.stringify(path)}`;
  if (lower.endsWith("namespace")) return `${key}, namespaces are a consul enterprise feature`;
  return lower.includes("jwt") ? `${key}, api-gateway jwt validation is a consul enterprise feature` : key;
}

/** As Consul makes it, and found good. */
export function finishEntry({ kind, entry }: RawEntry): void {
  kind.normalize(entry);
  kind.validate(entry);
}

export function ruleOf({ kind, entry }: RawEntry): Rule {
  const { Kind: _kind, Name: _name, Meta: _meta, ...rest } = kind.schema.encode(entry) as Record<string, unknown>;
  return {
    kind: kind.ruleKind,
    name: ruleNameOf(kind, kind.nameOf(entry)),
    spec: kind.specOf(entry),
    meta: kind.metaOf(entry),
    extra: { consul: rest },
  };
}

/** What Consul keeps with a rule; empty when another surface wrote it. */
export const contentOf = (rule: Rule): Record<string, unknown> =>
  (rule.extra["consul"] as Record<string, unknown> | undefined) ?? {};

/** The entry of a rule as it was decoded. */
export function entryOfRule(rule: Rule): unknown {
  const kind = kindOfRule(rule);
  const issues: Issues = { unused: [], errors: [] };
  return kind.schema.decode({ Name: rule.name, Meta: rule.meta, ...contentOf(rule) }, "", issues);
}

export function encodeRule(rule: StoredRule): Record<string, unknown> {
  const kind = kindOfRule(rule);
  const hasName = kind.name !== "mesh";
  return {
    Kind: kind.name,
    ...(hasName && { Name: kind.only?.entryName ?? rule.name }),
    ...contentOf(rule),
    ...(Object.keys(rule.meta).length > 0 && { Meta: rule.meta }),
    CreateIndex: rule.createRevision,
    ModifyIndex: rule.modRevision,
  };
}
