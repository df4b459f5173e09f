/** The end of a call for its handler, as a signal that is only made when somebody asks for it: most never do. */
export class Departure {
  #controller: AbortController | undefined;
  #reason: DOMException | undefined;

  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController();
      if (this.#reason) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  /** Of the caller, or of the connection; undefined while it is there. */
  get reason(): DOMException | undefined {
    return this.#reason;
  }

  /** The first reason counts. */
  end(message: string): DOMException {
    if (!this.#reason) {
      this.#reason = new DOMException(message, "AbortError");
      this.#controller?.abort(this.#reason);
    }
    return this.#reason;
  }
}
