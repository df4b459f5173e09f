/**
 * P2 over transactions of any shape: what the route demands of one is what each of its operations demands alone. The other
 * side is a walk over the wire's form that knows nothing of how the route does it.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { CompiledPolicy } from "../../../objects/policy/compiled.ts";
import type { Statement, Verb } from "../../../objects/policy/statements.ts";
import { decide } from "../../../objects/policy/statements.ts";
import type { ApiRequest } from "../../../workers/api/route.ts";
import type { TxnWire, TxnWireOperation } from "../../../workers/api/schemas.ts";
import { txnRoutes } from "../../../workers/api/txn.ts";
import { Authorizer } from "../../../workers/request/authorizer.ts";
import { enforceParts } from "../../../workers/request/permission.ts";

const RUNS = 3000;
const name = fc.string({ unit: fc.constantFrom("a", "b", "c"), minLength: 1, maxLength: 3 });
const LEASES = ["1", "2"];

const verbs = fc.uniqueArray(fc.constantFrom<Verb>("read", "create", "update", "delete"), { minLength: 1 });
const onKeys: fc.Arbitrary<Statement> = fc.record({
  effect: fc.constantFrom("allow", "allow", "allow", "deny"),
  verbs,
  kind: fc.constant("kv"),
  match: fc.constantFrom("exact", "prefix", "prefix"),
  name: fc.oneof(name, fc.constant("")),
});
const onLeases: fc.Arbitrary<Statement> = fc.record({
  effect: fc.constantFrom("allow", "deny"),
  verbs: fc.constant<Verb[]>(["update"]),
  kind: fc.constant("session"),
  match: fc.constant("exact"),
  name: fc.constantFrom(...LEASES),
});
/** Often with a right to do most of it everywhere, or hardly a transaction would ever be allowed. */
const wide = fc.option(
  fc
    .subarray<Verb>(["read", "create", "update", "delete"], { minLength: 3 })
    .map((most): Statement[] =>
      (["kv", "session"] as const).map((kind) => ({ effect: "allow", verbs: most, kind, match: "prefix", name: "" })),
    ),
  { nil: [] },
);
const statements = fc
  .tuple(wide, fc.array(onKeys, { maxLength: 3 }), fc.array(onLeases, { maxLength: 1 }))
  .map((parts) => parts.flat());

const flag = fc.option(fc.boolean(), { nil: undefined });
const key = fc.oneof(
  name.map((text) => ({ key: text })),
  name.map((text) => ({ keyBase64: Buffer.from(text).toString("base64") })),
);
const put = fc
  .tuple(key, fc.option(fc.constantFrom(...LEASES), { nil: undefined }), flag)
  .map(([at, lease, previous]) => ({ type: "put", ...at, value: "", lease, previous }) as const);
const remove = fc
  .tuple(key, flag, flag)
  .map(([at, prefix, previous]) => ({ type: "delete", ...at, prefix, previous }) as const);
const range = fc.tuple(key, flag).map(([at, prefix]) => ({ type: "range", ...at, prefix }) as const);
const compare = fc
  .tuple(key, flag)
  .map(([at, prefix]) => ({ ...at, prefix, target: "version", operator: "=", operand: 0 }) as const);

const { txn } = fc.letrec<{ txn: TxnWire; operation: TxnWireOperation }>((tie) => ({
  txn: fc.record({
    compare: fc.array(compare, { maxLength: 2 }),
    then: fc.array(tie("operation"), { maxLength: 3 }),
    else: fc.array(tie("operation"), { maxLength: 2 }),
  }),
  operation: fc.oneof(
    { depthSize: "small" },
    put,
    remove,
    range,
    tie("txn").map((nested) => ({ type: "txn", ...nested }) as const),
  ),
}));

test("a transaction is allowed exactly if each of its operations is", async () => {
  const decisions = new Map([
    [true, 0],
    [false, 0],
  ]);
  await fc.assert(
    fc.asyncProperty(statements, txn, async (rights, body) => {
      const authorizer = new Authorizer("token:x", "x", new CompiledPolicy(rights, "deny"), "deny");
      const asked = { body, params: {}, query: {} } as ApiRequest<never, unknown>;
      const isAllowed = await enforceParts(authorizer, txnRoutes[0]!.permission, asked).then(
        () => true,
        (error: unknown) => {
          expect(error).toMatchObject({ code: "permission_denied" });
          return false;
        },
      );
      expect(isAllowed).toBe(isFlatlyAllowed(rights, body));
      decisions.set(isAllowed, decisions.get(isAllowed)! + 1);
    }),
    { numRuns: RUNS },
  );
  expect(Math.min(...decisions.values())).toBeGreaterThan(RUNS / 20);
});

type At = { key?: string | undefined; keyBase64?: string | undefined; prefix?: boolean | undefined };

function isFlatlyAllowed(
  rights: Statement[],
  { compare: compares = [], then = [], else: otherwise = [] }: TxnWire,
): boolean {
  const may = (verb: Verb, at: At) => namesOf(rights, at).every((one) => decide(rights, verb, "kv", one));
  return (
    compares.every((one) => may("read", one)) &&
    [...then, ...otherwise].every((operation) => {
      if (operation.type === "txn") return isFlatlyAllowed(rights, operation);
      if (operation.type === "range") return may("read", operation);
      if (operation.previous && !may("read", operation)) return false;
      if (operation.type === "delete") return may("delete", operation);
      const { lease } = operation;
      if (lease !== undefined && !decide(rights, "update", "session", lease)) return false;
      return may("create", operation) && may("update", operation);
    })
  );
}

/** The one name; of a prefix all names at which a decision may change: the statements', and what comes right after them. */
function namesOf(rights: Statement[], { key: text, keyBase64, prefix }: At): string[] {
  const first = text ?? Buffer.from(keyBase64!, "base64").toString();
  if (!prefix) return [first];
  const bounds = rights.flatMap((one) => [one.name, `${one.name}\0`, `${one.name}zzz`]);
  return [first, `${first}\0`, `${first}zzz`, ...bounds].filter((one) => one.startsWith(first));
}
