/** Answers as Consul writes them: JSON with 64-bit numbers whole, `?pretty`, plain text, or nothing at all. */
import { utf8 } from "../../../objects/bytes.ts";

const JSON_TYPE = "application/json";
const TEXT_TYPE = "text/plain; charset=utf-8";

/** `JSON.rawJSON` writes a number that no double can hold; the language's typings do not have it yet. */
const raw = JSON as unknown as { rawJSON(text: string): unknown };

export function encodeJson(value: unknown, pretty = false): Uint8Array<ArrayBuffer> {
  const text = JSON.stringify(
    value,
    (_name, item: unknown) => (typeof item === "bigint" ? raw.rawJSON(item.toString()) : item),
    pretty ? 4 : undefined,
  );
  return utf8(pretty ? `${text}\n` : text) as Uint8Array<ArrayBuffer>;
}

export function jsonResponse(value: unknown, { pretty = false, status = 200 } = {}): Response {
  return new Response(encodeJson(value, pretty), { status, headers: { "content-type": JSON_TYPE } });
}

export function textResponse(text: string, status = 200, headers: Record<string, string> = {}): Response {
  return new Response(text, { status, headers: { "content-type": TEXT_TYPE, ...headers } });
}

/** What a handler that has nothing to say answers: 200 and no body. */
export const emptyResponse = (): Response => new Response(null, { headers: { "content-length": "0" } });

/** An instant in RFC 3339, as Go writes it; `at` is epoch milliseconds. */
export const timeOf = (at: number): string => new Date(at).toISOString().replace(/\.?0*Z$/, "Z");
