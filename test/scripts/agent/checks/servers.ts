/** Little servers to check: one a protocol, on a free port of 127.0.0.1. */
import dgram from "node:dgram";
import { once } from "node:events";
import http2 from "node:http2";
import net, { type AddressInfo } from "node:net";

/** Self-signed, for localhost and 127.0.0.1, made for these tests and good for a hundred years. */
export const CERTIFICATE = {
  key: `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgbtBRc9nhreKGlmjy
ZDhIzvqJ6jkykU2EJ4MUFTWujDmhRANCAASM0mY5W/hSq3g3wMqFXtIlFbwaxGOl
66L/Mr7eixRNmY+AOPx3kv+ddeM4JGku1CpC5MXw/5ylBMlLc57f7Etz
-----END PRIVATE KEY-----`,
  cert: `-----BEGIN CERTIFICATE-----
MIIBmzCCAUGgAwIBAgIUfOQ8Tc1LYEqIOrT4LZQoYGim1WswCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyNDE3MTk1NloYDzIxMjYxMDMx
MTcxOTU2WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAASM0mY5W/hSq3g3wMqFXtIlFbwaxGOl66L/Mr7eixRNmY+AOPx3kv+d
deM4JGku1CpC5MXw/5ylBMlLc57f7Etzo28wbTAdBgNVHQ4EFgQU/o+6j8OgPShy
xtqYclvpTvCAAj4wHwYDVR0jBBgwFoAU/o+6j8OgPShyxtqYclvpTvCAAj4wDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDSAAwRQIhAJY4fLxXcXHE8PKRmfQOLInJkAK05H4mOZFmTJenS87EAiAo
peHwuQl5d66IO9iJKT9B7Yz8bhkeCqSCVOlIyQ0KHw==
-----END CERTIFICATE-----`,
};

export interface Served extends AsyncDisposable {
  port: number;
}

/** Answers every datagram with itself, or with nothing. */
export async function udpServer(isSilent = false): Promise<Served & { received: Buffer[] }> {
  const socket = dgram.createSocket("udp4");
  const received: Buffer[] = [];
  socket.on("message", (message, from) => {
    received.push(message);
    if (!isSilent) socket.send(message, from.port, from.address);
  });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  return {
    port: socket.address().port,
    received,
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => socket.close(resolve)),
  };
}

/** Takes connections and says nothing. */
export async function silentServer(): Promise<Served> {
  return listening(net.createServer((socket) => socket.on("error", () => {})));
}

export interface GrpcAnswer {
  /** The message; absent = trailers only. */
  message?: Uint8Array;
  code?: number;
  text?: string;
  httpStatus?: number;
}

/** A health server: what it answers for each service asked about, and what it was asked. */
export async function grpcServer(
  answer: (service: string) => GrpcAnswer,
  isSecure = false,
): Promise<Served & { asked: http2.IncomingHttpHeaders[] }> {
  const asked: http2.IncomingHttpHeaders[] = [];
  const server = isSecure ? http2.createSecureServer(CERTIFICATE) : http2.createServer();
  server.on("stream", async (stream, headers) => {
    asked.push(headers);
    stream.on("error", () => {});
    const chunks: Buffer[] = [];
    for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk);
    const frame = Buffer.concat(chunks);
    // Flag, length, then the field: tag 0x0a, length, text. Nothing when the text is empty.
    const { message, code = 0, text = "", httpStatus = 200 } = answer(frame.subarray(7).toString());
    const status = { "grpc-status": String(code), "grpc-message": encodeURIComponent(text) };
    const head = { ":status": httpStatus, "content-type": "application/grpc" };
    if (!message) return stream.respond({ ...head, ...status }, { endStream: true });
    stream.respond(head, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers(status));
    stream.end(framed(message));
  });
  server.on("sessionError", () => {});
  return { ...(await listening(server)), asked };
}

/** `status = 1` of the response; 1 is SERVING. */
export const health = (status: number): Uint8Array => Uint8Array.of(0x08, status);

function framed(message: Uint8Array): Buffer {
  const header = Buffer.alloc(5);
  header.writeUInt32BE(message.length, 1);
  return Buffer.concat([header, message]);
}

/** A port where nothing listens: it was free a moment ago. */
export async function closedPort(): Promise<number> {
  await using server = await silentServer();
  return server.port;
}

async function listening(server: net.Server): Promise<Served> {
  const sockets = new Set<net.Socket>();
  server.on("connection", (socket: net.Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
