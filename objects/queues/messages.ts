/**
 * One message as it is sent and as it is kept: a short head as JSON, then the payload as it is.
 *
 * Kept: four bytes with the length of the head, the head, the payload.
 */
import { text, utf8 } from "../bytes.ts";
import { HoldfastError, invalid } from "../errors.ts";
import { assertDuration, assertName, assertTextMap, assertWhole } from "../registry/limits.ts";
import { PRIORITY_MAX } from "./keys.ts";

/** Of one send, receive, ack, nack or extend. */
export const MESSAGES_MAX = 256;
export const PAYLOAD_BYTES_MAX = 256 * 1024;
export const PRIORITY_DEFAULT = 4;
export const DELAY_MAX_MS = 7 * 86_400_000;
const HEADERS_MAX = 32;
const HEADER_CHARACTERS_MAX = 1024;
const ID_CHARACTERS_MAX = 128;

export interface NewMessage {
  payload: Uint8Array;
  headers?: Record<string, string> | undefined;
  /** 0 to 9, higher first; default 4. */
  priority?: number | undefined;
  /** Not to be delivered before so long has passed. */
  delayMs?: number | undefined;
  /** Sent again under the same id within the topic's window, it is the same message. */
  dedupeId?: string | undefined;
  /** Messages of a group are delivered in the order of sending, the next when the one before is done with. */
  group?: string | undefined;
}

/** Where a dead letter comes from. */
export interface DeadLetterOrigin {
  topic: string;
  sentAt: number;
  deliveries: number;
}

export interface MessageHead {
  /** `<revision>-<place in the command>`; a dead letter keeps its own. */
  id: string;
  sentAt: number;
  headers?: Record<string, string>;
  group?: string;
  origin?: DeadLetterOrigin;
}

export interface Message extends MessageHead {
  payload: Uint8Array;
}

const LENGTH_BYTES = 4;

export function packMessage({ payload, ...head }: Message): Uint8Array {
  const headBytes = utf8(JSON.stringify(head));
  const packed = new Uint8Array(LENGTH_BYTES + headBytes.length + payload.length);
  new DataView(packed.buffer).setUint32(0, headBytes.length);
  packed.set(headBytes, LENGTH_BYTES);
  packed.set(payload, LENGTH_BYTES + headBytes.length);
  return packed;
}

export function unpackMessage(packed: Uint8Array): Message {
  const payloadAt = LENGTH_BYTES + new DataView(packed.buffer, packed.byteOffset).getUint32(0);
  const head = JSON.parse(text(packed.subarray(LENGTH_BYTES, payloadAt))) as MessageHead;
  return { ...head, payload: packed.subarray(payloadAt) };
}

/** Codes: `invalid_argument`, `too_large`. */
export function assertMessages(messages: unknown): asserts messages is NewMessage[] {
  if (!Array.isArray(messages) || messages.length === 0) throw invalid("messages", "must be a list of at least one");
  if (messages.length > MESSAGES_MAX) throw tooLarge("messages", `more than ${MESSAGES_MAX} messages`, MESSAGES_MAX);
  messages.forEach((message: NewMessage, index) => assertMessage(`messages[${index}]`, message));
}

function assertMessage(field: string, message: NewMessage): void {
  const { payload, headers, priority, delayMs, dedupeId, group } = message;
  if (!(payload instanceof Uint8Array)) throw invalid(`${field}.payload`, "must be bytes");
  if (payload.length > PAYLOAD_BYTES_MAX)
    throw tooLarge(`${field}.payload`, `more than ${PAYLOAD_BYTES_MAX} bytes`, PAYLOAD_BYTES_MAX);
  if (headers !== undefined) assertTextMap(`${field}.headers`, headers, HEADERS_MAX, HEADER_CHARACTERS_MAX);
  if (priority !== undefined) assertWhole(`${field}.priority`, priority, 0, PRIORITY_MAX);
  if (delayMs !== undefined) assertDuration(`${field}.delay`, delayMs, 0, DELAY_MAX_MS);
  if (dedupeId !== undefined) assertId(`${field}.dedupeId`, dedupeId);
  if (group !== undefined) assertId(`${field}.group`, group);
}

function assertId(field: string, id: unknown): void {
  assertName(field, id);
  if (id.length > ID_CHARACTERS_MAX) throw invalid(field, `must have at most ${ID_CHARACTERS_MAX} characters`);
}

function tooLarge(field: string, what: string, limit: number): HoldfastError {
  return new HoldfastError("too_large", `${field}: ${what}`, { field, limit });
}
