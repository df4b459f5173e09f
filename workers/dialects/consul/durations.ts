/** Durations in Go's text form (`1m30s`, `250ms`), which Consul reads and writes. Inside they are milliseconds. */

const UNIT_MS: Record<string, number> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};
const PART = /(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)/y;
const CHARACTERS_MAX = 64;
/** Go counts nanoseconds in 63 bits. */
const DURATION_MS_MAX = Number(2n ** 63n - 1n) / 1e6;

/** Milliseconds, or null when the text is not a duration. Source: time.ParseDuration. */
export function parseDuration(text: string): number | null {
  if (text.length > CHARACTERS_MAX) return null;
  const negative = text.startsWith("-");
  const rest = /^[+-]/.test(text) ? text.slice(1) : text;
  if (rest === "0") return 0;
  let ms = 0;
  let at = 0;
  while (at < rest.length) {
    PART.lastIndex = at;
    const part = PART.exec(rest);
    if (!part) return null;
    ms += Number(part[1]) * UNIT_MS[part[2]!]!;
    at = PART.lastIndex;
  }
  if (rest === "" || ms > DURATION_MS_MAX) return null;
  return negative ? -ms : ms;
}

/** As Go's `Duration.String`: `0s`, `250ms`, `1m30s`, `1h0m0s`. */
export function formatDuration(ms: number): string {
  if (ms === 0) return "0s";
  if (ms < 0) return `-${formatDuration(-ms)}`;
  if (ms < 1e-3) return `${Math.round(ms * 1e6)}ns`;
  if (ms < 1) return `${trimmed(ms * 1000)}µs`;
  if (ms < 1000) return `${trimmed(ms)}ms`;
  const hours = Math.floor(ms / 3_600_000);
  const minutes = Math.floor((ms % 3_600_000) / 60_000);
  const seconds = `${trimmed((ms % 60_000) / 1000)}s`;
  if (hours > 0) return `${hours}h${minutes}m${seconds}`;
  return minutes > 0 ? `${minutes}m${seconds}` : seconds;
}

/** As a number of nanoseconds, the form durations have in most of Consul's answers. */
export const toNanoseconds = (ms: number): number => Math.round(ms * 1e6);

const trimmed = (value: number): string => String(Number(value.toFixed(9)));
