/** Single checks, of nodes and of instances: defined, removed, and told what they are. */
import { z } from "@hono/zod-openapi";
import { nodeSubject } from "../../objects/registry/spaces.ts";
import type { CheckOwner, StepResult } from "../../objects/registry/steps.ts";
import type { Permission } from "../request/permission.ts";
import { checkOutput, checkSpec } from "./convert.ts";
import { demandsOfNodes } from "./demands.ts";
import type { ApiRequest } from "./route.ts";
import { notFound, route } from "./route.ts";
import * as schema from "./schemas.ts";

type Params = Record<string, string>;

export const checkRoutes = [
  ...routesBelow("/nodes/{node}", "Nodes", "Node", (params) => ({ node: params["node"]! }), [
    {
      verbs: ["update"],
      kinds: ["node"],
      parts: ({ client, params }) => demandsOfNodes(client, "update", [params["node"]!]),
    },
  ]),
  ...routesBelow(
    "/services/{service}/instances/{id}",
    "Services",
    "Instance",
    (params) => ({ service: params["service"]!, id: params["id"]! }),
    [{ verb: "update", kind: "service", on: "service" }],
  ),
];

/** Checks count as their owner. */
function routesBelow(
  owner: string,
  tag: string,
  noun: "Node" | "Instance",
  ownerOf: (params: Params) => CheckOwner,
  permission: readonly Permission<ApiRequest<unknown, unknown>>[],
) {
  const path = `${owner}/checks/{check}`;
  const of = noun.toLowerCase();
  return [
    route({
      method: "put",
      path,
      tag,
      id: `put${noun}Check`,
      summary: `Define a check of this ${of}, or replace its definition`,
      permission,
      body: schema.checkInput,
      response: schema.checkOutput,
      async handle({ client, params, body, options }) {
        const check = { ...checkSpec(body), id: params["check"]! };
        const step = { type: "check.put", owner: ownerOf(params), check } as const;
        const { value, revision } = await client.execute("registry.apply", [step], options);
        return { value: checkOutput(checkIn(value[0]!, params)), revision };
      },
    }),
    route({
      method: "delete",
      path,
      tag,
      id: `delete${noun}Check`,
      summary: `Remove a check of this ${of}`,
      permission,
      response: z.object({ existed: z.literal(true) }),
      async handle({ client, params, options }) {
        const step = { type: "check.delete", owner: ownerOf(params), check: params["check"]! } as const;
        const { value, revision } = await client.execute("registry.apply", [step], options);
        if (!value[0]!.existed) throw noCheck(params);
        return { value: { existed: true }, revision };
      },
    }),
    route({
      method: "post",
      path: `${path}/report`,
      tag,
      id: `report${noun}Check`,
      summary: `Say how a check of this ${of} is; one of type ttl is renewed by it`,
      permission,
      body: schema.checkReport,
      response: schema.checkOutput,
      async handle({ client, params, body, options }) {
        const { status, output = "" } = body;
        const owner = ownerOf(params);
        const step = { type: "check.report", owner, check: params["check"]!, status, output } as const;
        const { value, revision } = await client.execute("registry.apply", [step], options);
        const check = checkIn(value[0]!, params);
        // The same again is no change, but a sign of life.
        if (check.type === "ttl") {
          const subject = "node" in owner ? nodeSubject(owner.node) : owner;
          await client.heartbeat([{ ...subject, check: check.id, status, output }]);
        }
        return { value: checkOutput(check), revision };
      },
    }),
  ];
}

/** Codes: `not_found`. */
function checkIn({ node, instance }: StepResult, params: Params) {
  const check = (node ?? instance)?.checks.find(({ id }) => id === params["check"]);
  if (!check) throw noCheck(params);
  return check;
}

const noCheck = (params: Params) =>
  notFound(
    "node" in params
      ? `node "${params["node"]}" has no check "${params["check"]}"`
      : `instance "${params["id"]}" of service "${params["service"]}" has no check "${params["check"]}"`,
  );
