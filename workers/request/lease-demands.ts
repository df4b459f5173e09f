/** What work on leases demands of its caller, whatever surface it comes through. */
import { partySpace } from "../../objects/barriers/barriers.ts";
import { elections } from "../../objects/elections/elections.ts";
import { KV } from "../../objects/kv/key.ts";
import type { LeaseInfo } from "../../objects/leases/leases.ts";
import { locks } from "../../objects/locks/locks.ts";
import type { Kind, Verb } from "../../objects/policy/statements.ts";
import { instanceSpace } from "../../objects/registry/spaces.ts";
import type { NamespaceClient } from "./namespace-client.ts";
import type { Demand } from "./permission.ts";

export type Attached = LeaseInfo["attached"][number];

export const demandOnLease = (verb: Verb, id: string): Demand => ({ verb, kind: "session", name: id });

/** What hangs on it goes with it, which is no right of who may end the lease alone. */
export async function demandsOfRevoking(client: NamespaceClient, id: string): Promise<Demand[]> {
  const { value } = await client.query("leases.get", { id });
  return [
    demandOnLease("delete", id),
    ...value.attached.map((one): Demand => {
      const resource = resourceOf(one);
      // Whoever may acquire a lock may also release it.
      return { verb: resource.kind === "lock" ? "acquire" : "delete", ...resource };
    }),
  ];
}

/** Keys of all of them begin with the name. */
const CLAIMS: ReadonlySet<string> = new Set([locks.claims.name, elections.claims.name, partySpace.name]);

/** What a record on a lease counts as. */
export function resourceOf({ space, key }: Attached): { kind: Kind; name: string | Uint8Array } {
  if (space === KV) return { kind: "kv", name: key };
  if (space === instanceSpace.name) return { kind: "service", name: instanceSpace.parts(key)[0]! };
  if (CLAIMS.has(space)) return { kind: "lock", name: locks.claims.parts(key)[0]! };
  return { kind: "operator", name: "" };
}
