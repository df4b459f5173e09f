/** A record as etcd shows it. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { StoredRecord } from "../../../objects/store/txn.ts";
import type { KeyValueSchema } from "./gen/mvccpb_pb.js";

export type KeyValueInit = MessageInitShape<typeof KeyValueSchema>;

export const keyValueOf = (record: StoredRecord): KeyValueInit => ({
  key: record.key,
  createRevision: BigInt(record.createRevision),
  modRevision: BigInt(record.modRevision),
  version: BigInt(record.version),
  value: record.value,
  lease: record.lease === null ? 0n : BigInt(record.lease),
});
