/** v3lockpb.Lock: etcd's mutex recipe, gone through by the server. */
import { GRPC } from "../../../tunnel/wire/status.ts";
import type { Call } from "../call.ts";
import { emptyKey, EtcdError } from "../errors.ts";
import type { Lock } from "../gen/v3lockpb_pb.js";
import { demandOf } from "../ranges.ts";
import type { Implementation } from "../service.ts";
import { awaitFront, inUnknownCode, join, leaseOrNew } from "../queue.ts";

export const lock: Implementation<typeof Lock> = {
  lock: ({ name, lease }, call) => inUnknownCode(acquire(call, name, lease)),
  unlock: ({ key }, call) => inUnknownCode(release(call, key)),
};

async function acquire(call: Call, name: Uint8Array, lease: bigint) {
  const { place, isFirst, revision } = await join(call, name, await leaseOrNew(call, lease), NOTHING);
  const heldAt = isFirst ? revision : await awaitFront(call, place);
  if (heldAt === null) throw new EtcdError(GRPC.unknown, "mutex: session is expired");
  return { header: call.header(heldAt), key: place.key };
}

async function release(call: Call, key: Uint8Array) {
  if (key.length === 0) throw emptyKey();
  const { value } = await call.execute("kv.delete", { key }, () => [demandOf("delete", { key })]);
  return { header: call.header(value.revision) };
}

const NOTHING = new Uint8Array();
