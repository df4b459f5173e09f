/**
 * Addresses to nodes, as of a few seconds ago. The registry has no index for it: this isolate reads all nodes and keeps what
 * it has read for a short while, so that a flood of such questions is one reading.
 *
 * Shared between requests is plain data only.
 */
import ipaddr from "ipaddr.js";
import type { Bindings } from "../request/bindings.ts";
import { objectName } from "../request/datacenter.ts";
import { NamespaceClient } from "../request/namespace-client.ts";

const FRESH_MS = 10_000;
/** Nodes past this many are not found by their address. */
const NODES_MAX = 20_000;
const KEPT_MAX = 32;

interface Reverse {
  readAt: number;
  /** Addresses in one spelling. */
  nodes: Map<string, string[]>;
}

/** By the object's name. */
const kept = new Map<string, Reverse>();

/** Names of the nodes that have an address; none for what is no IP address. */
export async function nodesAt(
  env: Bindings,
  namespace: string,
  datacenter: string,
  address: string,
): Promise<readonly string[]> {
  const wanted = normal(address);
  if (wanted === null) return [];
  const name = objectName(env, namespace, datacenter);
  let reverse = kept.get(name);
  if (!reverse || Date.now() - reverse.readAt >= FRESH_MS) {
    reverse = await read(new NamespaceClient(env, namespace, datacenter));
    kept.delete(name);
    if (kept.size >= KEPT_MAX) kept.delete(kept.keys().next().value!);
    kept.set(name, reverse);
  }
  return reverse.nodes.get(wanted) ?? [];
}

async function read(client: NamespaceClient): Promise<Reverse> {
  const nodes = new Map<string, string[]>();
  let count = 0;
  let { value: page } = await client.query("nodes.list", {});
  for (;;) {
    for (const { name, address } of page.nodes) {
      const key = normal(address);
      if (key !== null) nodes.set(key, [...(nodes.get(key) ?? []), name]);
    }
    count += page.nodes.length;
    if (page.after === null || count >= NODES_MAX) break;
    ({ value: page } = await client.query("nodes.list", { after: page.after }));
  }
  return { readAt: Date.now(), nodes };
}

function normal(address: string): string | null {
  return ipaddr.isValid(address) ? ipaddr.process(address).toNormalizedString() : null;
}
