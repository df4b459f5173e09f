/** How long a caller is ready to wait for a change: `30s`, `500ms`, `1m`, or seconds. */
import { invalid } from "../../objects/errors.ts";
import { WAIT_MAX_MS } from "../../objects/waiting.ts";

const WAIT_DEFAULT_MS = 30_000;
const UNIT_MS: Record<string, number> = { ms: 1, s: 1000, m: 60_000 };

/** Null: nothing was said. Codes: `invalid_argument`. */
export function waitOf(text: string | null): number {
  if (text === null) return WAIT_DEFAULT_MS;
  const match = /^(\d{1,6})(ms|s|m)?$/.exec(text);
  if (!match) throw invalid("wait", "must be a duration such as 30s");
  const ms = Number(match[1]) * UNIT_MS[match[2] ?? "s"]!;
  if (ms > WAIT_MAX_MS) throw invalid("wait", `must be at most ${WAIT_MAX_MS / 1000}s`);
  return ms;
}
