/**
 * What a failed `fetch` says about the connection. The one place that knows the runtime's wording.
 *
 * Seen in workerd (compatibility date 2026-07-30): a refused connection, a reset before the request, a reset after it and
 * an end in the middle of the response's head are one and the same error, "Network connection lost." with `retryable`;
 * an unknown name, a TLS failure, an address that the runtime's network rules forbid and an answer that is not HTTP are
 * "internal error; reference = …". Neither proves that the instance did not act on the request.
 *
 * On Cloudflare the platform answers instead of throwing, with a status of its own; by its documentation some of these
 * say that no request was ever sent. Not reproducible on one machine.
 */

/**
 * - `not_sent`: the connection was surely not made.
 * - `lost`: refused, reset or closed before a response; the request may have been acted on.
 * - `failed`: name, TLS, network rules or garbage; the request may have been acted on.
 */
export type TransportFailure = "not_sent" | "lost" | "failed";

const NOT_SENT_STATUSES = new Set([521, 523, 525, 526, 530]);
const LOST_STATUSES = new Set([520, 522]);

/** Classifies what `fetch` threw, aborts excepted. */
export function classifyError(error: unknown): TransportFailure {
  if (!(error instanceof Error)) return "failed";
  if ("retryable" in error && error.retryable === true) return "lost";
  return error.message.startsWith("Network connection lost") ? "lost" : "failed";
}

/** Recognizes the platform's own answer in place of an instance's; null when it is the instance that answered. */
export function classifyResponse(response: Response): TransportFailure | null {
  const { status } = response;
  if (status < 520 || status > 530 || response.headers.get("server") !== "cloudflare") return null;
  if (NOT_SENT_STATUSES.has(status)) return "not_sent";
  return LOST_STATUSES.has(status) ? "lost" : null;
}
