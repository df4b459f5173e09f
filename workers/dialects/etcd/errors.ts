/**
 * Errors as etcd tells them: a gRPC status code and a text, which clients match on.
 *
 * Source: etcd's api/v3rpc/rpctypes; the codes of HTTP are those of its JSON gateway.
 */
import type { ErrorCode } from "../../../objects/errors.ts";
import { HoldfastError } from "../../../objects/errors.ts";
import { GRPC } from "../../tunnel/wire/status.ts";

export type Code = Exclude<(typeof GRPC)[keyof typeof GRPC], typeof GRPC.ok>;

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

export const emptyKey = (): EtcdError => refused(GRPC.invalidArgument, "key is not provided");
export const keyNotFound = (): EtcdError => refused(GRPC.invalidArgument, "key not found");
export const requestTooLarge = (): EtcdError => refused(GRPC.invalidArgument, "request is too large");
export const tooManyOperations = (): EtcdError => refused(GRPC.invalidArgument, "too many operations in txn request");
export const leaseNotFound = (): EtcdError => refused(GRPC.notFound, "requested lease not found");
export const compacted = (): EtcdError => refused(GRPC.outOfRange, "mvcc: required revision has been compacted");
export const futureRevision = (): EtcdError => refused(GRPC.outOfRange, "mvcc: required revision is a future revision");
export const tooManyRequests = (): EtcdError => refused(GRPC.resourceExhausted, "too many requests");
export const userNameIsEmpty = (): EtcdError => refused(GRPC.invalidArgument, "user name is empty");
export const unimplemented = (what: string): EtcdError => new EtcdError(GRPC.unimplemented, what);

/** Null: the domain's own words. */
const OF_CODE: Record<ErrorCode, readonly [Code, string | null]> = {
  invalid_argument: [GRPC.invalidArgument, null],
  unauthenticated: [GRPC.unauthenticated, "etcdserver: invalid auth token"],
  permission_denied: [GRPC.permissionDenied, "etcdserver: permission denied"],
  not_found: [GRPC.notFound, null],
  already_exists: [GRPC.failedPrecondition, null],
  conflict: [GRPC.failedPrecondition, null],
  fenced: [GRPC.failedPrecondition, null],
  expired: [GRPC.notFound, null],
  compacted: [GRPC.outOfRange, compacted().message],
  future_revision: [GRPC.outOfRange, futureRevision().message],
  too_large: [GRPC.invalidArgument, requestTooLarge().message],
  quota_exceeded: [GRPC.resourceExhausted, "etcdserver: mvcc: database space exceeded"],
  rate_limited: [GRPC.resourceExhausted, "etcdserver: too many requests"],
  unsupported: [GRPC.unimplemented, null],
  unavailable: [GRPC.unavailable, "etcdserver: no leader"],
  deadline_exceeded: [GRPC.deadlineExceeded, "context deadline exceeded"],
  corrupt: [GRPC.dataLoss, "etcdserver: corrupt cluster"],
  internal: [GRPC.internal, null],
};

/** Errors of the domain that no service has put into etcd's own words. */
export function etcdErrorOf(error: HoldfastError): EtcdError {
  const { code, message, details } = error;
  // Who has shown no token at all is told so by another code than who has shown a wrong one.
  if (code === "unauthenticated" && details?.["principal"] === "anonymous") {
    return userNameIsEmpty();
  }
  if (code === "not_found" && details?.["lease"] !== undefined) return leaseNotFound();
  if (code === "already_exists" && details?.["lease"] !== undefined) {
    return refused(GRPC.failedPrecondition, "lease already exists");
  }
  if (code === "not_found" && details?.["field"] === "key") return keyNotFound();
  if (code === "too_large" && details?.["field"] === "operations") return tooManyOperations();
  if (details?.["reason"] === "duplicate") return refused(GRPC.invalidArgument, "duplicate key given in txn request");
  if (code === "unavailable" && details?.["reason"] === "overload") return tooManyRequests();
  if (code === "unavailable" && details?.["outcome"] === "unknown") {
    return refused(GRPC.unavailable, "request timed out, possibly due to connection lost");
  }
  const [status, words] = OF_CODE[code];
  return new EtcdError(status, words ?? `etcdserver: ${message}`);
}

/** As a client in Go prints it, which etcd does where an error is told as a text. */
export const inGo = ({ code, message }: EtcdError): string => `rpc error: code = ${GO_NAME[code]} desc = ${message}`;

const GO_NAME: Record<Code, string> = {
  [GRPC.cancelled]: "Canceled",
  [GRPC.unknown]: "Unknown",
  [GRPC.invalidArgument]: "InvalidArgument",
  [GRPC.deadlineExceeded]: "DeadlineExceeded",
  [GRPC.notFound]: "NotFound",
  [GRPC.alreadyExists]: "AlreadyExists",
  [GRPC.permissionDenied]: "PermissionDenied",
  [GRPC.resourceExhausted]: "ResourceExhausted",
  [GRPC.failedPrecondition]: "FailedPrecondition",
  [GRPC.aborted]: "Aborted",
  [GRPC.outOfRange]: "OutOfRange",
  [GRPC.unimplemented]: "Unimplemented",
  [GRPC.internal]: "Internal",
  [GRPC.unavailable]: "Unavailable",
  [GRPC.dataLoss]: "DataLoss",
  [GRPC.unauthenticated]: "Unauthenticated",
};

/** Nothing but our own errors is told; the rest is a bug. */
export function wordsOf(error: unknown): EtcdError {
  if (error instanceof EtcdError) return error;
  if (error instanceof HoldfastError) return etcdErrorOf(error);
  console.error("unhandled", error);
  return new EtcdError(GRPC.internal, "internal error");
}

/** What the JSON gateway answers. */
export const HTTP_STATUS: Record<Code, number> = {
  [GRPC.cancelled]: 408,
  [GRPC.unknown]: 500,
  [GRPC.invalidArgument]: 400,
  [GRPC.deadlineExceeded]: 504,
  [GRPC.notFound]: 404,
  [GRPC.alreadyExists]: 409,
  [GRPC.permissionDenied]: 403,
  [GRPC.resourceExhausted]: 429,
  [GRPC.failedPrecondition]: 400,
  [GRPC.aborted]: 409,
  [GRPC.outOfRange]: 400,
  [GRPC.unimplemented]: 501,
  [GRPC.internal]: 500,
  [GRPC.unavailable]: 503,
  [GRPC.dataLoss]: 500,
  [GRPC.unauthenticated]: 401,
};
