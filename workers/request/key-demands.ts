/** What work on keys demands of its caller, whatever surface it comes through. */
import type { TxnInput, TxnOperation } from "../../objects/kv/txn.ts";
import type { Verb } from "../../objects/policy/statements.ts";
import type { Demand } from "./permission.ts";

/** Whoever hangs something on a lease decides when that ends, together with the lease's owner. */
export const demandOfAttaching = (lease: string): Demand => ({ verb: "update", kind: "session", name: lease });

/** A put makes a key or changes it, unless it is told which. */
export function demandsOfPut(name: string | Uint8Array, cas?: number): Demand[] {
  const demands: Demand[] = [];
  if (!cas) demands.push({ verb: "create", kind: "kv", name });
  if (cas !== 0) demands.push({ verb: "update", kind: "kv", name });
  return demands;
}

/** Whether its comparison holds or not, all that it could do or tell. */
export function demandsOfTxn({ compare, then, else: otherwise }: TxnInput): Demand[] {
  return [
    ...compare.map(({ key, to }) => demandOn("read", key, to)),
    ...[...then, ...otherwise].flatMap(demandsOfOperation),
  ];
}

export function demandsOfOperation(operation: TxnOperation): Demand[] {
  switch (operation.type) {
    case "put": {
      const { key, lease, previous } = operation;
      return [
        ...demandsOfPut(key),
        ...(previous ? [demandOn("read", key)] : []),
        ...(lease ? [demandOfAttaching(lease)] : []),
      ];
    }
    case "delete": {
      const { key, to, previous } = operation;
      return [demandOn("delete", key, to), ...(previous ? [demandOn("read", key, to)] : [])];
    }
    case "range":
      return [demandOn("read", operation.key, operation.to)];
    case "txn":
      return demandsOfTxn(operation);
  }
}

/** On one key, with `to` absent; else on all from `key` up to `to`. */
export const demandOn = (verb: Verb, key: Uint8Array, to?: Uint8Array | null): Demand =>
  to === undefined ? { verb, kind: "kv", name: key } : { verb, kind: "kv", range: { from: key, to } };
