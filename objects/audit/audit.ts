/** The audit log as it is read: who changed what, from where, at which revision. It is the store's own log of commits. */
import { toHex } from "../bytes.ts";
import { invalid } from "../errors.ts";
import type { Caller } from "../model.ts";
import type { LoggedChange, LogRow } from "../store/backend.ts";
import type { Store } from "../store/store.ts";

export interface AuditEntry {
  revision: number;
  at: number;
  command: string;
  caller: Caller;
  requestId: string | null;
  /** The first of them; `changeCount` counts all. */
  changes: LoggedChange[];
  changeCount: number;
  /** SHA-256 over the previous entry's hash, this entry and the digest of the written values; hex. */
  hash: string;
}

export interface AuditPage {
  entries: AuditEntry[];
  /** The revision after which to continue; null at the end. */
  after: number | null;
}

export interface AuditVerdict {
  checked: number;
  through: number;
  /** The first entry that does not fit the chain; null when all fit. */
  brokenAt: number | null;
}

const PAGE_MAX = 1000;
const CHANGES_SHOWN = 100;

export function listAudit(store: Store, { since = 0, limit = 100 }: { since?: number; limit?: number }): AuditPage {
  if (!Number.isInteger(limit) || limit < 1 || limit > PAGE_MAX)
    throw invalid("limit", `must be from 1 to ${PAGE_MAX}`);
  const rows = store.log(since, limit + 1);
  const entries = rows.slice(0, limit).map(entryOf);
  return { entries, after: rows.length > limit ? entries.at(-1)!.revision : null };
}

/** One slice of the chain; call again with `since: through` until `checked` is 0. */
export function verifyAudit(store: Store, { since = 0 }: { since?: number }): AuditVerdict {
  return store.verifyChain(since, PAGE_MAX);
}

function entryOf({ revision, at, command, caller, requestId, changes, hash }: LogRow): AuditEntry {
  const shown = changes.slice(0, CHANGES_SHOWN);
  return { revision, at, command, caller, requestId, changes: shown, changeCount: changes.length, hash: toHex(hash) };
}
