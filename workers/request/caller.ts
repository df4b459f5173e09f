/**
 * What a request says of who asks: its token, its address, its origin. Who that is, and what they may do, is `authorizer.ts`.
 *
 * Closed by default: a deployment without a root token answers nothing. Open mode is for one machine only, so it refuses
 * what a web page in the same browser could send: foreign hosts (DNS rebinding) and foreign origins.
 */
import { timingSafeEqual } from "node:crypto";
import { HoldfastError } from "../../objects/errors.ts";
import type { Bindings } from "./bindings.ts";

const LOOPBACK_HOST = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/i;

/** As much of a request as tells who asks. */
export interface Asking {
  readonly url: string;
  readonly headers: Pick<Headers, "get">;
}

/** Codes: `unavailable` (not set up yet). */
export function rootTokenOf(env: Bindings): string {
  const root = env.HOLDFAST_ROOT_TOKEN;
  if (!root) throw new HoldfastError("unavailable", "no root token is set: see HOLDFAST_ROOT_TOKEN in the README");
  return root;
}

/** From `Authorization: Bearer` or Consul's header. */
export function tokenOf(headers: Asking["headers"]): string | null {
  const authorization = headers.get("authorization");
  if (authorization !== null) {
    if (authorization.startsWith("Bearer ") && !authorization.includes(" ", 7)) return authorization.slice(7);
    const bearer = /^bearer +([^ ]+) *$/i.exec(authorization);
    if (bearer) return bearer[1]!;
  }
  return headers.get("x-consul-token");
}

/** In a time that does not tell how much of it was right. */
export function sameSecret(given: string, expected: string): boolean {
  if (known?.text !== expected) {
    const bytes = encoder.encode(expected);
    known = { text: expected, bytes, given: new Uint8Array(bytes.length) };
  }
  const { read, written } = encoder.encodeInto(given, known.given);
  const isWhole = read === given.length && written === known.bytes.length;
  return isWhole && timingSafeEqual(known.given, known.bytes);
}

/** What was expected last: it is asked for with every request. `given` has room for as much: memory for each costs most. */
let known: { text: string; bytes: Uint8Array; given: Uint8Array } | undefined;

const encoder = new TextEncoder();

/** The peer's address; only where a platform vouches for it. */
export function sourceOf(request: Asking, env: Bindings): string {
  return env.HOLDFAST_LOCAL === "1" ? "" : (request.headers.get("cf-connecting-ip") ?? "");
}

export function assertLocalBrowser(request: Asking, env: Bindings): void {
  const url = new URL(request.url);
  const domain = env.HOLDFAST_DOMAIN ?? "holdfast";
  const isOurs = LOOPBACK_HOST.test(url.host) || url.hostname.endsWith(`.${domain}`);
  if (!isOurs) throw new HoldfastError("permission_denied", `in open mode the host "${url.hostname}" is not answered`);
  const origin = request.headers.get("origin");
  if (origin !== null && origin !== url.origin) {
    throw new HoldfastError("permission_denied", "in open mode requests from other origins are refused");
  }
}
