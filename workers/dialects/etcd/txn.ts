/** etcd's transactions as the domain's, with what etcd refuses before it looks at any state. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  Compare as DomainCompare,
  TxnInput,
  TxnOperation,
  TxnOperationResult,
  TxnResult,
} from "../../../objects/kv/txn.ts";
import { TXN_OPERATIONS_MAX } from "../../../objects/kv/txn.ts";
import type { DeleteInput, PutInput } from "../../../objects/kv/kv.ts";
import { GRPC } from "../../tunnel/wire/status.ts";
import { emptyKey, keyNotFound, refused, tooManyOperations } from "./errors.ts";
import type {
  Compare,
  DeleteRangeRequest,
  PutRequest,
  RequestOp,
  ResponseOpSchema,
  TxnRequest,
  TxnResponseSchema,
} from "./gen/etcdserverpb_pb.js";
import { Compare_CompareResult as Result, Compare_CompareTarget as CompareTarget } from "./gen/etcdserverpb_pb.js";
import { keyValueOf } from "./key-value.ts";
import { leaseId, near } from "./numbers.ts";
import { assertRangeRequest, rangeAnswer, rangeReadOf } from "./range-read.ts";
import { targetOf } from "./ranges.ts";

/** Codes: 3. */
export function assertTxnRequest({ compare, success, failure }: TxnRequest, max = TXN_OPERATIONS_MAX): void {
  const count = Math.max(compare.length, success.length, failure.length);
  if (count > max) throw tooManyOperations();
  for (const { key } of compare) if (key.length === 0) throw emptyKey();
  for (const operation of [...success, ...failure]) assertOperation(operation, max - count);
}

function assertOperation({ request }: RequestOp, max: number): void {
  switch (request.case) {
    case "requestRange":
      return assertRangeRequest(request.value);
    case "requestPut":
      return assertPutRequest(request.value);
    case "requestDeleteRange":
      return assertDeleteRequest(request.value);
    case "requestTxn":
      return assertTxnRequest(request.value, max);
    case undefined:
      throw keyNotFound();
  }
}

export function assertPutRequest({ key, value, lease, ignoreValue, ignoreLease }: PutRequest): void {
  if (key.length === 0) throw emptyKey();
  if (ignoreValue && value.length > 0) throw refused(GRPC.invalidArgument, "value is provided");
  if (ignoreLease && lease !== 0n) throw refused(GRPC.invalidArgument, "lease is provided");
}

export function assertDeleteRequest({ key }: DeleteRangeRequest): void {
  if (key.length === 0) throw emptyKey();
}

export const putInputOf = ({ key, value, lease, prevKv, ignoreValue, ignoreLease }: PutRequest): PutInput => ({
  key,
  value,
  lease: leaseId(lease),
  ...(ignoreValue && { keepValue: true }),
  ...(ignoreLease && { keepLease: true }),
  ...(prevKv && { previous: true }),
});

export const deleteInputOf = ({ key, rangeEnd, prevKv }: DeleteRangeRequest): DeleteInput => ({
  ...targetOf(key, rangeEnd),
  ...(prevKv && { previous: true }),
});

export const txnInputOf = ({ compare, success, failure }: TxnRequest): TxnInput => ({
  compare: compare.map(compareOf),
  then: success.map(operationOf),
  else: failure.map(operationOf),
});

function operationOf({ request }: RequestOp): TxnOperation {
  switch (request.case) {
    case "requestRange":
      return { type: "range", ...rangeReadOf(request.value).input };
    case "requestPut":
      return { type: "put", ...putInputOf(request.value) };
    case "requestDeleteRange":
      return { type: "delete", ...deleteInputOf(request.value) };
    case "requestTxn":
      return { type: "txn", ...txnInputOf(request.value) };
    case undefined:
      throw keyNotFound();
  }
}

const OPERATOR: Record<Result, DomainCompare["operator"]> = {
  [Result.EQUAL]: "=",
  [Result.GREATER]: ">",
  [Result.LESS]: "<",
  [Result.NOT_EQUAL]: "!=",
};

const TARGET: Record<CompareTarget, DomainCompare["target"]> = {
  [CompareTarget.VERSION]: "version",
  [CompareTarget.CREATE]: "createRevision",
  [CompareTarget.MOD]: "modRevision",
  [CompareTarget.VALUE]: "value",
  [CompareTarget.LEASE]: "lease",
};

function compareOf({ result, target: asked, key, rangeEnd, targetUnion }: Compare): DomainCompare {
  const [operator, target] = [OPERATOR[result], TARGET[asked]];
  // What etcd does not know holds: a number that is no operator or target compares nothing.
  if (operator === undefined || target === undefined) return { key, target: "version", operator: "!=", operand: -1 };
  return { ...targetOf(key, rangeEnd), target, operator, operand: operandOf(target, targetUnion) };
}

/** Given for another target it counts as nothing: 0, or empty. */
function operandOf(target: DomainCompare["target"], given: Compare["targetUnion"]): DomainCompare["operand"] {
  const value = given.case === target ? given.value : undefined;
  if (target === "value") return value instanceof Uint8Array ? value : new Uint8Array();
  const number = typeof value === "bigint" ? value : 0n;
  return target === "lease" ? number.toString() : near(number);
}

type TxnAnswer = Omit<MessageInitShape<typeof TxnResponseSchema>, "header" | "$typeName">;

/** Of the way that was taken. */
export function txnAnswer(request: TxnRequest, result: TxnResult): TxnAnswer {
  return answerOf(request, result, new Progress(result));
}

/** An answer within a transaction tells its revision and nothing else: that of before, until there is a write. */
class Progress {
  readonly #revision: number;
  #hasWritten = false;

  constructor(result: TxnResult) {
    this.#revision = hasWritten(result) ? result.revision - 1 : result.revision;
  }

  headerAfter(result: TxnOperationResult): { revision: bigint } {
    this.#hasWritten ||= isWrite(result);
    return { revision: BigInt(Math.max(1, this.#hasWritten ? this.#revision + 1 : this.#revision)) };
  }
}

const hasWritten = ({ results }: TxnResult): boolean => results.some(isWrite);

const isWrite = (result: TxnOperationResult): boolean =>
  result.type === "put" ||
  (result.type === "delete" && result.deleted > 0) ||
  (result.type === "txn" && hasWritten(result));

function answerOf({ success, failure }: TxnRequest, { succeeded, results }: TxnResult, progress: Progress): TxnAnswer {
  const asked = succeeded ? success : failure;
  return {
    succeeded,
    responses: results.map((result, index) => ({ response: responseOf(asked[index]!, result, progress) })),
  };
}

type Response = NonNullable<MessageInitShape<typeof ResponseOpSchema>["response"]>;

function responseOf({ request }: RequestOp, result: TxnOperationResult, progress: Progress): Response {
  if (result.type === "txn") {
    const nested = (request as RequestOp["request"] & { case: "requestTxn" }).value;
    return { case: "responseTxn", value: { header: {}, ...answerOf(nested, result, progress) } };
  }
  const header = progress.headerAfter(result);
  switch (result.type) {
    case "range": {
      const read = rangeReadOf((request as RequestOp["request"] & { case: "requestRange" }).value);
      return { case: "responseRange", value: { header, ...rangeAnswer(read, result.records, result.count ?? 0) } };
    }
    case "put":
      return {
        case: "responsePut",
        value: { header, ...(result.previous && { prevKv: keyValueOf(result.previous) }) },
      };
    case "delete": {
      const value = { header, deleted: BigInt(result.deleted), prevKvs: result.previous.map(keyValueOf) };
      return { case: "responseDeleteRange", value };
    }
  }
}
