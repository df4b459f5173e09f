/**
 * One question of gRPC's health protocol: is this service serving?
 *
 * The two messages have one field each (`string service = 1`, `ServingStatus status = 1`), so they are written and read
 * here. Sources: github.com/grpc/grpc/blob/master/doc/health-checking.md and PROTOCOL-HTTP2.md, and
 * protobuf.dev/programming-guides/encoding.
 */
import type http2 from "node:http2";
import { withSession, type SessionTls } from "./http2-session.ts";
import type { JudgedTarget } from "./target.ts";

const STATUSES = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
/** The answer has two bytes behind a header of five. */
const ANSWER_BYTES_MAX = 4096;

/** Resolves when the service is serving; rejects with what it says instead. "" asks about the server as a whole. */
export async function assertServing(
  service: string,
  target: JudgedTarget,
  options: SessionTls & { timeoutMs: number },
  signal: AbortSignal,
): Promise<void> {
  const status = await withSession(target, options, signal, (session) => ask(session, service, options.timeoutMs));
  if (status !== "SERVING") throw new Error(status);
}

async function ask(session: http2.ClientHttp2Session, service: string, timeoutMs: number): Promise<string> {
  const stream = session.request({
    ":method": "POST",
    ":path": "/grpc.health.v1.Health/Check",
    "content-type": "application/grpc",
    "grpc-timeout": `${timeoutMs}m`,
    te: "trailers",
    "user-agent": "holdfast-agent",
  });
  let told: http2.IncomingHttpHeaders = {};
  let status = 0;
  // With nothing to say but a failure, a server sends its trailers as headers.
  stream.on("response", (headers) => ([told, status] = [headers, headers[":status"] ?? 0]));
  stream.on("trailers", (trailers) => (told = trailers));
  stream.end(requestFrame(service));
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > ANSWER_BYTES_MAX) throw new Error("the answer is too large");
    chunks.push(chunk);
  }
  if (status !== 200) throw new Error(`HTTP status ${status}`);
  const code = told["grpc-status"];
  if (code !== "0") throw new Error(`gRPC status ${String(code ?? "missing")}: ${textOf(told["grpc-message"])}`);
  return servingStatus(Buffer.concat(chunks));
}

/** Percent-encoded, as a header has to be. */
function textOf(message: string | string[] | undefined): string {
  const text = String(message ?? "");
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** A message on the wire: not compressed, its length, itself. */
function requestFrame(service: string): Buffer {
  const name = Buffer.from(service);
  const message = name.length === 0 ? name : Buffer.concat([Buffer.from([0x0a, ...varint(name.length)]), name]);
  const header = Buffer.alloc(5);
  header.writeUInt32BE(message.length, 1);
  return Buffer.concat([header, message]);
}

/** Unknown fields are skipped: the message may grow. */
function servingStatus(frame: Buffer): string {
  if (frame.length < 5 || frame[0] !== 0 || frame.readUInt32BE(1) !== frame.length - 5) {
    throw new Error("the answer is no gRPC message");
  }
  let at = 5;
  const next = (): number => {
    let value = 0;
    for (let scale = 1; scale <= 2 ** 63; scale *= 128) {
      const byte = frame[at++];
      if (byte === undefined) break;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
    throw new Error("the answer is no health message");
  };
  let status = 0;
  while (at < frame.length) {
    const tag = next();
    const [field, type] = [Math.floor(tag / 8), tag % 8];
    if (type === 0) {
      const value = next();
      if (field === 1) status = value;
    } else if (type === 2) {
      const length = next();
      at += length;
    } else if (type === 1) at += 8;
    else if (type === 5) at += 4;
    else throw new Error("the answer is no health message");
  }
  if (at > frame.length) throw new Error("the answer is no health message");
  return STATUSES[status] ?? `status ${status}`;
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  for (; value >= 0x80; value = Math.floor(value / 128)) bytes.push((value % 128) + 0x80);
  return [...bytes, value];
}
