/**
 * Every route of Consul's API, asked by callers who have no rights: nothing is told of what is stored, and nothing changes.
 * Routes come from the table itself, so that a new one that forgets to ask is found here.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { routes } from "../../../../../workers/dialects/consul/consul.ts";
import { Edge, TOKEN } from "../../../../edge.ts";

const MARKER = "marker-7c1f";
/** Bodies that would do something, were they allowed to. */
const BODIES: Record<string, unknown> = {
  "/agent/service/register": { Name: `${MARKER}-new`, Port: 80 },
  "/agent/check/register": { Name: `${MARKER}-new`, TTL: "30s" },
  "/catalog/register": { Node: `${MARKER}-new`, Address: "192.0.2.9", Service: { Service: `${MARKER}-new` } },
  "/catalog/deregister": { Node: MARKER, ServiceID: MARKER },
  "/coordinate/update": {
    Node: MARKER,
    Coord: { Vec: [0, 0, 0, 0, 0, 0, 0, 0], Error: 1, Adjustment: 0, Height: 0.1 },
  },
  "/query": { Service: { Service: MARKER } },
  "/session/create": { Name: `${MARKER}-new` },
  "/txn": [{ KV: { Verb: "set", Key: `${MARKER}-new`, Value: "eA==" } }],
  "/acl/token": { Description: `${MARKER}-new` },
  "/acl/policy": { Name: `${MARKER}-new` },
  "/acl/role": { Name: `${MARKER}-new` },
  "/config": { Kind: "service-defaults", Name: `${MARKER}-new`, Protocol: "http" },
};

let edge: Edge;
/** Has no rights at all. */
let powerless: string;
beforeAll(async () => {
  edge = await Edge.start(["--no-agent"]);
  const put = (path: string, body: unknown) => edge.ask(`/v1${path}`, { method: "PUT", body });
  await put("/agent/service/register", { Name: MARKER, ID: MARKER, Port: 80, Check: { TTL: "10m", Notes: MARKER } });
  await put("/catalog/register", { Node: MARKER, Address: "192.0.2.1", Service: { Service: `${MARKER}-b` } });
  await put(`/kv/${MARKER}`, MARKER);
  await put("/acl/policy", { Name: MARKER, Rules: `key "${MARKER}" { policy = "read" }` });
  await put("/acl/role", { Name: MARKER });
  await edge.ask("/v1/query", { method: "POST", body: { Name: MARKER, Service: { Service: MARKER } } });
  powerless = (await put("/acl/token", {})).json.SecretID;
  // Roots are for everybody, and a certificate authority is made when it is first asked for.
  await edge.ask("/v1/connect/ca/roots");
});
afterAll(() => edge[Symbol.asyncDispose]());

const revision = async (): Promise<number> => (await edge.api("/status")).json.revision;

/** The names in what was asked, taken out of the answer. */
function withoutWords(text: string, asked: string[]): string {
  const words = asked.join(" ").match(new RegExp(`[\\w-]*${MARKER}[\\w-]*`, "g")) ?? [];
  return words.toSorted((a, b) => b.length - a.length).reduce((left, word) => left.replaceAll(word, ""), text);
}

describe.each([
  ["no token", (): string | null => null],
  ["a token without rights", (): string | null => powerless],
])("with %s", (_who, tokenOf) => {
  test("nothing is told and nothing changes, whatever is asked", async () => {
    const before = await revision();
    const told: string[] = [];
    let asked = 0;
    for (const { path, methods } of routes.routes) {
      // Long answers that go on, and the lists that a token may make of itself.
      if (path.startsWith("/acl/token/self") || path === "/agent/monitor" || path === "/acl/logout") continue;
      for (const method of Object.keys(methods)) {
        for (const suffix of path.endsWith("/") ? [MARKER, `name/${MARKER}`, ""] : [""]) {
          const body = method === "GET" ? undefined : (BODIES[path] ?? {});
          const query = method === "GET" ? "?recurse" : "";
          const reply = await edge.ask(`/v1${path}${suffix}${query}`, { method, body, token: tokenOf() });
          asked++;
          // An error may repeat what it was asked for, and nothing else.
          const text =
            reply.status === 200 ? reply.text : withoutWords(reply.text, [suffix, JSON.stringify(body ?? "")]);
          if (text.includes(MARKER)) told.push(`${method} ${path}${suffix} ${reply.status} ${text.slice(0, 200)}`);
        }
      }
    }
    expect(told).toEqual([]);
    expect(asked).toBeGreaterThan(100);
    const { entries } = (await edge.api(`/audit?since=${before}`)).json;
    expect(entries.map(({ principal, command }: Record<string, string>) => `${principal} ${command}`)).toEqual([]);
  });
});

test("with the root token the same routes tell of it: the marker is there to be found", async () => {
  for (const path of ["/agent/services", "/catalog/nodes", "/catalog/services", "/acl/policies", "/query"]) {
    expect((await edge.ask(`/v1${path}`, { token: TOKEN })).text).toContain(MARKER);
  }
});
