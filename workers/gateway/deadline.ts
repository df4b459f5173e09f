/**
 * The time that one request has, over all its attempts, until the response's head. One timer; knows no HTTP.
 *
 * A request with a body gets `uploadMs` while the body is on its way, and the ordinary time from its end on, so that a
 * slow upload is not taken for a slow instance.
 */

/** Until the response's head, counted from the arrival of the request or from the end of its body. */
export const TIMEOUT_MS = 15_000;
/** For a request's body to arrive. */
export const UPLOAD_MS = 300_000;

export class Deadline {
  /** Resolves to null when the time is up; never, once the deadline is over. */
  readonly expired: Promise<null>;
  readonly #expire: () => void;
  #timer: ReturnType<typeof setTimeout>;
  #isOver = false;

  constructor(ms: number) {
    let expire!: () => void;
    this.expired = new Promise((resolve) => (expire = () => resolve(null)));
    this.#expire = expire;
    this.#timer = setTimeout(expire, ms);
  }

  /** Starts the time anew; without effect once it is over. */
  restart(ms: number): void {
    if (this.#isOver) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#expire, ms);
  }

  /** The response's head is there, or the request given up. */
  end(): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
  }
}
