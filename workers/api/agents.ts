/** For agents: the checks that they run, and what they found. An agent is the agent of one node. */
import { z } from "@hono/zod-openapi";
import { agentRanges } from "../../objects/registry/views.ts";
import { waitOf } from "../request/wait.ts";
import { checkOutput } from "./convert.ts";
import { flag, REVISION_MAX, route, whole, words } from "./route.ts";
import * as schema from "./schemas.ts";

const path = "/agents/{node}/checks";

export const agentRoutes = [
  route({
    method: "get",
    path,
    tag: "Agents",
    id: "listAgentChecks",
    summary: "The checks that the agent of a node runs; with a revision, when they are others than at that",
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
    async handle({ client, params, query }) {
      const input = { node: params["node"]!, nodeless: query.nodeless };
      const waitMs = waitOf(query.wait ?? null);
      const options = { ranges: agentRanges(input), since: query.revision ?? 0, waitMs };
      const { value: answer, revision } = await client.read("registry.agentChecks", input, options);
      const { checks, truncated } = answer.value;
      const tasks = checks.map(({ service, instance, address, check }) => ({
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
    body: z.strictObject({ results: z.array(schema.agentResult).max(1000) }),
    response: z.object({ applied: z.number().int(), ignored: z.number().int() }),
    handle({ client, params, body, options }) {
      const reports = body.results.map(({ output = "", ...result }) => ({ ...result, output, node: params["node"]! }));
      return client.execute("registry.report", reports, options);
    },
  }),
];
