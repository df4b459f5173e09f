/**
 * Who waits for which changes: woken by the commit that concerns them, and by no other.
 *
 * A waiter holds nothing but its ranges; what happened is read from the store when it is woken. So a reader that does not
 * come back costs nothing, and one that is slow gets the same events later, or `compacted`.
 */
import { toBinaryString } from "./bytes.ts";
import type { Change, Space } from "./store/txn.ts";
import { inRange, isOneKey } from "./store/txn.ts";
import type { WatchRange } from "./store/store.ts";

interface Waiter {
  ranges: WatchRange[];
  wake: Wake;
}

/** The commit that touched a range: nothing in them has changed since the waiting began and before it. Null: another past. */
export type Wake = (revision: number | null) => void;

export class Feed {
  /** Waiters for single keys, by space and then by key: where nobody waits, no key is looked at. */
  readonly #byKey = new Map<Space, Map<string, Set<Waiter>>>();
  /** Waiters for ranges, by space. */
  readonly #bySpace = new Map<Space, Set<Waiter>>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** `wake` is called at the next commit that touches a range, once; the answer takes the waiter out. */
  wait(ranges: WatchRange[], wake: Wake): () => void {
    const waiter = { ranges, wake };
    this.#size++;
    for (const range of ranges) this.#add(waiter, range);
    return () => this.#remove(waiter);
  }

  notify(changes: readonly Change[], revision: number): void {
    const woken = new Set<Waiter>();
    for (const { space, key } of changes) {
      for (const waiter of this.#byKey.get(space)?.get(toBinaryString(key)) ?? []) woken.add(waiter);
      for (const waiter of this.#bySpace.get(space) ?? []) {
        if (!woken.has(waiter) && waiter.ranges.some((range) => range.space === space && inRange(key, range))) {
          woken.add(waiter);
        }
      }
    }
    for (const waiter of woken) {
      this.#remove(waiter);
      waiter.wake(revision);
    }
  }

  /** Wakes everybody: the store has another past. */
  notifyAll(): void {
    const all = new Set<Waiter>();
    for (const lists of [...this.#byKey.values(), this.#bySpace])
      for (const list of lists.values()) for (const waiter of list) all.add(waiter);
    for (const waiter of all) {
      this.#remove(waiter);
      waiter.wake(null);
    }
  }

  #add(waiter: Waiter, range: WatchRange): void {
    const lists = isOneKey(range) ? this.#keysOf(range.space) : this.#bySpace;
    const name = isOneKey(range) ? toBinaryString(range.from) : range.space;
    const list = lists.get(name);
    if (list) list.add(waiter);
    else lists.set(name, new Set([waiter]));
  }

  #keysOf(space: Space): Map<string, Set<Waiter>> {
    let keys = this.#byKey.get(space);
    if (!keys) this.#byKey.set(space, (keys = new Map()));
    return keys;
  }

  #remove(waiter: Waiter): void {
    let removed = false;
    for (const range of waiter.ranges) {
      const isKey = isOneKey(range);
      const lists = isKey ? this.#byKey.get(range.space) : this.#bySpace;
      const name = isKey ? toBinaryString(range.from) : range.space;
      const list = lists?.get(name);
      if (list?.delete(waiter)) removed = true;
      if (list?.size === 0) lists!.delete(name);
      if (isKey && lists?.size === 0) this.#byKey.delete(range.space);
    }
    if (removed) this.#size--;
  }
}
