/**
 * The packed form in which deadlines survive the object's memory: a few rows for all of them, never one each.
 *
 * Each entry is what the records do not say: the deadline to which renewals moved it, and how often an outage stood in for
 * a renewal.
 */
import type { Deadline } from "./deadlines.ts";
import { isRenewable } from "./deadlines.ts";

/** Well under a row's limit. */
const PART_CHARACTERS = 500_000;

type Entry = [key: string, deadlineAt: number, extensions: number];

/** JSON texts, each one row. */
export function packCheckpoint(deadlines: Iterable<Deadline>): string[] {
  const parts: string[] = [];
  let part: string[] = [];
  let length = 0;
  for (const { key, kind, deadlineAt, extensions } of deadlines) {
    // Of what nobody can renew the records say all.
    if (!isRenewable(kind)) continue;
    const entry = JSON.stringify([key, deadlineAt, extensions] satisfies Entry);
    part.push(entry);
    length += entry.length + 1;
    if (length >= PART_CHARACTERS) {
      parts.push(`[${part.join(",")}]`);
      part = [];
      length = 0;
    }
  }
  if (part.length > 0) parts.push(`[${part.join(",")}]`);
  return parts;
}

export function unpackCheckpoint(parts: Iterable<string>): Entry[] {
  const entries: Entry[] = [];
  for (const part of parts) entries.push(...(JSON.parse(part) as Entry[]));
  return entries;
}
