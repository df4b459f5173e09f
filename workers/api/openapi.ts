/** The OpenAPI 3.1 document, made from the definitions that also route and validate. */
import { OpenAPIHono, z } from "@hono/zod-openapi";
import type { Route } from "./route.ts";
import { flag, whole, words } from "./route.ts";
import * as schema from "./schemas.ts";
import { clientFrame } from "./stream/frames.ts";

export type OpenApiDocument = ReturnType<OpenAPIHono["getOpenAPI31Document"]>;

const BASE = "/api/v1/namespaces/{namespace}";
const datacenter = words("Another known datacenter than the edge's own");
/** Of whatever changes something. */
const COMMAND_HEADERS = z.object({
  "Idempotency-Key": z
    .string()
    .optional()
    .describe(
      "Who lost the answer may ask again with the same, and gets it. A place that is waited in, and what was granted to it, " +
        "outlast a broken connection for this, as long as the lease lives; expired when it is gone by then",
    ),
  "X-Holdfast-Fence": z
    .string()
    .optional()
    .describe(
      "lock/<name> <token> <owner>, or election/…, name and owner percent-encoded: refused (fenced) unless that token holds " +
        "it in that same commit. The owner may be left out but for a lock that is shared: by readers, by permits",
    ),
});
let made: OpenApiDocument | undefined;

export function openApiDocument(routes: readonly Route[]): OpenApiDocument {
  made ??= generate(routes);
  return made;
}

/** What the caller needs, in words. */
function rightsText({ permission }: Route): string {
  if (permission.length === 0) return "Needs no rights.";
  const rights = permission.map((one) => {
    if ("parts" in one) return `${one.verbs.join(", ")} on each ${one.kinds.join(" or ")} that it is about`;
    if ("filtered" in one) return `${one.verb} on a ${one.kind}; what may not be seen is left out`;
    return one.on === undefined ? `${one.verb} on ${one.kind}` : `${one.verb} on ${one.kind} {${one.on}}`;
  });
  return `Needs: ${rights.join("; ")}.`;
}

function generate(routes: readonly Route[]): OpenApiDocument {
  const collected = new OpenAPIHono();
  const registry = collected.openAPIRegistry;
  const bearer = registry.registerComponent("securitySchemes", "bearer", { type: "http", scheme: "bearer" });
  const security = [{ [bearer.name]: [] }];
  const failure = {
    description: "A problem (RFC 9457)",
    content: { "application/problem+json": { schema: schema.problem } },
  };

  registry.register("StreamClientFrame", clientFrame);
  for (const route of routes) {
    const names = [...`${BASE}${route.path}`.matchAll(/\{(\w+)\+?\}/g)].map((match) => match[1]!);
    const params = z.object(Object.fromEntries(names.map((name) => [name, z.string()])));
    const isJson = typeof route.response !== "string";
    registry.registerPath({
      method: route.method,
      path: (BASE + route.path).replace("{key+}", "{key}"),
      operationId: route.id,
      tags: [route.tag],
      summary: route.summary,
      description: rightsText(route),
      security,
      request: {
        params,
        query: (route.query ?? z.object({})).extend({ datacenter }),
        ...(route.method !== "get" && { headers: COMMAND_HEADERS }),
        ...(route.body && { body: { content: { "application/json": { schema: route.body } } } }),
        ...(route.rawBody && {
          body: { content: { [route.rawBody]: { schema: { type: "string", format: "binary" } } } },
        }),
      },
      responses: {
        200: {
          description: "Done",
          headers: { "X-Holdfast-Revision": { schema: { type: "integer" }, description: "The namespace's revision" } },
          content: isJson
            ? { "application/json": { schema: route.response as z.ZodType } }
            : { [route.response as string]: { schema: { type: "string" } } },
        },
        default: failure,
      },
    });
  }
  registry.registerPath({
    method: "get",
    path: `${BASE}/resolve/{name}`,
    operationId: "resolve",
    tags: ["Services"],
    summary: "Where a service can be reached",
    security,
    request: {
      params: z.object({ namespace: z.string(), name: z.string() }),
      query: z.object({
        healthy: flag("Only instances that are up and not critical; default true"),
        tag: words("Only instances with this tag; may be repeated"),
        zone: words("Only instances in this zone"),
        near: words("A zone, or region/zone: nearest first"),
        pick: whole(1, 1000, "So many of them, drawn by weight"),
        consistency: z.enum(["cached", "strong"]).optional(),
        revision: whole(0, Number.MAX_SAFE_INTEGER, "Wait for a change after this revision"),
        wait: words("With revision: how long, up to 60s; default 30s"),
        datacenter,
      }),
    },
    responses: {
      200: {
        description: "The instances; `Age` says for how many seconds the answer has not been confirmed",
        headers: { "X-Holdfast-Revision": { schema: { type: "integer" } }, Age: { schema: { type: "integer" } } },
        content: { "application/json": { schema: schema.resolveOutput } },
      },
      default: failure,
    },
  });
  registry.registerPath({
    method: "get",
    path: "/api/v1/namespaces",
    operationId: "listNamespaces",
    tags: ["Operations"],
    summary: "All namespaces",
    security,
    request: { query: z.object({ datacenter }) },
    responses: {
      200: {
        description: "Done",
        content: {
          "application/json": {
            schema: z.object({
              datacenter: z.string(),
              namespaces: z.array(
                z.object({
                  name: z.string(),
                  datacenter: z.string(),
                  revisionMark: z.number().int(),
                  createdAt: z.iso.datetime(),
                }),
              ),
            }),
          },
        },
      },
      default: failure,
    },
  });
  return collected.getOpenAPI31Document({
    openapi: "3.1.0",
    info: {
      title: "Holdfast",
      version: "1",
      license: { name: "Apache-2.0" },
      description: "Service registry, coordination and routing. Durations are seconds, instants ISO 8601.",
    },
    servers: [{ url: "/" }],
  });
}
