/** For agents: the checks that they run, and what they found. An agent is the agent of one node. */
import { z } from "@hono/zod-openapi";
import { agentRanges } from "../../objects/registry/views.ts";
import type { Verb } from "../../objects/policy/statements.ts";
import type { NamespaceClient } from "../request/namespace-client.ts";
import { waitOf } from "../request/wait.ts";
import { checkOutput } from "./convert.ts";
import { demandsOfNodes, demandsOfSubjects, nodeNamed } from "./demands.ts";
import { flag, REVISION_MAX, route, whole, words } from "./route.ts";
import * as schema from "./schemas.ts";

const path = "/agents/{node}/checks";

const demandsOfAgent = (client: NamespaceClient, verb: Verb, params: Record<string, string>) =>
  demandsOfNodes(client, verb, [params["node"]!], "agent");

export const agentRoutes = [
  route({
    method: "get",
    path,
    tag: "Agents",
    id: "listAgentChecks",
    summary: "The checks that the agent of a node runs; with a revision, when they are others than at that",
    permission: [
      { verbs: ["read"], kinds: ["agent"], parts: ({ client, params }) => demandsOfAgent(client, "read", params) },
    ],
    query: z.strictObject({
      revision: whole(0, REVISION_MAX, "Of an earlier answer: wait until the list changes"),
      wait: words("With revision: how long, up to 60s; default 30s"),
      nodeless: flag("Also the checks of instances that name no node"),
    }),
    response: z.object({
      revision: z.number().int().describe("Of the list's last change"),
      truncated: z.boolean().describe("There are more than one agent is given"),
      checks: z.array(schema.agentTask),
    }),
    async handle({ client, params, query, reauthorize }) {
      const input = { node: params["node"]!, nodeless: query.nodeless };
      const waitMs = waitOf(query.wait ?? null);
      const options = { ranges: agentRanges(input), since: query.revision ?? 0, waitMs };
      const { value: answer, revision } = await client.read("registry.agentChecks", input, options);
      const { checks, truncated } = answer.value;
      // What it has rights to by now: it may have waited.
      const authorizer = await reauthorize();
      const isSeen = async (node: string) => authorizer.allows("read", "node", await nodeNamed(client, node));
      const seesNode = authorizer.isUnbounded || (await isSeen(params["node"]!));
      const shown = checks.filter(({ service }) =>
        service === "" ? seesNode : authorizer.allows("read", "service", service),
      );
      const tasks = shown.map(({ service, instance, address, check }) => ({
        service,
        id: instance,
        address,
        check: checkOutput(check),
      }));
      return { value: { revision: answer.index, truncated, checks: tasks }, revision };
    },
  }),
  route({
    method: "post",
    path,
    tag: "Agents",
    id: "reportAgentChecks",
    summary: "What the agent of a node found; checks that are gone, or on another node, are ignored and counted",
    permission: [
      {
        verbs: ["update"],
        kinds: ["agent"],
        parts: async ({ client, params, body }) => [
          ...(await demandsOfAgent(client, "update", params)),
          ...(await demandsOfSubjects(client, body.results)),
        ],
      },
    ],
    body: z.strictObject({ results: z.array(schema.agentResult).max(1000) }),
    response: z.object({ applied: z.number().int(), ignored: z.number().int() }),
    handle({ client, params, body, options }) {
      const reports = body.results.map(({ output = "", ...result }) => ({ ...result, output, node: params["node"]! }));
      return client.execute("registry.report", reports, options);
    },
  }),
];
