/** etcd's calls by gRPC on the agent's port, through the library that etcd's own clients for Node are made with. */
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
import { nameOf } from "../../../workers/dialects/etcd/service.ts";
import { CALL_MS, type EtcdTransport, failureOf, type Method } from "./etcd-transport.ts";

/** What a server that is being killed, or its object, leaves behind; none of them tells whether the call was carried out. */
const LOST: readonly status[] = [status.UNAVAILABLE, status.DEADLINE_EXCEEDED, status.CANCELLED, status.INTERNAL];

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

  call<I extends DescMessage, O extends DescMessage>(
    method: Method<I, O>,
    input: MessageInitShape<I>,
    ms = CALL_MS,
  ): Promise<MessageShape<O>> {
    return new Promise((resolve, reject) => {
      const asked = create(method.input, input);
      const deadline = { deadline: Date.now() + ms };
      this.#client.makeUnaryRequest(...wireOf(method), asked, metadata(), deadline, (error, answer) => {
        if (error) reject(failure(error));
        else resolve(answer!);
      });
    });
  }

  async *stream<I extends DescMessage, O extends DescMessage>(
    method: Method<I, O>,
    inputs: readonly MessageInitShape<I>[],
    signal: AbortSignal,
  ): AsyncGenerator<MessageShape<O>, undefined> {
    const stream = this.#client.makeBidiStreamRequest(...wireOf(method), metadata());
    const cancel = (): void => stream.cancel();
    signal.addEventListener("abort", cancel);
    // Also when nobody listens any more.
    stream.on("error", () => {});
    for (const input of inputs) stream.write(create(method.input, input));
    stream.end();
    try {
      for await (const answer of stream) yield answer as MessageShape<O>;
    } catch (error) {
      throw failure(error as ServiceError);
    } finally {
      signal.removeEventListener("abort", cancel);
      stream.cancel();
    }
  }
}

const failure = ({ code, details }: ServiceError): Error => failureOf(details, LOST.includes(code));

/** Until there is a connection again a call waits, instead of failing at once. */
function metadata(): Metadata {
  const made = new Metadata({ waitForReady: true });
  made.set("token", TOKEN);
  return made;
}

const wireOf = <I extends DescMessage, O extends DescMessage>(method: Method<I, O>) =>
  [
    `/${nameOf(method)}`,
    (message: MessageShape<I>) => Buffer.from(toBinary<DescMessage>(method.input, message)),
    (data: Buffer): MessageShape<O> => fromBinary(method.output, data),
  ] as const;
