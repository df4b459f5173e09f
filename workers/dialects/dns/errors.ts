/** What each error of Holdfast is in DNS: a response code, and an extended error (RFC 8914 §4) for those who can read it. */
import { HoldfastError } from "../../../objects/errors.ts";
import type { ErrorCode } from "../../../objects/errors.ts";
import { RCODE } from "./message.ts";
import type { Rcode } from "./message.ts";

export const EDE = {
  OTHER: 0,
  STALE_ANSWER: 3,
  NOT_READY: 14,
  PROHIBITED: 18,
  NOT_AUTHORITATIVE: 20,
  NOT_SUPPORTED: 21,
  NO_REACHABLE_AUTHORITY: 22,
} as const;

export interface DnsError {
  rcode: Rcode;
  extended: number;
}

const FAILED: DnsError = { rcode: RCODE.SERVFAIL, extended: EDE.OTHER };
const UNKNOWN: DnsError = { rcode: RCODE.NXDOMAIN, extended: EDE.OTHER };
const PROHIBITED: DnsError = { rcode: RCODE.REFUSED, extended: EDE.PROHIBITED };
const UNREACHABLE: DnsError = { rcode: RCODE.SERVFAIL, extended: EDE.NO_REACHABLE_AUTHORITY };

const BY_CODE: Record<ErrorCode, DnsError> = {
  // A name that the registry could not even hold is a name that does not exist.
  invalid_argument: UNKNOWN,
  not_found: UNKNOWN,
  unauthenticated: PROHIBITED,
  permission_denied: PROHIBITED,
  rate_limited: { rcode: RCODE.REFUSED, extended: EDE.NOT_READY },
  quota_exceeded: { rcode: RCODE.REFUSED, extended: EDE.NOT_READY },
  unsupported: { rcode: RCODE.REFUSED, extended: EDE.NOT_SUPPORTED },
  unavailable: UNREACHABLE,
  deadline_exceeded: UNREACHABLE,
  too_large: FAILED,
  already_exists: FAILED,
  conflict: FAILED,
  fenced: FAILED,
  expired: FAILED,
  compacted: FAILED,
  future_revision: FAILED,
  corrupt: FAILED,
  internal: FAILED,
};

/** Anything thrown that is no HoldfastError is a bug of ours, hence SERVFAIL. */
export function toDnsError(error: unknown): DnsError {
  return error instanceof HoldfastError ? BY_CODE[error.code] : FAILED;
}
