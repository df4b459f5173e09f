/** Where Consul's clients put their token. Source: developer.hashicorp.com/consul/api-docs/api-structure (authentication). */
import { tokenOf } from "../../../request/caller.ts";

/** The secret that Consul gives its anonymous token. */
export const ANONYMOUS_SECRET = "anonymous";

/** `?token=` before `X-Consul-Token` before `Authorization`; null = the anonymous token. */
export function credentialOf(headers: Headers, params: URLSearchParams): string | null {
  const given = params.get("token") || headers.get("x-consul-token") || tokenOf(headers);
  return given === "" || given === ANONYMOUS_SECRET ? null : given;
}
