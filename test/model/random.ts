/** Random choices that a seed repeats. Source of the generator: Marsaglia, "Xorshift RNGs" (2003), the 32-bit triple 13, 17, 5. */
export class Random {
  #state: number;

  constructor(seed: number) {
    // Zero would stay zero; neighbouring seeds must not begin alike.
    this.#state = Math.imul(seed + 1, 0x9e3779b1) | 0 || 1;
    for (let at = 0; at < 8; at++) this.#next();
  }

  #next(): number {
    let state = this.#state;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.#state = state;
    return state >>> 0;
  }

  /** From 0 (inclusive) to 1 (exclusive). */
  fraction(): number {
    return this.#next() / 2 ** 32;
  }

  /** From 0 to `count - 1`. */
  below(count: number): number {
    return Math.floor(this.fraction() * count);
  }

  chance(probability: number): boolean {
    return this.fraction() < probability;
  }

  pick<T>(choices: readonly T[]): T {
    if (choices.length === 0) throw new Error("nothing to pick from");
    return choices[this.below(choices.length)]!;
  }
}
