/** Changes of single intentions: the rule is read, one of its sources changed, and the rule written if it is still the same. */
import { HoldfastError } from "../../../../objects/errors.ts";
import type { IntentionsEntry, SourceEntry } from "../config/entries/intentions.ts";
import { assertIntentions, normalizeIntentions, serviceIntentions, source } from "../config/entries/intentions.ts";
import { entryOfRule, ruleOf } from "../config/entry.ts";
import type { AnyKind } from "../config/kinds.ts";
import { inConsulsWords } from "../config/refusals.ts";
import { ConsulError, refused } from "../errors.ts";
import type { Exchange } from "../exchange.ts";
import type { AccessRule } from "./intention.ts";

const ATTEMPTS = 8;

export interface SourceChange {
  destination: string;
  /** Written by the old API, by id. */
  byId: boolean;
  /** Changes the entry; false = it is good as it is. */
  change: (entry: IntentionsEntry, rule: AccessRule | null) => boolean;
}

/** Writes the destination's rule anew, or deletes it with its last source. */
export async function changeSources(exchange: Exchange, { destination, byId, change }: SourceChange): Promise<void> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const name = { kind: "access", name: destination } as const;
    const rule = (await exchange.client.query("rule.get", name, { strong: true })).value as AccessRule | null;
    const entry = rule ? (entryOfRule(rule) as IntentionsEntry) : emptyEntry(destination);
    if (!change(entry, rule)) return;
    const cas = rule?.modRevision ?? 0;
    try {
      if (!entry.Sources?.length) {
        await exchange.execute("rule.delete", { ...name, cas });
        return;
      }
      normalizeIntentions(entry, byId);
      assertIntentions(entry, byId);
      await exchange.execute("rule.put", { rule: ruleOf({ kind: serviceIntentions as AnyKind, entry }), cas });
      return;
    } catch (error) {
      if (!(error instanceof HoldfastError) || error.code !== "conflict") throw inConsulsWords(error);
    }
  }
  throw refused("the intentions of this destination keep changing; try again");
}

function emptyEntry(destination: string): IntentionsEntry {
  return { ...serviceIntentions.schema.zero(), Name: destination, Sources: [] };
}

export const newSource = (fields: Partial<SourceEntry>): SourceEntry => ({ ...source.zero(), ...fields });

/** Refused in fewer words than elsewhere. */
export function requireWrite(exchange: Exchange, destination: string): void {
  if (destination !== "" && exchange.allows("intention", "write", destination)) return;
  throw new ConsulError(403, "Permission denied");
}
