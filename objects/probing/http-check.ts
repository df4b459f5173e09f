/**
 * One run of an HTTP check: passing on 2xx, warning on 429, else critical.
 *
 * Whoever answers a check must not choose freely where the next request goes (CVE-2022-29153): redirects are followed here
 * and not by `fetch`, each of them through the guard, and what the check sends along (headers that may hold secrets) is
 * for its own host, but for the name by which it asks. Of the body no more than the output is read.
 *
 * Refuses to know: schedules, and which `fetch` it is.
 */
import { assertEgressUrl } from "../egress.ts";
import type { EgressPolicy } from "../egress.ts";
import type { HttpCheck } from "../model.ts";
import { OUTPUT_BYTES_MAX, cleanOutput, reasonOf, timeoutOf } from "./output.ts";
import type { RunResult } from "./verdict.ts";

/** Of checks that give no other: services and their logs tell checks from visitors by it. */
export const USER_AGENT = "Holdfast-Health-Check";
const REDIRECTS_MAX = 10;

export type Fetch = (url: URL, init: RequestInit) => Promise<Response>;

/** Never throws: whatever goes wrong is a critical result that says so. */
export async function runHttpCheck(check: HttpCheck, policy: EgressPolicy, fetch: Fetch): Promise<RunResult> {
  const timeoutMs = timeoutOf(check.timeoutMs);
  const signal = AbortSignal.timeout(timeoutMs);
  try {
    const response = await fetchJudged(check, policy, fetch, signal);
    const body = await bodyStart(response);
    const { status, statusText } = response;
    const line = `${labelOf(check)}: ${status} ${statusText}`.trimEnd();
    return { status: statusOf(status), output: cleanOutput(`${line} Output: ${body}`) };
  } catch (error) {
    const reason = signal.aborted ? `no answer within ${timeoutMs} ms` : reasonOf(error);
    return { status: "critical", output: cleanOutput(`${labelOf(check)}: ${reason}`) };
  }
}

/** Methods and bodies along redirects as in the Fetch standard (§4.4, HTTP-redirect fetch). */
async function fetchJudged(
  check: HttpCheck,
  policy: EgressPolicy,
  fetch: Fetch,
  signal: AbortSignal,
): Promise<Response> {
  let url = assertEgressUrl(check.url, policy);
  let request = requestOf(check);
  for (let left = REDIRECTS_MAX; ; left--) {
    const response = await fetch(url, { ...request, redirect: "manual", signal });
    const location = check.redirects && isRedirect(response.status) ? response.headers.get("location") : null;
    if (location === null) return response;
    response.body?.cancel().catch(() => {});
    if (left === 0) throw new Error(`stopped after ${REDIRECTS_MAX} redirects`);
    const next = assertEgressUrl(URL.parse(location, url)?.href ?? location, policy);
    const isDowngrade = url.protocol === "https:" && next.protocol === "http:";
    const isKept = response.status === 307 || response.status === 308 || request.method === "HEAD";
    const isOwn = next.hostname === url.hostname && !isDowngrade;
    request = {
      ...(isKept ? request : { method: "GET" }),
      headers: isOwn ? request.headers : headersWith({ "user-agent": request.headers.get("user-agent")! }),
    };
    url = next;
  }
}

const isRedirect = (status: number): boolean => [301, 302, 303, 307, 308].includes(status);

function statusOf(status: number): RunResult["status"] {
  if (status >= 200 && status < 300) return "passing";
  return status === 429 ? "warning" : "critical";
}

const methodOf = (check: HttpCheck): string => (check.method === "" ? "GET" : check.method.toUpperCase());

/** Without a user or password that the URL may hold: outputs are shown to all who may see the service. */
const labelOf = (check: HttpCheck): string => `HTTP ${methodOf(check)} ${check.url.replace(/\/\/[^/?#]*@/, "//")}`;

function requestOf(check: HttpCheck): RequestInit & { headers: Headers } {
  const method = methodOf(check);
  const headers = headersWith(check.headers);
  // `fetch` refuses a body with these two.
  const bodyless = method === "GET" || method === "HEAD" || check.body === "";
  return { method, headers, ...(bodyless ? {} : { body: check.body }) };
}

function headersWith(given: Record<string, string>): Headers {
  const headers = new Headers(given);
  if (!headers.has("user-agent")) headers.set("user-agent", USER_AGENT);
  if (!headers.has("accept")) headers.set("accept", "text/plain, text/*, */*");
  return headers;
}

/** A body that breaks off or stalls does not change the verdict: the status line was the answer. */
async function bodyStart(response: Response): Promise<string> {
  const reader = response.body?.getReader();
  if (reader === undefined) return "";
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    while (length < OUTPUT_BYTES_MAX) {
      const { done, value } = await reader.read();
      if (done) break;
      chunks.push(value.subarray(0, OUTPUT_BYTES_MAX - length));
      length += value.length;
    }
  } catch {
    // What was read stands.
  }
  // Not awaited, because a peer that stalls could hold it; its failure means that the connection is gone already.
  reader.cancel().catch(() => {});
  return decode(chunks);
}

function decode(chunks: Uint8Array[]): string {
  const decoder = new TextDecoder();
  return chunks.map((chunk) => decoder.decode(chunk, { stream: true })).join("");
}
