/** Logging in with a password: turned on and off, a token for who has shown theirs, and its life while it is used. */
import { HoldfastError } from "../errors.ts";
import { assertWhole } from "../registry/limits.ts";
import type { Context, Reader, Txn } from "../store/txn.ts";
import { changeLoginState, loginStateOf } from "./login-state.ts";
import { MANAGEMENT_ID } from "./policies.ts";
import { freshId } from "./records.ts";
import type { SecretInput, TokenView } from "./tokens.ts";
import { createToken, prolongToken } from "./tokens.ts";
import { requireUser, users } from "./users.ts";

export interface LoginInput {
  /** The user's id, and the credential that was proven. */
  user: string;
  credential: string;
  secret: SecretInput;
  lifeMs: number;
}

const LIFE_MAX_MS = 366 * 86_400_000;

/** Codes: `not_found` (the administrator), `conflict` (who may not do everything). */
export function turnLoginsOn(txn: Txn, context: Context, { administrator }: { administrator: string }): null {
  if (loginStateOf(txn).isOn) return null;
  const { id, policies } = requireUser(txn, administrator);
  if (!policies.includes(MANAGEMENT_ID)) {
    throw new HoldfastError("conflict", `"${administrator}" may not do everything`, { name: administrator });
  }
  changeLoginState(txn, { isOn: true, era: freshId(context), administrator: id });
  return null;
}

/** All tokens of logins are void. */
export function turnLoginsOff(txn: Txn): null {
  if (loginStateOf(txn).isOn) changeLoginState(txn, { isOn: false });
  return null;
}

/** Codes: `conflict` (the password has changed meanwhile, or logins are off), `already_exists` (the secret). */
export function logIn(
  txn: Txn,
  context: Context,
  { user: id, credential, secret, lifeMs }: LoginInput,
): Pick<TokenView, "accessor" | "expiresAt"> {
  assertLife(lifeMs);
  const { isOn, era } = loginStateOf(txn);
  const user = users.find(txn, String(id));
  if (!isOn || user?.credential !== credential) throw new HoldfastError("conflict", "the login is no longer good");
  const description = `login of ${user.name}`;
  const input = { secret, description, expiresAt: context.now + lifeMs };
  const { accessor, expiresAt } = createToken(txn, context, input, { id, credential, era });
  return { accessor, expiresAt };
}

/** A token of a login lives `lifeMs` from now. Codes: `not_found`. */
export function prolongLogin(
  txn: Txn,
  context: Context,
  { accessor, lifeMs }: { accessor: string; lifeMs: number },
): null {
  assertLife(lifeMs);
  prolongToken(txn, context, accessor, context.now + lifeMs);
  return null;
}

export function describeLogins(reader: Reader): { isOn: boolean; changes: number } {
  const { isOn, changes } = loginStateOf(reader);
  return { isOn, changes };
}

const assertLife = (lifeMs: number): void => assertWhole("lifeMs", lifeMs, 1000, LIFE_MAX_MS);
