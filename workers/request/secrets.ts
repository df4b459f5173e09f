/**
 * Secrets of tokens as the namespace keeps them: sealed, and bound to the accessor. After the root token is changed, older
 * secrets stay valid but are not shown again.
 */
import type { SecretInput } from "../../objects/policy/tokens.ts";
import { hashOf } from "./authorizer.ts";
import type { Bindings } from "./bindings.ts";
import { rootTokenOf } from "./caller.ts";
import type { SealedFor } from "./sealing.ts";
import { openText, sealText } from "./sealing.ts";

const sealedFor = (accessor: string, env: Bindings): SealedFor => ({
  root: rootTokenOf(env),
  purpose: "holdfast token secrets",
  bound: accessor,
});

/** What the namespace keeps of a secret. */
export async function seal(secret: string, accessor: string, env: Bindings): Promise<SecretInput> {
  return { hash: hashOf(secret), sealed: await sealText(secret, sealedFor(accessor, env)) };
}

/** Null when it was sealed under another root token, or is damaged. */
export const open = (sealed: string, accessor: string, env: Bindings): Promise<string | null> =>
  openText(sealed, sealedFor(accessor, env));
