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
  #timer: ReturnType<typeof setTimeout>;
  #isOver = false;
  /** Ends the present wait without an answer. */
  #giveUp: (() => void) | undefined;

  constructor(ms: number) {
    this.#timer = this.#start(ms);
  }

  /** The answer, or null when the time is up before it comes. One wait at a time. */
  within<T>(answer: Promise<T>): Promise<T | null> {
    if (this.#isOver) return Promise.resolve(null);
    // Less than a race, and it is every request's: no second promise that lives on.
    return new Promise((resolve, reject) => {
      this.#giveUp = () => resolve(null);
      answer.then(resolve, reject);
    });
  }

  /** Starts the time anew; without effect once it is over. */
  restart(ms: number): void {
    if (this.#isOver) return;
    clearTimeout(this.#timer);
    this.#timer = this.#start(ms);
  }

  /** The response's head is there, or the request given up. */
  end(): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
  }

  #start(ms: number): ReturnType<typeof setTimeout> {
    return setTimeout(() => {
      this.#isOver = true;
      this.#giveUp?.();
    }, ms);
  }
}
