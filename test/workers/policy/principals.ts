/** Who asks in the tests of rights: one of each kind that decides differently. */
import type { Statement } from "../../../objects/policy/statements.ts";
import { decide, KINDS, nameOf, VERBS } from "../../../objects/policy/statements.ts";
import type { Kind, Verb } from "../../../objects/policy/statements.ts";
import type { Edge } from "../../edge.ts";
import { TOKEN } from "../../edge.ts";

export const ELSEWHERE = "elsewhere";

/** What there is: leases are named by numbers. `sibling` begins as `own` does, and is another. */
export const NAMES = { own: "own", sibling: "own-sibling", nonexistent: "own-nothing" } as const;
export const LEASES = { own: "7", sibling: "71", nonexistent: "79" } as const;
export type Place = keyof typeof NAMES;

export interface Principal {
  name: string;
  /** Of `statements`; null = everything, in all namespaces. */
  statements: Statement[] | null;
  /** Where its token is known. */
  namespace: string;
  token: string | null;
}

const READING: readonly Verb[] = ["read", "list", "watch"];

/** The same on every kind. */
const everywhere = (effect: Statement["effect"], verbs: readonly Verb[], match: "exact" | "prefix", own: boolean) =>
  KINDS.map((kind): Statement => {
    const named = kind === "session" ? LEASES.own : NAMES.own;
    return { effect, verbs, kind, match, name: own ? named : "" };
  });

const STATEMENTS = {
  anonymous: [],
  none: [],
  "read-exact": everywhere("allow", READING, "exact", true),
  "read-prefix": everywhere("allow", READING, "prefix", true),
  "deny-inside-allow": [...everywhere("allow", VERBS, "prefix", false), ...everywhere("deny", VERBS, "prefix", true)],
  "other-namespace": everywhere("allow", VERBS, "prefix", false),
  write: everywhere("allow", VERBS, "prefix", true),
} satisfies Record<string, Statement[]>;

/** In the order of what they may do, so that those who change something come last. Their rights are written natively. */
export async function makePrincipals(edge: Edge): Promise<Principal[]> {
  const made: Principal[] = [];
  for (const [name, statements] of Object.entries(STATEMENTS)) {
    const namespace = name === "other-namespace" ? ELSEWHERE : "default";
    const isNobody = name === "anonymous";
    const reply = isNobody ? null : await edge.api("/tokens", { method: "POST", body: { statements } }, namespace);
    made.push({ name, statements, namespace, token: reply && (reply.json.secret as string) });
  }
  return [...made, { name: "root", statements: null, namespace: "", token: TOKEN }];
}

/** By the definition of a decision, not by what the edge runs. */
export function allows({ statements }: Principal, verb: Verb, kind: Kind, name: string | Uint8Array): boolean {
  return statements === null || decide(statements, verb, kind, nameOf(name));
}
