/** Lists that come in pages, whole. */
import type { RegisteredInstance, RegisteredNode } from "../../../../objects/model.ts";
import type { NodeInstances, NodePage } from "../../../../objects/registry/nodes.ts";
import type {
  CheckPage,
  InstancePage,
  OwnedCheck,
  ServiceList,
  ServiceSummary,
} from "../../../../objects/registry/views.ts";
import type { HealthStatus } from "../../../../objects/model.ts";
import type { Page, Stored } from "../../../../objects/policy/records.ts";
import type { Session } from "../../../../objects/sessions/sessions.ts";
import type { Exchange } from "../exchange.ts";

/** The pages after the first. */
async function* following<P extends { after: unknown }>(
  first: P,
  next: (after: NonNullable<P["after"]>) => Promise<P>,
): AsyncGenerator<P> {
  for (let page = first; ;) {
    yield page;
    if (page.after === null || page.after === undefined) return;
    page = await next(page.after as NonNullable<P["after"]>);
  }
}

export async function nodesFrom({ client }: Exchange, first: NodePage): Promise<RegisteredNode[]> {
  const nodes: RegisteredNode[] = [];
  const pages = following(first, async (after) => (await client.query("nodes.list", { after })).value);
  for await (const page of pages) nodes.push(...page.nodes);
  return nodes;
}

export async function allNodes(exchange: Exchange): Promise<RegisteredNode[]> {
  return nodesFrom(exchange, (await exchange.client.query("nodes.list", {})).value);
}

export async function servicesFrom({ client }: Exchange, first: ServiceList): Promise<ServiceSummary[]> {
  const services: ServiceSummary[] = [];
  const pages = following(first, async (after) => (await client.query("registry.services", { after })).value);
  for await (const page of pages) services.push(...page.services);
  return services;
}

export async function checksFrom(
  { client }: Exchange,
  first: CheckPage,
  status: HealthStatus | undefined,
): Promise<OwnedCheck[]> {
  const checks: OwnedCheck[] = [];
  const pages = following(first, async (after) => (await client.query("registry.checks", { after, status })).value);
  for await (const page of pages) checks.push(...page.checks);
  return checks;
}

export async function sessionsFrom(
  { client }: Exchange,
  first: Page<Stored<Session>>,
  node: string | undefined,
): Promise<Stored<Session>[]> {
  const sessions: Stored<Session>[] = [];
  const pages = following(first, async (after) => (await client.query("session.list", { node, after })).value);
  for await (const page of pages) sessions.push(...page.items);
  return sessions;
}

export interface Instances {
  instances: RegisteredInstance[];
  /** By name in lower case. */
  nodes: Record<string, RegisteredNode>;
}

export async function instancesFrom({ client }: Pick<Exchange, "client">, first: InstancePage): Promise<Instances> {
  const instances: RegisteredInstance[] = [];
  const nodes = new Map<string, RegisteredNode>();
  const pages = following(first, async (after) => (await client.query("registry.instances", { after })).value);
  for await (const page of pages) {
    instances.push(...page.instances);
    for (const [name, node] of Object.entries(page.nodes)) nodes.set(name, node);
  }
  return { instances, nodes: Object.fromEntries(nodes) };
}

/** The instances on a node; on the default one, those that named none as well. */
export async function instancesOnNode(
  { client }: Exchange,
  name: string,
  withNodeless: boolean,
): Promise<RegisteredInstance[]> {
  const found: RegisteredInstance[] = [];
  for (const on of withNodeless ? [name, ""] : [name]) {
    const read = async (after: NodeInstances["after"] = null) =>
      (await client.query("nodes.instances", { name: on, after })).value;
    for await (const page of following(await read(), read)) found.push(...page.instances);
  }
  return found;
}
