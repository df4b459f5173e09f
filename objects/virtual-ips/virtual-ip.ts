/**
 * The virtual addresses of a service: one that it always has, by which callers mean the service whatever its instances are,
 * and others that an operator gave it.
 *
 * The first comes out of 240.0.0.0/4, which nothing routes; it is the number that the installation counted for the name
 * (`allocation.ts`). Here is the namespace's record of it.
 */
import { invalid } from "../errors.ts";
import { keyAfter } from "../bytes.ts";
import type { WatchRange } from "../store/store.ts";
import type { Reader } from "../store/txn.ts";
import { JsonSpace } from "../store/txn.ts";

export interface VirtualIp {
  address: string;
  /** Given by an operator; at most `MANUAL_MAX`. */
  manual: string[];
}

export const MANUAL_MAX = 8;
/** 240.0.0.0/4 without its first and last address. */
export const NUMBER_MAX = 0x0fff_fffe;
const BASE = 0xf000_0000;

/** Service → its addresses. */
export const virtualIpSpace = new JsonSpace<VirtualIp>("virtual_ip");

export const findVirtualIp = (reader: Reader, { service }: { service: string }): VirtualIp | null =>
  virtualIpSpace.get(reader, service) ?? null;

export function virtualIpRange(service: string): WatchRange {
  const key = virtualIpSpace.key(service);
  return { space: virtualIpSpace.name, from: key, to: keyAfter(key) };
}

/** From 1 to `NUMBER_MAX`. */
export function addressOf(number: number): string {
  const bits = BASE + number;
  return [24, 16, 8, 0].map((shift) => (bits >>> shift) & 0xff).join(".");
}

/** IPv4 addresses in their one spelling, outside the range that is counted. Throws `invalid_argument` naming the field. */
export function assertManual(field: string, addresses: readonly string[]): void {
  if (addresses.length > MANUAL_MAX) throw invalid(field, `must have at most ${MANUAL_MAX} entries`);
  for (const [index, address] of addresses.entries()) {
    const bytes = address.split(".");
    const isAddress =
      bytes.length === 4 && bytes.every((byte) => /^(?:0|[1-9]\d{0,2})$/.test(byte) && Number(byte) < 256);
    if (!isAddress) throw invalid(`${field}[${index}]`, "must be an IPv4 address");
    if (Number(bytes[0]) >= 240) throw invalid(`${field}[${index}]`, "is in the range that addresses are counted from");
  }
}
