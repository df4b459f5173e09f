/**
 * etcd's Range as reads of the domain: fetched at one revision, filtered, sorted, cut.
 *
 * An answer of etcd has no upper size: what one answer of the namespace does not carry is asked for in parts, all at the
 * revision of the first. One quirk is kept: who names a target but no order gets the first keys in key order, sorted.
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { OrderBy, RangeInput, RevisionBounds } from "../../../objects/kv/range.ts";
import { orderOf } from "../../../objects/kv/range.ts";
import type { StoredRecord } from "../../../objects/store/txn.ts";
import type { NamespaceClient } from "../../request/namespace-client.ts";
import { GRPC } from "../../tunnel/wire/status.ts";
import { emptyKey, refused } from "./errors.ts";
import type { RangeRequest, RangeResponseSchema } from "./gen/etcdserverpb_pb.js";
import { RangeRequest_SortOrder as Order, RangeRequest_SortTarget as SortTarget } from "./gen/etcdserverpb_pb.js";
import { keyValueOf } from "./key-value.ts";
import { positive } from "./numbers.ts";
import { targetOf } from "./ranges.ts";

export function assertRangeRequest({ key, sortOrder, sortTarget }: RangeRequest): void {
  if (key.length === 0) throw emptyKey();
  if (Order[sortOrder] === undefined || SortTarget[sortTarget] === undefined) {
    throw refused(GRPC.invalidArgument, "invalid sort option");
  }
}

export interface RangeRead {
  /** Of the domain; its limit is one more than was asked for, so that it shows whether there is more. */
  input: RangeInput & { revision?: number | undefined };
  /** How many are answered; null = all. */
  limit: number | null;
  keysOnly: boolean;
  countOnly: boolean;
  /** By which the fetched ones are sorted at last; null = as they come. */
  quirk: OrderBy | null;
}

const ORDER_BY: Record<number, OrderBy | undefined> = {
  [SortTarget.VERSION]: "version",
  [SortTarget.CREATE]: "createRevision",
  [SortTarget.MOD]: "modRevision",
  [SortTarget.VALUE]: "value",
};

export function rangeReadOf(request: RangeRequest): RangeRead {
  const { key, rangeEnd, sortOrder, sortTarget, keysOnly, countOnly } = request;
  const bounds = boundsOf(request);
  const limit = positive(request.limit) ?? null;
  const orderBy = ORDER_BY[sortTarget];
  const isQuirk = orderBy !== undefined && sortOrder === Order.NONE && bounds === undefined;
  return {
    input: {
      ...targetOf(key, rangeEnd),
      ...(limit !== null && { limit: limit + 1 }),
      reverse: sortOrder === Order.DESCEND,
      ...(orderBy !== undefined && !isQuirk && { orderBy }),
      ...(bounds && { bounds }),
      // To sort by value at last the values are needed.
      keysOnly: keysOnly && !(isQuirk && orderBy === "value"),
      count: true,
      revision: positive(request.revision),
    },
    limit,
    keysOnly,
    countOnly,
    quirk: isQuirk ? orderBy : null,
  };
}

function boundsOf(request: RangeRequest): RevisionBounds | undefined {
  const bounds = {
    createMin: positive(request.minCreateRevision),
    createMax: positive(request.maxCreateRevision),
    modMin: positive(request.minModRevision),
    modMax: positive(request.maxModRevision),
  };
  return Object.values(bounds).some((bound) => bound !== undefined) ? bounds : undefined;
}

export interface RangeFound {
  records: StoredRecord[];
  count: number;
  /** Of the namespace when it was asked, whatever revision was read. */
  revision: number;
}

/** Of one answer: a Worker has 128 MB, and an answer is there as records and as its text. */
const ANSWER_BYTES_MAX = 32 * 1024 * 1024;

/** Codes: `compacted`, `future_revision`; 8 when it is more than one answer may be. */
export async function readRange(client: NamespaceClient, { input, countOnly }: RangeRead): Promise<RangeFound> {
  const { key, to, revision: at } = input;
  if (countOnly && to !== undefined) {
    const { value, revision } = await client.query("kv.count", { range: { from: key, to }, revision: at });
    return { records: [], count: value.count, revision };
  }
  const { value: first, revision } = await client.query("kv.range", input);
  const { records, count = 0 } = first;
  let { rest } = first;
  let bytes = sizeOf(records);
  for (; rest !== null && (input.orderBy !== undefined || records.length < (input.limit ?? Infinity));) {
    const part = { ...input, key: rest.from, to: rest.to, revision: first.revision, count: false };
    // In key order what is left is enough; else any part may have the ones that come first.
    if (input.orderBy === undefined && input.limit !== undefined) part.limit = input.limit - records.length;
    const { value } = await client.query("kv.range", part);
    bytes += sizeOf(value.records);
    if (bytes > ANSWER_BYTES_MAX) throw refused(GRPC.resourceExhausted, "the range is too large for one answer");
    records.push(...value.records);
    rest = value.rest;
    if (input.orderBy === undefined) continue;
    records.sort(orderOf(input.orderBy, input.reverse ?? false));
    records.splice(input.limit ?? records.length);
    bytes = sizeOf(records);
  }
  return { records, count, revision };
}

const sizeOf = (records: readonly StoredRecord[]): number =>
  records.reduce((sum, { key, value }) => sum + key.length + value.length + RECORD_BYTES, 0);

/** What a record takes besides key and value. */
const RECORD_BYTES = 128;

export interface RangePart {
  answer: RangeAnswer;
  /** Of the last part. */
  end: { revision: number } | null;
}

/** In key order, a part at a time; how many there are is told with the last. */
export async function* rangeParts(client: NamespaceClient, read: RangeRead): AsyncGenerator<RangePart> {
  const { input, keysOnly } = read;
  const { value: first, revision } = await client.query("kv.range", input);
  const count = first.count ?? 0;
  if (read.countOnly) return yield { answer: { count: BigInt(count) }, end: { revision } };
  let left = read.limit ?? Infinity;
  for (let { records, rest } = first; ;) {
    const kept = records.slice(0, left);
    const isLast = rest === null || records.length > left;
    left -= kept.length;
    const kvs = kept.map(keyValueOf);
    if (isLast)
      return yield { answer: { kvs, more: records.length > kept.length, count: BigInt(count) }, end: { revision } };
    yield { answer: { kvs }, end: null };
    const limit = Number.isFinite(left) ? { limit: left + 1 } : {};
    const part = {
      key: rest!.from,
      to: rest!.to,
      reverse: input.reverse,
      keysOnly,
      revision: first.revision,
      ...limit,
    };
    ({ records, rest } = (await client.query("kv.range", part)).value);
  }
}

type RangeAnswer = Omit<MessageInitShape<typeof RangeResponseSchema>, "header" | "$typeName">;

export function rangeAnswer(read: RangeRead, records: StoredRecord[], count: number): RangeAnswer {
  if (read.countOnly) return { count: BigInt(count) };
  const limit = read.limit ?? Infinity;
  const sorted = read.quirk === null ? records : records.toSorted(orderOf(read.quirk, false));
  const kept = sorted.length > limit ? sorted.slice(0, limit) : sorted;
  const kvs = kept.map(keyValueOf);
  if (read.keysOnly && read.quirk === "value") for (const kv of kvs) kv.value = new Uint8Array();
  return { kvs, more: records.length > limit, count: BigInt(count) };
}
