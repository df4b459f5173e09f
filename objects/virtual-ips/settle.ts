/** Writes down what the installation's directory has said about virtual addresses; instances that show them follow. */
import { HoldfastError } from "../errors.ts";
import { instanceSpace, meshSpace } from "../registry/spaces.ts";
import { putInstance } from "../registry/write.ts";
import type { Context, Txn } from "../store/txn.ts";
import type { Claimed } from "./allocation.ts";
import { assertManual, findVirtualIp, virtualIpSpace } from "./virtual-ip.ts";

export interface SettleInput {
  claimed: Claimed[];
  released: string[];
}

export function settle(txn: Txn, { now }: Context, { claimed, released }: SettleInput): null {
  for (const service of released) virtualIpSpace.delete(txn, service);
  for (const { service, address, manual } of claimed) {
    virtualIpSpace.put(txn, [service], { address, manual });
    for (const { key } of meshSpace.under(txn, [service])) {
      const [, of = "", id = ""] = meshSpace.parts(key);
      const record = instanceSpace.record(txn, of, id);
      const instance = record && instanceSpace.decode(record);
      if (instance && instance.virtualIp !== address) putInstance(txn, now, instance, instance, record.lease);
    }
  }
  return null;
}

export interface ManualInput {
  service: string;
  addresses: string[];
  /** Services that had some of them. */
  takenFrom: string[];
}

/** Codes: `not_found` (the service has no virtual address), `invalid_argument`. */
export function setManual(txn: Txn, _context: Context, { service, addresses, takenFrom }: ManualInput): null {
  assertManual("addresses", addresses);
  const own = findVirtualIp(txn, { service });
  if (!own) throw new HoldfastError("not_found", `service "${service}" has no virtual address`, { service });
  for (const other of takenFrom) {
    const before = findVirtualIp(txn, { service: other });
    const manual = before?.manual.filter((address) => !addresses.includes(address)) ?? [];
    if (before) virtualIpSpace.put(txn, [other], { ...before, manual });
  }
  virtualIpSpace.put(txn, [service], { ...own, manual: addresses });
  return null;
}
