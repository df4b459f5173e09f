/**
 * Network coordinates: places in a space whose distances estimate round-trip times. Pure arithmetic.
 * Source: Dabek et al., "Vivaldi: A Decentralized Network Coordinate System" (SIGCOMM 2004), with the height vector, and
 * the adjustment of Ledlie et al., "Network Coordinates in the Wild" (NSDI 2007), as Serf has them.
 */

/** Seconds. */
export interface Coordinate {
  vec: number[];
  /** How far off the estimate may be, without a unit. */
  error: number;
  adjustment: number;
  height: number;
}

export const DIMENSIONS = 8;

/** Where a node that has measured nothing yet stands. */
export const ORIGIN: Coordinate = {
  vec: Array.from({ length: DIMENSIONS }, () => 0),
  error: 1.5,
  adjustment: 0,
  height: 1e-5,
};

/** The estimated round-trip time, in seconds. */
export function distance(a: Coordinate, b: Coordinate): number {
  const squares = a.vec.reduce((sum, value, at) => sum + (value - (b.vec[at] ?? 0)) ** 2, 0);
  const raw = Math.sqrt(squares) + a.height + b.height;
  const adjusted = raw + a.adjustment + b.adjustment;
  return adjusted > 0 ? adjusted : raw;
}

export function hasOnlyNumbers({ vec, error, adjustment, height }: Coordinate): boolean {
  return [...vec, error, adjustment, height].every(Number.isFinite);
}
