/**
 * gRPC's use of HTTP/2 headers: what is metadata and what is the protocol's own, deadlines, status texts.
 * Faults are told in the words of gRPC's Go servers, which is what etcd's clients know.
 * Source: github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md.
 */
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from "node:http2";
import { METADATA_BYTES_MAX, metadataBytes } from "../../../workers/tunnel/wire/frames.ts";
import type { Metadata } from "../../../workers/tunnel/wire/metadata.ts";
import { isBinaryName } from "../../../workers/tunnel/wire/metadata.ts";
import type { Status } from "../../../workers/tunnel/wire/status.ts";
import { GRPC } from "../../../workers/tunnel/wire/status.ts";

export const CONTENT_TYPE = "application/grpc";

/** Of HTTP/2 and of gRPC themselves; not for the called. */
const RESERVED = new Set([
  "te",
  "content-type",
  "connection",
  "host",
  "grpc-timeout",
  "grpc-encoding",
  "grpc-accept-encoding",
]);

export interface CallHeaders {
  path: string;
  /** Infinity = none. */
  timeoutMs: number;
  /** "" = none. */
  encoding: string;
  metadata: Metadata;
}

/** What is refused before there is a call: with an HTTP status of its own. */
export interface Refusal {
  httpStatus: number;
  status: Status;
}

export function callHeaders(headers: IncomingHttpHeaders): CallHeaders | Refusal {
  const method = headers[":method"] ?? "";
  const type = headers["content-type"] ?? "";
  if (!/^application\/grpc(?:$|[+;])/.test(type)) {
    return refusal(415, GRPC.invalidArgument, `invalid gRPC request content-type "${type}"`);
  }
  if (method !== "POST") {
    return refusal(405, GRPC.internal, `Received a HEADERS frame with :method "${method}" which should be POST`);
  }
  const timeout = timeoutOf(single(headers["grpc-timeout"]));
  if (typeof timeout === "string") return refusal(400, GRPC.internal, `malformed grpc-timeout: ${timeout}`);
  const given = metadataOf(headers);
  const authority = headers[":authority"];
  // By what address the client reaches us: the called may have to tell it.
  const metadata = given && authority !== undefined ? [...given, ["host", authority] as const] : given;
  if (!metadata) return refusal(400, GRPC.internal, "malformed binary metadata");
  if (metadataBytes(metadata) > METADATA_BYTES_MAX) {
    return refusal(431, GRPC.resourceExhausted, "too much metadata");
  }
  const encoding = single(headers["grpc-encoding"]) ?? "";
  return { path: headers[":path"] ?? "", timeoutMs: timeout, encoding, metadata };
}

const refusal = (httpStatus: number, code: number, message: string): Refusal => ({
  httpStatus,
  status: { code, message },
});

const single = (value: string | string[] | undefined): string | undefined => (Array.isArray(value) ? value[0] : value);

const UNIT_MS: Record<string, number> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };

/** Milliseconds, or what is wrong with it. */
function timeoutOf(text: string | undefined): number | string {
  if (text === undefined) return Infinity;
  if (text.length < 2) return `transport: timeout string is too short: "${text}"`;
  if (text.length > 9) return `transport: timeout string is too long: "${text}"`;
  const unit = UNIT_MS[text.at(-1)!];
  if (unit === undefined) return `transport: timeout unit is not recognized: "${text}"`;
  const digits = text.slice(0, -1);
  if (!/^\d+$/.test(digits)) return `strconv.ParseUint: parsing "${digits}": invalid syntax`;
  return Number(digits) * unit;
}

/** Null: what should be base64 is not. */
function metadataOf(headers: IncomingHttpHeaders): Metadata | null {
  const metadata: [string, string | Uint8Array][] = [];
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || name.startsWith(":") || RESERVED.has(name)) continue;
    for (const one of Array.isArray(value) ? value : [value]) {
      if (!isBinaryName(name)) {
        metadata.push([name, one]);
        continue;
      }
      // Node joins those of one name, and a comma is no letter of base64.
      for (const encoded of one.split(",")) {
        const bytes = bytesOf(encoded.trim());
        if (!bytes) return null;
        metadata.push([name, bytes]);
      }
    }
  }
  return metadata;
}

/** Padding may be there or not. */
function bytesOf(base64: string): Uint8Array | null {
  return /^[A-Za-z0-9+/]*={0,2}$/.test(base64) ? Buffer.from(base64, "base64") : null;
}

export function metadataHeaders(metadata: Metadata): OutgoingHttpHeaders {
  const headers: Record<string, string[]> = {};
  for (const [name, value] of metadata) {
    const text = typeof value === "string" ? value : Buffer.from(value).toString("base64").replace(/=+$/, "");
    (headers[name] ??= []).push(text);
  }
  return headers;
}

export const responseHeaders = (metadata: Metadata): OutgoingHttpHeaders => ({
  ...metadataHeaders(metadata),
  ":status": 200,
  "content-type": CONTENT_TYPE,
});

export function statusTrailers({ code, message, metadata = [] }: Status): OutgoingHttpHeaders {
  return {
    ...metadataHeaders(metadata),
    "grpc-status": String(code),
    ...(message !== "" && { "grpc-message": percentEncoded(message) }),
  };
}

/** All that is not printable ASCII, and the sign itself, as bytes of UTF-8. */
function percentEncoded(message: string): string {
  return Buffer.from(message)
    .toString("latin1")
    .replace(/[^ -$&-~]/g, (byte: string) => `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`);
}
