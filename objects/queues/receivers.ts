/**
 * Who waits for messages: first come, first served, topic by topic. Of those that wait only as many are called as there are
 * messages for; one that is called and finds nothing after all goes back to the front.
 *
 * Refuses to know: messages, and how long anybody waits.
 */

interface Receiver {
  max: number;
  call: () => void;
}

interface Line {
  /** Were called, and came away with nothing. */
  front: Set<Receiver>;
  waiting: Set<Receiver>;
  /** What those that have been called may take. */
  claimed: number;
}

export class Receivers {
  readonly #lines = new Map<string, Line>();
  #size = 0;

  /** Those that wait. */
  get size(): number {
    return this.#size;
  }

  /** For which anybody waits, or has been called. */
  get topics(): Iterable<string> {
    return this.#lines.keys();
  }

  /** Takes a place; `call` is called once, when it is its turn. The answer gives the place up. */
  join(topic: string, max: number, isBack: boolean, call: () => void): () => void {
    const line = this.#lineOf(topic);
    const receiver = { max, call };
    const places = isBack ? line.front : line.waiting;
    places.add(receiver);
    this.#size++;
    return () => {
      if (!places.delete(receiver)) return;
      this.#size--;
      this.#tidy(topic, line);
    };
  }

  /** Calls those for whom there is something among `available` messages that nobody who was called before may take. */
  serve(topic: string, available: number): void {
    const line = this.#lines.get(topic);
    if (!line) return;
    for (const places of [line.front, line.waiting]) {
      for (const receiver of places) {
        if (line.claimed >= available) return;
        places.delete(receiver);
        this.#size--;
        line.claimed += receiver.max;
        receiver.call();
      }
    }
  }

  /** Who was called has taken what it could. */
  done(topic: string, max: number): void {
    const line = this.#lines.get(topic)!;
    line.claimed -= max;
    this.#tidy(topic, line);
  }

  #lineOf(topic: string): Line {
    let line = this.#lines.get(topic);
    if (!line) this.#lines.set(topic, (line = { front: new Set(), waiting: new Set(), claimed: 0 }));
    return line;
  }

  #tidy(topic: string, { front, waiting, claimed }: Line): void {
    if (front.size + waiting.size + claimed === 0) this.#lines.delete(topic);
  }
}
