/**
 * DNS messages: hostile bytes to a query, a reply to bytes that fit the transport.
 *
 * Knows no names of ours and no registry. The question is scanned here, since it is echoed byte for byte (the case of
 * its letters is an anti-spoofing nonce, and a label may hold any byte); everything behind it is decoded, and every
 * record encoded, by `dns-packet`. Owner names that already stand in the message become pointers, which that package
 * does not write and without which a 512-byte answer holds a third of the instances.
 *
 * Sources: RFC 1035 §4.1, RFC 6891 (EDNS), RFC 2181 §9 (TC), RFC 8914 (extended errors).
 */
import { Buffer } from "node:buffer";
import { decode, encode } from "dns-packet";
import type { OptAnswer, SoaData, SrvData, StringRecordType } from "dns-packet";

/** Larger queries are refused: a query is one question and an OPT record. */
export const QUERY_BYTES_MAX = 4096;
/** What we say we accept over UDP: fits an IPv6 path without fragments. */
const OFFERED_UDP_BYTES = 1232;
const HEADER_BYTES = 12;
const NAME_BYTES_MAX = 255;
const ADDITIONALS_MAX = 8;
const POINTER_OFFSET_MAX = 0x3fff;

export const RCODE = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5, BADVERS: 16 } as const;
export type Rcode = (typeof RCODE)[keyof typeof RCODE];

export interface Header {
  id: number;
  opcode: number;
  recursionDesired: boolean;
  checkingDisabled: boolean;
}

export interface Question {
  /** As asked, without the root; bytes that are no UTF-8 turn into U+FFFD. */
  labels: string[];
  type: number;
  class: number;
}

export interface Query extends Header {
  question: Question;
  /** The question section, to be echoed. */
  questionBytes: Uint8Array;
  edns: { version: number; udpBytes: number; dnssecOk: boolean } | null;
}

export type DecodedQuery =
  | { type: "query"; query: Query }
  | { type: "error"; header: Header; rcode: Rcode }
  /** Not a query, or too short to say to whom to answer: silence, so that two servers never answer each other. */
  | { type: "drop" };

/** `name` null is the question's name. Names are dotted, without the final dot, and must be valid host names. */
export type Resource = { name: string | null; ttl: number } & (
  | { type: StringRecordType; data: string }
  | { type: "SRV"; data: SrvData }
  | { type: "TXT"; data: Buffer[] }
  | { type: "SOA"; data: SoaData }
);

export interface Reply {
  rcode: Rcode;
  authoritative: boolean;
  answers: Resource[];
  authorities: Resource[];
  /** Dropped silently where they do not fit. */
  additionals: Resource[];
  /** RFC 8914; told only to those who speak EDNS. */
  extendedErrors: { code: number; text: string }[];
}

/** Never throws and never loops: the question is scanned forwards once, and the counts are bounded before the rest. */
export function decodeQuery(bytes: Uint8Array): DecodedQuery {
  if (bytes.length < HEADER_BYTES) return { type: "drop" };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const flags = view.getUint16(2);
  if (flags & 0x8000) return { type: "drop" };
  const header: Header = {
    id: view.getUint16(0),
    opcode: (flags >> 11) & 0xf,
    recursionDesired: (flags & 0x0100) !== 0,
    checkingDisabled: (flags & 0x0010) !== 0,
  };
  const error = (rcode: Rcode): DecodedQuery => ({ type: "error", header, rcode });
  if (bytes.length > QUERY_BYTES_MAX) return error(RCODE.FORMERR);
  if (header.opcode !== 0) return error(RCODE.NOTIMP);
  if (view.getUint16(4) !== 1) return error(RCODE.FORMERR);
  const scanned = scanQuestion(bytes, view);
  if (scanned === null) return error(RCODE.FORMERR);
  // One authority record belongs to IXFR, which is refused later. dns-packet may read cut-off records over and over
  // from the start, so the counts must be small before it sees them.
  if (view.getUint16(6) > 0 || view.getUint16(8) > 1 || view.getUint16(10) > ADDITIONALS_MAX)
    return error(RCODE.FORMERR);
  const edns = decodeEdns(bytes);
  if (edns === "malformed") return error(RCODE.FORMERR);
  const questionBytes = bytes.slice(HEADER_BYTES, scanned.end);
  return { type: "query", query: { ...header, question: scanned.question, questionBytes, edns } };
}

/** A reply without question or records, to a packet that could not be read further. */
export function encodeError(header: Header, rcode: Rcode): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES);
  writeHeader(bytes, header, { rcode, authoritative: false, truncated: false }, [0, 0, 0, 0]);
  return bytes;
}

/** At most `sizeMax` bytes; records that do not fit are left out whole. */
export function encodeReply(query: Query, reply: Reply, sizeMax: number): Uint8Array {
  const opt = query.edns === null ? null : encodeOpt(query.edns.dnssecOk, reply);
  const writer = new RecordWriter(query, sizeMax - (opt?.length ?? 0));
  let truncated = false;
  const counts = [1, 0, 0, 0];
  for (const [section, records] of [reply.answers, reply.authorities].entries()) {
    for (const record of records) {
      if (truncated || !writer.write(record)) truncated = true;
      else counts[section + 1]!++;
    }
  }
  for (const record of truncated ? [] : reply.additionals) {
    if (!writer.write(record)) break;
    counts[3]!++;
  }
  if (opt !== null) {
    writer.append(opt);
    counts[3]!++;
  }
  const bytes = writer.finish();
  writeHeader(bytes, query, { rcode: reply.rcode & 0xf, authoritative: reply.authoritative, truncated }, counts);
  return bytes;
}

/** The bytes of a question for this name; null when a label is empty or over 63 bytes, or the whole over 255. */
export function encodeQuestion(question: Question): Uint8Array | null {
  const parts = question.labels.map((label) => Buffer.from(label));
  if (parts.some((part) => part.length === 0 || part.length > 63)) return null;
  const name = Buffer.concat([...parts.flatMap((part) => [Buffer.of(part.length), part]), Buffer.of(0)]);
  if (name.length > NAME_BYTES_MAX) return null;
  const { type, class: qclass } = question;
  return new Uint8Array(Buffer.concat([name, Buffer.of(type >> 8, type & 0xff, qclass >> 8, qclass & 0xff)]));
}

/** A question has nothing before it but the header, so a compression pointer in it is always malformed. */
function scanQuestion(bytes: Uint8Array, view: DataView): { question: Question; end: number } | null {
  const decoder = new TextDecoder();
  const labels: string[] = [];
  let at = HEADER_BYTES;
  for (;;) {
    const length = bytes[at];
    if (length === undefined || length > 63) return null;
    at++;
    if (length === 0) break;
    if (at + length > bytes.length) return null;
    labels.push(decoder.decode(bytes.subarray(at, at + length)));
    at += length;
    if (at + 1 - HEADER_BYTES > NAME_BYTES_MAX) return null;
  }
  if (at + 4 > bytes.length) return null;
  return { question: { labels, type: view.getUint16(at), class: view.getUint16(at + 2) }, end: at + 4 };
}

function decodeEdns(bytes: Uint8Array): Query["edns"] | "malformed" {
  try {
    const packet = decode(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    if (decode.bytes !== bytes.length) return "malformed";
    const opts = (packet.additionals ?? []).filter((record): record is OptAnswer => record.type === "OPT");
    const [opt] = opts;
    if (opt === undefined) return null;
    if (opts.length > 1 || opt.name !== ".") return "malformed";
    return { version: opt.ednsVersion, udpBytes: opt.udpPayloadSize, dnssecOk: opt.flag_do };
  } catch {
    return "malformed";
  }
}

/** EDNS version 0, our UDP size, the DO bit as asked (RFC 3225 §3), the upper rcode bits and what went wrong. */
function encodeOpt(dnssecOk: boolean, reply: Reply): Uint8Array {
  const options = reply.extendedErrors.map(({ code, text }) => {
    const info = Buffer.from(text).subarray(0, 120);
    return { code: 15, data: Buffer.concat([Buffer.of(code >> 8, code & 0xff), info]) };
  });
  const opt = {
    type: "OPT" as const,
    name: ".",
    udpPayloadSize: OFFERED_UDP_BYTES,
    extendedRcode: reply.rcode >> 4,
    ednsVersion: 0,
    flags: dnssecOk ? 0x8000 : 0,
    flag_do: dnssecOk,
    // The types list only the options that dns-packet understands itself; it encodes any code that brings its data.
    options: options as unknown as OptAnswer["options"],
  };
  return encode({ type: "response", additionals: [opt] }).subarray(HEADER_BYTES);
}

/** Appends records while they fit, and remembers where names stand so that owners can point to them. */
class RecordWriter {
  private readonly chunks: Uint8Array[];
  private readonly sizeMax: number;
  private readonly offsets = new Map<string, number>();
  private size: number;

  constructor(query: Query, sizeMax: number) {
    this.chunks = [new Uint8Array(HEADER_BYTES), query.questionBytes];
    this.size = HEADER_BYTES + query.questionBytes.length;
    this.sizeMax = sizeMax;
    let at = HEADER_BYTES + query.questionBytes.length - 5;
    // From the right: `com`, `example.com`, … up to a label that dotted text cannot name safely.
    let suffix = "";
    for (const label of query.question.labels.toReversed()) {
      if (!/^[\w-]+$/.test(label)) break;
      at -= label.length + 1;
      suffix = suffix === "" ? label.toLowerCase() : `${label.toLowerCase()}.${suffix}`;
      this.offsets.set(suffix, at);
    }
  }

  write(record: Resource): boolean {
    const owner = this.encodeOwner(record.name);
    // With the root as its owner a record is one byte of name and then all the rest.
    const rest = encode({ type: "response", answers: [{ ...record, name: "." }] }).subarray(HEADER_BYTES + 1);
    const start = this.size;
    if (start + owner.length + rest.length > this.sizeMax) return false;
    this.append(owner);
    this.append(rest);
    // Behind type, class, TTL, length, priority, weight and port.
    if (record.type === "SRV") this.remember(record.data.target, start + owner.length + 16);
    return true;
  }

  append(bytes: Uint8Array): void {
    this.chunks.push(bytes);
    this.size += bytes.length;
  }

  finish(): Uint8Array {
    return new Uint8Array(Buffer.concat(this.chunks));
  }

  private encodeOwner(name: string | null): Uint8Array {
    const offset = name === null ? HEADER_BYTES : this.offsets.get(name.toLowerCase());
    if (offset !== undefined) return Uint8Array.of(0xc0 | (offset >> 8), offset & 0xff);
    return encode({ questions: [{ type: "A", name: name! }] }).subarray(HEADER_BYTES, -4);
  }

  private remember(name: string, offset: number): void {
    const key = name.toLowerCase();
    if (offset <= POINTER_OFFSET_MAX && !this.offsets.has(key)) this.offsets.set(key, offset);
  }
}

function writeHeader(
  bytes: Uint8Array,
  header: Header,
  reply: { rcode: number; authoritative: boolean; truncated: boolean },
  counts: number[],
): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let flags = 0x8000 | (header.opcode << 11) | reply.rcode;
  if (reply.authoritative) flags |= 0x0400;
  if (reply.truncated) flags |= 0x0200;
  if (header.recursionDesired) flags |= 0x0100;
  if (header.checkingDisabled) flags |= 0x0010;
  view.setUint16(0, header.id);
  view.setUint16(2, flags);
  for (const [i, count] of counts.entries()) view.setUint16(4 + 2 * i, count);
}
