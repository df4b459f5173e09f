/**
 * User traffic: one request from a client to a healthy instance of a service, and its response back.
 *
 * match → balance → attempt → observe, wired together; each knows nothing of the others. What this file decides is what
 * is refused before anything is sent, and after which failure the next instance is tried.
 *
 * Source: RFC 9110 §9.2.2 (idempotent methods), §7.6.3 (loops by Via).
 */
import { HoldfastError } from "../../objects/errors.ts";
import type { ResolvedView, Resolver } from "../resolver/types.ts";
import { attempt } from "./attempt.ts";
import type { AttemptResult, EgressGuard, Exchange } from "./attempt.ts";
import { balancerFor, pick, remember } from "./balance.ts";
import type { Balancer, Endpoint } from "./balance.ts";
import { Deadline, TIMEOUT_MS, UPLOAD_MS } from "./deadline.ts";
import { clientResponse, hopCount, instanceRequest, readHead } from "./headers.ts";
import type { ForwardingFacts, RequestHead } from "./headers.ts";
import { pathRefusal } from "./match.ts";
import type { RouteTarget } from "./match.ts";
import type { AttemptFailure, OutcomeListener } from "./observe.ts";
import { problemResponse } from "./problem.ts";
import type { Problem } from "./problem.ts";
import { startUpload } from "./upload.ts";

export interface GatewayDeps {
  resolver: Resolver & {
    /** A current view that is at hand; undefined = it has to be asked for. */
    peek(namespace: string, service: string): ResolvedView | undefined;
  };
  fetch: typeof fetch;
  /** Pass the same function for every request: its verdict is kept per instance. */
  assertEgress: EgressGuard;
  /** The peer's address as the platform tells it; "" when unknown. */
  clientAddress: string;
  /** Epoch milliseconds. */
  now: () => number;
  /** At least 0, below 1. */
  random: () => number;
  /** From the request's arrival, or the end of its body, to the response's head, over all attempts. Default 15,000. */
  timeoutMs?: number;
  /** A trusted proxy in front has set the forwarded headers: continue them. Default false: they are replaced. */
  trustForwarded?: boolean;
  /** `Authorization` was a credential of Holdfast: keep it from the service. Default false. */
  stripAuthorization?: boolean;
  /** Tell the client the instance's id in `x-holdfast-instance`. Default false. */
  debug?: boolean;
  onOutcome?: OutcomeListener;
}

const ATTEMPTS_MAX = 5;
/** Passes of one request through gateways. */
const HOPS_MAX = 4;
const CONNECTION_CHARACTERS_MAX = 2048;
const IDEMPOTENT = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]);

/** Failures that say something about the instance, not about the request. */
const CONNECTION_FAILURES = new Set<AttemptFailure>(["not_sent", "lost", "failed"]);

/** Answers every request: with an instance's response, or with a problem document. Throws only on a bug. */
export async function routeRequest(request: Request, target: RouteTarget, deps: GatewayDeps): Promise<Response> {
  const answer = (problem: Problem): Response => problemResponse(problem, target, request.method);
  const facts: ForwardingFacts = {
    clientAddress: deps.clientAddress,
    trustForwarded: deps.trustForwarded ?? false,
    stripAuthorization: deps.stripAuthorization ?? false,
  };
  const head = readHead(request, facts);
  const refusal = refusalOf(request, head, target);
  if (refusal !== null) return answer(refusal);

  let balancer: Balancer;
  try {
    const { namespace, service } = target;
    const { view } = deps.resolver.peek(namespace, service) ?? (await deps.resolver.resolve(namespace, service));
    balancer = balancerFor(view, target.port, deps.random);
    if (balancer.healthyCount === 0) return answer(noHealthyInstance(view.instances.length));
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    return answer(unresolved(error));
  }
  if (balancer.unusable !== null && pickable(balancer) === 0) return answer(noUsableInstance(balancer));

  const timeoutMs = deps.timeoutMs ?? TIMEOUT_MS;
  const { body } = request;
  const deadline = new Deadline(body === null ? timeoutMs : Math.max(UPLOAD_MS, timeoutMs));
  try {
    const upload = body && startUpload(body, request.headers, () => deadline.restart(timeoutMs));
    const exchange: Exchange = {
      request,
      requestTo: (url) => instanceRequest(url, request, head, upload?.body ?? null, target, facts),
      pathAndQuery: target.path,
      upload,
      deadline,
      fetch: deps.fetch,
      assertEgress: deps.assertEgress,
    };
    const sent = await sendUntilAnswered(balancer, exchange, target, deps);
    if (!sent.ok) return answer(failed(sent.failure, sent.attempts));
    return clientResponse(sent.response, target, deps.debug === true ? sent.endpoint.instanceId : null);
  } finally {
    deadline.end();
  }
}

type Sent =
  | { ok: true; response: Response; endpoint: Endpoint }
  | { ok: false; failure: AttemptFailure; attempts: number };

async function sendUntilAnswered(
  balancer: Balancer,
  exchange: Exchange,
  target: RouteTarget,
  deps: GatewayDeps,
): Promise<Sent> {
  const tried: Endpoint[] = [];
  let last: AttemptFailure = "failed";
  while (tried.length < ATTEMPTS_MAX) {
    const startedAt = deps.now();
    const endpoint = pick(balancer, tried, startedAt);
    if (endpoint === undefined) break;
    tried.push(endpoint);
    const result = await attempt(endpoint, exchange);
    const endedAt = deps.now();
    if (result.ok) remember(endpoint, false, endedAt);
    else if (CONNECTION_FAILURES.has(result.failure)) remember(endpoint, true, endedAt);
    tell(result, endpoint, tried.length, startedAt, endedAt, exchange, target, deps.onOutcome);
    if (result.ok) return { ok: true, response: result.response, endpoint };
    last = result.failure;
    if (!mayTryNext(result.failure, exchange)) break;
  }
  return { ok: false, failure: last, attempts: tried.length };
}

/** A body goes out once. Without one: again when surely nothing was sent, or when the method bears repeating. */
function mayTryNext(failure: AttemptFailure, exchange: Exchange): boolean {
  if (failure === "timeout" || failure === "client_gone") return false;
  if (failure === "denied") return true;
  return exchange.upload === null && (failure === "not_sent" || IDEMPOTENT.has(exchange.request.method));
}

function tell(
  result: AttemptResult,
  endpoint: Endpoint,
  attemptNumber: number,
  startedAt: number,
  endedAt: number,
  exchange: Exchange,
  target: RouteTarget,
  onOutcome: OutcomeListener | undefined,
): void {
  onOutcome?.({
    namespace: target.namespace,
    service: target.service,
    instanceId: endpoint.instanceId,
    attempt: attemptNumber,
    result: result.ok ? "response" : result.failure,
    status: result.ok ? result.response.status : null,
    isUploading: exchange.upload !== null && !exchange.upload.isDone,
    startedAt,
    durationMs: endedAt - startedAt,
  });
}

function refusalOf(request: Request, head: RequestHead, target: RouteTarget): Problem | null {
  const badPath = pathRefusal(target);
  if (badPath !== null) return { status: 400, code: "invalid_argument", reason: "path", detail: badPath };
  if ((head.connection?.length ?? 0) > CONNECTION_CHARACTERS_MAX) {
    const detail = `the Connection header has more than ${CONNECTION_CHARACTERS_MAX} characters`;
    return { status: 400, code: "invalid_argument", reason: "connection_header", detail };
  }
  if ((request.method === "GET" || request.method === "HEAD") && request.body !== null) {
    const detail = `a ${request.method} with a body cannot be passed on`;
    return { status: 501, code: "unsupported", reason: "method_body", detail };
  }
  if (hopCount(head) >= HOPS_MAX) {
    const detail = `the request has passed ${HOPS_MAX} gateways: does an instance's address lead back here?`;
    return { status: 508, code: "invalid_argument", reason: "loop", detail };
  }
  return null;
}

function unresolved(error: HoldfastError): Problem {
  const isTransient = error.code === "unavailable" || error.code === "rate_limited";
  return {
    status: isTransient ? 503 : error.code === "invalid_argument" ? 400 : 502,
    code: error.code,
    reason: "unresolved",
    detail: error.message,
    ...(error.retryAfterMs !== undefined && { retryAfterMs: error.retryAfterMs }),
  };
}

function noHealthyInstance(registeredCount: number): Problem {
  return registeredCount === 0
    ? { status: 503, code: "unavailable", reason: "no_instance", detail: "no instance is registered" }
    : {
        status: 503,
        code: "unavailable",
        reason: "no_healthy_instance",
        detail: `none of ${registeredCount} registered instances is up and healthy`,
      };
}

const UNUSABLE_WORDS = {
  protocol: "they speak neither http nor https",
  reach: "they are not reached directly",
  port: "they have no such port",
  address: "their address is neither a host name nor an IP address",
};

function noUsableInstance({ unusable }: Balancer): Problem {
  const detail = `the healthy instances cannot be used by the gateway: ${UNUSABLE_WORDS[unusable!]}`;
  const status = unusable === "protocol" || unusable === "reach" ? 501 : 503;
  return { status, code: status === 501 ? "unsupported" : "unavailable", reason: "no_usable_instance", detail };
}

const pickable = ({ regular, suspect }: Balancer): number => regular.endpoints.length + suspect.endpoints.length;

function failed(failure: AttemptFailure, attempts: number): Problem {
  switch (failure) {
    case "timeout":
      return {
        status: 504,
        code: "deadline_exceeded",
        reason: "timeout",
        detail: "the instance did not answer in time",
      };
    case "client_gone":
      return { status: 499, code: "deadline_exceeded", reason: "client_gone", detail: "the client left" };
    case "denied": {
      const detail = "the instance's address is refused by the egress rules of this Holdfast";
      return { status: 502, code: "permission_denied", reason: "egress_denied", detail };
    }
    case "not_sent":
    case "lost":
    case "failed":
    case "malformed": {
      const detail = `no usable response from ${attempts === 1 ? "the instance" : `${attempts} instances`} (${failure})`;
      return { status: 502, code: "unavailable", reason: "attempts_failed", detail };
    }
  }
}
