/** etcdserverpb.Lease: granted, kept alive, looked at, revoked. */
import { HoldfastError } from "../../../../objects/errors.ts";
import type { LeasePage } from "../../../../objects/leases/leases.ts";
import { KV as KV_SPACE } from "../../../../objects/kv/key.ts";
import type { Answer, NamespaceClient } from "../../../request/namespace-client.ts";
import { demandOnLease, demandsOfRevoking } from "../../../request/lease-demands.ts";
import type { Demand } from "../../../request/permission.ts";
import { GRPC } from "../../../tunnel/wire/status.ts";
import type { Call } from "../call.ts";
import { refused } from "../errors.ts";
import type { Lease } from "../gen/etcdserverpb_pb.js";
import { leaseId } from "../numbers.ts";
import type { Implementation } from "../service.ts";

/** Seconds. A shorter one is raised: etcd's, which follows from the time an election may take. */
const TTL_MIN = 2n;
const TTL_MAX = 9_000_000_000n;
const MS = 1000;

export const lease: Implementation<typeof Lease> = {
  async leaseGrant({ TTL, ID }, call) {
    if (TTL > TTL_MAX) throw refused(GRPC.outOfRange, "too large lease TTL");
    call.assertRequestSize();
    const ttlMs = Number(TTL < TTL_MIN ? TTL_MIN : TTL) * MS;
    const id = leaseId(ID) ?? undefined;
    const demands = (): Demand[] => [{ verb: "create", kind: "session", name: id ?? "" }];
    const { value, revision } = await call.execute("leases.grant", { ttlMs, id }, demands);
    return { header: call.header(revision), ID: BigInt(value.id), TTL: seconds(value.ttlMs) };
  },

  async leaseRevoke({ ID }, call) {
    const id = ID.toString();
    const { revision } = await call.execute("leases.revoke", { id }, () => demandsOfRevoking(call.client, id));
    return { header: call.header(revision) };
  },

  async *leaseKeepAlive(requests, call) {
    for await (const { ID } of requests) {
      const { ttlMs, revision } = await renewed(call, ID.toString());
      yield { header: call.header(revision), ID, TTL: seconds(ttlMs) };
    }
  },

  async leaseTimeToLive({ ID, keys: withKeys }, call) {
    const id = ID.toString();
    const { authorizer } = await call.identify();
    await call.authorize(() => [demandOnLease("read", id)]);
    const found = await orNone(call.client.query("leases.get", { id }));
    if (!found) return { header: call.header(await revisionOf(call.client)), ID, TTL: -1n };
    const { attached, remainingMs, ttlMs } = found.value;
    const keys = withKeys ? attached.filter(({ space }) => space === KV_SPACE).map(({ key }) => key) : [];
    for (const key of keys) authorizer.assert("read", "kv", key);
    const header = call.header(found.revision);
    return { header, ID, TTL: BigInt(Math.floor(remainingMs / MS)), grantedTTL: seconds(ttlMs), keys };
  },

  /** Those that the caller may see; what lapses first comes first. */
  async leaseLeases(_request, call) {
    const { authorizer } = await call.identify();
    if (!authorizer.allowsAny("read", "session")) throw authorizer.denied("read", "session");
    const found: { id: string; at: number }[] = [];
    for (let after: string | null = null; ;) {
      const { value, revision }: Answer<LeasePage> = await call.client.query("leases.list", { after });
      value.ids.forEach((id, index) => {
        if (authorizer.allows("read", "session", id)) found.push({ id, at: value.deadlinesAt[index]! });
      });
      after = value.after;
      if (after !== null) continue;
      const leases = found.sort((a, b) => a.at - b.at).map(({ id }) => ({ ID: BigInt(id) }));
      return { header: call.header(revision), leases };
    }
  },
};

const seconds = (ms: number): bigint => BigInt(Math.ceil(ms / MS));

/** One that is gone has nothing left; that is no error. */
async function renewed(call: Call, id: string): Promise<{ ttlMs: number; revision: number }> {
  await call.authorize(() => [demandOnLease("update", id)]);
  const found = await orNone(call.client.renewLease(id));
  if (found) return { ttlMs: found.value.ttlMs, revision: found.revision };
  return { ttlMs: 0, revision: await revisionOf(call.client) };
}

const revisionOf = async (client: NamespaceClient): Promise<number> =>
  (await client.query("store.nothing", {})).revision;

async function orNone<T>(asked: Promise<T>): Promise<T | null> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof HoldfastError && error.code === "not_found") return null;
    throw error;
  }
}
