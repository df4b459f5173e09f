/**
 * The JSON form of DNS over HTTPS, in the shape that the public resolvers share (`Status`, `Question`, `Answer`, …).
 *
 * Only text forms: which question a URL asks, and how a reply reads. It answers nothing itself.
 */
import type { Reply, Resource, Question } from "./message.ts";
import { encodeQuestion } from "./message.ts";
import { TYPE } from "./records.ts";

export interface JsonQuestion extends Question {
  checkingDisabled: boolean;
}

const TYPES: Record<string, number> = {
  ...TYPE,
  HINFO: 13,
  MX: 15,
  NAPTR: 35,
  DS: 43,
  DNSKEY: 48,
  SVCB: 64,
  HTTPS: 65,
  CAA: 257,
  AXFR: 252,
};
const NAME_CHARACTERS_MAX = 1024;

/** `?name=&type=&cd=`; a text that says what is wrong when they ask nothing. */
export function readJsonQuestion(params: URLSearchParams): JsonQuestion | string {
  const name = params.get("name");
  if (name === null || name === "") return "name is missing";
  if (name.length > NAME_CHARACTERS_MAX) return "name is too long";
  const labels = splitName(name);
  const type = readType(params.get("type") ?? "A");
  if (type === null) return "type is neither a known type nor a number from 1 to 65535";
  const question = { labels, type, class: 1 };
  if (encodeQuestion(question) === null) return "name is not a DNS name";
  return { ...question, checkingDisabled: ["1", "true"].includes(params.get("cd") ?? "") };
}

export function toJson(question: JsonQuestion, reply: Reply): Record<string, unknown> {
  const name = joinName(question.labels);
  const section = (records: Resource[]): object[] => records.map((record) => recordJson(record, name));
  return {
    Status: reply.rcode,
    TC: false,
    RD: true,
    RA: false,
    AD: false,
    CD: question.checkingDisabled,
    Question: [{ name, type: question.type }],
    ...(reply.answers.length > 0 && { Answer: section(reply.answers) }),
    ...(reply.authorities.length > 0 && { Authority: section(reply.authorities) }),
    ...(reply.additionals.length > 0 && { Additional: section(reply.additionals) }),
    ...(reply.extendedErrors.length > 0 && {
      Comment: reply.extendedErrors.map(({ code, text }) => `EDE(${code}): ${text}`),
    }),
  };
}

/** Presentation form (RFC 1035 §5.1): labels between dots, `\.` a dot and `\\` a backslash inside one. */
function splitName(name: string): string[] {
  if (name === ".") return [];
  const labels = [""];
  for (const [part] of name.matchAll(/\\?[^]/gu)) {
    if (part === ".") labels.push("");
    else labels[labels.length - 1] += part.length > 1 && part.startsWith("\\") ? part.slice(1) : part;
  }
  if (labels.at(-1) === "") labels.pop();
  return labels;
}

const joinName = (labels: readonly string[]): string =>
  labels.length === 0 ? "." : labels.map((label) => label.replace(/[.\\]/g, "\\$&")).join(".");

function readType(text: string): number | null {
  const named = Object.hasOwn(TYPES, text.toUpperCase()) ? TYPES[text.toUpperCase()]! : null;
  if (named !== null) return named;
  const type = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  return type >= 1 && type <= 0xffff ? type : null;
}

function recordJson(record: Resource, asked: string): object {
  return { name: record.name ?? asked, type: TYPES[record.type], TTL: record.ttl, data: dataText(record) };
}

function dataText(record: Resource): string {
  switch (record.type) {
    case "SRV": {
      const { priority, weight, port, target } = record.data;
      return `${priority} ${weight} ${port} ${target}.`;
    }
    case "TXT":
      return record.data.map((part) => `"${part.toString().replace(/["\\]/g, "\\$&")}"`).join(" ");
    case "SOA": {
      const { mname, rname, serial, refresh, retry, expire, minimum } = record.data;
      return `${mname}. ${rname}. ${serial} ${refresh} ${retry} ${expire} ${minimum}`;
    }
    case "A":
    case "AAAA":
      return record.data;
    default:
      return `${record.data}.`;
  }
}
