/**
 * What a transaction does to keys, one thing at a time. What the state does not allow is an error whose `reason` says why.
 */
import { prefixEnd } from "../bytes.ts";
import type { ErrorDetails } from "../errors.ts";
import { HoldfastError } from "../errors.ts";
import type { Context, Reader, Txn } from "../store/txn.ts";
import type { KeyEntry, LockInput, SetInput } from "./entries.ts";
import { acquire, entryOf, listEntries, release, setEntry } from "./entries.ts";
import { assertKey } from "./key.ts";
import { remove } from "./kv.ts";

export type KeyWrite =
  | ({ type: "key.set" } & SetInput)
  | ({ type: "key.acquire" } & LockInput)
  | ({ type: "key.release" } & LockInput)
  /** With `cas`: only if the key's mod revision is this. A key that is absent is deleted already. */
  | { type: "key.delete"; key: Uint8Array; cas?: number | undefined }
  | { type: "key.deleteTree"; prefix: Uint8Array };

export type KeyRead =
  /** `required`: an absent key is an error. */
  | { type: "key.get"; key: Uint8Array; required: boolean }
  | { type: "key.getTree"; prefix: Uint8Array }
  | { type: "key.checkRevision"; key: Uint8Array; revision: number }
  /** `session` "" = nobody holds it. */
  | { type: "key.checkSession"; key: Uint8Array; session: string }
  | { type: "key.checkAbsent"; key: Uint8Array };

/** Why not. `details.revision` and `details.session` are the key's own, where they are what is wrong. */
export type KeyReason = "stale" | "held" | "delayed" | "notHeld" | "absent" | "present" | "revision" | "session";

/** Answers the keys that were written, as they are then. Codes: `conflict` (with `reason`), `not_found` (the session). */
export function writeKeys(txn: Txn, context: Context, operation: KeyWrite): KeyEntry[] {
  switch (operation.type) {
    case "key.set":
      return changed(setEntry(txn, operation), "stale");
    case "key.acquire": {
      const result = acquire(txn, context, operation);
      return changed(result, result.refused ?? "held");
    }
    case "key.release":
      return changed(release(txn, operation), "notHeld");
    case "key.delete":
      return deleteOne(txn, context, operation);
    case "key.deleteTree":
      remove(txn, context, { key: operation.prefix, to: prefixEnd(operation.prefix) });
      return [];
  }
}

function changed({ applied, entry }: { applied: boolean; entry: KeyEntry | null }, reason: KeyReason): KeyEntry[] {
  if (!applied) throw refused(reason);
  return [entry!];
}

function deleteOne(
  txn: Txn,
  context: Context,
  { key, cas }: { key: Uint8Array; cas?: number | undefined },
): KeyEntry[] {
  assertKey(key);
  const before = entryOf(txn, key);
  if (!before) return [];
  if (cas !== undefined && before.modRevision !== cas) throw refused("stale");
  remove(txn, context, { key });
  return [];
}

/** Codes: `conflict` (with `reason`), `too_large`. */
export function readKeys(reader: Reader, operation: KeyRead): KeyEntry[] {
  if (operation.type === "key.getTree") {
    const { entries, next } = listEntries(operation, (space, range, options) => reader.range(space, range, options));
    if (next === null) return entries;
    throw new HoldfastError("too_large", "more keys than one answer carries", { limit: entries.length });
  }
  assertKey(operation.key);
  const entry = entryOf(reader, operation.key);
  switch (operation.type) {
    case "key.get":
      if (!entry && operation.required) throw refused("absent");
      return entry ? [entry] : [];
    case "key.checkRevision":
      if (!entry) throw refused("absent");
      if (entry.modRevision !== operation.revision) throw refused("revision", { revision: entry.modRevision });
      return [entry];
    case "key.checkSession":
      if (!entry) throw refused("absent");
      if ((entry.session ?? "") !== operation.session) throw refused("session", { session: entry.session });
      return [entry];
    case "key.checkAbsent":
      if (entry) throw refused("present");
      return [];
  }
}

function refused(reason: KeyReason, details: ErrorDetails = {}): HoldfastError {
  return new HoldfastError("conflict", `the key's state does not allow it: ${reason}`, { reason, ...details });
}
