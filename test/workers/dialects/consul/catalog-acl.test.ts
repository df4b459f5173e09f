/** What catalog, health and agent tell and allow to a token that may read one service. */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Reply } from "../../../edge.ts";
import { Edge } from "../../../edge.ts";

let edge: Edge;
let token = "";
beforeAll(async () => {
  edge = await Edge.start(["--no-agent"]);
  for (const name of ["web", "db"]) {
    await edge.ask("/v1/agent/service/register", {
      method: "PUT",
      body: { Name: name, Port: 1, Check: { CheckID: `${name}-ttl`, TTL: "60s", Status: "passing" } },
    });
  }
  const rules =
    'service "web" { policy = "read" } service "own" { policy = "write" } node_prefix "" { policy = "read" }';
  await edge.ask("/v1/acl/policy", { method: "PUT", body: { Name: "web-reader", Rules: rules } });
  const made = await edge.ask("/v1/acl/token", { method: "PUT", body: { Policies: [{ Name: "web-reader" }] } });
  token = made.json.SecretID;
});
afterAll(() => edge[Symbol.asyncDispose]());

const get = (path: string): Promise<Reply> => edge.ask(`/v1${path}`, { token });
const put = (path: string, body?: unknown): Promise<Reply> => edge.ask(`/v1${path}`, { method: "PUT", body, token });
const isFiltered = ({ headers }: Reply) => headers.get("x-consul-results-filtered-by-acls") === "true";

test("lists leave out what may not be seen, and say so", async () => {
  for (const path of ["/catalog/services", "/agent/services", "/catalog/node/holdfast", "/internal/ui/services"]) {
    const reply = await get(path);
    expect(reply.text, path).toContain('"web"');
    expect(reply.text, path).not.toContain('"db"');
    expect(isFiltered(reply), path).toBe(true);
  }
  for (const path of ["/agent/checks", "/health/state/any", "/health/node/holdfast"]) {
    const reply = await get(path);
    expect(reply.text, path).toContain("web-ttl");
    expect(reply.text, path).not.toContain("db-ttl");
  }
});

test("a service that may not be seen is empty, also from what is kept for others", async () => {
  for (const path of [
    "/health/service/db",
    "/catalog/service/db",
    "/health/service/db?stale",
    "/health/service/db?cached",
  ]) {
    // Kept by somebody who may see it.
    for (let times = 0; times < 5; times++) expect((await edge.ask(`/v1${path}`)).json).toHaveLength(1);
    const reply = await get(path);
    expect(reply.json, path).toEqual([]);
    expect(isFiltered(reply), path).toBe(true);
    expect((await get(path.replace("db", "web"))).json, path).toHaveLength(1);
  }
  expect((await edge.ask("/v1/health/service/db?stale", { token: null })).text).not.toContain('"db"');
});

test("what may not be read or written alone is refused", async () => {
  const refusals: [Promise<Reply>, string][] = [
    [get("/agent/service/db"), 'service:read\' on "db"'],
    [get("/agent/health/service/id/db"), 'service:read\' on "db"'],
    [get("/agent/self"), "agent:read"],
    [get("/agent/metrics"), "agent:read"],
    [get("/agent/host"), "operator:read"],
    [get("/internal/ui/catalog-overview"), "operator:read"],
    [put("/agent/service/register", { Name: "web" }), 'service:write\' on "web"'],
    [put("/agent/service/register", { ID: "db", Name: "own" }), 'service:write\' on "db"'],
    [put("/agent/service/register", { Name: "own", Port: 1, Connect: { SidecarService: {} } }), "own-sidecar-proxy"],
    [put("/agent/service/deregister/web"), "service:write"],
    [put("/agent/service/maintenance/web?enable=true"), "service:write"],
    [put("/agent/check/pass/web-ttl"), "service:write"],
    [put("/agent/check/register", { Name: "n", TTL: "1s" }), "node:write"],
    [put("/agent/check/deregister/serfHealth"), "node:write"],
    [put("/agent/maintenance?enable=true"), "node:write"],
    [put("/agent/leave"), "agent:write"],
    [put("/agent/reload"), "agent:write"],
    [put("/agent/join/127.0.0.1"), "agent:write"],
    [put("/agent/force-leave/x"), "operator:write"],
    [put("/agent/token/default", { Token: "x" }), "agent:write"],
    [put("/catalog/register", { Node: "n", Address: "1.1.1.1", Service: { Service: "own" } }), "node:write"],
    [
      put("/catalog/register", { Node: "holdfast", SkipNodeUpdate: true, Service: { Service: "db" } }),
      'service:write\' on "db"',
    ],
    [put("/catalog/deregister", { Node: "holdfast" }), "node:write"],
    [put("/catalog/deregister", { Node: "holdfast", ServiceID: "web" }), "service:write"],
    [put("/catalog/deregister", { Node: "holdfast", CheckID: "serfHealth" }), "node:write"],
  ];
  for (const [reply, what] of refusals) {
    const { status, text } = await reply;
    expect(text).toContain("Permission denied");
    expect(text).toContain(what);
    expect(status).toBe(403);
  }
});

test("what may be written is", async () => {
  expect(await put("/agent/service/register", { Name: "own", Port: 1 })).toMatchObject({ status: 200 });
  expect((await get("/health/service/own")).json).toHaveLength(1);
  expect(
    await put("/catalog/register", { Node: "holdfast", SkipNodeUpdate: true, Service: { Service: "own", Port: 2 } }),
  ).toMatchObject({ status: 200 });
  expect((await get("/catalog/service/own")).json[0].ServicePort).toBe(2);
});
