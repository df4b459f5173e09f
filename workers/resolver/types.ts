/** What the rest of the edge sees of the resolver. */
import type { ServiceView } from "../../objects/model.ts";

export interface ResolvedView {
  view: ServiceView;
  /** Seconds since this view was last known to be current; 0 when it was just read or the change feed vouches for it. */
  ageSeconds: number;
  /** The owner could not be reached: this is the last good answer. */
  stale: boolean;
}

export interface ResolveOptions {
  /** `cached` (default) may answer from this isolate's cache; `strong` asks the owner. */
  consistency?: "cached" | "strong";
  /** A known one (request/datacenter.ts); absent = the edge's own. */
  datacenter?: string;
}

export interface Resolver {
  /**
   * The view of one service; an unknown service is a view with `modRevision` 0 and no instances.
   * Throws HoldfastError `unavailable` when the owner is out of reach and no good answer is kept.
   */
  resolve(namespace: string, service: string, options?: ResolveOptions): Promise<ResolvedView>;
}
