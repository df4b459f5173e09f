/**
 * Self-preservation: when very many instances lapse at once, the fault is more likely on the way to them than in them.
 *
 * Then they are kept and marked suspect. Only instances are covered, never locks, sessions or elections (rule L8).
 * Source: Eureka's renewal threshold (default 85 %).
 */

export interface PreservationSettings {
  /** Share of instances that must be renewing; 0 turns self-preservation off. */
  threshold: number;
  /** With fewer leased instances than this, nothing is preserved: two dead of three are just dead. */
  minimum: number;
}

export const PRESERVATION_DEFAULTS: PreservationSettings = { threshold: 0.85, minimum: 20 };
const WINDOW_MS = 60_000;

export class Preservation {
  #expired: { at: number; count: number }[] = [];

  /** Decides for `overdue` of `leased` instances (both counted now) whether they are kept. */
  mustKeep(overdue: number, leased: number, nowAt: number, settings: PreservationSettings): boolean {
    while (this.#expired[0] !== undefined && this.#expired[0].at <= nowAt - WINDOW_MS) this.#expired.shift();
    const expired = this.#expired.reduce((sum, { count }) => sum + count, 0);
    const known = leased + expired;
    return overdue > 0 && known >= settings.minimum && (leased - overdue) / known < settings.threshold;
  }

  /** Instances that were let go. */
  expired(count: number, nowAt: number): void {
    if (count > 0) this.#expired.push({ at: nowAt, count });
  }
}
