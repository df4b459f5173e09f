/** Nodes: the machines that instances run on. */
import { z } from "@hono/zod-openapi";
import { checkSpec, instanceOutput, nodeOutput } from "./convert.ts";
import { notFound, route, words } from "./route.ts";
import * as schema from "./schemas.ts";

export const nodeRoutes = [
  route({
    method: "get",
    path: "/nodes",
    tag: "Nodes",
    id: "listNodes",
    summary: "All nodes",
    query: z.strictObject({ after: words("Continue after this name, as an earlier answer told") }),
    response: z.object({ nodes: z.array(schema.nodeOutput), after: z.string().nullable() }),
    async handle({ client, query }) {
      const { value, revision } = await client.query("nodes.list", { after: query.after ?? null });
      return { value: { nodes: value.nodes.map(nodeOutput), after: value.after }, revision };
    },
  }),
  route({
    method: "get",
    path: "/nodes/{node}",
    tag: "Nodes",
    id: "getNode",
    summary: "One node, by its name, its id, or the unambiguous beginning of its id",
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
    response: z.object({ instances: z.array(schema.instanceOutput) }),
    async handle({ client, params }) {
      const name = params["node"]!;
      const { value, revision } = await client.query("nodes.instances", { name });
      const isUnknown = value.instances.length === 0 && (await client.query("nodes.get", { name })).value === null;
      if (isUnknown) throw noNode(params);
      return { value: { instances: value.instances.map(instanceOutput) }, revision };
    },
  }),
];

const noNode = (params: Record<string, string>) => notFound(`there is no node "${params["node"]}"`);
