/** How large a plain value is, as far as it matters: whether it may travel with others. */

/** What a value takes besides its texts and bytes. */
const ITEM_BYTES = 16;

/** Texts, bytes and items of a value come to at most `bytesMax`, roughly; looks no further than that. */
export function isLight(value: unknown, bytesMax: number): boolean {
  return remainder(value, bytesMax) >= 0;
}

function remainder(value: unknown, left: number): number {
  if (typeof value === "string") return left - value.length;
  if (typeof value !== "object" || value === null) return left - ITEM_BYTES;
  if (ArrayBuffer.isView(value)) return left - value.byteLength;
  let rest = left - ITEM_BYTES;
  if (Array.isArray(value)) {
    for (let at = 0; at < value.length && rest >= 0; at++) rest = remainder(value[at], rest);
    return rest;
  }
  for (const key in value) {
    const item = (value as Record<string, unknown>)[key];
    // Most items are texts and numbers: they need no call.
    if (typeof item === "string") rest -= item.length;
    else if (typeof item !== "object") rest -= ITEM_BYTES;
    else rest = remainder(item, rest);
    if (rest < 0) return rest;
  }
  return rest;
}
