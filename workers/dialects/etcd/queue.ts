/**
 * The queue behind locks and elections: ordinary keys `name/<lease in hex>`, the first that was made is in front.
 *
 * Clients with recipes of their own stand in the same queue. Whoever waits does so for the key just before their own, so one
 * that goes wakes one. Who gives up, or has gone, leaves nothing behind; what the edge cannot do any more, the lapse of the
 * lease does. Source: etcd's client/v3/concurrency.
 */
import { create } from "@bufbuild/protobuf";
import { waitUntil } from "cloudflare:workers";
import { prefixEnd, utf8 } from "../../../objects/bytes.ts";
import { KV } from "../../../objects/kv/key.ts";
import type { TxnInput, TxnResult } from "../../../objects/kv/txn.ts";
import type { Caller } from "../../../objects/model.ts";
import type { StoredRecord } from "../../../objects/store/txn.ts";
import { WAIT_MAX_MS } from "../../../objects/waiting.ts";
import { demandOn } from "../../request/key-demands.ts";
import { GRPC } from "../../tunnel/wire/status.ts";
import { demandsOfKeys } from "./auth/demands.ts";
import type { Call } from "./call.ts";
import { EtcdError, wordsOf } from "./errors.ts";
import { RangeRequest_SortOrder as Order, RangeRequest_SortTarget as SortTarget } from "./gen/etcdserverpb_pb.js";
import { RangeRequestSchema } from "./gen/etcdserverpb_pb.js";
import { leaseId } from "./numbers.ts";
import type { RangeRead } from "./range-read.ts";
import { rangeReadOf, readRange } from "./range-read.ts";
import { oneKey } from "./watch-set.ts";

/** Seconds, where no lease was given. Nobody keeps it alive. */
const SESSION_TTL_MS = 60_000;

export interface Place {
  /** `name/`: below it they all stand. */
  prefix: Uint8Array;
  key: Uint8Array;
  /** What it was made by: the order in the queue, and a fencing token. */
  created: number;
  lease: string;
  caller: Caller;
}

export interface Joined {
  place: Place;
  /** As it has been before, when its owner stood there already. */
  found: StoredRecord | null;
  /** Nobody is in front. */
  isFirst: boolean;
  revision: number;
}

export const prefixOf = (name: Uint8Array): Uint8Array => joined(name, SLASH);

const SLASH = utf8("/");

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(a.length + b.length);
  bytes.set(a);
  bytes.set(b, a.length);
  return bytes;
}

/** A lease as it is, or a new one where none was named. */
export async function leaseOrNew(call: Call, asked: bigint): Promise<string> {
  const lease = leaseId(asked);
  if (lease !== null) return lease;
  const { value } = await call.execute("leases.grant", { ttlMs: SESSION_TTL_MS }, () => [
    { verb: "create", kind: "session", name: "" },
  ]);
  return value.id;
}

/** Stands in line, or finds that its owner does. Codes: `not_found` (the lease). */
export async function join(call: Call, name: Uint8Array, lease: string, value: Uint8Array): Promise<Joined> {
  const prefix = prefixOf(name);
  const key = joined(prefix, utf8(BigInt(lease).toString(16)));
  const first = { type: "range", ...firstOf(prefix).input } as const;
  const input: TxnInput = {
    compare: [{ key, target: "createRevision", operator: "=", operand: 0 }],
    then: [{ type: "put", key, value, lease }, first],
    else: [{ type: "range", key }, first],
  };
  const caller = await call.authorize(() => demandsOfKeys(call.client, { type: "txn", ...input }));
  const { value: result } = await call.client.execute("kv.txn", input, { caller });
  const { created, found, front } = outcomeOf(result);
  return {
    place: { prefix, key, created, lease, caller },
    found,
    isFirst: front === created,
    revision: result.revision,
  };
}

function outcomeOf({ results: [own, front] }: TxnResult): {
  created: number;
  found: StoredRecord | null;
  front: number;
} {
  const found = own?.type === "range" ? own.records[0]! : null;
  const created = own?.type === "put" ? own.record.createRevision : found!.createRevision;
  // Of a queue that is too long for one answer nobody is known to be in front.
  const isWhole = front?.type === "range" && front.rest === null;
  return { created, found, front: isWhole ? (front.records[0]?.createRevision ?? created) : 0 };
}

/** The oldest below a prefix. */
export function firstOf(prefix: Uint8Array): RangeRead {
  return rangeReadOf(
    create(RangeRequestSchema, { ...below(prefix), sortTarget: SortTarget.CREATE, sortOrder: Order.ASCEND, limit: 1n }),
  );
}

/** The newest of those that are older. */
const justBefore = ({ prefix, created }: Place): RangeRead =>
  rangeReadOf(
    create(RangeRequestSchema, {
      ...below(prefix),
      sortTarget: SortTarget.CREATE,
      sortOrder: Order.DESCEND,
      limit: 1n,
      keysOnly: true,
      maxCreateRevision: BigInt(created - 1),
    }),
  );

const below = (prefix: Uint8Array): { key: Uint8Array; rangeEnd: Uint8Array } => ({
  key: prefix,
  rangeEnd: prefixEnd(prefix)!,
});

/**
 * Resolves with the revision as of which nobody is in front; `null`: the place itself is gone. Rejects when the caller has
 * gone or lost the right; the place is given up then.
 */
export function awaitFront(call: Call, place: Place): Promise<number | null> {
  const waiting = front(call, place).catch(async (error: unknown) => {
    try {
      await leave(call, place);
    } catch (failure) {
      console.warn("a place in a queue could not be given up", failure);
    }
    throw error;
  });
  waitUntil(waiting.catch(() => {}));
  return waiting;
}

async function front(call: Call, place: Place): Promise<number | null> {
  const { client, signal } = call;
  const gone = new Promise<never>((_resolve, reject) => {
    const onGone = (): void => reject(new EtcdError(GRPC.cancelled, "context canceled"));
    if (signal.aborted) onGone();
    else signal.addEventListener("abort", onGone, { once: true });
  });
  gone.catch(() => {});
  for (;;) {
    const { records, revision } = await readRange(client, justBefore(place));
    const [before] = records;
    // Of the own place it is seen, too, that it is gone: there is nothing to wait for any more.
    const ranges = [place, ...(before ? [before] : [])].map(({ key }) => ({ space: KV, ...oneKey(key) }));
    const waiting = before ? { since: revision, waitMs: WAIT_MAX_MS } : {};
    const own = client.read("kv.range", { key: place.key, keysOnly: true }, { ranges, ...waiting });
    const { value, revision: seenAt } = await Promise.race([own, gone]);
    if (value.value.records[0]?.createRevision !== place.created) return null;
    if (!before) return seenAt;
    await call.authorize(() => [demandOn("read", place.prefix, prefixEnd(place.prefix))]);
  }
}

/** Gives up the place, if it is still that one. */
export async function leave(call: Call, { key, created, caller }: Place): Promise<number> {
  const { value } = await call.client.execute("kv.txn", ifStanding(key, created, { type: "delete", key }), { caller });
  return value.revision;
}

/** Does something to a place, if it is still that one. */
export const ifStanding = (key: Uint8Array, created: number, act: TxnInput["then"][number]): TxnInput => ({
  compare: [{ key, target: "createRevision", operator: "=", operand: created }],
  then: [act],
  else: [],
});

/** Whatever goes wrong, these services tell no code but this one. */
export async function inUnknownCode<T>(act: Promise<T>): Promise<T> {
  try {
    return await act;
  } catch (error) {
    throw new EtcdError(GRPC.unknown, wordsOf(error).message);
  }
}
