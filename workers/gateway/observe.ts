/**
 * What is told about each attempt. Statistics, outlier detection and the call graph read this record; it decides nothing.
 */
import type { TransportFailure } from "./transport-errors.ts";

/**
 * - `denied`: the egress guard refused the address; nothing was sent.
 * - `malformed`: an answer that cannot be passed on (a 1xx status in place of a response).
 * - `timeout`: the whole request's time was up.
 * - `client_gone`: the client left before the response's head came.
 */
export type AttemptFailure = TransportFailure | "denied" | "malformed" | "timeout" | "client_gone";

export interface AttemptOutcome {
  namespace: string;
  service: string;
  instanceId: string;
  /** 1 for the first attempt of a request. */
  attempt: number;
  result: "response" | AttemptFailure;
  /** The instance's status; null without a response. */
  status: number | null;
  /** The request's body was still on its way: a failure may be the client's. */
  isUploading: boolean;
  startedAt: number;
  /** Until the response's head, or the failure. */
  durationMs: number;
}

/** Told synchronously in the request's path: must be quick and must not throw. */
export type OutcomeListener = (outcome: AttemptOutcome) => void;
