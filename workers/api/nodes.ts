/** Nodes: the machines that instances run on. */
import { z } from "@hono/zod-openapi";
import { invalid } from "../../objects/errors.ts";
import type { Demand } from "../request/permission.ts";
import { checkSpec, instanceOutput, nodeOutput } from "./convert.ts";
import { demandsOfNodes } from "./demands.ts";
import type { ApiRequest } from "./route.ts";
import { notFound, route, words } from "./route.ts";
import * as schema from "./schemas.ts";
import { visiblePage } from "./visible.ts";

export const nodeRoutes = [
  route({
    method: "get",
    path: "/nodes",
    tag: "Nodes",
    id: "listNodes",
    summary: "All nodes",
    permission: [{ verb: "read", kind: "node", filtered: true }],
    query: z.strictObject({ after: words("Continue after this name, as an earlier answer told") }),
    response: z.object({ nodes: z.array(schema.nodeOutput), after: z.string().nullable() }),
    async handle({ client, query, authorizer }) {
      const { value, revision } = await visiblePage(
        query.after ?? null,
        async (after) => {
          const page = await client.query("nodes.list", { after });
          return { ...page, value: { items: page.value.nodes, after: page.value.after } };
        },
        ({ name }) => authorizer.allows("read", "node", name),
        ({ name }) => name,
      );
      return { value: { nodes: value.items.map(nodeOutput), after: value.after }, revision };
    },
  }),
  route({
    method: "get",
    path: "/nodes/{node}",
    tag: "Nodes",
    id: "getNode",
    summary: "One node, by its name, its id, or the unambiguous beginning of its id",
    permission: [{ verbs: ["read"], kinds: ["node"], parts: demandsOfFound }],
    response: schema.nodeOutput,
    async handle({ client, params }) {
      const { value, revision } = await client.query("nodes.get", { name: params["node"]! });
      if (value === null) throw noNode(params);
      return { value: nodeOutput(value), revision };
    },
  }),
  route({
    method: "put",
    path: "/nodes/{node}",
    tag: "Nodes",
    id: "registerNode",
    summary: "Register a node, or replace its registration",
    permission: [
      {
        verbs: ["create", "update"],
        kinds: ["node"],
        parts: async ({ client, params }) => [
          ...(await demandsOfNodes(client, "create", [params["node"]!])),
          ...(await demandsOfNodes(client, "update", [params["node"]!])),
        ],
      },
    ],
    body: schema.nodeInput,
    response: schema.nodeOutput,
    async handle({ client, params, body, options }) {
      const node = { ...body, name: params["node"]!, checks: body.checks?.map(checkSpec) };
      const { value, revision } = await client.execute("registry.apply", [{ type: "node.put", node }], options);
      return { value: nodeOutput(value[0]!.node!), revision };
    },
  }),
  route({
    method: "delete",
    path: "/nodes/{node}",
    tag: "Nodes",
    id: "deregisterNode",
    summary: "Deregister a node with all instances on it",
    permission: [
      // Whoever may write the node may take anything off it, as in Consul.
      {
        verbs: ["delete"],
        kinds: ["node"],
        parts: ({ client, params }) => demandsOfNodes(client, "delete", [params["node"]!]),
      },
    ],
    response: z.object({ existed: z.literal(true) }),
    async handle({ client, params, options }) {
      const step = { type: "node.delete", name: params["node"]! } as const;
      const { value, revision } = await client.execute("registry.apply", [step], options);
      if (!value[0]!.existed) throw noNode(params);
      return { value: { existed: true }, revision };
    },
  }),
  route({
    method: "get",
    path: "/nodes/{node}/instances",
    tag: "Nodes",
    id: "listNodeInstances",
    summary: "The instances on a node",
    permission: [
      {
        verbs: ["read"],
        kinds: ["node"],
        parts: ({ client, params }) => demandsOfNodes(client, "read", [params["node"]!]),
      },
    ],
    query: z.strictObject({ after: words("Continue after it, as an earlier answer told") }),
    response: z.object({ instances: z.array(schema.instanceOutput), after: z.string().nullable() }),
    async handle({ client, params, query, authorizer }) {
      const name = params["node"]!;
      const { value, revision } = await visiblePage(
        query.after ?? null,
        async (after) => {
          const page = await client.query("nodes.instances", { name, after: after === null ? null : placeOf(after) });
          const { instances, after: next } = page.value;
          return { ...page, value: { items: instances, after: next && placeText(next) } };
        },
        ({ service }) => authorizer.allows("read", "service", service),
        placeText,
      );
      if (value.items.length === 0 && (await client.query("nodes.get", { name })).value === null) throw noNode(params);
      return { value: { instances: value.items.map(instanceOutput), after: value.after }, revision };
    },
  }),
];

/** An instance as a place in a list: both names may have any character. */
const placeText = ({ service, id }: { service: string; id: string }): string =>
  `${encodeURIComponent(service)}/${encodeURIComponent(id)}`;

function placeOf(text: string): { service: string; id: string } {
  try {
    const [service, id, ...rest] = text.split("/").map(decodeURIComponent);
    if (service && id && rest.length === 0) return { service, id };
  } catch {
    // Not percent-encoded, so not ours either.
  }
  throw invalid("after", "is not what an earlier answer told");
}

/** Also found by its id: what counts is the node's name, which a refusal does not tell. */
async function demandsOfFound({ client, params }: ApiRequest<unknown, unknown>): Promise<Demand[]> {
  const asked = params["node"]!;
  const { value } = await client.query("nodes.get", { name: asked });
  return [{ verb: "read", kind: "node", name: value?.name ?? asked, asked }];
}

const noNode = (params: Record<string, string>) => notFound(`there is no node "${params["node"]}"`);
