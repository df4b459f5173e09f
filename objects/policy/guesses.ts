/**
 * Wrong passwords, counted by whom they were for: whoever guesses is held up, and costs no more hashing. Right ones count as
 * nothing.
 *
 * The object counts, because a guesser may come through any number of isolates; in memory, because it is about a minute.
 * Guesses that are being looked at when the last one that counts comes in are looked at still. Refuses to know what a
 * password is.
 */

/** For one name within the window. */
const WRONG_MAX = 60;
const WINDOW_MS = 60_000;
const NAMES_MAX = 10_000;
/** Who is counted where there is no such user: all of them together. */
export const NOBODY = "";

export class Guesses {
  readonly #wrong = new Map<string, { count: number; since: number }>();

  isHeldUp(name: string, nowAt: number): boolean {
    const entry = this.#wrong.get(name);
    return entry !== undefined && nowAt - entry.since < WINDOW_MS && entry.count >= WRONG_MAX;
  }

  countWrong(name: string, nowAt: number): void {
    const entry = this.#wrong.get(name);
    if (entry && nowAt - entry.since < WINDOW_MS) {
      entry.count++;
      return;
    }
    this.#wrong.delete(name);
    // The oldest goes: only names of users are counted by themselves, so nobody can push one out by making up others.
    if (this.#wrong.size >= NAMES_MAX) this.#wrong.delete(this.#wrong.keys().next().value!);
    this.#wrong.set(name, { count: 1, since: nowAt });
  }
}
