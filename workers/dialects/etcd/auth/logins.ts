/**
 * Logins as etcd's clients know them: a token that lives as long as it is used, and the switch in open mode.
 *
 * In open mode a deployment asks nobody who they are, until users of etcd are turned on: then these doors do.
 */
import { waitUntil } from "cloudflare:workers";
import type { Authorizer } from "../../../request/authorizer.ts";
import { forgetAuthorizer, storedAuthorizerOf } from "../../../request/authorizer.ts";
import type { Bindings } from "../../../request/bindings.ts";
import type { Asking } from "../../../request/caller.ts";
import { assertLocalBrowser } from "../../../request/caller.ts";
import { primaryOf } from "../../../request/datacenter.ts";
import { NamespaceClient } from "../../../request/namespace-client.ts";

/** etcd's default for its simple tokens: counted from their last use. */
export const TOKEN_LIFE_MS = 300_000;
/** A use is written down when so much of the life is over. */
const PROLONG_BELOW_MS = TOKEN_LIFE_MS / 2;
const FRESH_MS = 10_000;
const KEPT_MAX = 2000;
const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const SECRET_LETTERS = 32;

/** Like etcd's: letters, a dot, a number. The letters alone are secret. */
export function freshToken(revision: number): string {
  // Of the 256 values of a byte 208 = 4 × 52 are evenly spread over the letters.
  const isEven = (byte: number): boolean => byte < 208;
  let letters = "";
  while (letters.length < SECRET_LETTERS) {
    const even = [...crypto.getRandomValues(new Uint8Array(64))].filter(isEven);
    letters += even.map((byte) => LETTERS[byte % LETTERS.length]).join("");
  }
  return `${letters.slice(0, SECRET_LETTERS)}.${revision}`;
}

/** Nobody waits for it; if it fails, the next use tries again. */
export function prolongInUse(token: string, { accessor, principal, login }: Authorizer, place: Place): void {
  if (!login || accessor === null || login.expiresAt - Date.now() > PROLONG_BELOW_MS) return;
  if (underWay.has(accessor)) return;
  underWay.add(accessor);
  const { env, namespace, source } = place;
  const input = { accessor, lifeMs: TOKEN_LIFE_MS };
  const caller = { principal, source, dialect: "etcd" };
  const prolonged = new NamespaceClient(env, namespace, primaryOf(env)).execute("login.prolong", input, { caller });
  const end = (): void => {
    underWay.delete(accessor);
    forgetAuthorizer(namespace, token);
  };
  waitUntil(prolonged.then(end, end));
}

/** Accessors of tokens that are being prolonged. */
const underWay = new Set<string>();

interface Place {
  env: Bindings;
  namespace: string;
  source: string;
}

const kept = new Map<string, { isOn: boolean; readAt: number }>();

/** Null: open mode holds. Codes: as `storedAuthorizerOf`, and `permission_denied` for a page of another origin. */
export async function authorizerInOpenMode(
  request: Asking,
  token: string | null,
  env: Bindings,
  namespace: string,
): Promise<Authorizer | null> {
  if (!(await areLoginsOn(env, namespace))) return null;
  assertLocalBrowser(request, env);
  return storedAuthorizerOf(token, env, namespace);
}

async function areLoginsOn(env: Bindings, namespace: string): Promise<boolean> {
  const nowAt = Date.now();
  const before = kept.get(namespace);
  if (before && nowAt - before.readAt < FRESH_MS) return before.isOn;
  const { value } = await new NamespaceClient(env, namespace, primaryOf(env)).query("login.state", {});
  if (kept.size >= KEPT_MAX) kept.clear();
  kept.set(namespace, { isOn: value.isOn, readAt: nowAt });
  return value.isOn;
}

/** After they have been turned on or off. */
export const forgetLogins = (namespace: string): boolean => kept.delete(namespace);
