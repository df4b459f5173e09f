import { createHash } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { sha256Short, SHORT_MAX } from "../../../objects/store/sha256.ts";

const reference = (chunks: Uint8Array[]): string => createHash("sha256").update(Buffer.concat(chunks)).digest("hex");
const ours = (chunks: Uint8Array[]): string => Buffer.from(sha256Short(chunks)).toString("hex");

test("every length up to the longest has the digest that the runtime gives it", () => {
  const bytes = Uint8Array.from({ length: SHORT_MAX }, (_, at) => (at * 197) % 251);
  for (let length = 0; length <= SHORT_MAX; length++) {
    expect(ours([bytes.subarray(0, length)]), `${length} bytes`).toBe(reference([bytes.subarray(0, length)]));
  }
});

test("chunks count as if they stood one behind the other, whatever was hashed before", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 5 }), (chunks) => {
      expect(ours(chunks)).toBe(reference(chunks));
    }),
  );
});
