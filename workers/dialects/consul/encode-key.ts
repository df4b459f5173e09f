/** A key as Consul shows it. Source: Consul 1.21, `structs.DirEntry`. */
import { toBase64 } from "../../../objects/bytes.ts";
import type { KeyEntry } from "../../../objects/kv/entries.ts";

export interface KeyPair {
  LockIndex: number;
  Key: string;
  Flags: bigint;
  Value: string | null;
  Session?: string;
  CreateIndex: number;
  ModifyIndex: number;
}

/** A key may begin with what other texts take for a mark of their encoding. */
const decoder = new TextDecoder("utf-8", { fatal: false, ignoreBOM: true });

/** Keys are bytes; those of other dialects need not be UTF-8. */
export const keyText = (key: Uint8Array): string => decoder.decode(key);

export function keyPair(entry: KeyEntry): KeyPair {
  return {
    LockIndex: entry.lockIndex,
    Key: keyText(entry.key),
    Flags: BigInt(entry.flags),
    Value: entry.value.length > 0 ? toBase64(entry.value) : null,
    ...(entry.session !== null && { Session: entry.session }),
    CreateIndex: entry.createRevision,
    ModifyIndex: entry.modRevision,
  };
}
