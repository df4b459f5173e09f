/** The text of a commit that is hashed and logged. It is stored as it was, so that it can be hashed again. */
import { fromBinaryString, toBinaryString } from "../bytes.ts";
import type { Commit, LoggedChange, LogRow } from "./backend.ts";

/** An array, so that no order of names can vary. */
export function canonicalText(commit: Commit): string {
  return JSON.stringify([
    commit.revision,
    commit.at,
    commit.command,
    commit.caller.principal,
    commit.caller.source,
    commit.caller.dialect,
    commit.requestId,
    commit.changes.map((change) => [change.space, toBinaryString(change.key), change.after ? 1 : 0]),
  ]);
}

type Canonical = [number, number, string, string, string, string, string | null, [string, string, 0 | 1][]];

export function parseCanonical(canonical: string): Omit<LogRow, "canonical" | "content" | "hash"> {
  const [revision, at, command, principal, source, dialect, requestId, changes] = JSON.parse(canonical) as Canonical;
  return {
    revision,
    at,
    command,
    caller: { principal, source, dialect },
    requestId,
    changes: changes.map(([space, key, put]): LoggedChange => ({
      space,
      key: fromBinaryString(key),
      type: put ? "put" : "delete",
    })),
  };
}
