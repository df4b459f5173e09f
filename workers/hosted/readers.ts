/**
 * Streams of one object to its readers, each at the reader's own pace: it gets something when it has taken what was before.
 * Who takes nothing for a minute is cut off; so is, when all of them together leave more unread than there is room for,
 * whoever has gone longest without reading. Both may resume.
 *
 * Refuses to know: what is told.
 */
import { HoldfastError } from "../../objects/errors.ts";
import type { WriteEvents } from "../api/event-stream.ts";

/** As many as may wait at an object. */
const OPEN_MAX = 20_000;
const UNREAD_MAX_MS = 60_000;
const LOOK_MS = 15_000;
/** Of what an object's memory is: 128 MB. */
const UNREAD_BYTES_MAX = 16 * 1024 * 1024;

interface Unread {
  bytes: Uint8Array;
  sinceAt: number;
  cutOff: (reason: string) => void;
}

export class Readers {
  /** Who has not read longest comes first. */
  readonly #unread = new Set<Unread>();
  /** The same bytes for many are there once: how many have them unread. */
  readonly #counts = new Map<Uint8Array, number>();
  #size = 0;
  #open = 0;
  #watchdog: ReturnType<typeof setInterval> | undefined;

  /**
   * The stream ends when `follow` does, which is told by a rejection that the reader is gone. Codes: `unavailable` (too
   * many are open).
   */
  open(follow: (write: WriteEvents) => Promise<void>): ReadableStream<Uint8Array> {
    if (this.#open >= OPEN_MAX) {
      throw new HoldfastError("unavailable", "too many streams are open", { reason: "overload" }, 1000);
    }
    // The stream is the runtime's own: its bytes go out without JavaScript in between.
    const { readable, writable } = new IdentityTransformStream();
    const writer: WritableStreamDefaultWriter<Uint8Array> = writable.getWriter();
    const ignore = (): void => {};
    const cutOff = (reason: string): void => void writer.abort(new Error(`slow_consumer: ${reason}`)).catch(ignore);
    const write = async (bytes: Uint8Array): Promise<void> => {
      const unread = { bytes, sinceAt: Date.now(), cutOff };
      this.#add(unread);
      try {
        await writer.write(bytes);
      } finally {
        this.#remove(unread);
      }
    };
    this.#open++;
    void follow(write)
      .then(() => writer.close())
      .catch(ignore)
      .finally(() => this.#open--);
    return readable;
  }

  #add(unread: Unread): void {
    const { bytes } = unread;
    this.#unread.add(unread);
    const count = this.#counts.get(bytes) ?? 0;
    this.#counts.set(bytes, count + 1);
    if (count === 0) this.#size += bytes.length;
    while (this.#size > UNREAD_BYTES_MAX && this.#unread.size > 1)
      this.#cutOffFirst("there is no room for what was not read");
    // One for all: setting a timer for each write costs more than the write.
    this.#watchdog ??= setInterval(() => this.#look(), LOOK_MS);
  }

  #remove(unread: Unread): void {
    if (!this.#unread.delete(unread)) return;
    const count = this.#counts.get(unread.bytes)! - 1;
    if (count > 0) {
      this.#counts.set(unread.bytes, count);
      return;
    }
    this.#counts.delete(unread.bytes);
    this.#size -= unread.bytes.length;
  }

  #cutOffFirst(reason: string): void {
    const first: Unread = this.#unread.values().next().value!;
    this.#remove(first);
    first.cutOff(reason);
  }

  #look(): void {
    const lateAt = Date.now() - UNREAD_MAX_MS;
    for (const { sinceAt } of this.#unread) {
      if (sinceAt > lateAt) break;
      this.#cutOffFirst("nothing was read for a minute");
    }
    if (this.#unread.size > 0) return;
    clearInterval(this.#watchdog);
    this.#watchdog = undefined;
  }
}
