/**
 * Who waits for which changes: woken by the commit that concerns them, and by no other.
 *
 * A waiter holds nothing but its ranges; what happened is read from the store when it is woken. So a reader that does not
 * come back costs nothing, and one that is slow gets the same events later, or `compacted`.
 */
import { toBinaryString } from "./bytes.ts";
import type { Change } from "./store/txn.ts";
import { inRange } from "./store/txn.ts";
import type { WatchRange } from "./store/store.ts";

interface Waiter {
  ranges: WatchRange[];
  wake: () => void;
}

export class Feed {
  /** Waiters for single keys, by space and key. */
  readonly #byKey = new Map<string, Set<Waiter>>();
  /** Waiters for ranges, by space. */
  readonly #bySpace = new Map<string, Set<Waiter>>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** `wake` is called at the next commit that touches a range, once; the answer takes the waiter out. */
  wait(ranges: WatchRange[], wake: () => void): () => void {
    const waiter = { ranges, wake };
    this.#size++;
    for (const range of ranges) this.#listOf(range).add(waiter);
    return () => this.#remove(waiter);
  }

  notify(changes: readonly Change[]): void {
    const woken = new Set<Waiter>();
    for (const { space, key } of changes) {
      for (const waiter of this.#byKey.get(keyName(space, key)) ?? []) woken.add(waiter);
      for (const waiter of this.#bySpace.get(space) ?? []) {
        if (!woken.has(waiter) && waiter.ranges.some((range) => range.space === space && inRange(key, range))) {
          woken.add(waiter);
        }
      }
    }
    for (const waiter of woken) {
      this.#remove(waiter);
      waiter.wake();
    }
  }

  /** Wakes everybody: the store has another past. */
  notifyAll(): void {
    const all = new Set<Waiter>();
    for (const lists of [this.#byKey, this.#bySpace])
      for (const list of lists.values()) for (const waiter of list) all.add(waiter);
    for (const waiter of all) {
      this.#remove(waiter);
      waiter.wake();
    }
  }

  #listOf(range: WatchRange): Set<Waiter> {
    const [lists, name] = isSingleKey(range)
      ? [this.#byKey, keyName(range.space, range.from)]
      : [this.#bySpace, range.space];
    let list = lists.get(name);
    if (!list) lists.set(name, (list = new Set()));
    return list;
  }

  #remove(waiter: Waiter): void {
    let removed = false;
    for (const range of waiter.ranges) {
      const [lists, name] = isSingleKey(range)
        ? [this.#byKey, keyName(range.space, range.from)]
        : [this.#bySpace, range.space];
      const list = lists.get(name);
      if (list?.delete(waiter)) removed = true;
      if (list?.size === 0) lists.delete(name);
    }
    if (removed) this.#size--;
  }
}

const keyName = (space: string, key: Uint8Array): string => `${space}\0${toBinaryString(key)}`;

function isSingleKey({ from, to }: WatchRange): boolean {
  return to !== null && to.length === from.length + 1 && to.at(-1) === 0 && from.every((byte, i) => byte === to[i]);
}
