/** etcdserverpb.Maintenance: how the namespace is, and what operators do about a store; much of it happens by itself here. */
import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import type { RangeResult } from "../../../../objects/kv/range.ts";
import { paddingAfter } from "../../../../objects/store/snapshot.ts";
import type { StoredRecord } from "../../../../objects/store/txn.ts";
import type { Answer, NamespaceClient } from "../../../request/namespace-client.ts";
import { takeSnapshot } from "../../../request/snapshot.ts";
import { GRPC } from "../../../tunnel/wire/status.ts";
import type { Call } from "../call.ts";
import { RAFT_TERM } from "../cluster-ids.ts";
import { refused, unimplemented } from "../errors.ts";
import type { Maintenance } from "../gen/etcdserverpb_pb.js";
import {
  AlarmRequest_AlarmAction as Action,
  AlarmType,
  DowngradeRequest_DowngradeAction,
} from "../gen/etcdserverpb_pb.js";
import { positive } from "../numbers.ts";
import type { Implementation } from "../service.ts";
import { STORAGE_VERSION, VERSION } from "../version.ts";

export const maintenance: Implementation<typeof Maintenance> = {
  /** An alarm follows from the namespace's size, and goes when there is room again. */
  async alarm({ action, alarm }, call) {
    if (action === Action.GET) await call.assertKnown();
    else await assertOperator(call);
    if (action === Action.ACTIVATE) throw unimplemented("etcdserver: alarms follow from the size of the namespace");
    const { value, revision } = await call.client.status();
    const isAsked = alarm === AlarmType.NONE || alarm === AlarmType.NOSPACE;
    const isOn = action === Action.GET && isAsked && value.sizeBytes > value.sizeBytesMax;
    const alarms = isOn ? [{ memberID: call.ids.member, alarm: AlarmType.NOSPACE }] : [];
    return { header: call.header(revision), alarms };
  },

  async status(_request, call) {
    await call.assertKnown();
    const { value, revision } = await call.client.status();
    const index = BigInt(Math.max(1, revision));
    return {
      header: call.header(revision),
      version: VERSION,
      dbSize: BigInt(value.sizeBytes),
      leader: call.ids.member,
      raftIndex: index,
      raftTerm: RAFT_TERM,
      raftAppliedIndex: index,
      errors: value.sizeBytes > value.sizeBytesMax ? [`memberID:${call.ids.member} alarm:NOSPACE `] : [],
      dbSizeInUse: BigInt(value.sizeBytes),
      storageVersion: STORAGE_VERSION,
      dbSizeQuota: BigInt(value.sizeBytesMax),
    };
  },

  /** The storage puts itself in order. */
  async defragment(_request, call) {
    await assertOperator(call);
    const { revision } = await call.client.query("store.nothing", {});
    return { header: call.header(revision) };
  },

  /** Of all that has ever been written, in its order. */
  async hash(_request, call) {
    await assertOperator(call);
    const { value, revision } = await call.client.status();
    return { header: call.header(revision), hash: Number.parseInt(value.hash.slice(0, 8), 16) };
  },

  /** Of the keys as of a revision. */
  async hashKV(request, call) {
    await assertOperator(call);
    const { value: status } = await call.client.status();
    const { hash, at, revision } = await hashOfKeys(call.client, positive(request.revision));
    return {
      header: call.header(revision),
      hash,
      compactRevision: BigInt(status.compacted),
      hashRevision: BigInt(Math.max(1, at)),
    };
  },

  /** The namespace's own snapshot, which Holdfast restores; with an end by which clients take it for whole. */
  async *snapshot(_request, call) {
    await call.authorize(() => [{ verb: "backup", kind: "snapshot" }]);
    const snapshot = await takeSnapshot(call.client);
    // Each answer tells how much is to come: it is made once to be measured.
    let size = 0;
    for await (const part of snapshot.parts()) size += part.length;
    const padding = paddingAfter(size);
    const hash = createHash("sha256");
    let remaining = size + padding.length;
    const header = call.header(snapshot.revision);
    for await (const part of withEnd(snapshot.parts(), padding)) {
      hash.update(part);
      for (let at = 0; at < part.length; at += BLOB_BYTES) {
        const blob = part.subarray(at, at + BLOB_BYTES);
        remaining -= blob.length;
        yield { header, remainingBytes: BigInt(Math.max(0, remaining)), blob, version: STORAGE_VERSION };
      }
    }
    yield { header, blob: new Uint8Array(hash.digest()), version: STORAGE_VERSION };
  },

  async moveLeader({ targetID }, call) {
    await assertOperator(call);
    if (targetID !== call.ids.member) throw refused(GRPC.failedPrecondition, "bad leader transferee");
    const { revision } = await call.client.query("store.nothing", {});
    return { header: call.header(revision) };
  },

  async downgrade({ action, version }, call) {
    await assertOperator(call);
    if (action === DowngradeRequest_DowngradeAction.CANCEL) {
      throw refused(GRPC.failedPrecondition, "no inflight downgrade job");
    }
    if (!/^v?\d+\.\d+(?:\.\d+)?$/.test(version)) {
      throw refused(GRPC.invalidArgument, "wrong downgrade target version format");
    }
    throw refused(GRPC.invalidArgument, "invalid downgrade target version");
  },
};

const BLOB_BYTES = 32 * 1024;

async function* withEnd(parts: AsyncIterable<Uint8Array>, end: Uint8Array): AsyncGenerator<Uint8Array> {
  yield* parts;
  yield end;
}

const assertOperator = (call: Call): Promise<unknown> => call.authorize(() => [{ verb: "operate", kind: "operator" }]);

async function hashOfKeys(
  client: NamespaceClient,
  asked: number | undefined,
): Promise<{ hash: number; at: number; revision: number }> {
  const { value: first, revision } = await client.query("kv.range", {
    key: new Uint8Array(),
    to: null,
    revision: asked,
  });
  let hash = hashOf(first.records, 0);
  for (let { rest } = first; rest !== null;) {
    const input = { key: rest.from, to: rest.to, revision: first.revision };
    const { value }: Answer<RangeResult> = await client.query("kv.range", input);
    hash = hashOf(value.records, hash);
    rest = value.rest;
  }
  return { hash, at: first.revision, revision };
}

const hashOf = (records: readonly StoredRecord[], seed: number): number =>
  records.reduce(
    (hash, { key, value, modRevision, version, lease }) =>
      crc32(value, crc32(key, crc32(`${modRevision}:${version}:${lease ?? 0}:${key.length}:`, hash))),
    seed,
  );
