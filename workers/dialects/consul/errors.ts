/**
 * Errors as Consul tells them: a status and a line of plain text.
 *
 * Consul answers 500 for most of what a caller did wrong; its clients match on status and text, so both are kept.
 */
import type { ErrorCode } from "../../../objects/errors.ts";
import { HoldfastError } from "../../../objects/errors.ts";

/** An answer that ends the request: thrown by endpoints, made a response in one place. */
export class ConsulError extends Error {
  readonly status: number;
  readonly headers: Record<string, string>;

  constructor(status: number, message: string, headers: Record<string, string> = {}) {
    super(message);
    this.name = "ConsulError";
    this.status = status;
    this.headers = headers;
  }
}

export const badRequest = (message: string): ConsulError => new ConsulError(400, message);
export const notFound = (message: string): ConsulError => new ConsulError(404, message);
/** What Consul's state store refuses. */
export const refused = (message: string): ConsulError => new ConsulError(500, message);

const STATUS: Record<ErrorCode, number> = {
  invalid_argument: 400,
  unauthenticated: 403,
  permission_denied: 403,
  not_found: 404,
  already_exists: 500,
  conflict: 500,
  fenced: 500,
  expired: 500,
  compacted: 500,
  future_revision: 500,
  too_large: 413,
  quota_exceeded: 500,
  rate_limited: 429,
  unsupported: 501,
  unavailable: 503,
  deadline_exceeded: 500,
  corrupt: 500,
  internal: 500,
};

/** Errors of the domain that no endpoint has put into Consul's own words. */
export function consulErrorOf(error: HoldfastError): ConsulError {
  const { code, message, retryAfterMs } = error;
  const headers: Record<string, string> =
    retryAfterMs === undefined ? {} : { "retry-after": String(Math.ceil(retryAfterMs / 1000)) };
  if (code === "unauthenticated") return new ConsulError(403, "ACL not found");
  if (code === "permission_denied") return new ConsulError(403, `Permission denied: ${message}`);
  if (code === "unavailable" && retryAfterMs === undefined) return new ConsulError(500, "No cluster leader");
  return new ConsulError(STATUS[code], message, headers);
}
