/**
 * Where a call carries its token: `token` in the metadata of gRPC, `Authorization` in HTTP, there as it is or behind
 * `Bearer`, or a header that the gateway forwards as metadata.
 */
import type { Asking } from "../../request/caller.ts";

const BEARER = /^bearer +/i;

/** An empty token is none. */
export function credentialOf(metadata: Asking["headers"]): string | null {
  const token = metadata.get("token") ?? metadata.get("grpc-metadata-token");
  if (token) return token;
  const authorization = metadata.get("authorization") ?? metadata.get("grpc-metadata-authorization") ?? "";
  return authorization.replace(BEARER, "").trim() || null;
}
