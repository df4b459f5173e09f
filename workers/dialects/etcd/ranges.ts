/** Ranges as etcd's requests give them: a key, and an end that stands for one key, for a range, or for no end. */
import { compareBytes } from "../../../objects/bytes.ts";
import type { Verb } from "../../../objects/policy/statements.ts";
import { demandOn } from "../../request/key-demands.ts";
import type { Demand } from "../../request/permission.ts";

/** One key, with `to` absent; else all from `key` up to `to` (null = no end). */
export interface Target {
  key: Uint8Array;
  to?: Uint8Array | null;
}

export function targetOf(key: Uint8Array, rangeEnd: Uint8Array): Target {
  if (rangeEnd.length === 0) return { key };
  return { key, to: rangeEnd.length === 1 && rangeEnd[0] === 0 ? null : rangeEnd };
}

/** There is no key in it, whatever is stored. */
export const isEmptyRange = ({ key, to }: Target): boolean => !!to && compareBytes(to, key) <= 0;

/** Of a range without keys the first is asked for: there has to be something that it could be about. */
export const demandOf = (verb: Verb, target: Target): Demand =>
  isEmptyRange(target) ? demandOn(verb, target.key) : demandOn(verb, target.key, target.to);
