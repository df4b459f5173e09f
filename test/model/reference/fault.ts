/** What is wrong with an object to check the checkers with, now and then. */
import type { Random } from "../random.ts";

/** Whether it is time for this fault: never but for the one that was planted, and for that in a share of the occasions. */
export function plantedIn<F extends string>(random: Random, planted: F | null, share: number): (fault: F) => boolean {
  return (fault) => fault === planted && random.chance(share);
}
