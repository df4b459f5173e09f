/**
 * Addresses to the nodes, and the services, that have them, as of a few seconds ago. The registry has no index for it: this
 * isolate reads all addresses and keeps what it has read for a short while, so that a flood of such questions is one reading.
 *
 * Shared between requests is plain data only.
 */
import ipaddr from "ipaddr.js";
import type { QueryOutput } from "../../objects/commands.ts";
import type { Bindings } from "../request/bindings.ts";
import { objectName } from "../request/datacenter.ts";
import { NamespaceClient } from "../request/namespace-client.ts";

const FRESH_MS = 10_000;
/** What comes after so many is not found by its address. */
const READ_MAX = 20_000;
const KEPT_MAX = 32;

/** Addresses in one spelling → who has them. */
type Names<T> = Map<string, T[]>;

interface Kept<T> {
  readAt: number;
  names: Names<T>;
}

/** By the object's name. */
const keptNodes = new Map<string, Kept<string>>();
const keptServices = new Map<string, Kept<{ service: string; isPrivate: boolean }>>();

/** Names of the nodes that have an address; none for what is no IP address. */
export function nodesAt(env: Bindings, namespace: string, datacenter: string, address: string): Promise<string[]> {
  return find(
    keptNodes,
    readNodes,
    new NamespaceClient(env, namespace, datacenter),
    objectName(env, namespace, datacenter),
    address,
  );
}

/** The services with an instance that has this address as its own, not as its node's. */
export async function servicesAt(
  env: Bindings,
  namespace: string,
  datacenter: string,
  address: string,
  showPrivate: boolean,
): Promise<string[]> {
  const client = new NamespaceClient(env, namespace, datacenter);
  const found = await find(keptServices, readServices, client, objectName(env, namespace, datacenter), address);
  return [...new Set(found.filter(({ isPrivate }) => showPrivate || !isPrivate).map(({ service }) => service))];
}

async function find<T>(
  kept: Map<string, Kept<T>>,
  read: (client: NamespaceClient) => Promise<Names<T>>,
  client: NamespaceClient,
  name: string,
  address: string,
): Promise<T[]> {
  const wanted = normal(address);
  if (wanted === null) return [];
  let known = kept.get(name);
  if (!known || Date.now() - known.readAt >= FRESH_MS) {
    known = { names: await read(client), readAt: Date.now() };
    kept.delete(name);
    if (kept.size >= KEPT_MAX) kept.delete(kept.keys().next().value!);
    kept.set(name, known);
  }
  return known.names.get(wanted) ?? [];
}

async function readNodes(client: NamespaceClient): Promise<Names<string>> {
  const names: Names<string> = new Map();
  let count = 0;
  for (let after: string | null = null; count < READ_MAX;) {
    const page: QueryOutput<"nodes.list"> = (await client.query("nodes.list", { after })).value;
    for (const { name, address } of page.nodes) add(names, address, name);
    count += page.nodes.length;
    after = page.after;
    if (after === null) break;
  }
  return names;
}

async function readServices(client: NamespaceClient): Promise<Names<{ service: string; isPrivate: boolean }>> {
  const names: Names<{ service: string; isPrivate: boolean }> = new Map();
  let count = 0;
  for (let after: { service: string; id: string } | null = null; count < READ_MAX;) {
    const page: QueryOutput<"registry.addresses"> = (await client.query("registry.addresses", { after })).value;
    for (const { address, ...owner } of page.addresses) add(names, address, owner);
    count += page.addresses.length;
    after = page.after;
    if (after === null) break;
  }
  return names;
}

function add<T>(names: Names<T>, address: string, name: T): void {
  const key = normal(address);
  if (key === null) return;
  const known = names.get(key);
  if (known) known.push(name);
  else names.set(key, [name]);
}

function normal(address: string): string | null {
  return ipaddr.isValid(address) ? ipaddr.process(address).toNormalizedString() : null;
}
