/** etcd's 64-bit numbers and ours, which are exact up to 2^53. */

/** The nearest that we have: nothing stored is as far away. */
export function near(value: bigint): number {
  if (value > MAX) return Number.MAX_SAFE_INTEGER;
  return value < -MAX ? -Number.MAX_SAFE_INTEGER : Number(value);
}

const MAX = BigInt(Number.MAX_SAFE_INTEGER);

/** Where 0 and less mean that nothing is asked for. */
export const positive = (value: bigint): number | undefined => (value <= 0n ? undefined : near(value));

/** 0 = none. */
export const leaseId = (id: bigint): string | null => (id === 0n ? null : id.toString());
