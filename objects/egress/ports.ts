/**
 * Which ports a request may go to.
 *
 * Without a word from the operator every port may be tried by a TCP check, and HTTP keeps away from the ports that the
 * Fetch standard blocks (https://fetch.spec.whatwg.org/#port-blocking): there, other line protocols listen that would
 * take an HTTP request with chosen headers and body for commands. Port 25 is closed on Cloudflare for everybody.
 */

/** First and last port, both included. */
export type PortRange = [first: number, last: number];

const HTTP_BLOCKED = new Set([
  0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109, 110,
  111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531, 532,
  540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061,
  6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
]);

/** `ranges` is the operator's own list and replaces the default rule. */
export function isPortAllowed(port: number, http: boolean, ranges: readonly PortRange[] | null): boolean {
  if (!Number.isInteger(port) || port < 1 || port > 65535) return false;
  if (ranges !== null) return ranges.some(([first, last]) => port >= first && port <= last);
  return http ? !HTTP_BLOCKED.has(port) : port !== 25;
}

/** `"80"` or `"8000-8999"`; null when it is neither. */
export function parsePortRange(text: string): PortRange | null {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  if (match === null) return null;
  const first = Number(match[1]);
  const last = Number(match[2] ?? match[1]);
  return first >= 1 && first <= last && last <= 65535 ? [first, last] : null;
}
