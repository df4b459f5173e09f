/**
 * The messages of one caller, put together from their parts and handed out one by one.
 *
 * Credit goes back for what the handler has taken, and at once for the parts of the message that it takes next, else one that
 * is larger than the window would never come. So what is kept of a caller is a window and one message.
 */
import type { LinkStream } from "./wire/link.ts";

interface Message {
  parts: Uint8Array[];
  missing: number;
  bytes: number;
  /** Credit to give back once it is taken. */
  owed: number;
}

type Taken = IteratorResult<Uint8Array, undefined>;

const DONE: Taken = { done: true, value: undefined };

export class Inbox implements AsyncIterableIterator<Uint8Array, undefined> {
  readonly #stream: LinkStream;
  /** All but the last are whole. */
  readonly #messages: Message[] = [];
  #isEnded = false;
  #failure: unknown;
  #taker: PromiseWithResolvers<Taken> | undefined;

  constructor(stream: LinkStream) {
    this.#stream = stream;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** One at a time. */
  next(): Promise<Taken> {
    if (this.#taker) return Promise.reject(new Error("a message is being waited for already"));
    const taken = this.#take();
    if (taken) return Promise.resolve(taken);
    if (this.#failure !== undefined) return Promise.reject(this.#failure as Error);
    this.#taker = Promise.withResolvers();
    return this.#taker.promise;
  }

  /** False: there is no room for it. */
  push(part: Uint8Array, messageLength: number | null, cost: number): boolean {
    if (!this.#stream.keep(part.length)) return false;
    if (messageLength !== null)
      this.#messages.push({ parts: [], missing: messageLength, bytes: messageLength, owed: 0 });
    const message = this.#messages.at(-1)!;
    message.parts.push(part);
    message.missing -= part.length;
    if (this.#messages.length === 1 && message.missing > 0) this.#stream.credit(cost);
    else message.owed += cost;
    this.#serve();
    return true;
  }

  end(): void {
    this.#isEnded = true;
    this.#serve();
  }

  fail(reason: unknown): void {
    this.#failure = reason;
    this.#messages.length = 0;
    this.#taker?.reject(reason);
    this.#taker = undefined;
  }

  #serve(): void {
    const taken = this.#taker && this.#take();
    if (!taken) return;
    this.#taker?.resolve(taken);
    this.#taker = undefined;
  }

  #take(): Taken | null {
    const [message] = this.#messages;
    if (message?.missing === 0) {
      this.#messages.shift();
      this.#stream.drop(message.bytes);
      this.#stream.credit(message.owed);
      this.#creditNext();
      return { done: false, value: joined(message) };
    }
    return this.#isEnded && this.#failure === undefined ? DONE : null;
  }

  #creditNext(): void {
    const [next] = this.#messages;
    if (!next || next.missing === 0) return;
    this.#stream.credit(next.owed);
    next.owed = 0;
  }
}

function joined({ parts, bytes }: Message): Uint8Array {
  if (parts.length === 1) return parts[0]!;
  const message = new Uint8Array(bytes);
  let at = 0;
  for (const part of parts) {
    message.set(part, at);
    at += part.length;
  }
  return message;
}
