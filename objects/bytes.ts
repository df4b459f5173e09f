/** Byte strings: order, ranges and text forms. Keys and values of the store are `Uint8Array`. */
import { Buffer } from "node:buffer";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Longer texts are worth the call of the encoder. */
const SHORT_MAX = 64;

export function utf8(text: string): Uint8Array {
  if (text.length > SHORT_MAX) return encoder.encode(text);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 0x7f) return encoder.encode(text);
    bytes[i] = code;
  }
  return bytes;
}

export const text = (bytes: Uint8Array): string => decoder.decode(bytes);

/** Byte-wise order, shorter first on a tie: the order of SQLite BLOBs and of etcd keys. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const shared = Math.min(a.length, b.length);
  for (let i = 0; i < shared; i++) {
    const difference = a[i]! - b[i]!;
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

export const equalBytes = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && compareBytes(a, b) === 0;

/** The first key after all keys that start with `prefix`; null when there is none (the prefix is empty or all 0xff). */
export function prefixEnd(prefix: Uint8Array): Uint8Array | null {
  for (let i = prefix.length - 1; i >= 0; i--) {
    if (prefix[i]! < 0xff) {
      const end = prefix.slice(0, i + 1);
      end[i]!++;
      return end;
    }
  }
  return null;
}

/** The smallest key greater than `key`. */
export function keyAfter(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}

/** One character per byte (U+0000 to U+00FF): a byte string as a map key, or inside JSON. */
export function toBinaryString(bytes: Uint8Array): string {
  // `apply` reads the bytes where they are; spreading them goes through an iterator.
  if (bytes.length <= 4096) return String.fromCharCode.apply(null, bytes as never);
  let out = "";
  for (let i = 0; i < bytes.length; i += 4096) {
    out += String.fromCharCode.apply(null, bytes.subarray(i, i + 4096) as never);
  }
  return out;
}

export function fromBinaryString(binary: string): Uint8Array {
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

/** In one step: values may be large, and copies of them are what memory grows by. */
export const toBase64 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");

/** Throws a `SyntaxError`-like DOMException on malformed input; callers turn it into their own error. */
export const fromBase64 = (base64: string): Uint8Array => fromBinaryString(atob(base64));

export function toHex(bytes: Uint8Array): string {
  let out = "";
  for (const byte of bytes) out += byte.toString(16).padStart(2, "0");
  return out;
}
