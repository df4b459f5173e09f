/** Lists as a caller may see them. */
import type { Answer } from "../request/namespace-client.ts";

export interface VisiblePage<T> {
  items: T[];
  after: string | null;
}

/**
 * The first page of which something may be seen, without what may not. It never ends at a name that is hidden: `after` would
 * tell it.
 */
export async function visiblePage<T>(
  after: string | null,
  read: (after: string | null) => Promise<Answer<VisiblePage<T>>>,
  isVisible: (item: T) => boolean,
  nameOf: (item: T) => string,
): Promise<Answer<VisiblePage<T>>> {
  for (let from = after; ;) {
    const { value, revision } = await read(from);
    const items = value.items.filter(isVisible);
    const last = items.at(-1);
    if (value.after === null || last !== undefined) {
      const isWhole = items.length === value.items.length;
      const next = value.after === null ? null : isWhole ? value.after : nameOf(last!);
      return { value: { items, after: next }, revision };
    }
    from = value.after;
  }
}
