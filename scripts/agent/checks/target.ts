/**
 * Where a check may connect to: the guard's judgement of a host, and of every address its name stands for.
 *
 * A name is looked up here, once, and the connection goes to the addresses that were judged: a second look-up could answer
 * otherwise. Refuses to know: what is said over the connection.
 */
import type { LookupAddress } from "node:dns";
import { lookup } from "node:dns/promises";
import { isIP, type LookupFunction } from "node:net";
import { assertEgress, resolveEgress, type EgressPolicy, type EgressTarget } from "../../../objects/egress.ts";

/** `addresses` has at least one entry; `host` is in its one spelling, IPv6 without brackets. */
export interface JudgedTarget {
  host: string;
  port: number;
  addresses: LookupAddress[];
}

/** Rejects with why nothing may be reached there, and when `signal` ends it. */
export async function judgedTarget(
  target: EgressTarget,
  policy: EgressPolicy,
  signal: AbortSignal,
): Promise<JudgedTarget> {
  const host = resolveEgress(target, policy).replace(/^\[|\]$/g, "");
  const { protocol, port } = target;
  const family = isIP(host);
  if (family !== 0) return { host, port, addresses: [{ address: host, family }] };
  const found = await Promise.race([lookup(host, { all: true, order: "ipv4first" }), aborted(signal)]);
  signal.throwIfAborted();
  const refusals: unknown[] = [];
  const addresses = found.filter(({ address }) => {
    try {
      assertEgress({ protocol, host: address, port }, policy);
      return true;
    } catch (error) {
      refusals.push(error);
      return false;
    }
  });
  if (addresses.length === 0) throw refusals[0] ?? new Error(`${host} has no address`);
  return { host, port, addresses };
}

const aborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
  });

/** For `net` and `tls`: the judged addresses, whatever is asked. */
export const lookupOf =
  ({ addresses }: JudgedTarget): LookupFunction =>
  (_host, options, done) => {
    if (options.all) done(null, addresses);
    else done(null, addresses[0]!.address, addresses[0]!.family);
  };
