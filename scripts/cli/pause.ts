/** The time between two renewals. */
import { setTimeout as sleep } from "node:timers/promises";

/** False when the signal came. A tenth of spread keeps many holders from renewing in step. */
export async function waited(ms: number, signal: AbortSignal): Promise<boolean> {
  try {
    await sleep(ms * (0.9 + Math.random() * 0.1), undefined, { signal });
    return true;
  } catch {
    return false;
  }
}
