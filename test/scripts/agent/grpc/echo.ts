/** A running server with the echo service behind its gRPC port, and a real client to call it with. */
import * as grpc from "@grpc/grpc-js";
import { Edge } from "../../../edge.ts";
import { closedPort } from "../checks/servers.ts";

export const ENTRY = new URL("../../../workers/tunnel/echo-edge.ts", import.meta.url).pathname;

export class EchoServer implements AsyncDisposable {
  readonly edge: Edge;
  readonly port: number;
  readonly client: EchoClient;

  static async start(): Promise<EchoServer> {
    const port = await closedPort();
    return new EchoServer(await Edge.start(["--entry", ENTRY, "--etcd-port", String(port)]), port);
  }

  private constructor(edge: Edge, port: number) {
    this.edge = edge;
    this.port = port;
    this.client = new EchoClient(port);
  }

  /** A client with a connection of its own. */
  another(): EchoClient {
    return new EchoClient(this.port);
  }

  /** What became of a call at the edge, once it is as wanted; the last word after ten seconds. */
  async endOf(name: string, wanted: RegExp): Promise<string> {
    const deadline = performance.now() + 10_000;
    for (;;) {
      const { text } = await this.edge.ask(`/end?name=${name}`);
      if (wanted.test(text) || performance.now() > deadline) return text;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.client.close();
    await this.edge[Symbol.asyncDispose]();
  }
}

const pathOf = (name: string): string => `/test.Echo/${name}`;

const identity = (value: Buffer): Buffer => value;

export interface Answered {
  message: Buffer | undefined;
  headers: grpc.Metadata;
  trailers: grpc.Metadata;
}

export class EchoClient extends grpc.Client {
  constructor(port: number) {
    super(`127.0.0.1:${port}`, grpc.credentials.createInsecure(), {
      "grpc.max_receive_message_length": -1,
      "grpc.max_send_message_length": -1,
      // Each client has a connection of its own.
      "grpc.use_local_subchannel_pool": 1,
    });
  }

  /** Resolves with the answer; rejects with the grpc.ServiceError. */
  call(
    path: string,
    message: Buffer,
    options: grpc.CallOptions = {},
    metadata = new grpc.Metadata(),
  ): Promise<Answered> {
    const { promise, resolve, reject } = Promise.withResolvers<Answered>();
    let headers = new grpc.Metadata();
    let answer: Buffer | undefined;
    const call = this.makeUnaryRequest(path, identity, identity, message, metadata, options, (error, value) => {
      answer = value;
      if (error) reject(error);
    });
    call.on("metadata", (received: grpc.Metadata) => (headers = received));
    call.on("status", ({ metadata: trailers, code }: grpc.StatusObject) => {
      if (code === grpc.status.OK) setImmediate(() => resolve({ message: answer, headers, trailers }));
    });
    return promise;
  }

  read(name: string, message: Buffer, metadata = new grpc.Metadata()): grpc.ClientReadableStream<Buffer> {
    return this.makeServerStreamRequest(pathOf(name), identity, identity, message, metadata, {});
  }

  converse(name = "converse", metadata = new grpc.Metadata()): grpc.ClientDuplexStream<Buffer, Buffer> {
    return this.makeBidiStreamRequest(pathOf(name), identity, identity, metadata, {});
  }
}

export function named(name: string): grpc.Metadata {
  const metadata = new grpc.Metadata();
  metadata.set("x-name", name);
  return metadata;
}
