/** etcd's KV service by gRPC on the agent's port, through the library that etcd's own clients for Node are made with. */
import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { Client, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { TOKEN } from "../../edge.ts";
import {
  Compare_CompareResult,
  Compare_CompareTarget,
  DeleteRangeRequestSchema,
  DeleteRangeResponseSchema,
  PutRequestSchema,
  PutResponseSchema,
  RangeRequestSchema,
  RangeResponseSchema,
  TxnRequestSchema,
  TxnResponseSchema,
} from "../../../workers/dialects/etcd/gen/etcdserverpb_pb.js";
import type { KeyValue } from "../../../workers/dialects/etcd/gen/mvccpb_pb.js";
import { Unanswered } from "../history.ts";
import type { EtcdAnswer, EtcdRecord, EtcdTransport } from "./etcd-keys.ts";

const CALL_MS = 20_000;
/** What a server that is being killed, or its object, leaves behind; none of them tells whether the call was carried out. */
const LOST: readonly status[] = [status.UNAVAILABLE, status.DEADLINE_EXCEEDED, status.CANCELLED, status.INTERNAL];

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (value: Uint8Array): string => new TextDecoder().decode(value);

export class EtcdGrpc implements EtcdTransport, Disposable {
  readonly #client: Client;

  constructor(port: number) {
    this.#client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), {
      "grpc.initial_reconnect_backoff_ms": 50,
      "grpc.max_reconnect_backoff_ms": 200,
      // A call is one call.
      "grpc.enable_retries": 0,
    });
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }

  async range(key: string, end: string | null): Promise<EtcdAnswer> {
    const asked = rangeOf(key, end);
    const { header, kvs } = await this.#call("Range", RangeRequestSchema, RangeResponseSchema, asked);
    return { revision: Number(header!.revision), done: false, records: kvs.map(recordOf) };
  }

  async put(key: string, value: string): Promise<EtcdAnswer> {
    const asked = { key: bytes(key), value: bytes(value) };
    const { header } = await this.#call("Put", PutRequestSchema, PutResponseSchema, asked);
    return { revision: Number(header!.revision), done: true, records: null };
  }

  async delete(key: string): Promise<EtcdAnswer> {
    const asked = { key: bytes(key) };
    const answer = await this.#call("DeleteRange", DeleteRangeRequestSchema, DeleteRangeResponseSchema, asked);
    return { revision: Number(answer.header!.revision), done: answer.deleted > 0n, records: null };
  }

  async txn(
    compare: { key: string; modRevision: number },
    puts: readonly string[],
    value: string,
    otherwise: { key: string; end: string },
  ): Promise<EtcdAnswer> {
    const modRevision = { case: "modRevision" as const, value: BigInt(compare.modRevision) };
    const { header, succeeded, responses } = await this.#call("Txn", TxnRequestSchema, TxnResponseSchema, {
      compare: [
        {
          key: bytes(compare.key),
          target: Compare_CompareTarget.MOD,
          result: Compare_CompareResult.EQUAL,
          targetUnion: modRevision,
        },
      ],
      success: puts.map((key) => ({
        request: { case: "requestPut" as const, value: { key: bytes(key), value: bytes(value) } },
      })),
      failure: [{ request: { case: "requestRange" as const, value: rangeOf(otherwise.key, otherwise.end) } }],
    });
    const [first] = responses;
    const range = !succeeded && first?.response.case === "responseRange" ? first.response.value : null;
    return { revision: Number(header!.revision), done: succeeded, records: range && range.kvs.map(recordOf) };
  }

  #call<I extends DescMessage, O extends DescMessage>(
    method: string,
    input: I,
    output: O,
    asked: MessageInitShape<I>,
  ): Promise<MessageShape<O>> {
    // Until there is a connection again it waits, instead of failing at once.
    const metadata = new Metadata({ waitForReady: true });
    metadata.set("token", TOKEN);
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        `/etcdserverpb.KV/${method}`,
        (message: MessageShape<I>) => Buffer.from(toBinary(input, message)),
        (data: Buffer) => fromBinary(output, data),
        create(input, asked),
        metadata,
        { deadline: Date.now() + CALL_MS },
        (error: ServiceError | null, answer?: MessageShape<O>) => {
          if (!error) resolve(answer!);
          else reject(LOST.includes(error.code) ? new Unanswered(error.message) : error);
        },
      );
    });
  }
}

const rangeOf = (key: string, end: string | null) => ({
  key: bytes(key),
  ...(end !== null && { rangeEnd: bytes(end) }),
});

const recordOf = ({ key, value, modRevision, createRevision, version }: KeyValue): EtcdRecord => ({
  key: text(key),
  value: text(value),
  modRevision: Number(modRevision),
  createRevision: Number(createRevision),
  version: Number(version),
});
