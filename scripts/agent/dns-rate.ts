/**
 * Response-rate limit against amplification: a forged source may not make the agent flood its owner.
 *
 * A token bucket per source. Over the limit every second query gets an empty, truncated reply, so that an honest client
 * goes on over TCP, and the others get silence. The clock is handed in.
 */

export type Verdict = "answer" | "truncate" | "drop";

/** Sources kept in mind; past that the longest-known bucket is forgotten, which costs memory nothing and a flood little. */
const SOURCES_MAX = 10_000;

interface Bucket {
  tokens: number;
  filledAt: number;
  refused: number;
}

export class ResponseRateLimit {
  private readonly buckets = new Map<string, Bucket>();
  private readonly perSecond: number;
  private readonly burst: number;

  /** A source may burst to one second's worth, and to one answer at least. */
  constructor(perSecond: number) {
    this.perSecond = perSecond;
    this.burst = Math.max(1, perSecond);
  }

  /** `nowMs` must not go back. */
  take(source: string, nowMs: number): Verdict {
    const bucket = this.bucketOf(source, nowMs);
    const refill = ((nowMs - bucket.filledAt) / 1000) * this.perSecond;
    bucket.tokens = Math.min(this.burst, bucket.tokens + refill);
    bucket.filledAt = nowMs;
    if (bucket.tokens >= 1) {
      bucket.tokens -= 1;
      return "answer";
    }
    bucket.refused++;
    return bucket.refused % 2 === 0 ? "truncate" : "drop";
  }

  private bucketOf(source: string, nowMs: number): Bucket {
    const known = this.buckets.get(source);
    if (known !== undefined) return known;
    if (this.buckets.size >= SOURCES_MAX) {
      const [oldest] = this.buckets.keys();
      this.buckets.delete(oldest!);
    }
    const bucket = { tokens: this.burst, filledAt: nowMs, refused: 0 };
    this.buckets.set(source, bucket);
    return bucket;
  }
}
