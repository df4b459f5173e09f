/** Bodies that Consul bounds by a setting of its agents, and refuses in the same words. */
import { HoldfastError } from "../../../objects/errors.ts";
import { ConsulError } from "./errors.ts";
import type { Exchange } from "./exchange.ts";

/** The default of both settings: what Raft takes well in one entry. */
export const RAFT_ENTRY_BYTES_MAX = 524_288;

export async function boundedBody(
  exchange: Exchange,
  setting: "kv_max_value_size" | "txn_max_req_len",
): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return await exchange.bytes(RAFT_ENTRY_BYTES_MAX);
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.code !== "too_large") throw error;
    // A body in chunks does not tell its length; it was not read to the end.
    const told = exchange.request.headers.get("content-length") ?? `more than ${RAFT_ENTRY_BYTES_MAX}`;
    const where = `https://developer.hashicorp.com/docs/agent/config/config-files#${setting}`;
    const message = `Request body(${told} bytes) too large, max size: ${RAFT_ENTRY_BYTES_MAX} bytes. See ${where}.`;
    throw new ConsulError(413, message);
  }
}
