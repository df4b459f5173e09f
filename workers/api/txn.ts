/** Transactions over keys: compare, then, else. */
import { prefixEnd } from "../../objects/bytes.ts";
import { invalid } from "../../objects/errors.ts";
import type { Compare, TxnInput, TxnOperation, TxnOperationResult, TxnResult } from "../../objects/kv/txn.ts";
import { tooManyOperations, TXN_OPERATIONS_MAX } from "../../objects/kv/txn.ts";
import { demandsOfTxn } from "../request/key-demands.ts";
import { bytesOf, recordOutput } from "./convert.ts";
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
        parts: ({ body }) => demandsOfTxn(txnOf(body)),
      },
    ],
    body: schema.txnInput,
    response: schema.txnOutput,
    async handle({ client, body, options }) {
      const input = txnOf(body);
      if (operationsIn(input) > TXN_OPERATIONS_MAX) throw tooManyOperations();
      const { value, revision } = await client.execute("kv.txn", input, options);
      return { value: resultOf(value), revision };
    },
  }),
];

/** Those of nested ones are counted in: one transaction does so much at most. */
function operationsIn({ compare, then, else: otherwise }: TxnInput): number {
  const counts = [then, otherwise].map((operations) =>
    operations.reduce((sum, one) => sum + 1 + (one.type === "txn" ? operationsIn(one) : 0), 0),
  );
  return Math.max(compare.length, ...counts);
}

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
