/**
 * Texts sealed for a namespace to keep: AES-256-GCM under a key that only the edge has, derived from the root token and what
 * the text is for. Whoever reads the namespace's storage, a snapshot or a replica learns nothing; whoever has the root token
 * may do everything anyway. After the root token is changed, what was sealed before cannot be opened.
 *
 * `bound` says whose text it is, so that one sealed text cannot be laid in the place of another.
 */
import { fromBase64, text, toBase64, utf8 } from "../../objects/bytes.ts";

const VERSION = "1.";
const IV_BYTES = 12;

export interface SealedFor {
  root: string;
  /** Separates the keys of one use from those of another. */
  purpose: string;
  bound: string;
}

export async function sealText(plain: string, { root, purpose, bound }: SealedFor): Promise<string> {
  const iv = crypto.getRandomValues(new Uint8Array(IV_BYTES));
  const key = await keyOf(root, purpose);
  const parameters = { name: "AES-GCM", iv, additionalData: utf8(bound) };
  const ciphertext = await crypto.subtle.encrypt(parameters, key, utf8(plain));
  const sealed = new Uint8Array(IV_BYTES + ciphertext.byteLength);
  sealed.set(iv);
  sealed.set(new Uint8Array(ciphertext), IV_BYTES);
  return VERSION + toBase64(sealed);
}

/** Null when it was sealed under another root token, for something else, or is damaged. */
export async function openText(sealed: string, { root, purpose, bound }: SealedFor): Promise<string | null> {
  if (!sealed.startsWith(VERSION)) return null;
  try {
    const bytes = fromBase64(sealed.slice(VERSION.length));
    const key = await keyOf(root, purpose);
    const parameters = { name: "AES-GCM", iv: bytes.subarray(0, IV_BYTES), additionalData: utf8(bound) };
    return text(new Uint8Array(await crypto.subtle.decrypt(parameters, key, bytes.subarray(IV_BYTES))));
  } catch {
    return null;
  }
}

/** By purpose, of the root token that was last used: it is one for the isolate's life; a test may have several. */
let derived = { root: "", keys: new Map<string, CryptoKey>() };

async function keyOf(root: string, purpose: string): Promise<CryptoKey> {
  if (derived.root !== root) derived = { root, keys: new Map() };
  const { keys } = derived;
  const known = keys.get(purpose);
  if (known) return known;
  const material = await crypto.subtle.importKey("raw", utf8(root), "HKDF", false, ["deriveKey"]);
  const parameters = { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(), info: utf8(purpose) };
  const usages = ["encrypt", "decrypt"];
  const key = await crypto.subtle.deriveKey(parameters, material, { name: "AES-GCM", length: 256 }, false, usages);
  keys.set(purpose, key);
  return key;
}
