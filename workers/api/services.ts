/** Services and their instances. */
import { z } from "@hono/zod-openapi";
import { invalid } from "../../objects/errors.ts";
import { isHealthy } from "../../objects/model.ts";
import type { Demand, Permission } from "../request/permission.ts";
import { instanceOutput, instanceSpec, checkSpec, milliseconds, portsOf } from "./convert.ts";
import type { Binding } from "./demands.ts";
import { demandsOfBinding, demandsOfSubjects } from "./demands.ts";
import { flag, notFound, route, words } from "./route.ts";
import * as schema from "./schemas.ts";
import { visiblePage } from "./visible.ts";

const instancePath = "/services/{service}/instances/{id}";
const BINDING: Permission<{ body: Binding }> = {
  verbs: ["update"],
  kinds: ["service", "session"],
  parts: ({ body }) => demandsOfBinding(body),
};
const page = z.strictObject({ after: words("Continue after this name, as an earlier answer told") });

export const serviceRoutes = [
  route({
    method: "get",
    path: "/services",
    tag: "Services",
    id: "listServices",
    summary: "All services",
    permission: [{ verb: "read", kind: "service", filtered: true }],
    query: page,
    response: z.object({ services: z.array(schema.serviceOutput), after: z.string().nullable() }),
    async handle({ client, query, authorizer }) {
      const { value, revision } = await visiblePage(
        query.after ?? null,
        async (after) => {
          const page = await client.query("registry.services", { after });
          return { ...page, value: { items: page.value.services, after: page.value.after } };
        },
        ({ name }) => authorizer.allows("read", "service", name),
        ({ name }) => name,
      );
      return { value: { services: value.items, after: value.after }, revision };
    },
  }),
  route({
    method: "get",
    path: "/services/{service}",
    tag: "Services",
    id: "getService",
    summary: "One service",
    permission: [{ verb: "read", kind: "service", on: "service" }],
    response: schema.serviceDetail,
    async handle({ client, params }) {
      const service = params["service"]!;
      const { value, revision } = await client.query("registry.service", { service });
      return { value, revision };
    },
  }),
  route({
    method: "delete",
    path: "/services/{service}",
    tag: "Services",
    id: "deregisterService",
    summary: "Deregister all instances of a service",
    permission: [{ verb: "delete", kind: "service", on: "service" }],
    response: z.object({ deregistered: z.number().int() }),
    async handle({ client, params, options }) {
      let deregistered = 0;
      for (;;) {
        const step = await client.execute("registry.deregisterService", { service: params["service"]! }, options);
        deregistered += step.value.deregistered;
        if (step.value.remaining) continue;
        if (deregistered === 0) throw notFound(`service "${params["service"]}" has no instances`);
        return { value: { deregistered }, revision: step.revision };
      }
    },
  }),
  route({
    method: "get",
    path: "/services/{service}/instances",
    tag: "Services",
    id: "listInstances",
    summary: "All instances of a service, healthy or not",
    permission: [{ verb: "read", kind: "service", on: "service" }],
    query: page.extend({ healthy: flag("Only those that are up and not critical") }),
    response: z.object({
      service: z.string(),
      instances: z.array(schema.instanceOutput),
      after: z.string().nullable(),
    }),
    async handle({ client, params, query }) {
      const service = params["service"]!;
      const { value, revision } = await client.query("registry.view", { service, after: query.after ?? null });
      const shown = query.healthy ? value.instances.filter(isHealthy) : value.instances;
      return { value: { service, instances: shown.map(instanceOutput), after: value.after }, revision };
    },
  }),
  route({
    method: "put",
    path: instancePath,
    tag: "Services",
    id: "register",
    summary: "Register an instance, or replace its registration",
    permission: [
      { verb: "create", kind: "service", on: "service" },
      { verb: "update", kind: "service", on: "service" },
      BINDING,
    ],
    body: schema.instanceInput,
    response: schema.instanceOutput,
    async handle({ client, params, body, options }) {
      const spec = instanceSpec(params["service"]!, params["id"]!, body);
      const { value, revision } = await client.execute("registry.register", spec, options);
      return { value: instanceOutput(value), revision };
    },
  }),
  route({
    method: "get",
    path: instancePath,
    tag: "Services",
    id: "getInstance",
    summary: "One instance",
    permission: [{ verb: "read", kind: "service", on: "service" }],
    response: schema.instanceOutput,
    async handle({ client, params }) {
      const { value, revision } = await client.query("registry.instance", nameOf(params));
      return { value: instanceOutput(value), revision };
    },
  }),
  route({
    method: "patch",
    path: instancePath,
    tag: "Services",
    id: "updateInstance",
    summary: "Change some fields: drain it, weigh it anew; null removes a key of meta",
    permission: [{ verb: "update", kind: "service", on: "service" }, BINDING],
    body: schema.instancePatch,
    response: schema.instanceOutput,
    async handle({ client, params, body, options }) {
      const { port, ports, ttl, checks, ...rest } = body;
      const patch = {
        ...rest,
        ...nameOf(params),
        ports: portsOf(port, ports),
        ttlMs: milliseconds(ttl),
        checks: checks?.map(checkSpec),
      };
      const { value, revision } = await client.execute("registry.update", patch, options);
      return { value: instanceOutput(value), revision };
    },
  }),
  route({
    method: "delete",
    path: instancePath,
    tag: "Services",
    id: "deregister",
    summary: "Deregister an instance",
    permission: [{ verb: "delete", kind: "service", on: "service" }],
    response: z.object({ existed: z.literal(true) }),
    async handle({ client, params, options }) {
      const { value, revision } = await client.execute("registry.deregister", nameOf(params), options);
      if (!value.existed) throw notFound(`service "${params["service"]}" has no instance "${params["id"]}"`);
      return { value, revision };
    },
  }),
  route({
    method: "post",
    path: `${instancePath}/heartbeat`,
    tag: "Services",
    id: "heartbeat",
    summary: "Renew an instance, or report one of its checks of type ttl",
    permission: [{ verb: "update", kind: "service", on: "service" }],
    body: schema.beat,
    response: z.object({ renewed: z.literal(true) }),
    async handle({ client, params, body }) {
      const { value, revision } = await client.heartbeat([{ ...nameOf(params), ...body }]);
      if (value.renewed === 0) throw notFound(`service "${params["service"]}" has no instance "${params["id"]}"`);
      return { value: { renewed: true }, revision };
    },
  }),
  route({
    method: "post",
    path: "/heartbeats",
    tag: "Services",
    id: "heartbeats",
    summary: "Renew up to 10,000 instances",
    permission: [
      {
        verbs: ["update"],
        kinds: ["service", "node"],
        parts: ({ client, body }) => demandsOfSubjects(client, body.instances),
      },
    ],
    body: z.strictObject({
      instances: z.array(schema.beat.extend({ service: z.string(), id: z.string() })).max(10_000),
    }),
    response: z.object({
      renewed: z.number().int(),
      unknown: z.array(z.object({ service: z.string(), id: z.string() })).describe("Not registered: register again"),
    }),
    async handle({ client, body }) {
      const { value, revision } = await client.heartbeat(body.instances);
      const unknown = value.unknown.map((at) => ({ service: body.instances[at]!.service, id: body.instances[at]!.id }));
      return { value: { renewed: value.renewed, unknown }, revision };
    },
  }),
  route({
    method: "post",
    path: "/instances:batch",
    tag: "Services",
    id: "registerMany",
    summary: "Register up to 1,000 instances in one commit, all or none",
    permission: [
      { verbs: ["create"], kinds: ["service"], parts: ({ body }) => body.instances.flatMap(demandsOfRegistration) },
    ],
    body: schema.batchInput,
    response: z.object({
      registered: z.number().int(),
      instances: z.array(z.object({ service: z.string(), id: z.string(), modRevision: z.number().int() })),
    }),
    async handle({ client, body, options }) {
      const specs = body.instances.map(({ service, id, ...input }) => instanceSpec(service, id, input));
      if (specs.length === 0) throw invalid("instances", "must not be empty");
      const { value, revision } = await client.execute("registry.registerMany", specs, options);
      const instances = value.map(({ service, id, modRevision }) => ({ service, id, modRevision }));
      return { value: { registered: instances.length, instances }, revision };
    },
  }),
];

function demandsOfRegistration(instance: { service: string } & Binding): Demand[] {
  const { service: name } = instance;
  return [
    { verb: "create", kind: "service", name },
    { verb: "update", kind: "service", name },
    ...demandsOfBinding(instance),
  ];
}

function nameOf(params: Record<string, string>): { service: string; id: string } {
  return { service: params["service"]!, id: params["id"]! };
}
