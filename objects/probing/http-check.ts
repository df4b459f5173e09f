/**
 * One run of an HTTP check: passing on 2xx, warning on 429, else critical.
 *
 * A redirect is judged by its status and never followed: whoever answers a check must not choose where the next request
 * goes (CVE-2022-29153). Of the body no more than the output is read.
 *
 * Refuses to know: schedules, and which `fetch` it is.
 */
import { assertEgressUrl } from "../egress.ts";
import type { EgressPolicy } from "../egress.ts";
import type { HttpCheck } from "../model.ts";
import { OUTPUT_BYTES_MAX, cleanOutput, reasonOf, timeoutOf } from "./output.ts";
import type { RunResult } from "./verdict.ts";

export const USER_AGENT = "Holdfast-Prober";

export type Fetch = (url: URL, init: RequestInit) => Promise<Response>;

/** Never throws: whatever goes wrong is a critical result that says so. */
export async function runHttpCheck(check: HttpCheck, policy: EgressPolicy, fetch: Fetch): Promise<RunResult> {
  const timeoutMs = timeoutOf(check.timeoutMs);
  const signal = AbortSignal.timeout(timeoutMs);
  try {
    const url = assertEgressUrl(check.url, policy);
    const response = await fetch(url, { ...requestOf(check), redirect: "manual", signal });
    const body = await bodyStart(response);
    const { status, statusText } = response;
    const line = `${labelOf(check)}: ${status} ${statusText}`.trimEnd();
    return { status: statusOf(status), output: cleanOutput(body === "" ? line : `${line}\n${body}`) };
  } catch (error) {
    const reason = signal.aborted ? `no answer within ${timeoutMs} ms` : reasonOf(error);
    return { status: "critical", output: cleanOutput(`${labelOf(check)}: ${reason}`) };
  }
}

function statusOf(status: number): RunResult["status"] {
  if (status >= 200 && status < 300) return "passing";
  return status === 429 ? "warning" : "critical";
}

const methodOf = (check: HttpCheck): string => (check.method === "" ? "GET" : check.method.toUpperCase());

/** Without a user or password that the URL may hold: outputs are shown to all who may see the service. */
const labelOf = (check: HttpCheck): string => `HTTP ${methodOf(check)} ${check.url.replace(/\/\/[^/?#]*@/, "//")}`;

function requestOf(check: HttpCheck): RequestInit {
  const method = methodOf(check);
  const headers = new Headers(check.headers);
  if (!headers.has("user-agent")) headers.set("user-agent", USER_AGENT);
  if (!headers.has("accept")) headers.set("accept", "text/plain, text/*, */*");
  // `fetch` refuses a body with these two.
  const bodyless = method === "GET" || method === "HEAD" || check.body === "";
  return { method, headers, ...(bodyless ? {} : { body: check.body }) };
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
