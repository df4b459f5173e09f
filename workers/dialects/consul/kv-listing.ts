/**
 * `?recurse` and `?keys`: all that begins with a prefix, at one revision, however many parts it takes to fetch it. What
 * does not fit into one part is sent as the parts come.
 */
import { prefixEnd, utf8 } from "../../../objects/bytes.ts";
import { KV } from "../../../objects/kv/key.ts";
import type { WatchRange } from "../../../objects/store/store.ts";
import { jsonArrayResponse } from "./encode-array.ts";
import { keyPair, keyText } from "./encode-key.ts";
import type { Exchange } from "./exchange.ts";

const below = (prefix: Uint8Array): WatchRange => ({ space: KV, from: prefix, to: prefixEnd(prefix) });
const nothing = (): Response => new Response(null, { status: 404 });

export async function listPairs(exchange: Exchange): Promise<Response> {
  const prefix = utf8(exchange.rest);
  const { value: first } = await exchange.read("kv.entries", { prefix }, [below(prefix)]);
  async function* pairs(): AsyncGenerator<object[]> {
    const { revision } = first;
    for (let page = first; ;) {
      const mayRead = ({ key }: { key: Uint8Array }): boolean => exchange.allows("key", "read", keyText(key));
      yield exchange.visible(page.entries, mayRead).map(keyPair);
      if (page.next === null) return;
      page = (await exchange.client.query("kv.entries", { prefix, from: page.next, revision })).value;
    }
  }
  return (await jsonArrayResponse(pairs(), exchange)) ?? nothing();
}

export async function listKeys(exchange: Exchange): Promise<Response> {
  const { rest: name, params, authorizer } = exchange;
  // An old client's spelling.
  const separator = params.get("separator") ?? params.get("seperator") ?? "";
  const prefix = utf8(name);
  // What may not be read must not show in what it is cut to: then all keys are needed.
  const isOpen = authorizer.allowsBelow("key", "read", name);
  const input = { prefix, separator: isOpen && separator !== "" ? utf8(separator) : undefined };
  const { value: first } = await exchange.read("kv.keys", input, [below(prefix)]);
  async function* names(): AsyncGenerator<string[]> {
    const { revision } = first;
    const isNews = afterCut(name.length, isOpen ? "" : separator);
    for (let page = first; ;) {
      const keys = page.keys.map(keyText);
      const seen = isOpen ? keys : exchange.visible(keys, (key) => exchange.allows("key", "read", key));
      yield seen.map(isNews).filter((key) => key !== null);
      if (page.next === null) return;
      page = (await exchange.client.query("kv.keys", { ...input, from: page.next, revision })).value;
    }
  }
  const response = await jsonArrayResponse(names(), exchange);
  return response ?? (name === "" ? exchange.json([]) : nothing());
}

/** Cuts keys behind the first separator after the prefix; null for what was told before. Keys come in order. */
function afterCut(prefixLength: number, separator: string): (key: string) => string | null {
  let last: string | undefined;
  return (key) => {
    const at = separator === "" ? -1 : key.indexOf(separator, prefixLength);
    if (at === -1) return key;
    const cut = key.slice(0, at + separator.length);
    if (cut === last) return null;
    return (last = cut);
  };
}
