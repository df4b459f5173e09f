/**
 * Texts in order: adding one costs next to nothing, and what has been added since is put in its place when somebody asks. So
 * who never asks does not sort, and who asks after every addition does not sort everything again.
 *
 * Refuses to know: what the texts stand for, and whether they are distinct.
 */
export class KeyOrder {
  #sorted: string[] = [];
  #added: string[] = [];

  add(text: string): void {
    this.#added.push(text);
  }

  /** From `from` (inclusive) to `to` (exclusive; null = no end); backwards with `reverse`. */
  *between(from: string, to: string | null, reverse: boolean): Generator<string, undefined> {
    this.#settle();
    const sorted = this.#sorted;
    const start = this.#placeOf(from);
    const end = to === null ? sorted.length : this.#placeOf(to);
    if (reverse) for (let at = end - 1; at >= start; at--) yield sorted[at]!;
    else for (let at = start; at < end; at++) yield sorted[at]!;
  }

  #settle(): void {
    if (this.#added.length > this.#sorted.length) {
      // By UTF-16 code unit, which is what `<` compares by.
      this.#sorted = [...this.#sorted, ...this.#added].sort();
    } else {
      for (const text of this.#added) this.#sorted.splice(this.#placeOf(text), 0, text);
    }
    this.#added = [];
  }

  /** Of the first that is not before it. */
  #placeOf(text: string): number {
    let [low, high] = [0, this.#sorted.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#sorted[middle]! < text) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
