/** A caller's secret turned into what the edge decides by: who it is, and all statements that hold for it. */
import { HoldfastError } from "../errors.ts";
import { settingsOf, settingsSpace } from "../settings/settings.ts";
import type { WatchRange } from "../store/store.ts";
import type { Reader } from "../store/txn.ts";
import { EVERYTHING } from "../store/txn.ts";
import { findPolicy, policies } from "./policies.ts";
import { roles } from "./roles.ts";
import type { DefaultPolicy, Statement } from "./statements.ts";
import type { Token } from "./tokens.ts";
import { ANONYMOUS_ACCESSOR, findBySecret, findToken, tokenSpace } from "./tokens.ts";
import type { User } from "./users.ts";
import { users } from "./users.ts";

export interface Principal {
  accessor: string;
  isAnonymous: boolean;
  /** Where alone it is valid; "" = in all datacenters. */
  datacenter: string;
  expiresAt: number | null;
  /** Who has logged in; absent = the token is nobody's. */
  user?: string;
  statements: Statement[];
}

export interface Resolution {
  /** Null: no token has this secret, or it has expired. */
  principal: Principal | null;
  /** What holds where no statement matches. */
  defaultPolicy: DefaultPolicy;
  /** Reading keys as a range takes the right to list them. Absent = no. */
  keyList?: boolean;
}

/** All that a resolution depends on, besides the time. */
export const RESOLVED_FROM: readonly WatchRange[] = [
  tokenSpace,
  users.space,
  roles.space,
  policies.space,
  settingsSpace,
].map(({ name }) => ({ space: name, ...EVERYTHING }));

/** Of one principal; more would not go over RPC, and none of a part would be safe. */
const STATEMENTS_MAX = 50_000;

/** `secretHash` null: who asks without a token. Codes: `quota_exceeded`. */
export function resolvePrincipal(
  reader: Reader,
  { secretHash }: { secretHash: string | null },
  now: number,
): Resolution {
  const token =
    secretHash === null ? findToken(reader, ANONYMOUS_ACCESSOR, now) : findBySecret(reader, secretHash, now);
  const { default: defaultPolicy, keyList } = settingsOf(reader).policy;
  if (!token) return { principal: null, defaultPolicy, keyList };
  const { accessor, expiresAt, datacenter } = token;
  const user = token.user && users.find(reader, token.user.id);
  const statements = statementsOf(reader, token, ...(user ? [user] : []));
  const isAnonymous = secretHash === null;
  return {
    principal: { accessor, isAnonymous, datacenter, expiresAt, ...(user && { user: user.name }), statements },
    defaultPolicy,
    keyList,
  };
}

type Grants = Pick<Token & User, "policies" | "roles" | "statements">;

function statementsOf(reader: Reader, ...granting: Grants[]): Statement[] {
  const roleIds = new Set(granting.flatMap((one) => one.roles));
  const linked = [...roleIds].flatMap((id) => roles.find(reader, id) ?? []);
  const policyIds = new Set([...granting, ...linked].flatMap(({ policies }) => policies));
  const statements = [...granting, ...linked].flatMap((one) => one.statements);
  for (const id of policyIds) {
    // One by one: a spread into `push` would put all of them on the stack.
    for (const statement of findPolicy(reader, id)?.statements ?? []) statements.push(statement);
    if (statements.length > STATEMENTS_MAX) {
      const message = `the token's policies have more than ${STATEMENTS_MAX} statements`;
      throw new HoldfastError("quota_exceeded", message, { limit: STATEMENTS_MAX });
    }
  }
  return statements;
}
