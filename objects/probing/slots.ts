/**
 * When a check runs: at fixed instants that its own key spreads over the interval.
 *
 * Instants are derived, not stored: after an eviction, a restart or on another machine the same check still runs at the
 * same instants. A random first delay would be drawn anew on each wake-up, and a check whose interval is longer than the
 * object stays in memory would never run at all.
 *
 * Refuses to know: clocks, and what a check does.
 */

/** Shorter intervals are raised to it. */
export const INTERVAL_MIN_MS = 1000;
const INTERVAL_MAX_MS = 86_400_000;

/** The interval that is kept: within a second and a day; a minute when it is no number. */
export function intervalOf(intervalMs: number): number {
  if (!Number.isFinite(intervalMs)) return 60_000;
  return Math.min(INTERVAL_MAX_MS, Math.max(INTERVAL_MIN_MS, Math.round(intervalMs)));
}

/** The first instant of `key` after `afterAt`, in epoch milliseconds. */
export function slotAfter(key: string, intervalMs: number, afterAt: number): number {
  const phase = hash(key) % intervalMs;
  return (Math.floor((afterAt - phase) / intervalMs) + 1) * intervalMs + phase;
}

/** FNV-1a with a final mix: keys that differ in one digit must land far apart. */
function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
