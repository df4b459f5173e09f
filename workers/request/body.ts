/**
 * Request bodies, read within limits: size while reading, then depth, key count and doubled keys of JSON before any of it
 * is believed. RPC to an object breaks at a depth that JSON.parse survives, so depth is bounded here.
 *
 * Source: RFC 8259; doubled names as in RFC 7493 (I-JSON).
 */
import { HoldfastError, invalid } from "../../objects/errors.ts";

/** As etcd's default for a request. */
export const BODY_BYTES_MAX = 1_572_864;
export const JSON_DEPTH_MAX = 64;
export const JSON_KEYS_MAX = 100_000;

/** Codes: `too_large`, `invalid_argument` (the body broke off). */
export async function readBody(
  request: Request | Response,
  bytesMax = BODY_BYTES_MAX,
): Promise<Uint8Array<ArrayBuffer>> {
  const told = request.headers.get("content-length");
  if (told !== null && Number(told) > bytesMax) throw tooLarge(bytesMax);
  if (told !== null) {
    // The runtime cuts a body at the length that was told. The stream is left alone: it would have to be made for it.
    try {
      return new Uint8Array(await request.arrayBuffer());
    } catch {
      throw invalid("body", "broke off");
    }
  }
  if (request.body === null) return new Uint8Array();
  const chunks: Uint8Array[] = [];
  let size = 0;
  const reader: ReadableStreamDefaultReader<Uint8Array> = request.body.getReader();
  for (;;) {
    const { done, value } = await reader.read().catch(() => {
      throw invalid("body", "broke off");
    });
    if (done) break;
    size += value.length;
    if (size > bytesMax) {
      await reader.cancel();
      throw tooLarge(bytesMax);
    }
    chunks.push(value);
  }
  const body = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    body.set(chunk, at);
    at += chunk.length;
  }
  return body;
}

/** Codes: `invalid_argument`, `too_large`. An empty body is an empty object. */
export async function readJson(request: Request | Response, bytesMax = BODY_BYTES_MAX): Promise<unknown> {
  const bytes = await readBody(request, bytesMax);
  if (bytes.length === 0) return {};
  let text: string;
  try {
    text = decoder.decode(bytes);
  } catch {
    throw invalid("body", "is not UTF-8");
  }
  return parseJson(text);
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Codes: `invalid_argument`. */
export function parseJson(text: string): unknown {
  assertShape(text);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw invalid("body", `is not JSON: ${(error as Error).message}`);
  }
}

/** One pass over the text: nesting, number of keys, and names given twice in one object. Syntax is left to JSON.parse. */
function assertShape(text: string): void {
  const objects: (Set<string> | null)[] = [];
  let keys = 0;
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case 0x7b: // {
      case 0x5b: // [
        objects.push(text[at] === "{" ? new Set() : null);
        if (objects.length > JSON_DEPTH_MAX) throw invalid("body", `is nested deeper than ${JSON_DEPTH_MAX}`);
        break;
      case 0x7d: // }
      case 0x5d: // ]
        objects.pop();
        break;
      case 0x22: {
        const end = endOfString(text, at);
        const names = objects.at(-1);
        if (names && isName(text, end)) {
          const name = text.slice(at + 1, end);
          if (names.has(name)) throw invalid("body", `the name "${name.slice(0, 64)}" is given twice in one object`);
          names.add(name);
          if (++keys > JSON_KEYS_MAX) throw invalid("body", `has more than ${JSON_KEYS_MAX} names`);
        }
        at = end;
        break;
      }
    }
  }
}

function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code === 0x22) return at;
    at += code === 0x5c ? 2 : 1;
  }
  return text.length;
}

/** A string is a name when a colon follows it. */
function isName(text: string, end: number): boolean {
  let at = end + 1;
  while (at < text.length && " \t\n\r".includes(text[at]!)) at++;
  return text[at] === ":";
}

function tooLarge(limit: number): HoldfastError {
  return new HoldfastError("too_large", `the body has more than ${limit} bytes`, { field: "body", limit });
}
