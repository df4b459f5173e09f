/** What a key is, and how much of the keys one answer carries. */
import { HoldfastError, invalid } from "../errors.ts";
import { KEY_BYTES_MAX } from "../store/txn.ts";

export const KV = "kv";
/** Of one answer, so that it stays far below what one RPC carries. */
export const RANGE_BYTES_MAX = 8 * 1024 * 1024;
export const RANGE_RECORDS_MAX = 10_000;

export function assertKey(key: Uint8Array): void {
  if (!(key instanceof Uint8Array)) throw invalid("key", "must be bytes");
  if (key.length === 0) throw invalid("key", "must not be empty");
  if (key.length > KEY_BYTES_MAX) {
    throw new HoldfastError("too_large", `key: longer than ${KEY_BYTES_MAX} bytes`, {
      field: "key",
      limit: KEY_BYTES_MAX,
    });
  }
}
