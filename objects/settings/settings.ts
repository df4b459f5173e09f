/** What an operator may set for one namespace: a record in its store like everything else. */
import { invalid } from "../errors.ts";
import type { PreservationSettings } from "../leases/preservation.ts";
import { PRESERVATION_DEFAULTS } from "../leases/preservation.ts";
import type { DefaultPolicy } from "../policy/statements.ts";
import { assertWhole } from "../registry/limits.ts";
import type { Context, Reader, Txn } from "../store/txn.ts";
import { JsonSpace } from "../store/txn.ts";

export interface NamespaceSettings {
  selfPreservation: PreservationSettings;
  /** History kept for watches and old reads: this many revisions, and this long; what is older on both counts goes. */
  history: { revisions: number; ms: number };
  /** Audit entries kept: at most so many, at most so long. */
  audit: { entries: number; ms: number };
  policy: {
    /** What a caller may do where no statement of its policies matches. */
    default: DefaultPolicy;
    /** Reading keys as a range takes the right to list them, not only that to read each. */
    keyList: boolean;
  };
}

const DEFAULTS: NamespaceSettings = {
  selfPreservation: PRESERVATION_DEFAULTS,
  history: { revisions: 100_000, ms: 3_600_000 },
  audit: { entries: 1_000_000, ms: 30 * 86_400_000 },
  policy: { default: "deny", keyList: false },
};

export type SettingsPatch = { [group in keyof NamespaceSettings]?: Partial<NamespaceSettings[group]> | undefined };

export const settingsSpace = new JsonSpace<NamespaceSettings>("settings");
const KEY = "namespace";

export function settingsOf(reader: Reader): NamespaceSettings {
  return merged(DEFAULTS, settingsSpace.get(reader, KEY) ?? {});
}

/** Codes: `invalid_argument`. */
export function updateSettings(txn: Txn, _context: Context, patch: SettingsPatch): NamespaceSettings {
  const settings = merged(settingsOf(txn), patch);
  const { selfPreservation, history, audit, policy } = settings;
  if (!(selfPreservation.threshold >= 0 && selfPreservation.threshold <= 1)) {
    throw invalid("selfPreservation.threshold", "must be between 0 and 1");
  }
  assertWhole("selfPreservation.minimum", selfPreservation.minimum, 1, 1_000_000);
  assertWhole("history.revisions", history.revisions, 100, 10_000_000);
  assertWhole("history.ms", history.ms, 0, 30 * 86_400_000);
  assertWhole("audit.entries", audit.entries, 1000, 100_000_000);
  assertWhole("audit.ms", audit.ms, 60_000, 3650 * 86_400_000);
  if (policy.default !== "allow" && policy.default !== "deny") throw invalid("policy.default", "must be allow or deny");
  if (typeof policy.keyList !== "boolean") throw invalid("policy.keyList", "must be true or false");
  settingsSpace.put(txn, [KEY], settings);
  return settings;
}

function merged(base: NamespaceSettings, patch: SettingsPatch): NamespaceSettings {
  return {
    selfPreservation: { ...base.selfPreservation, ...patch.selfPreservation },
    history: { ...base.history, ...patch.history },
    audit: { ...base.audit, ...patch.audit },
    policy: { ...base.policy, ...patch.policy },
  };
}
