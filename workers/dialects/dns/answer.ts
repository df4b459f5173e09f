/**
 * The DNS dialect's core: one query in, one reply out, over a resolver.
 *
 * Authoritative for its zones only: no recursion, no zone transfer, no updates, no DNSSEC. It reads through the
 * resolver and decides nothing about the registry. No clock, no timer and no randomness but what is handed in.
 *
 * Sources: RFC 1034/1035, RFC 2308 (negative answers), RFC 6891 (EDNS), RFC 8020, RFC 8482 §4 (ANY), RFC 8914.
 */
import { HoldfastError } from "../../../objects/errors.ts";
import type { ResolvedView, Resolver } from "../../resolver/types.ts";
import { EDE, toDnsError } from "./errors.ts";
import { RCODE, decodeQuery, encodeError, encodeReply } from "./message.ts";
import type { Query, Question, Rcode, Reply, Resource } from "./message.ts";
import { asciiLower, findZone, readName } from "./names.ts";
import type { Reading, ZoneName } from "./names.ts";
import { TYPE, recordsOf, selectInstances } from "./records.ts";

export interface DnsDeps {
  resolver: Resolver;
  /** The zones that we answer for: `["holdfast"]`. */
  domains: string[];
  /** The default namespace: the one of names that do not say it. */
  namespace: string;
  /** Ours; a name that says another one does not exist. */
  datacenter: string;
  /** `udp` truncates (RFC 1035 §4.2.1, RFC 6891); the others carry 64 KiB. */
  transport: "udp" | "tcp" | "https";
  /** The caller is inside the default namespace and may see its private instances; those of others stay hidden. */
  showPrivate: boolean;
  /** From 0 up to 1. */
  random: () => number;
  /** Seconds that an answer, positive or negative, may be kept. */
  ttlSeconds: number;
}

export interface AnsweredQuery {
  /** Empty when the packet is to be dropped. */
  bytes: Uint8Array;
  /** How long the reply may be kept; null when not at all. */
  maxAgeSeconds: number | null;
}

const CLASS_IN = 1;
const STREAM_BYTES_MAX = 65_535;
const UDP_BYTES = 512;
const UDP_BYTES_MAX = 4096;
const TTL_SECONDS_MAX = 0x7fff_ffff;
/** Types from here to ANY ask for an operation (transfer, key negotiation), not for a record set (RFC 6895 §3.1). */
const META_TYPE_MIN = 128;

/** The reply's bytes; empty when the packet is to be dropped: it is no query, or too short to be answered. Never throws. */
export async function answerQuery(query: Uint8Array, deps: DnsDeps): Promise<Uint8Array> {
  return (await answerPacket(query, deps)).bytes;
}

/** As `answerQuery`, with what an HTTP cache needs to know. */
export async function answerPacket(bytes: Uint8Array, deps: DnsDeps): Promise<AnsweredQuery> {
  const decoded = decodeQuery(bytes);
  if (decoded.type === "drop") return { bytes: new Uint8Array(0), maxAgeSeconds: null };
  if (decoded.type === "error") return { bytes: encodeError(decoded.header, decoded.rcode), maxAgeSeconds: null };
  const { query } = decoded;
  const badVersion = query.edns !== null && query.edns.version !== 0;
  const reply = badVersion ? refuse(RCODE.BADVERS) : await answerQuestion(query.question, deps);
  return { bytes: encodeReply(query, reply, sizeMax(query, deps.transport)), maxAgeSeconds: maxAgeSeconds(reply) };
}

/** Answers one question; every failure is a reply. */
export async function answerQuestion(question: Question, deps: DnsDeps): Promise<Reply> {
  if (question.type === TYPE.OPT) return refuse(RCODE.FORMERR);
  const zoneName = findZone(question.labels, deps.domains);
  if (question.class !== CLASS_IN || zoneName === null) {
    return refuse(RCODE.REFUSED, EDE.NOT_AUTHORITATIVE, "not a zone of this server");
  }
  if (question.type >= META_TYPE_MIN && question.type <= TYPE.ANY) {
    return refuse(RCODE.REFUSED, EDE.NOT_SUPPORTED, "ask for one type");
  }
  try {
    return await answerName(zoneName, question.type, deps);
  } catch (error) {
    const { rcode, extended } = toDnsError(error);
    return refuse(rcode, extended, error instanceof HoldfastError ? error.code : "internal");
  }
}

/** Seconds for which HTTP may keep a reply (RFC 8484 §5.1): the smallest TTL in it; null for errors. */
export function maxAgeSeconds(reply: Reply): number | null {
  const records = reply.answers.length > 0 ? reply.answers : reply.authorities;
  if (records.length === 0) return null;
  return Math.min(...records.map((record) => record.ttl));
}

/** The first reading that exists is what the name means. */
async function answerName(zoneName: ZoneName, type: number, deps: DnsDeps): Promise<Reply> {
  const { zone, labels } = zoneName;
  if (labels.some(isUnreadable)) return negative(RCODE.NXDOMAIN, zone, deps);
  for (const reading of readName(labels, deps.datacenter)) {
    const reply = await answerReading(reading, zone, type, deps);
    if (reply !== null) return reply;
  }
  return negative(RCODE.NXDOMAIN, zone, deps);
}

async function answerReading(reading: Reading, zone: string, type: number, deps: DnsDeps): Promise<Reply | null> {
  switch (reading.type) {
    case "apex":
      return positive(apexRecords(zone, type, deps), zone, deps);
    case "empty":
      return positive([], zone, deps);
    case "address": {
      const { family, address } = reading;
      const asked = type === (family === 4 ? TYPE.A : TYPE.AAAA);
      const record: Resource = { name: null, ttl: ttlOf(deps), type: family === 4 ? "A" : "AAAA", data: address };
      return positive(asked ? [record] : [], zone, deps);
    }
    case "service":
      return answerService(reading, zone, type, deps);
    default:
      return reading satisfies never;
  }
}

async function answerService(
  reading: Reading & { type: "service" },
  zone: string,
  type: number,
  deps: DnsDeps,
): Promise<Reply | null> {
  const isOwn = reading.namespace === null || reading.namespace === asciiLower(deps.namespace);
  const namespace = isOwn ? deps.namespace : reading.namespace!;
  const resolved = await resolveAnyCase(reading.service, namespace, deps.resolver);
  if (resolved === null) return null;
  const showPrivate = deps.showPrivate && isOwn;
  const selected = selectInstances(resolved.view, reading.selection, showPrivate, deps.random);
  if (!selected.exists) return null;
  const scope = { zone, datacenter: asciiLower(deps.datacenter), namespace: isOwn ? null : namespace };
  const records = recordsOf(selected.instances, type, reading.selection, scope, ttlOf(deps));
  const reply = positive(records.answers, zone, deps);
  reply.additionals = records.additionals;
  if (resolved.stale) reply.extendedErrors.push({ code: EDE.STALE_ANSWER, text: `${resolved.ageSeconds} s old` });
  if (resolved.view.selfPreservation) reply.extendedErrors.push({ code: EDE.OTHER, text: "self-preservation" });
  return reply;
}

/**
 * DNS does not tell case, the registry does: lower case first, then as asked, then upper case (Eureka's habit).
 * Null when the service exists in none of them.
 */
async function resolveAnyCase(service: string, namespace: string, resolver: Resolver): Promise<ResolvedView | null> {
  for (const spelling of new Set([service.toLowerCase(), service, service.toUpperCase()])) {
    try {
      const resolved = await resolver.resolve(namespace, spelling);
      if (resolved.view.modRevision > 0) return resolved;
    } catch (error) {
      if (toDnsError(error).rcode !== RCODE.NXDOMAIN) throw error;
    }
  }
  return null;
}

/** The name server's own name exists and has no address: only the agent knows where it listens. */
function apexRecords(zone: string, type: number, deps: DnsDeps): Resource[] {
  if (type === TYPE.SOA) return [soaRecord(null, zone, deps)];
  if (type === TYPE.NS) return [{ name: null, ttl: ttlOf(deps), type: "NS", data: `ns.${zone}` }];
  return [];
}

function positive(answers: Resource[], zone: string, deps: DnsDeps): Reply {
  if (answers.length === 0) return negative(RCODE.NOERROR, zone, deps);
  return { rcode: RCODE.NOERROR, authoritative: true, answers, authorities: [], additionals: [], extendedErrors: [] };
}

/** NXDOMAIN, or NODATA with NOERROR: the SOA says how long to remember it (RFC 2308 §3). */
function negative(rcode: Rcode, zone: string, deps: DnsDeps): Reply {
  const authorities = [soaRecord(zone, zone, deps)];
  return { rcode, authoritative: true, answers: [], authorities, additionals: [], extendedErrors: [] };
}

function refuse(rcode: Rcode, code?: number, text = ""): Reply {
  const extendedErrors = code === undefined ? [] : [{ code, text }];
  return { rcode, authoritative: false, answers: [], authorities: [], additionals: [], extendedErrors };
}

/** The serial stands still: there is no zone transfer that would compare it. */
function soaRecord(name: string | null, zone: string, deps: DnsDeps): Resource {
  const timers = { serial: 1, refresh: 3600, retry: 600, expire: 86_400, minimum: ttlOf(deps) };
  const data = { mname: `ns.${zone}`, rname: `hostmaster.${zone}`, ...timers };
  return { name, ttl: ttlOf(deps), type: "SOA", data };
}

function ttlOf(deps: DnsDeps): number {
  return Math.min(Math.max(Math.trunc(deps.ttlSeconds) || 0, 0), TTL_SECONDS_MAX);
}

/** Bytes that are no UTF-8, or control characters: nothing in the registry is called that. */
function isUnreadable(label: string): boolean {
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  return /[\u0000-\u001f\u007f\ufffd]/.test(label);
}

/** A requestor that offers less than 512 bytes is taken to offer 512 (RFC 6891 §6.2.3). */
function sizeMax(query: Query, transport: DnsDeps["transport"]): number {
  if (transport !== "udp") return STREAM_BYTES_MAX;
  return query.edns === null ? UDP_BYTES : Math.min(Math.max(query.edns.udpBytes, UDP_BYTES), UDP_BYTES_MAX);
}
