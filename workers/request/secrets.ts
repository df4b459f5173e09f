/**
 * Secrets of tokens, sealed for the namespace to keep: AES-256-GCM under a key that only the edge has, derived from the
 * root token. Whoever reads the namespace's storage, a snapshot or a replica learns nothing; whoever has the root token
 * could make tokens of his own anyway. After the root token is changed, older secrets stay valid but are not shown again.
 *
 * The accessor is bound in, so that one token's sealed secret cannot be laid beside another.
 */
import { fromBase64, text, toBase64, utf8 } from "../../objects/bytes.ts";
import type { SecretInput } from "../../objects/policy/tokens.ts";
import { hashOf } from "./authorizer.ts";
import type { Bindings } from "./bindings.ts";
import { rootTokenOf } from "./caller.ts";

const VERSION = "1.";
const IV_BYTES = 12;
const INFO = utf8("holdfast token secrets");

/** What the namespace keeps of a secret. */
export async function seal(secret: string, accessor: string, env: Bindings): Promise<SecretInput> {
  const iv = crypto.getRandomValues(new Uint8Array(IV_BYTES));
  const key = await keyOf(rootTokenOf(env));
  const ciphertext = await crypto.subtle.encrypt(
    { name: "AES-GCM", iv, additionalData: utf8(accessor) },
    key,
    utf8(secret),
  );
  const sealed = new Uint8Array(IV_BYTES + ciphertext.byteLength);
  sealed.set(iv);
  sealed.set(new Uint8Array(ciphertext), IV_BYTES);
  return { hash: hashOf(secret), sealed: VERSION + toBase64(sealed) };
}

/** Null when it was sealed under another root token, or is damaged. */
export async function open(sealed: string, accessor: string, env: Bindings): Promise<string | null> {
  if (!sealed.startsWith(VERSION)) return null;
  try {
    const bytes = fromBase64(sealed.slice(VERSION.length));
    const iv = bytes.subarray(0, IV_BYTES);
    const key = await keyOf(rootTokenOf(env));
    const parameters = { name: "AES-GCM", iv, additionalData: utf8(accessor) };
    return text(new Uint8Array(await crypto.subtle.decrypt(parameters, key, bytes.subarray(IV_BYTES))));
  } catch {
    return null;
  }
}

/** The root token is one for the isolate's life; a test may have several. */
let derived: { root: string; key: CryptoKey } | undefined;

async function keyOf(root: string): Promise<CryptoKey> {
  if (derived?.root === root) return derived.key;
  const material = await crypto.subtle.importKey("raw", utf8(root), "HKDF", false, ["deriveKey"]);
  const parameters = { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(), info: INFO };
  const usages = ["encrypt", "decrypt"];
  const key = await crypto.subtle.deriveKey(parameters, material, { name: "AES-GCM", length: 256 }, false, usages);
  derived = { root, key };
  return key;
}
