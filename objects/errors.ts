/**
 * The closed list of error codes and the one error class of Holdfast.
 *
 * Inside a room a broken rule is thrown as a `HoldfastError`. Across RPC it travels as a plain value (`Outcome`), because
 * a thrown class loses its type on the way. Each dialect has one `Record<ErrorCode, …>`: a new code here fails the type
 * check until every dialect has mapped it.
 */
export const ERROR_CODES = [
  "invalid_argument",
  "unauthenticated",
  "permission_denied",
  "not_found",
  "already_exists",
  "conflict", // a compare failed; details.revision is the record's revision now
  "fenced", // a stale fencing token
  "expired",
  "compacted", // details.compacted is the oldest revision still answered
  "future_revision",
  "too_large",
  "quota_exceeded",
  "rate_limited",
  "unsupported",
  "unavailable",
  "deadline_exceeded", // the outcome is unknown
  "corrupt", // a stored record failed its checksum; it is never served
  "internal",
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

/** Machine-readable facts of an error: the field at fault, a limit, a revision. */
export type ErrorDetails = Record<string, string | number | boolean | null>;

export interface ErrorValue {
  code: ErrorCode;
  message: string;
  details?: ErrorDetails;
  /** Only with `unavailable` and `rate_limited`: when to try again. */
  retryAfterMs?: number;
}

export class HoldfastError extends Error {
  readonly code: ErrorCode;
  readonly details: ErrorDetails | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(code: ErrorCode, message: string, details?: ErrorDetails, retryAfterMs?: number) {
    super(message);
    this.name = "HoldfastError";
    this.code = code;
    this.details = details;
    this.retryAfterMs = retryAfterMs;
  }

  toValue(): ErrorValue {
    return {
      code: this.code,
      message: this.message,
      ...(this.details && { details: this.details }),
      ...(this.retryAfterMs !== undefined && { retryAfterMs: this.retryAfterMs }),
    };
  }

  static fromValue(value: ErrorValue): HoldfastError {
    return new HoldfastError(value.code, value.message, value.details, value.retryAfterMs);
  }
}

/** An `invalid_argument` that names the field at fault. */
export function invalid(field: string, message: string): HoldfastError {
  return new HoldfastError("invalid_argument", `${field}: ${message}`, { field });
}

/** What an object answers over RPC; `revision` is the namespace's revision as of the answer. */
export type Outcome<T> = { ok: true; value: T; revision: number } | { ok: false; error: ErrorValue; revision: number };
