/**
 * The watches of one stream: found by number and by key, and the ranges that they cover together.
 *
 * A stream may have thousands, most of them on single keys: an event finds those at once, and looks through the rest.
 */
import { compareBytes, keyAfter, toBinaryString } from "../../../objects/bytes.ts";
import { KV } from "../../../objects/kv/key.ts";
import type { StoreEvent, WatchRange } from "../../../objects/store/store.ts";
import type { KeyRange } from "../../../objects/store/txn.ts";
import { inRange } from "../../../objects/store/txn.ts";

export interface Watch {
  id: bigint;
  range: KeyRange;
  isOneKey: boolean;
  /** The first revision whose changes it is told. */
  next: number;
  wantsPuts: boolean;
  wantsDeletes: boolean;
  wantsPrevious: boolean;
  wantsProgress: boolean;
  /** What is large may come in pieces. */
  takesFragments: boolean;
  /** It was told something since progress was told last. */
  hasSpoken: boolean;
}

const WATCHES_MAX = 10_000;
/** Of all keys and ends. */
const KEY_BYTES_MAX = 4 * 1024 * 1024;
/** Where there would be more, one range is watched that has them all. */
const RANGES_MAX = 1000;

export class WatchSet implements Iterable<Watch> {
  readonly #byId = new Map<bigint, Watch>();
  readonly #byKey = new Map<string, Set<Watch>>();
  readonly #ranges = new Set<Watch>();
  #keyBytes = 0;
  #lastId = -1n;

  get size(): number {
    return this.#byId.size;
  }

  [Symbol.iterator](): Iterator<Watch> {
    return this.#byId.values();
  }

  has(id: bigint): boolean {
    return this.#byId.has(id);
  }

  /** The next number that nobody has chosen. */
  freeId(): bigint {
    do this.#lastId++;
    while (this.#byId.has(this.#lastId));
    return this.#lastId;
  }

  hasRoomFor(range: KeyRange): boolean {
    return this.size < WATCHES_MAX && this.#keyBytes + bytesOf(range) <= KEY_BYTES_MAX;
  }

  add(watch: Watch): void {
    this.#byId.set(watch.id, watch);
    this.#keyBytes += bytesOf(watch.range);
    if (!watch.isOneKey) {
      this.#ranges.add(watch);
      return;
    }
    const key = toBinaryString(watch.range.from);
    const same = this.#byKey.get(key);
    if (same) same.add(watch);
    else this.#byKey.set(key, new Set([watch]));
  }

  /** False: there is none. */
  remove(id: bigint): boolean {
    const watch = this.#byId.get(id);
    if (!watch) return false;
    this.#byId.delete(id);
    this.#keyBytes -= bytesOf(watch.range);
    this.#ranges.delete(watch);
    if (watch.isOneKey) {
      const key = toBinaryString(watch.range.from);
      const same = this.#byKey.get(key)!;
      same.delete(watch);
      if (same.size === 0) this.#byKey.delete(key);
    }
    return true;
  }

  /** Each watch with the events of its range, made when it is asked for: one event may concern thousands. */
  *concerned(events: readonly StoreEvent[]): Generator<[Watch, StoreEvent[]]> {
    const byKey = new Map<string, StoreEvent[]>();
    for (const event of this.#byKey.size > 0 ? events : []) {
      const key = toBinaryString(event.key);
      if (!this.#byKey.has(key)) continue;
      const same = byKey.get(key);
      if (same) same.push(event);
      else byKey.set(key, [event]);
    }
    for (const [key, same] of byKey) for (const watch of this.#byKey.get(key)!) yield [watch, same];
    for (const watch of this.#ranges) {
      const inside = events.filter(({ key }) => inRange(key, watch.range));
      if (inside.length > 0) yield [watch, inside];
    }
  }
}

const bytesOf = ({ from, to }: KeyRange): number => from.length + (to?.length ?? 0);

export const oneKey = (key: Uint8Array): KeyRange => ({ from: key, to: keyAfter(key) });

/** What the ranges cover together, in as few as there have to be; more than could be waited for are rounded up to one. */
export function unionOf(watches: Iterable<Watch>): WatchRange[] {
  const sorted = [...watches].map(({ range }) => range).sort((a, b) => compareBytes(a.from, b.from));
  const union: WatchRange[] = [];
  for (const { from, to } of sorted) {
    const last = union.at(-1);
    if (!last || (last.to !== null && compareBytes(last.to, from) < 0)) union.push({ space: KV, from, to });
    else if (last.to !== null && (to === null || compareBytes(last.to, to) < 0)) last.to = to;
  }
  if (union.length <= RANGES_MAX) return union;
  return [{ space: KV, from: union[0]!.from, to: union.at(-1)!.to }];
}
