/** Changes of headers, one laid over another. */
import type { HeaderChanges } from "./model.ts";

export const NO_CHANGES: HeaderChanges = { set: {}, add: {}, remove: [] };

/** Where both set a header, `over` wins. */
export function mergedChanges(base: HeaderChanges, over: HeaderChanges): HeaderChanges {
  return {
    set: { ...base.set, ...over.set },
    add: { ...base.add, ...over.add },
    remove: [...new Set([...base.remove, ...over.remove])],
  };
}
