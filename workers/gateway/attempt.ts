/**
 * One request to one instance. The only file of the gateway that sends.
 *
 * Picks nothing, repeats nothing, and never throws: what went wrong is a result.
 */
import { HoldfastError } from "../../objects/errors.ts";
import type { Endpoint } from "./balance.ts";
import type { Deadline } from "./deadline.ts";
import type { AttemptFailure } from "./observe.ts";
import { classifyError, classifyResponse } from "./transport-errors.ts";
import type { Upload } from "./upload.ts";

/** Throws HoldfastError `permission_denied` when nothing may be sent there. */
export type EgressGuard = (target: { protocol: string; host: string; port: number }) => void;

/** What is the same for every attempt of a request. */
export interface Exchange {
  /** The client's. Its signal is aborted when the client leaves. */
  request: Request;
  /** What is sent in its place: to this URL, with the client's signal. */
  requestTo: (url: string) => Request;
  pathAndQuery: string;
  upload: Upload | null;
  deadline: Deadline;
  fetch: typeof fetch;
  assertEgress: EgressGuard;
}

export type AttemptResult = { ok: true; response: Response } | { ok: false; failure: AttemptFailure };

export async function attempt(endpoint: Endpoint, exchange: Exchange): Promise<AttemptResult> {
  if (!isAdmitted(endpoint, exchange.assertEgress)) return { ok: false, failure: "denied" };
  // Called without a receiver: the runtime's own fetch refuses one.
  const { fetch: send, request, deadline } = exchange;
  try {
    const answer = send(exchange.requestTo(endpoint.origin + exchange.pathAndQuery));
    const response = await deadline.within(answer);
    if (response === null) {
      // What is still under way ends with the request; an answer that comes before that is let go.
      answer.then(discard, () => {});
      return { ok: false, failure: "timeout" };
    }
    const failure = classifyResponse(response) ?? (isForwardable(response) ? null : "malformed");
    if (failure === null) return { ok: true, response };
    discard(response);
    return { ok: false, failure };
  } catch (error) {
    return { ok: false, failure: request.signal.aborted ? "client_gone" : classifyError(error) };
  }
}

/** Frees the connection; that it could fail to changes nothing. */
function discard(response: Response): void {
  response.body?.cancel().catch(() => {});
}

/** The guard's verdict depends on the address alone, so one per endpoint and guard is enough. */
function isAdmitted(endpoint: Endpoint, assertEgress: EgressGuard): boolean {
  if (endpoint.admittedBy === assertEgress) return true;
  try {
    assertEgress(endpoint);
  } catch (error) {
    if (error instanceof HoldfastError && error.code === "permission_denied") return false;
    throw error;
  }
  endpoint.admittedBy = assertEgress;
  return true;
}

/** The runtime hands out an interim answer (100, 103) as if it were the response; the rest of its stream is garbage. */
function isForwardable(response: Response): boolean {
  return response.webSocket ? response.status === 101 : response.status >= 200 && response.status <= 599;
}
