/** gRPC's status codes, and what ends every call. Source: github.com/grpc/grpc/blob/master/doc/statuscodes.md. */
import type { Metadata } from "./metadata.ts";

export const GRPC = {
  ok: 0,
  cancelled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  aborted: 10,
  outOfRange: 11,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  dataLoss: 15,
  unauthenticated: 16,
} as const;

export interface Status {
  /** 0 to 255; those beyond 16 have no name yet. */
  code: number;
  message: string;
  /** Trailers besides the status itself. */
  metadata?: Metadata;
}

export const OK: Status = { code: GRPC.ok, message: "" };

/** To a request of HTTP: nothing of it has been done here, it has to go another way. */
export const NOT_TAKEN: Status = { code: GRPC.unimplemented, message: "not over the tunnel" };
