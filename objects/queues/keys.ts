/**
 * Where a queue's records are, and in which order.
 *
 * A message is written once, at its place, and stays there until it is done with; what happens to it meanwhile is said by
 * small records that point to it. A place is `lane priority number`: the number counts what was sent to the topic, so places
 * of one priority are in the order of sending.
 *
 *   queue           topic                                     settings and counts
 *   queue_message   topic NUL generation place                the message
 *   queue_ready     topic NUL generation priority number      it is to be delivered, though not fresh
 *   queue_later     topic NUL generation instant priority number    it is to be delivered, from then on
 *   queue_flight    topic NUL generation revision             one delivery: the messages that it handed out
 *   queue_group     topic NUL generation group NUL number     what of a group is not done with
 *   queue_dedupe    topic NUL birth instant id                what was sent under this id
 *   queue_garbage   topic NUL generation                      a generation whose records are still to be removed
 *
 * A purge begins another generation, so it takes as long for a million messages as for one. Numbers are written so that
 * their texts are in their order, and without bytes that the log would have to escape.
 */
import { prefixEnd, text, utf8 } from "../bytes.ts";
import type { KeyRange, Space } from "../store/txn.ts";

export const TOPIC = "queue";
export const MESSAGE = "queue_message";
export const READY = "queue_ready";
export const LATER = "queue_later";
export const FLIGHT = "queue_flight";
export const GROUP = "queue_group";
export const DEDUPE = "queue_dedupe";
export const GARBAGE = "queue_garbage";

/** They turn over with every message: of them no history is kept (see `store/sqlite.sql.ts`). */
export const QUEUE_SPACES: ReadonlySet<Space> = new Set([TOPIC, MESSAGE, READY, LATER, FLIGHT, GROUP, DEDUPE, GARBAGE]);

export const PRIORITY_MAX = 9;

/**
 * `fresh` messages lie in the order in which they are first delivered, and need no pointer until they have been. The others
 * (delayed at first, or of a group) are `pointed` to from the beginning.
 */
export type Lane = "f" | "p";

export interface Place {
  lane: Lane;
  priority: number;
  number: number;
}

/** A whole number as text in the order of numbers: how many digits, then the digits. */
export function ordered(number: number): string {
  const digits = number.toString(36);
  return digits.length.toString(36) + digits;
}

/** Reads what `ordered` wrote at `at`. */
function orderedAt(from: string, at: number): { number: number; end: number } {
  const end = at + 1 + parseInt(from[at]!, 36);
  return { number: parseInt(from.slice(at + 1, end), 36), end };
}

/** Higher priorities come first. */
const rank = (priority: number): string => String(PRIORITY_MAX - priority);
const afterRank = (priority: number): string => String.fromCharCode(rank(priority).charCodeAt(0) + 1);

/** Keys of one generation of one topic. */
export class TopicKeys {
  readonly #prefix: string;

  constructor(topic: string, generation: number) {
    this.#prefix = `${topic}\0${ordered(generation)}`;
  }

  message({ lane, priority, number }: Place): Uint8Array {
    return utf8(`${this.#prefix}${lane}${rank(priority)}${ordered(number)}`);
  }

  /** Fresh messages of a priority from a number on. */
  fresh(priority: number, from: number): KeyRange {
    const lane = `${this.#prefix}f`;
    return { from: utf8(`${lane}${rank(priority)}${ordered(from)}`), to: utf8(lane + afterRank(priority)) };
  }

  numberOf(messageKey: Uint8Array): number {
    return orderedAt(text(messageKey), this.#prefix.length + 2).number;
  }

  ready({ priority, number }: Place): Uint8Array {
    return utf8(`${this.#prefix}${rank(priority)}${ordered(number)}`);
  }

  readyOf(priority: number): KeyRange {
    return { from: utf8(this.#prefix + rank(priority)), to: utf8(this.#prefix + afterRank(priority)) };
  }

  /** Without the lane, which its value tells. */
  placeOfReady(key: Uint8Array): Omit<Place, "lane"> {
    return this.#placeAt(text(key), this.#prefix.length);
  }

  later(at: number, { priority, number }: Place): Uint8Array {
    return utf8(`${this.#prefix}${ordered(at)}${rank(priority)}${ordered(number)}`);
  }

  /** What is due at `now`. */
  laterUntil(now: number): KeyRange {
    return { from: utf8(this.#prefix), to: utf8(this.#prefix + ordered(now + 1)) };
  }

  parseLater(key: Uint8Array): { at: number; place: Omit<Place, "lane"> } {
    const from = text(key);
    const { number: at, end } = orderedAt(from, this.#prefix.length);
    return { at, place: this.#placeAt(from, end) };
  }

  flight(revision: number): Uint8Array {
    return utf8(this.#prefix + ordered(revision));
  }

  group(group: string, number: number): Uint8Array {
    return utf8(`${this.#prefix}${group}\0${ordered(number)}`);
  }

  groupAll(group: string): KeyRange {
    return { from: utf8(`${this.#prefix}${group}\0`), to: utf8(`${this.#prefix}${group}\x01`) };
  }

  numberInGroup(key: Uint8Array): number {
    const from = text(key);
    return orderedAt(from, from.lastIndexOf("\0") + 1).number;
  }

  dedupe(bucketAt: number, id: string): Uint8Array {
    return utf8(`${this.#prefix}${ordered(bucketAt)}${id}`);
  }

  dedupeAll(bucketAt: number): KeyRange {
    const from = utf8(this.#prefix + ordered(bucketAt));
    return { from, to: prefixEnd(from) };
  }

  /** Everything of the generation, in any of the spaces. */
  get all(): KeyRange {
    const from = utf8(this.#prefix);
    return { from, to: prefixEnd(from) };
  }

  #placeAt(from: string, at: number): Omit<Place, "lane"> {
    return { priority: PRIORITY_MAX - Number(from[at]), number: orderedAt(from, at + 1).number };
  }
}

/** Of a key that begins with a topic and a generation. */
export function generationOf(key: Uint8Array): { topic: string; generation: number } {
  const from = text(key);
  const nul = from.indexOf("\0");
  return { topic: from.slice(0, nul), generation: orderedAt(from, nul + 1).number };
}
