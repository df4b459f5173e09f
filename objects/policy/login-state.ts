/**
 * Whether users log in with a password, and how often users and roles have been changed.
 *
 * While they do, one of them is the administrator, who can neither go nor lose that: somebody has to be able to turn it off.
 */
import type { Reader, Txn } from "../store/txn.ts";
import { JsonSpace } from "../store/txn.ts";

export interface LoginState {
  isOn: boolean;
  /** New each time it is turned on: tokens of before stay void. */
  era: string;
  /** The user's id; "" = it was never turned on. */
  administrator: string;
  /** Rises with every change of users, roles, and of this. */
  changes: number;
}

const space = new JsonSpace<LoginState>("login_state");
const KEY = "state";
const FIRST: LoginState = { isOn: false, era: "", administrator: "", changes: 1 };

export const loginStateOf = (reader: Reader): LoginState => space.get(reader, KEY) ?? FIRST;

/** Counts as a change, also without a patch. */
export function changeLoginState(txn: Txn, patch: Partial<Omit<LoginState, "changes">> = {}): void {
  const before = loginStateOf(txn);
  space.put(txn, [KEY], { ...before, ...patch, changes: before.changes + 1 });
}
