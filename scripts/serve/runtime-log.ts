/**
 * What the runtime logs, made fit for an operator: warnings and errors only, one line each, and so many a second, because
 * every failing request of a hostile client may log one.
 */

export interface RuntimeLog {
  timestamp: number;
  level: string;
  message: string;
}

const LINES_PER_SECOND = 20;
const LINE_CHARS_MAX = 500;

export class RuntimeLogFilter {
  readonly #write: (line: string) => void;
  #second = 0;
  #lines = 0;
  #dropped = 0;

  constructor(write: (line: string) => void) {
    this.#write = write;
  }

  /** `timestamp` (ms) decides which second an entry falls into; the clock is not asked. */
  readonly accept = (entry: RuntimeLog): void => {
    if (entry.level !== "error" && entry.level !== "warn") return;
    const second = Math.floor(entry.timestamp / 1000);
    if (second !== this.#second) {
      if (this.#dropped > 0) this.#write(`edge: ${this.#dropped} further lines dropped`);
      [this.#second, this.#lines, this.#dropped] = [second, 0, 0];
    }
    if (this.#lines === LINES_PER_SECOND) {
      this.#dropped++;
      return;
    }
    this.#lines++;
    // Native stack addresses follow the first line; they tell nobody anything.
    const [first = ""] = entry.message.split("\nstack: ");
    this.#write(`edge: ${entry.level}: ${first.slice(0, LINE_CHARS_MAX)}`);
  };
}
