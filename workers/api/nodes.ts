/** Nodes: the machines that instances run on. */
import { z } from "@hono/zod-openapi";
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
    response: z.object({ instances: z.array(schema.instanceOutput) }),
    async handle({ client, params, authorizer }) {
      const name = params["node"]!;
      const { value, revision } = await client.query("nodes.instances", { name });
      const isUnknown = value.instances.length === 0 && (await client.query("nodes.get", { name })).value === null;
      if (isUnknown) throw noNode(params);
      const shown = authorizer.filter("read", "service", value.instances, ({ service }) => service);
      return { value: { instances: shown.map(instanceOutput) }, revision };
    },
  }),
];

/** Also found by its id: what counts is the node's name, which a refusal does not tell. */
async function demandsOfFound({ client, params }: ApiRequest<unknown, unknown>): Promise<Demand[]> {
  const asked = params["node"]!;
  const { value } = await client.query("nodes.get", { name: asked });
  return [{ verb: "read", kind: "node", name: value?.name ?? asked, asked }];
}

const noNode = (params: Record<string, string>) => notFound(`there is no node "${params["node"]}"`);
