/** etcdserverpb.KV: keys read, written and deleted, in transactions too; history forgotten. */
import { demandsOfKeys } from "../auth/demands.ts";
import { compacted, unimplemented } from "../errors.ts";
import type { KV } from "../gen/etcdserverpb_pb.js";
import { keyValueOf } from "../key-value.ts";
import { near } from "../numbers.ts";
import { assertRangeRequest, rangeAnswer, rangeParts, rangeReadOf, readRange } from "../range-read.ts";
import { demandOf, targetOf } from "../ranges.ts";
import type { Implementation } from "../service.ts";
import {
  assertDeleteRequest,
  assertPutRequest,
  assertTxnRequest,
  deleteInputOf,
  putInputOf,
  txnAnswer,
  txnInputOf,
} from "../txn.ts";

export const kv: Implementation<typeof KV> = {
  async range(request, call) {
    assertRangeRequest(request);
    await call.authorize(() => [demandOf("read", targetOf(request.key, request.rangeEnd))]);
    const read = rangeReadOf(request);
    const { records, count, revision } = await readRange(call.client, read);
    return { header: call.header(revision), ...rangeAnswer(read, records, count) };
  },

  async *rangeStream(request, call) {
    assertRangeRequest(request);
    const target = targetOf(request.key, request.rangeEnd);
    await call.authorize(() => [demandOf("read", target)]);
    const read = rangeReadOf(request);
    if (read.input.orderBy !== undefined || read.input.bounds !== undefined || read.quirk !== null) {
      throw unimplemented("etcdserver: RangeStream does not support custom sort orders or revision filters");
    }
    for await (const part of rangeParts(call.client, read)) {
      const rangeResponse = part.end ? { header: call.header(part.end.revision), ...part.answer } : part.answer;
      yield { rangeResponse };
    }
  },

  async put(request, call) {
    assertPutRequest(request);
    call.assertRequestSize();
    const input = putInputOf(request);
    const { value } = await call.execute("kv.put", input, () => demandsOfKeys(call.client, { type: "put", ...input }));
    const { record, previous } = value;
    return { header: call.header(record.modRevision), ...(previous && { prevKv: keyValueOf(previous) }) };
  },

  async deleteRange(request, call) {
    assertDeleteRequest(request);
    call.assertRequestSize();
    const input = deleteInputOf(request);
    const target = targetOf(request.key, request.rangeEnd);
    const { value } = await call.execute("kv.delete", input, () => [
      demandOf("delete", target),
      ...(request.prevKv ? [demandOf("read", target)] : []),
    ]);
    const { deleted, previous, revision } = value;
    return { header: call.header(revision), deleted: BigInt(deleted), prevKvs: previous.map(keyValueOf) };
  },

  async txn(request, call) {
    assertTxnRequest(request);
    call.assertRequestSize();
    const input = txnInputOf(request);
    const { value } = await call.execute("kv.txn", input, () => demandsOfKeys(call.client, { type: "txn", ...input }));
    return { header: call.header(value.revision), ...txnAnswer(request, value) };
  },

  async compact({ revision }, call) {
    const caller = await call.authorize(() => [{ verb: "operate", kind: "operator" }]);
    // What is as old as nothing has been forgotten long ago.
    if (revision <= 0n) throw compacted();
    const answer = await call.client.compact(near(revision), caller);
    return { header: call.header(answer.revision) };
  },
};
