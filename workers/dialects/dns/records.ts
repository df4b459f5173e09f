/**
 * Resource records of a service: what is selected from a view, and how instances become A, AAAA, SRV, TXT and CNAME.
 *
 * Pure over a view; randomness is handed in. Only healthy instances are handed out; an instance that
 * self-preservation keeps (`suspect`) stays. Which instances are visible at all is the caller's to say.
 *
 * Sources: RFC 2782 (SRV), RFC 1464 (key=value in TXT), RFC 2181 §5 (no duplicates in a record set).
 */
import { Buffer } from "node:buffer";
import { isHealthy, portOf, weightOf } from "../../../objects/model.ts";
import type { RegisteredInstance, RegisteredNode, ServiceView } from "../../../objects/model.ts";
import type { Resource } from "./message.ts";
import { asciiLower } from "./names.ts";
import type { Selection } from "./names.ts";
import { addressOf, hasLabel, targetOf } from "./targets.ts";
import type { IpAddress, TargetScope } from "./targets.ts";

export const TYPE = { A: 1, NS: 2, CNAME: 5, SOA: 6, PTR: 12, TXT: 16, AAAA: 28, SRV: 33, OPT: 41, ANY: 255 } as const;

/** Records in one answer; the instances left out come up in the next, since answers are shuffled. */
export const ANSWERS_MAX = 256;
const TXT_STRING_BYTES_MAX = 255;
const TXT_RECORD_BYTES_MAX = 8192;

/** One for all instances: DNS has no words for locality, and the weights carry the balance. */
const SRV_PRIORITY = 1;

export interface Selected {
  /** Whether the name exists at all (else NXDOMAIN); it may exist and have nothing healthy (then NODATA). */
  exists: boolean;
  /** Healthy instances in random order. */
  instances: RegisteredInstance[];
}

export interface Section {
  answers: Resource[];
  additionals: Resource[];
}

/** `random` gives numbers from 0 up to 1. */
export function selectInstances(
  view: ServiceView,
  selection: Selection,
  showPrivate: boolean,
  random: () => number,
): Selected {
  const known = view.modRevision > 0;
  if (selection.type === "nothing") return { exists: known, instances: [] };
  const named = view.instances.filter((instance) => (showPrivate || !instance.private) && matches(instance, selection));
  const exists = selection.type === "all" ? known : named.length > 0;
  return { exists, instances: shuffle(named.filter(isHealthy), random) };
}

/** The records of one type; none for a type that services do not have. */
export function recordsOf(
  instances: readonly RegisteredInstance[],
  type: number,
  selection: Selection,
  scope: TargetScope,
  ttl: number,
): Section {
  const { hasAnyAlias } = scope.zone;
  switch (type) {
    case TYPE.A:
      return { answers: addressRecords(instances, [4], ttl, hasAnyAlias), additionals: [] };
    case TYPE.AAAA:
      return { answers: addressRecords(instances, [6], ttl, hasAnyAlias), additionals: [] };
    case TYPE.ANY:
      return { answers: addressRecords(instances, [4, 6], ttl, hasAnyAlias), additionals: [] };
    case TYPE.CNAME:
      return { answers: aliasRecords(instances, ttl, hasAnyAlias), additionals: [] };
    case TYPE.SRV:
      return srvRecords(instances, selection, scope, ttl);
    case TYPE.TXT:
      return { answers: txtRecords(instances, ttl), additionals: [] };
    default:
      return { answers: [], additionals: [] };
  }
}

function matches(instance: RegisteredInstance, selection: Selection): boolean {
  switch (selection.type) {
    case "all":
      return true;
    case "nothing":
      return false;
    case "tag":
      return hasTag(instance, selection.tag);
    case "transport":
      return selection.label === "tcp" || instance.protocol === selection.label || hasTag(instance, selection.label);
    case "port":
      return namedPort(instance, selection.port) !== undefined;
    case "instance":
      return hasLabel(instance.id, selection.label);
    default:
      return selection satisfies never;
  }
}

const hasTag = (instance: RegisteredInstance, tag: string): boolean =>
  instance.tags.some((candidate) => asciiLower(candidate) === tag);

/** A port of that name, or the default one of an instance that speaks the protocol of that name. */
function namedPort(instance: RegisteredInstance, name: string): number | undefined {
  const named = Object.entries(instance.ports).find(([port]) => asciiLower(port) === name);
  return named?.[1] ?? (instance.protocol === name ? portOf(instance) : undefined);
}

function addressRecords(
  instances: readonly RegisteredInstance[],
  families: (4 | 6)[],
  ttl: number,
  hasAnyAlias: boolean,
): Resource[] {
  const records = new Map<string, Resource>();
  for (const instance of instances) {
    const address = addressOf(instance);
    if (address?.type === "ip" && families.includes(address.family)) {
      records.set(address.address, addressRecord(null, address, ttl));
    }
    if (records.size === ANSWERS_MAX) break;
  }
  return records.size > 0 ? [...records.values()] : aliasRecords(instances, ttl, hasAnyAlias);
}

export function addressRecord(name: string | null, { family, address }: IpAddress, ttl: number): Resource {
  return { name, ttl, type: family === 4 ? "A" : "AAAA", data: address };
}

/** A name has one alias or none (RFC 1034 §3.6.2), so a host name is told only where it is the only instance. */
function aliasRecords(instances: readonly RegisteredInstance[], ttl: number, hasAnyAlias: boolean): Resource[] {
  if (instances.length > 1 && !hasAnyAlias) return [];
  const host = instances.map(addressOf).find((address) => address?.type === "host");
  return host ? [{ name: null, ttl, type: "CNAME", data: host.host }] : [];
}

function srvRecords(
  instances: readonly RegisteredInstance[],
  selection: Selection,
  scope: TargetScope,
  ttl: number,
): Section {
  const answers: Resource[] = [];
  const additionals = new Map<string, Resource>();
  const seen = new Set<string>();
  for (const instance of instances) {
    if (answers.length === ANSWERS_MAX) break;
    const port = selection.type === "port" ? namedPort(instance, selection.port) : portOf(instance);
    const target = targetOf(instance, scope);
    if (!isPort(port) || target === null || seen.has(`${target} ${port}`)) continue;
    seen.add(`${target} ${port}`);
    const weight = Math.min(Math.max(Math.trunc(weightOf(instance)), 0), 0xffff);
    answers.push({ name: null, ttl, type: "SRV", data: { priority: SRV_PRIORITY, weight, port, target } });
    const address = addressOf(instance);
    if (address?.type === "ip") additionals.set(target, addressRecord(target, address, ttl));
  }
  return { answers, additionals: [...additionals.values()] };
}

const isPort = (port: number | undefined): port is number =>
  port !== undefined && Number.isInteger(port) && port >= 0 && port <= 0xffff;

/** A node's address and metadata; `rfc1035-` in front of a key lets its value stand alone. */
export function nodeRecords({ address: text, meta }: RegisteredNode, type: number, ttl: number): Resource[] {
  const records: Resource[] = [];
  const address = addressOf({ address: text });
  const isAny = type === TYPE.ANY;
  if (address?.type === "ip") {
    const own = address.family === 4 ? TYPE.A : TYPE.AAAA;
    if (isAny || type === own) records.push(addressRecord(null, address, ttl));
  } else if (address !== null && (isAny || type === TYPE.A || type === TYPE.AAAA || type === TYPE.CNAME)) {
    records.push({ name: null, ttl, type: "CNAME", data: address.host });
  }
  if (isAny || type === TYPE.TXT) {
    for (const [key, value] of Object.entries(meta)) {
      const strings = key.toLowerCase().startsWith("rfc1035-")
        ? split(Buffer.from(value))
        : txtStrings({ [key]: value });
      if (strings.length > 0) records.push({ name: null, ttl, type: "TXT", data: strings });
    }
  }
  return records.slice(0, ANSWERS_MAX);
}

/** One record for each instance that has metadata. */
function txtRecords(instances: readonly RegisteredInstance[], ttl: number): Resource[] {
  const records = new Map<string, Resource>();
  for (const instance of instances) {
    if (records.size === ANSWERS_MAX) break;
    const strings = txtStrings(instance.meta);
    if (strings.length === 0) continue;
    records.set(Buffer.concat(strings).toString("latin1"), { name: null, ttl, type: "TXT", data: strings });
  }
  return [...records.values()];
}

/** `key=value` strings of at most 255 bytes; longer ones go on in the next string, pairs past 8 KiB are left out. */
function txtStrings(meta: Record<string, string>): Buffer[] {
  const strings: Buffer[] = [];
  let size = 0;
  for (const [key, value] of Object.entries(meta)) {
    const pair = Buffer.from(`${key.replace(/[`=]/g, "`$&")}=${value}`);
    const chunks = split(pair);
    size += pair.length + chunks.length;
    if (size > TXT_RECORD_BYTES_MAX) break;
    strings.push(...chunks);
  }
  return strings;
}

function split(text: Buffer): Buffer[] {
  const chunks: Buffer[] = [];
  for (let at = 0; at < text.length; at += TXT_STRING_BYTES_MAX)
    chunks.push(text.subarray(at, at + TXT_STRING_BYTES_MAX));
  return chunks;
}

/** Fisher and Yates, on a copy. */
function shuffle<T>(items: readonly T[], random: () => number): T[] {
  const shuffled = [...items];
  for (let i = shuffled.length - 1; i > 0; i--) {
    const j = Math.min(Math.floor(random() * (i + 1)), i);
    [shuffled[i], shuffled[j]] = [shuffled[j]!, shuffled[i]!];
  }
  return shuffled;
}
