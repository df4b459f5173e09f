/**
 * The gateway's own answers, as problem documents. They name the service, never an instance's address: that may be
 * private to its namespace.
 *
 * Source: RFC 9457.
 */
import type { ErrorCode } from "../../objects/errors.ts";
import type { RouteTarget } from "./match.ts";

export type ProblemReason =
  | "path"
  | "connection_header"
  | "method_body"
  | "loop"
  | "unresolved"
  | "no_instance"
  | "no_healthy_instance"
  | "no_usable_instance"
  | "egress_denied"
  | "attempts_failed"
  | "timeout"
  | "client_gone";

export interface Problem {
  status: number;
  code: ErrorCode;
  /** What happened, in one word that does not change. */
  reason: ProblemReason;
  detail: string;
  retryAfterMs?: number;
}

const TITLES: Record<number, string> = {
  400: "Bad Request",
  499: "Client Closed Request",
  501: "Not Implemented",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
  508: "Loop Detected",
};

export function problemResponse(problem: Problem, target: RouteTarget, method: string): Response {
  const { status, code, reason, detail } = problem;
  const headers = new Headers({
    "content-type": "application/problem+json",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
  });
  if (problem.retryAfterMs !== undefined) headers.set("retry-after", String(Math.ceil(problem.retryAfterMs / 1000)));
  const { namespace, service } = target;
  const body = { type: "about:blank", title: TITLES[status], status, detail, code, reason, namespace, service };
  return new Response(method === "HEAD" ? null : `${JSON.stringify(body)}\n`, { status, headers });
}
