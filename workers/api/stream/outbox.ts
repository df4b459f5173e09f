/**
 * What is sent over a socket, and how much of it has been read: pings go out between the frames, and whoever answers one has
 * read everything before it. So what is kept for a reader that does not read is bounded, and one that has died is found.
 *
 * The runtime tells neither how much of a WebSocket is unsent, nor of the protocol's own pings: so these are frames of ours.
 */

/** Between two pings, in characters. */
const PING_EVERY = 64 * 1024;
/** Unread: nothing more is begun until it is less. */
export const UNREAD_PAUSE = 1024 * 1024;
/** Unread: it is given up. */
export const UNREAD_MAX = 16 * 1024 * 1024;

export class Outbox {
  readonly #send: (text: string) => void;
  /** In characters. */
  #sent = 0;
  #read = 0;
  #pings: { ping: number; at: number }[] = [];
  #lastPing = 0;
  #markedAt = 0;
  #waiting: (() => void)[] = [];
  #isClosed = false;

  constructor(send: (text: string) => void) {
    this.#send = send;
  }

  get unread(): number {
    return this.#sent - this.#read;
  }

  send(text: string): void {
    if (this.#isClosed) return;
    this.#sent += text.length;
    this.#send(text);
    if (this.#sent - this.#markedAt >= PING_EVERY) this.ping();
  }

  ping(): void {
    if (this.#isClosed) return;
    const text = `{"ping":${++this.#lastPing}}`;
    this.#sent += text.length;
    this.#markedAt = this.#sent;
    this.#pings.push({ ping: this.#lastPing, at: this.#sent });
    this.#send(text);
  }

  /** False: nobody asked for it. */
  pong(ping: number): boolean {
    const index = this.#pings.findIndex((one) => one.ping === ping);
    if (index === -1) return false;
    this.#read = this.#pings[index]!.at;
    this.#pings.splice(0, index + 1);
    if (this.unread < UNREAD_PAUSE) this.#wake();
    return true;
  }

  /** Resolves when there is room for more, and when it is closed. */
  async room(): Promise<void> {
    while (!this.#isClosed && this.unread >= UNREAD_PAUSE) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#pings = [];
    this.#wake();
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}
