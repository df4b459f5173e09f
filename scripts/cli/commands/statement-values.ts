/** `--allow read:service:web*` and `--deny …` as statements. Which verbs and kinds there are is the edge's to say. */
import { VERBS } from "../../../objects/policy/statements.ts";
import type { StatementInput } from "../client.ts";
import { usage } from "../exit.ts";

export function statementsOf({ allow = [], deny = [] }: { allow?: string[]; deny?: string[] }): StatementInput[] {
  return [
    ...allow.map((text) => statementOf("allow", text, "--allow")),
    ...deny.map((text) => statementOf("deny", text, "--deny")),
  ];
}

function statementOf(effect: "allow" | "deny", text: string, option: string): StatementInput {
  // Names may have colons of their own.
  const [verbs, kind, ...rest] = text.split(":");
  if (!verbs || !kind) throw usage(`${option}: "${text}" is not of the form VERBS:KIND[:NAME]`);
  const common = { effect, verbs: verbs === "all" ? [...VERBS] : verbs.split(","), kind };
  const name = rest.join(":");
  if (rest.length === 0 || name === "*") return common;
  if (name.endsWith("*")) return { ...common, match: "prefix", name: name.slice(0, -1) };
  return { ...common, match: "exact", name };
}
