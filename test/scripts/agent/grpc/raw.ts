/** HTTP/2 without a gRPC library, to send what such a library would not. */
import http2 from "node:http2";

export interface RawAnswer {
  headers: http2.IncomingHttpHeaders;
  /** Of the headers, when they were the whole answer. */
  trailers: http2.IncomingHttpHeaders;
  body: Buffer;
}

export class RawClient implements Disposable {
  readonly session: http2.ClientHttp2Session;

  constructor(port: number) {
    this.session = http2.connect(`http://127.0.0.1:${port}`);
    this.session.on("error", () => {});
  }

  open(path: string, headers: http2.OutgoingHttpHeaders = {}): http2.ClientHttp2Stream {
    return this.session.request({
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc",
      te: "trailers",
      ...headers,
    });
  }

  /** Sends the bytes and ends; resolves with the whole answer. */
  async ask(path: string, body: Uint8Array, headers: http2.OutgoingHttpHeaders = {}): Promise<RawAnswer> {
    const stream = this.open(path, headers);
    stream.end(body);
    return answerOf(stream);
  }

  [Symbol.dispose](): void {
    this.session.destroy();
  }
}

export async function answerOf(stream: http2.ClientHttp2Stream): Promise<RawAnswer> {
  // A stream that is refused closes as well.
  const closed = new Promise((resolve) => stream.once("close", resolve));
  const chunks: Buffer[] = [];
  let headers: http2.IncomingHttpHeaders = {};
  let trailers: http2.IncomingHttpHeaders | undefined;
  stream.on("response", (received) => (headers = received));
  stream.on("trailers", (received) => (trailers = received));
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  await closed;
  return { headers, trailers: trailers ?? headers, body: Buffer.concat(chunks) };
}

/** A message behind its header; what the header says can be otherwise. */
export function message(bytes: Uint8Array, { flag = 0, length = bytes.length } = {}): Buffer {
  const header = Buffer.alloc(5);
  header[0] = flag;
  header.writeUInt32BE(length, 1);
  return Buffer.concat([header, bytes]);
}
