/**
 * Events: named messages to whoever listens. The last 256 are kept, for those who come a little later.
 *
 * Whom an event is meant for is written on it; who reads decides whether they are.
 */
import { fromBase64, toBase64 } from "../bytes.ts";
import { HoldfastError, invalid } from "../errors.ts";
import { freshId } from "../policy/records.ts";
import { assertText } from "../registry/limits.ts";
import type { Context, Reader, Txn } from "../store/txn.ts";
import { JsonSpace } from "../store/txn.ts";

/** Expressions that the dialect of the event understands; "" = everybody. */
export interface EventAudience {
  node: string;
  service: string;
  tag: string;
}

export interface FireInput extends EventAudience {
  name: string;
  payload: Uint8Array;
}

export interface FiredEvent extends FireInput {
  /** A UUID. */
  id: string;
  /** Counts the events of the namespace. */
  number: number;
  firedAt: number;
}

type Stored = Omit<FiredEvent, "payload"> & { payload: string };

/** Number, with leading zeros. */
export const eventSpace = new JsonSpace<Stored>("event");

export const EVENTS_KEPT = 256;
export const EVENT_PAYLOAD_BYTES_MAX = 8192;
const NAME_CHARACTERS_MAX = 255;
const FILTER_CHARACTERS_MAX = 512;
const DIGITS = 16;

/** Codes: `invalid_argument`, `too_large`. */
export function fire(txn: Txn, context: Context, { name, payload, node, service, tag }: FireInput): FiredEvent {
  assertText("name", name, NAME_CHARACTERS_MAX);
  if (name === "") throw invalid("name", "must not be empty");
  for (const [field, filter] of Object.entries({ node, service, tag }))
    assertText(field, filter, FILTER_CHARACTERS_MAX);
  if (tag !== "" && service === "") throw invalid("service", "is needed where there is a tag");
  if (!(payload instanceof Uint8Array)) throw invalid("payload", "must be bytes");
  if (payload.length > EVENT_PAYLOAD_BYTES_MAX) {
    throw new HoldfastError("too_large", `payload: more than ${EVENT_PAYLOAD_BYTES_MAX} bytes`, {
      field: "payload",
      limit: EVENT_PAYLOAD_BYTES_MAX,
    });
  }
  const [last] = eventSpace.under(txn, [], { reverse: true, limit: 1 });
  const number = last ? eventSpace.decode(last).number + 1 : 1;
  const event: FiredEvent = {
    id: freshId(context),
    number,
    name,
    payload,
    node,
    service,
    tag,
    firedAt: context.now,
  };
  eventSpace.put(txn, [keyOf(number)], { ...event, payload: toBase64(payload) });
  eventSpace.delete(txn, keyOf(number - EVENTS_KEPT));
  return event;
}

/** Oldest first. */
export function listEvents(reader: Reader, { name }: { name?: string | undefined }): FiredEvent[] {
  return eventSpace
    .under(reader, [])
    .map((record) => eventSpace.decode(record))
    .filter((event) => name === undefined || event.name === name)
    .map((event) => ({ ...event, payload: fromBase64(event.payload) }));
}

const keyOf = (number: number): string => String(Math.max(0, number)).padStart(DIGITS, "0");
