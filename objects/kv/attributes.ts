/**
 * What a key has besides its value: flags, and who holds it as a lock.
 *
 * Attributes are a record beside the key's own, under the same key and written in the same commit, and only while they say
 * something; whoever changes them writes the key's record too, so its mod revision moves. The holder is what the record
 * hangs on (its `lease`), so all that a session holds is found without looking at other keys.
 *
 * A dialect that does not know an attribute leaves it as it is; a key that is deleted has none.
 */
import { text, utf8 } from "../bytes.ts";
import { invalid } from "../errors.ts";
import type { KeyRange, Reader, StoredRecord, Txn } from "../store/txn.ts";

export const KEY_ATTRIBUTES = "kv_attributes";

export interface KeyAttributes {
  /** 64 bits that clients keep with a key, as a decimal number. */
  flags: string;
  /** The session that holds the key; null = nobody does. */
  session: string | null;
  /** How often the key was acquired since it was last written without regard to locks. */
  lockIndex: number;
  /** The revision at which the holder got it, greater with each grant; 0 = nobody holds it. */
  token: number;
}

export const NO_ATTRIBUTES: KeyAttributes = { flags: "0", session: null, lockIndex: 0, token: 0 };

type Stored = [flags: string, lockIndex: number, token: number];

export function attributesOf(reader: Reader, key: Uint8Array): KeyAttributes {
  return attributesFrom(reader.get(KEY_ATTRIBUTES, key));
}

export function attributesFrom(record: StoredRecord | undefined): KeyAttributes {
  if (!record) return NO_ATTRIBUTES;
  const [flags, lockIndex, token] = JSON.parse(text(record.value)) as Stored;
  return { flags, session: record.lease, lockIndex, token };
}

export function putAttributes(txn: Txn, key: Uint8Array, { flags, session, lockIndex, token }: KeyAttributes): void {
  if (flags === "0" && session === null && lockIndex === 0) dropAttributes(txn, key);
  else txn.put(KEY_ATTRIBUTES, key, utf8(JSON.stringify([flags, lockIndex, token] satisfies Stored)), session);
}

export function dropAttributes(txn: Txn, key: Uint8Array): void {
  txn.delete(KEY_ATTRIBUTES, key);
}

/** Of all keys of a range, `count` of them, that are deleted. */
export function dropAttributesIn(txn: Txn, range: KeyRange, count: number): void {
  const swept = txn.sizes(KEY_ATTRIBUTES, range, count);
  if (swept.length > 0) txn.sweep(KEY_ATTRIBUTES, range, swept);
}

/** The keys that a session holds. */
export function keysHeldBy(reader: Reader, session: string): Uint8Array[] {
  return reader
    .leased(session)
    .filter(({ space }) => space === KEY_ATTRIBUTES)
    .map(({ key }) => key);
}

const FLAGS_MAX = 2n ** 64n - 1n;

export function assertFlags(flags: unknown): asserts flags is string {
  if (typeof flags !== "string" || !/^(?:0|[1-9]\d{0,19})$/.test(flags) || BigInt(flags) > FLAGS_MAX) {
    throw invalid("flags", "must be a whole number from 0 to 2^64-1, in decimal");
  }
}
