/**
 * Errors as etcd tells them: a gRPC status code and a text, which clients match on.
 *
 * Source: etcd's api/v3rpc/rpctypes; the codes of HTTP are those of its JSON gateway.
 */
import type { ErrorCode } from "../../../objects/errors.ts";
import { HoldfastError } from "../../../objects/errors.ts";

/** gRPC status codes, as far as they are used. */
export const Code = {
  CANCELED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;
export type Code = (typeof Code)[keyof typeof Code];

/** An answer that ends a call: thrown by services, told by each transport in its own form. */
export class EtcdError extends Error {
  readonly code: Code;

  constructor(code: Code, message: string) {
    super(message);
    this.name = "EtcdError";
    this.code = code;
  }
}

/** With the prefix that nearly all texts of the server have. */
export const refused = (code: Code, text: string): EtcdError => new EtcdError(code, `etcdserver: ${text}`);

export const emptyKey = (): EtcdError => refused(Code.INVALID_ARGUMENT, "key is not provided");
export const keyNotFound = (): EtcdError => refused(Code.INVALID_ARGUMENT, "key not found");
export const requestTooLarge = (): EtcdError => refused(Code.INVALID_ARGUMENT, "request is too large");
export const tooManyOperations = (): EtcdError => refused(Code.INVALID_ARGUMENT, "too many operations in txn request");
export const leaseNotFound = (): EtcdError => refused(Code.NOT_FOUND, "requested lease not found");
export const compacted = (): EtcdError => refused(Code.OUT_OF_RANGE, "mvcc: required revision has been compacted");
export const futureRevision = (): EtcdError =>
  refused(Code.OUT_OF_RANGE, "mvcc: required revision is a future revision");
export const unimplemented = (what: string): EtcdError => new EtcdError(Code.UNIMPLEMENTED, what);

/** Null: the domain's own words. */
const OF_CODE: Record<ErrorCode, readonly [Code, string | null]> = {
  invalid_argument: [Code.INVALID_ARGUMENT, null],
  unauthenticated: [Code.UNAUTHENTICATED, "etcdserver: invalid auth token"],
  permission_denied: [Code.PERMISSION_DENIED, "etcdserver: permission denied"],
  not_found: [Code.NOT_FOUND, null],
  already_exists: [Code.FAILED_PRECONDITION, null],
  conflict: [Code.FAILED_PRECONDITION, null],
  fenced: [Code.FAILED_PRECONDITION, null],
  expired: [Code.NOT_FOUND, null],
  compacted: [Code.OUT_OF_RANGE, compacted().message],
  future_revision: [Code.OUT_OF_RANGE, futureRevision().message],
  too_large: [Code.INVALID_ARGUMENT, requestTooLarge().message],
  quota_exceeded: [Code.RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded"],
  rate_limited: [Code.RESOURCE_EXHAUSTED, "etcdserver: too many requests"],
  unsupported: [Code.UNIMPLEMENTED, null],
  unavailable: [Code.UNAVAILABLE, "etcdserver: no leader"],
  deadline_exceeded: [Code.DEADLINE_EXCEEDED, "context deadline exceeded"],
  corrupt: [Code.DATA_LOSS, "etcdserver: corrupt cluster"],
  internal: [Code.INTERNAL, null],
};

/** Errors of the domain that no service has put into etcd's own words. */
export function etcdErrorOf(error: HoldfastError): EtcdError {
  const { code, message, details } = error;
  // Who has shown no token at all is told so by another code than who has shown a wrong one.
  if (code === "unauthenticated" && details?.["principal"] === "anonymous") {
    return refused(Code.INVALID_ARGUMENT, "user name is empty");
  }
  if (code === "not_found" && details?.["lease"] !== undefined) return leaseNotFound();
  if (code === "already_exists" && details?.["lease"] !== undefined) {
    return refused(Code.FAILED_PRECONDITION, "lease already exists");
  }
  if (code === "not_found" && details?.["field"] === "key") return keyNotFound();
  if (code === "too_large" && details?.["field"] === "operations") return tooManyOperations();
  if (details?.["reason"] === "duplicate") return refused(Code.INVALID_ARGUMENT, "duplicate key given in txn request");
  if (code === "unavailable" && details?.["outcome"] === "unknown") {
    return refused(Code.UNAVAILABLE, "request timed out, possibly due to connection lost");
  }
  const [status, words] = OF_CODE[code];
  return new EtcdError(status, words ?? `etcdserver: ${message}`);
}

/** Nothing but our own errors is told; the rest is a bug. */
export function wordsOf(error: unknown): EtcdError {
  if (error instanceof EtcdError) return error;
  if (error instanceof HoldfastError) return etcdErrorOf(error);
  console.error("unhandled", error);
  return new EtcdError(Code.INTERNAL, "internal error");
}

/** What the JSON gateway answers. */
export const HTTP_STATUS: Record<Code, number> = {
  [Code.CANCELED]: 408,
  [Code.UNKNOWN]: 500,
  [Code.INVALID_ARGUMENT]: 400,
  [Code.DEADLINE_EXCEEDED]: 504,
  [Code.NOT_FOUND]: 404,
  [Code.PERMISSION_DENIED]: 403,
  [Code.RESOURCE_EXHAUSTED]: 429,
  [Code.FAILED_PRECONDITION]: 400,
  [Code.ABORTED]: 409,
  [Code.OUT_OF_RANGE]: 400,
  [Code.UNIMPLEMENTED]: 501,
  [Code.INTERNAL]: 500,
  [Code.UNAVAILABLE]: 503,
  [Code.DATA_LOSS]: 500,
  [Code.UNAUTHENTICATED]: 401,
};
