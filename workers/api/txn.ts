/** Transactions over keys: compare, then, else. */
import { prefixEnd } from "../../objects/bytes.ts";
import { invalid } from "../../objects/errors.ts";
import type { Compare, TxnInput, TxnOperation, TxnOperationResult, TxnResult } from "../../objects/kv/kv.ts";
import type { Demand } from "../request/permission.ts";
import { bytesOf, recordOutput } from "./convert.ts";
import { demandOfAttaching, demandsOfPut } from "./demands.ts";
import { route } from "./route.ts";
import type { TxnWire, TxnWireOperation } from "./schemas.ts";
import * as schema from "./schemas.ts";

export const txnRoutes = [
  route({
    method: "post",
    path: "/txn",
    tag: "Keys",
    id: "transact",
    summary: "Compare, then do one thing or the other, in one commit",
    permission: [
      {
        verbs: ["read", "create", "update", "delete"],
        kinds: ["kv"],
        // Of what will be carried out: the same conversion, not the wire's form of it.
        parts: ({ body }) => demandsOf(txnOf(body)),
      },
    ],
    body: schema.txnInput,
    response: schema.txnOutput,
    async handle({ client, body, options }) {
      const { value, revision } = await client.execute("kv.txn", txnOf(body), options);
      return { value: resultOf(value), revision };
    },
  }),
];

/** Whether its comparison holds or not, all that it could do or tell. */
function demandsOf({ compare, then, else: otherwise }: TxnInput): Demand[] {
  return [
    ...compare.map(({ key, to }): Demand => ({ verb: "read", kind: "kv", ...targetOf(key, to) })),
    ...[...then, ...otherwise].flatMap(demandsOfOperation),
  ];
}

function demandsOfOperation(operation: TxnOperation): Demand[] {
  switch (operation.type) {
    case "put": {
      const { key, lease, previous } = operation;
      return [
        ...demandsOfPut(key),
        ...(previous ? [{ verb: "read", kind: "kv", name: key } as const] : []),
        ...(lease ? [demandOfAttaching(lease)] : []),
      ];
    }
    case "delete": {
      const target = targetOf(operation.key, operation.to);
      return [
        { verb: "delete", kind: "kv", ...target },
        ...(operation.previous ? [{ verb: "read", kind: "kv", ...target } as const] : []),
      ];
    }
    case "range":
      return [{ verb: "read", kind: "kv", ...targetOf(operation.key, operation.to) }];
    case "txn":
      return demandsOf(operation);
  }
}

const targetOf = (key: Uint8Array, to: Uint8Array | null | undefined): Pick<Demand, "name" | "range"> =>
  to === undefined ? { name: key } : { range: { from: key, to } };

function txnOf({ compare = [], then = [], else: otherwise = [] }: TxnWire): TxnInput {
  return { compare: compare.map(compareOf), then: then.map(operationOf), else: otherwise.map(operationOf) };
}

type WireCompare = NonNullable<TxnWire["compare"]>[number];

function compareOf({ target, operator, operand, operandBase64, ...range }: WireCompare): Compare {
  return { ...rangeOf(range), target, operator, operand: operandOf(target, operand, operandBase64) };
}

function operandOf(
  target: Compare["target"],
  operand: string | number | undefined,
  base64: string | undefined,
): Compare["operand"] {
  if (target === "value") {
    if (typeof operand === "number") throw invalid("compare.operand", "must be a text for a value");
    return bytesOf("operand", operand, base64);
  }
  if (target === "lease") {
    if (!/^\d{1,19}$/.test(String(operand))) throw invalid("compare.operand", "must be a lease id; 0 = none");
    return String(operand);
  }
  if (!Number.isSafeInteger(operand) || (operand as number) < 0) {
    throw invalid("compare.operand", `must be a whole number for ${target}`);
  }
  return operand as number;
}

function operationOf(operation: TxnWireOperation): TxnOperation {
  switch (operation.type) {
    case "put": {
      const { key, keyBase64, value, valueBase64, lease, previous } = operation;
      return {
        type: "put",
        key: bytesOf("key", key, keyBase64),
        value: bytesOf("value", value, valueBase64),
        lease: lease ?? null,
        previous,
      };
    }
    case "delete":
      return { type: "delete", ...rangeOf(operation), previous: operation.previous };
    case "range":
      return {
        type: "range",
        ...rangeOf(operation),
        limit: operation.limit,
        keysOnly: operation.keys,
        reverse: operation.reverse,
      };
    case "txn":
      return { type: "txn", ...txnOf(operation) };
  }
}

interface WireRange {
  key?: string | undefined;
  keyBase64?: string | undefined;
  prefix?: boolean | undefined;
}

function rangeOf({ key: given, keyBase64, prefix }: WireRange): { key: Uint8Array; to?: Uint8Array | null } {
  const key = bytesOf("key", given, keyBase64);
  return prefix ? { key, to: prefixEnd(key) } : { key };
}

function resultOf({ succeeded, results }: TxnResult): unknown {
  return { succeeded, results: results.map(operationResult) };
}

function operationResult(result: TxnOperationResult): unknown {
  switch (result.type) {
    case "put":
      return {
        type: "put",
        ...recordOutput(result.record, true),
        ...(result.previous && { previous: recordOutput(result.previous) }),
      };
    case "delete":
      return {
        type: "delete",
        deleted: result.deleted,
        ...(result.previous.length > 0 && { previous: result.previous.map((record) => recordOutput(record)) }),
      };
    case "range":
      return { type: "range", items: result.records.map((record) => recordOutput(record)), more: result.more };
    case "txn":
      return { type: "txn", ...(resultOf(result) as object) };
  }
}
