/**
 * The time that one request has, over all its attempts, until the response's head. Timers and abort only; knows no HTTP.
 *
 * A request with a body gets `uploadMs` while the body is on its way, and the ordinary time from its end on, so that a
 * slow upload is not taken for a slow instance.
 */

/** Until the response's head, counted from the arrival of the request or from the end of its body. */
export const TIMEOUT_MS = 15_000;
/** For a request's body to arrive. */
export const UPLOAD_MS = 300_000;

export type DeadlineCause = "timeout" | "client_gone";

export class Deadline {
  /** Why `signal` is aborted; null while it is not. */
  cause: DeadlineCause | null = null;
  readonly #controller = new AbortController();
  readonly #clientSignal: AbortSignal;
  readonly #onClientGone = (): void => this.#abort("client_gone");
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isOver = false;

  constructor(ms: number, clientSignal: AbortSignal) {
    this.#clientSignal = clientSignal;
    this.#timer = setTimeout(() => this.#abort("timeout"), ms);
    if (clientSignal.aborted) this.#abort("client_gone");
    else clientSignal.addEventListener("abort", this.#onClientGone);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Starts the time anew; without effect once it is over. */
  restart(ms: number): void {
    if (this.#isOver) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#abort("timeout"), ms);
  }

  /** The response's head is there, or the request given up: nothing is aborted any more. */
  end(): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#clientSignal.removeEventListener("abort", this.#onClientGone);
  }

  #abort(cause: DeadlineCause): void {
    if (this.#isOver) return;
    this.cause = cause;
    this.end();
    this.#controller.abort(new Error(cause));
  }
}
