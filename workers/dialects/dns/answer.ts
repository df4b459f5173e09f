/**
 * The DNS dialect's core: one query in, one reply out, over a resolver.
 *
 * Authoritative for its zones only: no recursion, no zone transfer, no updates, no DNSSEC. It reads through the
 * resolver and decides nothing about the registry. No clock, no timer and no randomness but what is handed in.
 *
 * Sources: RFC 1034/1035, RFC 2308 (negative answers), RFC 6891 (EDNS), RFC 8020, RFC 8482 §4 (ANY), RFC 8914.
 */
import { HoldfastError } from "../../../objects/errors.ts";
import type { RegisteredInstance, RegisteredNode, ServiceView } from "../../../objects/model.ts";
import type { Standing } from "../../resolver/mesh.ts";
import type { ResolvedView, Resolver } from "../../resolver/types.ts";
import { EDE, toDnsError } from "./errors.ts";
import { RCODE, decodeQuery, encodeError, encodeReply } from "./message.ts";
import type { Query, Question, Rcode, Reply, Resource } from "./message.ts";
import { asciiLower, findZone, readName, readPointer } from "./names.ts";
import type { Datacenters, Place, Reading, Selection, ZoneName } from "./names.ts";
import { ANSWERS_MAX, TYPE, nodeRecords, recordsOf, selectInstances } from "./records.ts";
import { nodeName, serviceName } from "./targets.ts";
import type { Zone } from "./zone.ts";

/** A stored lookup carried out. */
export interface LookedUp {
  view: ServiceView;
  /** Healthy ones, in the order in which they are to be told. */
  instances: RegisteredInstance[];
  /** Where they are. */
  datacenter: string;
  /** How long the answer may be kept; null = as others of the zone. */
  ttlMs: number | null;
}

export interface DnsDeps {
  resolver: Resolver;
  /** Null when there is no such node; names in any case. */
  findNode: (namespace: string, datacenter: string, node: string) => Promise<RegisteredNode | null>;
  /** Names of the nodes that have this address. */
  findNodesAt: (namespace: string, datacenter: string, address: string) => Promise<readonly string[]>;
  /** Names of the services that have an instance with this address as its own. */
  findServicesAt: (
    namespace: string,
    datacenter: string,
    address: string,
    showPrivate: boolean,
  ) => Promise<readonly string[]>;
  /** What stands for a service, as spelled; nothing does when the view's `modRevision` is 0. */
  findStanding: (standing: Standing, namespace: string, datacenter: string, service: string) => Promise<ServiceView>;
  /** The virtual address of a service, as spelled; null when it has none. */
  findVirtualIp: (namespace: string, datacenter: string, service: string) => Promise<string | null>;
  /** Null when there is no such lookup; names in any case. */
  runLookup: (namespace: string, datacenter: string, name: string) => Promise<LookedUp | null>;
  /** Those that we answer for. */
  zones: Zone[];
  /** The default namespace: the one of names that do not say it. */
  namespace: string;
  /** A name that says another one than these does not exist. */
  datacenters: Datacenters;
  /** `udp` truncates (RFC 1035 §4.2.1, RFC 6891); the others carry 64 KiB. */
  transport: "udp" | "tcp" | "https";
  /** The caller is inside the default namespace and may see its private instances; those of others stay hidden. */
  showPrivate: boolean;
  /** From 0 up to 1. */
  random: () => number;
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
  const zoneName = findZone(question.labels, deps.zones);
  const isPointer = zoneName === null && question.class === CLASS_IN && question.type === TYPE.PTR;
  const pointer = isPointer ? readPointer(question.labels) : null;
  if (pointer !== null) return guarded(() => answerPointer(pointer, deps));
  if (question.class !== CLASS_IN || zoneName === null) {
    return refuse(RCODE.REFUSED, EDE.NOT_AUTHORITATIVE, "not a zone of this server");
  }
  const isAnswered = question.type === TYPE.ANY && zoneName.zone.answersAny;
  if (question.type >= META_TYPE_MIN && question.type <= TYPE.ANY && !isAnswered) {
    return refuse(RCODE.REFUSED, EDE.NOT_SUPPORTED, "ask for one type");
  }
  return guarded(() => answerName(zoneName, question.type, deps));
}

async function guarded(answer: () => Promise<Reply>): Promise<Reply> {
  try {
    return await answer();
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
  if (labels.some(isUnreadable)) return negative(RCODE.NXDOMAIN, zone);
  for (const reading of readName(zoneName, deps.datacenters)) {
    const reply = await answerReading(reading, zone, type, deps);
    if (reply !== null) return reply;
  }
  return negative(RCODE.NXDOMAIN, zone);
}

async function answerReading(reading: Reading, zone: Zone, type: number, deps: DnsDeps): Promise<Reply | null> {
  switch (reading.type) {
    case "apex":
      return positive(apexRecords(zone, type), zone);
    case "empty":
      return positive([], zone);
    case "address": {
      const { family, address } = reading;
      const asked = type === (family === 4 ? TYPE.A : TYPE.AAAA) || type === TYPE.ANY;
      const record: Resource = { name: null, ttl: ttlOf(zone), type: family === 4 ? "A" : "AAAA", data: address };
      return positive(asked ? [record] : [], zone);
    }
    case "node": {
      const { namespace } = ownerOf(reading, deps);
      const node = await deps.findNode(namespace, reading.datacenter, reading.node);
      return node && positive(nodeRecords(node, type, ttlOf(zone)), zone);
    }
    case "lookup":
      return answerLookup(reading, zone, type, deps);
    case "service":
      return answerService(reading, zone, type, deps);
    case "mesh":
    case "ingress":
      return answerStanding(reading, zone, type, deps);
    case "virtual":
      return answerVirtual(reading, zone, type, deps);
    default:
      return reading satisfies never;
  }
}

/**
 * The nodes at an address, else the services; the own datacenter's before those of others. Of other addresses nothing is
 * known here, not even that they have no name.
 */
async function answerPointer(address: string, deps: DnsDeps): Promise<Reply> {
  const { own, names: datacenters } = deps.datacenters;
  const zone = deps.zones.find(({ targets }) => targets === "node") ?? deps.zones[0]!;
  for (const datacenter of new Set([own, ...datacenters])) {
    const scope = { zone, datacenter: asciiLower(datacenter) };
    const nodes = await deps.findNodesAt(deps.namespace, datacenter, address);
    let names = nodes.flatMap((node) => nodeName(node, scope) ?? []);
    if (names.length === 0) {
      const services = await deps.findServicesAt(deps.namespace, datacenter, address, deps.showPrivate);
      names = services.flatMap((service) => serviceName(service, scope) ?? []);
    }
    if (names.length === 0) continue;
    const answers = names
      .slice(0, ANSWERS_MAX)
      .map((data): Resource => ({ name: null, ttl: ttlOf(zone), type: "PTR", data }));
    return positive(answers, zone);
  }
  return refuse(RCODE.REFUSED, EDE.NOT_AUTHORITATIVE, "nothing here has this address");
}

/** Whose registry a name is about, and whether that is the caller's own. */
function ownerOf({ namespace }: Place, deps: DnsDeps): { namespace: string; isOwn: boolean } {
  const isOwn = namespace === null || namespace === asciiLower(deps.namespace);
  return { namespace: isOwn ? deps.namespace : namespace, isOwn };
}

async function answerService(
  reading: Reading & { type: "service" },
  zone: Zone,
  type: number,
  deps: DnsDeps,
): Promise<Reply | null> {
  const { namespace, isOwn } = ownerOf(reading, deps);
  const { datacenter, selection } = reading;
  const resolved = await resolveAnyCase(reading.service, namespace, datacenter, deps.resolver);
  if (resolved === null) return null;
  const showPrivate = deps.showPrivate && isOwn;
  const selected = selectInstances(resolved.view, selection, showPrivate, deps.random);
  const isHidden = zone.hidesUnhealthy && selection.type !== "nothing" && selected.instances.length === 0;
  if (!selected.exists || isHidden) return null;
  const scope = { zone, datacenter: asciiLower(datacenter), namespace: isOwn ? null : namespace };
  const records = recordsOf(selected.instances, type, selection, scope, ttlOf(zone));
  const reply = positive(records.answers, zone);
  reply.additionals = records.additionals;
  if (resolved.stale) reply.extendedErrors.push({ code: EDE.STALE_ANSWER, text: `${resolved.ageSeconds} s old` });
  tellPreservation(reply, resolved.view);
  return reply;
}

/** In the order that the lookup has found, which may be by nearness. */
async function answerLookup(
  reading: Reading & { type: "lookup" },
  zone: Zone,
  type: number,
  deps: DnsDeps,
): Promise<Reply | null> {
  const { namespace, isOwn } = ownerOf(reading, deps);
  const found = await deps.runLookup(namespace, reading.datacenter, reading.name);
  if (found === null) return null;
  const instances = found.instances.filter((instance) => !instance.private || (deps.showPrivate && isOwn));
  if (zone.hidesUnhealthy && instances.length === 0) return null;
  const scope = { zone, datacenter: asciiLower(found.datacenter), namespace: isOwn ? null : namespace };
  const ttl = found.ttlMs === null ? ttlOf(zone) : ttlOf({ ttlSeconds: found.ttlMs / 1000 });
  const records = recordsOf(instances, type, ALL, scope, ttl);
  const reply = positive(records.answers, zone);
  reply.additionals = records.additionals;
  tellPreservation(reply, found.view);
  return reply;
}

async function answerStanding(
  { type: standing, datacenter, ...reading }: Reading & { type: Standing },
  zone: Zone,
  type: number,
  deps: DnsDeps,
): Promise<Reply | null> {
  const { namespace, isOwn } = ownerOf({ ...reading, datacenter }, deps);
  for (const spelling of spellingsOf(reading.service)) {
    const view = await deps.findStanding(standing, namespace, datacenter, spelling);
    if (view.modRevision === 0) continue;
    const { instances } = selectInstances(view, ALL, deps.showPrivate && isOwn, deps.random);
    if (zone.hidesUnhealthy && instances.length === 0) return null;
    const scope = { zone, datacenter: asciiLower(datacenter), namespace: isOwn ? null : namespace };
    const records = recordsOf(instances, type, ALL, scope, ttlOf(zone));
    const reply = positive(records.answers, zone);
    reply.additionals = records.additionals;
    tellPreservation(reply, view);
    return reply;
  }
  return null;
}

async function answerVirtual(
  { datacenter, ...reading }: Reading & { type: "virtual" },
  zone: Zone,
  type: number,
  deps: DnsDeps,
): Promise<Reply | null> {
  const { namespace } = ownerOf({ ...reading, datacenter }, deps);
  for (const spelling of spellingsOf(reading.service)) {
    const address = await deps.findVirtualIp(namespace, datacenter, spelling);
    if (address === null) continue;
    const isAsked = type === TYPE.A || type === TYPE.ANY;
    return positive(isAsked ? [{ name: null, ttl: ttlOf(zone), type: "A", data: address }] : [], zone);
  }
  return null;
}

const ALL = { type: "all" } as const satisfies Selection;

function tellPreservation(reply: Reply, { selfPreservation }: ServiceView): void {
  if (selfPreservation) reply.extendedErrors.push({ code: EDE.OTHER, text: "self-preservation" });
}

/** DNS does not tell case, the registry does: lower case first, then as asked, then upper case (Eureka's habit). */
const spellingsOf = (service: string): Set<string> => new Set([service.toLowerCase(), service, service.toUpperCase()]);

/** Null when the service exists in no spelling. */
async function resolveAnyCase(
  service: string,
  namespace: string,
  datacenter: string,
  resolver: Resolver,
): Promise<ResolvedView | null> {
  for (const spelling of spellingsOf(service)) {
    try {
      const resolved = await resolver.resolve(namespace, spelling, { datacenter });
      if (resolved.view.modRevision > 0) return resolved;
    } catch (error) {
      if (toDnsError(error).rcode !== RCODE.NXDOMAIN) throw error;
    }
  }
  return null;
}

/** The name server's own name exists and has no address: only the agent knows where it listens. */
function apexRecords(zone: Zone, type: number): Resource[] {
  const records: Resource[] = [];
  const isAny = type === TYPE.ANY;
  if (isAny || type === TYPE.SOA) records.push(soaRecord(null, zone));
  if (isAny || type === TYPE.NS) records.push({ name: null, ttl: ttlOf(zone), type: "NS", data: `ns.${zone.name}` });
  return records;
}

function positive(answers: Resource[], zone: Zone): Reply {
  if (answers.length === 0) return negative(RCODE.NOERROR, zone);
  return { rcode: RCODE.NOERROR, authoritative: true, answers, authorities: [], additionals: [], extendedErrors: [] };
}

/** NXDOMAIN, or NODATA with NOERROR: the SOA says how long to remember it (RFC 2308 §3). */
function negative(rcode: Rcode, zone: Zone): Reply {
  const authorities = [soaRecord(zone.name, zone)];
  return { rcode, authoritative: true, answers: [], authorities, additionals: [], extendedErrors: [] };
}

function refuse(rcode: Rcode, code?: number, text = ""): Reply {
  const extendedErrors = code === undefined ? [] : [{ code, text }];
  return { rcode, authoritative: false, answers: [], authorities: [], additionals: [], extendedErrors };
}

/** The serial stands still: there is no zone transfer that would compare it. */
function soaRecord(name: string | null, zone: Zone): Resource {
  const timers = { serial: 1, refresh: 3600, retry: 600, expire: 86_400, minimum: ttlOf(zone) };
  const data = { mname: `ns.${zone.name}`, rname: `hostmaster.${zone.name}`, ...timers };
  return { name, ttl: ttlOf(zone), type: "SOA", data };
}

function ttlOf({ ttlSeconds }: Pick<Zone, "ttlSeconds">): number {
  return Math.min(Math.max(Math.trunc(ttlSeconds) || 0, 0), TTL_SECONDS_MAX);
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
