/** What `?tag`, `?node-meta`, `?passing` and `?filter` leave of a service, and a name for what they ask. */
import type { RegisteredInstance, RegisteredNode } from "../../../objects/model.ts";
import type { Exchange } from "./exchange.ts";
import { isOn } from "./read-options.ts";

export interface Selection {
  /** In lower case. */
  tags: string[];
  nodeMeta: [key: string, value: string][];
  passing: boolean;
  filter: string;
}

const TERMS_MAX = 64;

export function selectionOf({ params }: Pick<Exchange, "params">): Selection {
  return {
    tags: params
      .getAll("tag")
      .slice(0, TERMS_MAX)
      .map((tag) => tag.toLowerCase()),
    nodeMeta: nodeMetaOf(params),
    passing: isOn(params, "passing"),
    filter: params.get("filter") ?? "",
  };
}

/** `key:value`, each of them to be met. */
export function nodeMetaOf(params: URLSearchParams): [string, string][] {
  return params
    .getAll("node-meta")
    .slice(0, TERMS_MAX)
    .map((pair) => {
      const at = pair.indexOf(":");
      return at === -1 ? [pair, ""] : [pair.slice(0, at), pair.slice(at + 1)];
    });
}

export function hasMeta(node: Pick<RegisteredNode, "meta">, wanted: readonly [string, string][]): boolean {
  return wanted.every(([key, value]) => Object.hasOwn(node.meta, key) && node.meta[key] === value);
}

export function hasTags({ tags }: Pick<RegisteredInstance, "tags">, wanted: readonly string[]): boolean {
  if (wanted.length === 0) return true;
  const own = new Set(tags.map((tag) => tag.toLowerCase()));
  return wanted.every((tag) => own.has(tag));
}

/** The same selection from the same view is the same answer: what it is kept by. */
export const selectionKey = (kind: string, { tags, nodeMeta, passing, filter }: Selection): string =>
  `consul:${kind}:${JSON.stringify([passing, tags, nodeMeta, filter])}`;
