/** Durations as people write them: `500ms`, `10s`, `5m`, `2h`, and `10` for seconds. */
import { usage } from "./exit.ts";

const SECONDS: Record<string, number> = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86_400 };

/** In seconds, above zero. Throws a usage error that names the option. */
export function seconds(text: string, option: string): number {
  const match = /^(\d{1,9}(?:\.\d{1,6})?)(ms|s|m|h|d)?$/.exec(text);
  const value = match === null ? 0 : Number(match[1]) * (SECONDS[match[2] ?? "s"] ?? 1);
  if (!(value > 0)) throw usage(`${option}: "${text}" is not a duration such as 500ms, 10s or 5m`);
  return value;
}
