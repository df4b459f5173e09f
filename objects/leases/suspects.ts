/**
 * Instances past their deadline that self-preservation keeps, by their timers' keys: it stands in their records. Those that
 * were renewed since are still to have their mark taken off.
 */
export class Suspects {
  readonly #kept = new Set<string>();
  readonly #revived = new Set<string>();

  get size(): number {
    return this.#kept.size;
  }

  get hasRevived(): boolean {
    return this.#revived.size > 0;
  }

  has(key: string): boolean {
    return this.#kept.has(key);
  }

  /** Whether nobody has renewed it since. */
  isSilent(key: string): boolean {
    return this.#kept.has(key) && !this.#revived.has(key);
  }

  /** As its record tells it; undefined = it is gone. */
  follow(key: string, isSuspect: boolean | undefined): void {
    if (isSuspect) this.#kept.add(key);
    else this.#kept.delete(key);
    if (isSuspect === undefined) this.#revived.delete(key);
  }

  renewed(key: string): void {
    if (this.#kept.has(key)) this.#revived.add(key);
  }

  takeRevived(limit: number): string[] {
    const taken = [...this.#revived].slice(0, limit);
    for (const key of taken) this.#revived.delete(key);
    return taken;
  }
}
