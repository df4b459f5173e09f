/** A caller's secret turned into what the edge decides by: who it is, and all statements that hold for it. */
import { HoldfastError } from "../errors.ts";
import { settingsOf } from "../settings/settings.ts";
import type { Reader } from "../store/txn.ts";
import { findPolicy } from "./policies.ts";
import { roles } from "./roles.ts";
import type { DefaultPolicy, Statement } from "./statements.ts";
import type { Token } from "./tokens.ts";
import { ANONYMOUS_ACCESSOR, findBySecret, findToken } from "./tokens.ts";

export interface Principal {
  accessor: string;
  isAnonymous: boolean;
  /** Where alone it is valid; "" = in all datacenters. */
  datacenter: string;
  expiresAt: number | null;
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
  const statements = statementsOf(reader, token);
  return {
    principal: { accessor, isAnonymous: secretHash === null, datacenter, expiresAt, statements },
    defaultPolicy,
    keyList,
  };
}

function statementsOf(reader: Reader, token: Token): Statement[] {
  const linked = token.roles.flatMap((id) => roles.find(reader, id) ?? []);
  const policyIds = new Set([...token.policies, ...linked.flatMap(({ policies }) => policies)]);
  const statements = [...token.statements, ...linked.flatMap((role) => role.statements)];
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
