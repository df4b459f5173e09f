/** Errors as RFC 9457 problem documents, with a stable `code` and the details of the error as members. */
import type { ErrorCode, HoldfastError } from "../../objects/errors.ts";

export const PROBLEM_TYPE = "application/problem+json";

export const STATUS_OF: Record<ErrorCode, number> = {
  invalid_argument: 400,
  unauthenticated: 401,
  permission_denied: 403,
  not_found: 404,
  already_exists: 409,
  conflict: 409,
  fenced: 409,
  expired: 410,
  compacted: 410,
  future_revision: 400,
  too_large: 413,
  quota_exceeded: 507,
  rate_limited: 429,
  unsupported: 501,
  unavailable: 503,
  deadline_exceeded: 504,
  corrupt: 500,
  internal: 500,
};

const TITLE_OF: Record<ErrorCode, string> = {
  invalid_argument: "The request is not valid",
  unauthenticated: "A valid token is needed",
  permission_denied: "Not allowed",
  not_found: "Not found",
  already_exists: "It already exists",
  conflict: "It has changed meanwhile",
  fenced: "The fencing token is stale",
  expired: "It has expired",
  compacted: "The history asked for has been compacted",
  future_revision: "The revision has not been reached yet",
  too_large: "Too large",
  quota_exceeded: "A quota is used up",
  rate_limited: "Too many requests",
  unsupported: "Not supported",
  unavailable: "Unavailable at the moment",
  deadline_exceeded: "No answer in time",
  corrupt: "Stored data is damaged",
  internal: "An internal error",
};

export interface ProblemDocument {
  type: "about:blank";
  title: string;
  status: number;
  code: ErrorCode;
  detail: string;
  [member: string]: string | number | boolean | null;
}

export function problemOf(error: HoldfastError, status = STATUS_OF[error.code]): ProblemDocument {
  return {
    ...error.details,
    type: "about:blank",
    title: TITLE_OF[error.code],
    status,
    code: error.code,
    detail: error.message,
  };
}

/** `status` only where HTTP has a better word than the code's usual one (405, 414, 431). */
export function problemResponse(
  error: HoldfastError,
  options: { status?: number; headers?: Record<string, string> } = {},
): Response {
  const problem = problemOf(error, options.status);
  return new Response(JSON.stringify(problem), {
    status: problem.status,
    headers: {
      "content-type": PROBLEM_TYPE,
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      ...(error.code === "unauthenticated" && { "www-authenticate": 'Bearer realm="holdfast"' }),
      ...(error.retryAfterMs !== undefined && { "retry-after": String(Math.ceil(error.retryAfterMs / 1000)) }),
      ...options.headers,
    },
  });
}
