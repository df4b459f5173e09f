/** etcd's calls by the descriptors of its services, whatever carries them. */
import type { DescMessage, DescMethod, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { Unanswered } from "../history.ts";

export type Method<I extends DescMessage, O extends DescMessage> = DescMethod & { input: I; output: O };

export interface EtcdTransport {
  /** Rejects with `NotApplied` or `Unanswered` when there is no answer in time, and with `EtcdRefusal`. */
  call<I extends DescMessage, O extends DescMessage>(
    method: Method<I, O>,
    input: MessageInitShape<I>,
    ms?: number,
  ): Promise<MessageShape<O>>;

  /** Says all there is to say, and then hears what comes. Ends with the server; rejects with `Unanswered` when it broke. */
  stream<I extends DescMessage, O extends DescMessage>(
    method: Method<I, O>,
    inputs: readonly MessageInitShape<I>[],
    signal: AbortSignal,
  ): AsyncIterable<MessageShape<O>>;
}

export const CALL_MS = 20_000;

/** An answer that is none of success, in etcd's words. */
export class EtcdRefusal extends Error {
  override readonly name = "EtcdRefusal";
}

/** As the services of locks and elections, which have one code for everything, tell that they could not go on. */
const CUT_OFF: readonly string[] = [
  "etcdserver: no leader",
  "etcdserver: request timed out, possibly due to connection lost",
  "etcdserver: too many requests",
  "context canceled",
];

/** `isLost`: by its code nobody can tell whether the call was carried out. */
export const failureOf = (words: string, isLost: boolean): Error =>
  isLost || CUT_OFF.includes(words) ? new Unanswered(words) : new EtcdRefusal(words);

/** The answer, or null when it is this refusal. */
export async function unless<T>(words: string, asked: Promise<T>): Promise<T | null> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof EtcdRefusal && error.message === words) return null;
    throw error;
  }
}

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
export const text = (value: Uint8Array): string => new TextDecoder().decode(value);

/** All keys that begin so; the prefixes of the tests end with "/". */
export const below = (prefix: string): { key: Uint8Array; rangeEnd: Uint8Array } => ({
  key: bytes(prefix),
  rangeEnd: bytes(`${prefix.slice(0, -1)}0`),
});
