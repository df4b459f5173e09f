/** The text of a check's result: bounded, and safe to show. It comes from strangers. */
import { utf8 } from "../bytes.ts";

export const OUTPUT_BYTES_MAX = 4096;

// oxlint-disable-next-line no-control-regex -- control characters are the point; tab and line feed stay
const UNSHOWN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069\ufeff]/g;

/** Without control and direction characters or lone surrogates, and at most 4 KiB in UTF-8. */
export function cleanOutput(text: string): string {
  const shown = text
    .slice(0, 4 * OUTPUT_BYTES_MAX)
    .replace(UNSHOWN, "")
    .toWellFormed();
  const bytes = utf8(shown);
  if (bytes.length <= OUTPUT_BYTES_MAX) return shown;
  let end = OUTPUT_BYTES_MAX;
  while ((bytes[end]! & 0xc0) === 0x80) end--; // never within a character
  return new TextDecoder().decode(bytes.subarray(0, end));
}

/** As a URL has it: IPv6 in brackets. */
export const hostAndPort = (host: string, port: number): string =>
  `${host.includes(":") && !host.startsWith("[") ? `[${host}]` : host}:${port}`;

/** What went wrong, in words that stay the same while it keeps going wrong: the runtime numbers its internal errors. */
export function reasonOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  if (message.startsWith("internal error")) return "the connection failed, or its address may not be reached from here";
  return message;
}

const TIMEOUT_MIN_MS = 10;
const TIMEOUT_MAX_MS = 60_000;

/** The timeout that is kept: 10 ms to a minute, so that no check holds a connection for longer. */
export function timeoutOf(timeoutMs: number): number {
  if (!Number.isFinite(timeoutMs)) return 10_000;
  return Math.min(TIMEOUT_MAX_MS, Math.max(TIMEOUT_MIN_MS, Math.round(timeoutMs)));
}
