/**
 * What requests of the native API demand part by part, where that depends on more than the path: on their bodies, and on
 * what is stored.
 */
import { nodeKey } from "../../objects/registry/spaces.ts";
import type { Kind, Verb } from "../../objects/policy/statements.ts";
import { demandOfAttaching } from "../request/key-demands.ts";
import type { Demand } from "../request/permission.ts";
import type { NamespaceClient } from "../request/namespace-client.ts";
import { invalid } from "../../objects/errors.ts";

/** Nodes that one request may be about, for callers whose rights are asked for. */
const NODES_MAX = 100;

/** Of an instance's registration. */
export interface Binding {
  meshFor?: string | undefined;
  lease?: string | undefined;
}

/** What an instance's registration reaches besides its own service. */
export function demandsOfBinding({ meshFor, lease }: Binding): Demand[] {
  const demands: Demand[] = [];
  // The mesh sends that service's traffic to it.
  if (meshFor !== undefined) demands.push({ verb: "update", kind: "service", name: meshFor });
  if (lease !== undefined) demands.push(demandOfAttaching(lease));
  return demands;
}

/**
 * Node names are one in any case, rights are not: what counts is the name as the node was registered, besides the name as
 * it was asked for when there is no such node. Codes: `invalid_argument`.
 */
export async function demandsOfNodes(
  client: NamespaceClient,
  verb: Verb,
  asked: readonly string[],
  kind: Kind = "node",
): Promise<Demand[]> {
  const names = [...new Set(asked)];
  if (names.length > NODES_MAX) throw invalid("node", `must be at most ${NODES_MAX} nodes at once`);
  return Promise.all(names.map(async (name) => ({ verb, kind, name: await nodeNamed(client, name), asked: name })));
}

/** As the node was registered; as asked for when there is none. */
export async function nodeNamed(client: NamespaceClient, asked: string): Promise<string> {
  const { value: node } = await client.query("nodes.get", { name: asked });
  // Nodes are found by their id, too.
  return node !== null && nodeKey(node.name) === nodeKey(asked) ? node.name : asked;
}

/** The subjects of heartbeats and results: instances, and nodes, which have an empty service. */
export async function demandsOfSubjects(
  client: NamespaceClient,
  subjects: readonly { service: string; id: string }[],
): Promise<Demand[]> {
  const services = new Set(subjects.map(({ service }) => service));
  const isOfNodes = services.delete("");
  const ofServices = [...services].map((name): Demand => ({ verb: "update", kind: "service", name }));
  if (!isOfNodes) return ofServices;
  const nodes = subjects.filter(({ service }) => service === "").map(({ id }) => id);
  return [...ofServices, ...(await demandsOfNodes(client, "update", nodes))];
}
