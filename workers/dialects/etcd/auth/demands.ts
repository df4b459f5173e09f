/**
 * What an operation takes in etcd, beside what it takes everywhere.
 *
 * Whoever hangs a key on a lease needs the right to write what hangs on it already: the lease can only be revoked by who may
 * delete all of it, so others could take that from its owner. Source: etcd's checkLeasePuts.
 */
import { HoldfastError } from "../../../../objects/errors.ts";
import type { TxnOperation } from "../../../../objects/kv/txn.ts";
import { demandsOfOperation } from "../../../request/key-demands.ts";
import { resourceOf } from "../../../request/lease-demands.ts";
import type { NamespaceClient } from "../../../request/namespace-client.ts";
import type { Demand } from "../../../request/permission.ts";

export async function demandsOfKeys(client: NamespaceClient, operation: TxnOperation): Promise<Demand[]> {
  const demands = demandsOfOperation(operation);
  for (const lease of new Set(leasesOf(operation))) demands.push(...(await demandsOnAttached(client, lease)));
  return demands;
}

function leasesOf(operation: TxnOperation): string[] {
  if (operation.type === "put") return operation.lease ? [operation.lease] : [];
  return operation.type === "txn" ? [...operation.then, ...operation.else].flatMap(leasesOf) : [];
}

async function demandsOnAttached(client: NamespaceClient, id: string): Promise<Demand[]> {
  try {
    const { attached } = (await client.query("leases.get", { id })).value;
    return attached.map(resourceOf).map((resource): Demand => {
      return { verb: resource.kind === "lock" ? "acquire" : "update", ...resource };
    });
  } catch (error) {
    // That there is none, the put itself tells; the way of a transaction that is not taken does not.
    if (error instanceof HoldfastError && error.code === "not_found") return [];
    throw error;
  }
}
