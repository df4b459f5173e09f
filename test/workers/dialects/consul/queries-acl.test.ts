/** Who may do what with prepared queries, and what they see: by tokens with rules of their own. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Edge } from "../../../edge.ts";
import type { Reply } from "../../../edge.ts";

let edge: Edge;
let reader: string;
let writer: string;
let webOnly: string;
beforeAll(async () => {
  edge = await Edge.start(["--no-agent"]);
  await edge.put("/services/web/instances/a", { address: "192.0.2.1", port: 80 });
  reader = await tokenWith('query_prefix "mine" { policy = "read" }');
  writer = await tokenWith('query_prefix "mine" { policy = "write" }');
  webOnly = await tokenWith('service "web" { policy = "read" } node_prefix "" { policy = "read" }');
});
afterAll(() => edge[Symbol.asyncDispose]());

async function tokenWith(rules: string): Promise<string> {
  const name = `p${Math.trunc(performance.now() * 1000)}`;
  await edge.ask("/v1/acl/policy", { method: "PUT", body: { Name: name, Rules: rules } });
  const { json } = await edge.ask("/v1/acl/token", { method: "PUT", body: { Policies: [{ Name: name }] } });
  return json.SecretID as string;
}

const ask = (path: string, token?: string, body?: object): Promise<Reply> =>
  edge.ask(`/v1/query${path}`, { ...(token && { token }), ...(body && { method: "POST", body }) });
const web = { Service: { Service: "web" } };

describe("rules for queries", () => {
  test("are asked for by the name", async () => {
    expect((await ask("", writer, { Name: "mine-1", ...web })).status).toBe(200);
    for (const token of [reader, webOnly]) {
      const refused = await ask("", token, { Name: "mine-2", ...web });
      expect(refused.status).toBe(403);
      expect(refused.text).toContain("Permission denied");
    }
    expect((await ask("", writer, { Name: "other", ...web })).status).toBe(403);
  });

  test("a list leaves out what may not be seen, and says so; one alone is refused", async () => {
    const other = await ask("", undefined, { Name: "other", ...web });
    const list = await ask("", reader);
    expect(list.json.map(({ Name }: { Name: string }) => Name)).toEqual(["mine-1"]);
    expect(list.headers.get("x-consul-results-filtered-by-acls")).toBe("true");
    expect(await ask(`/${other.json.ID}`, reader)).toMatchObject({ status: 403, text: "Permission denied" });
    expect(await ask("/other/explain", reader)).toMatchObject({ status: 403 });
    const deleted = await edge.ask(`/v1/query/${other.json.ID}`, { method: "DELETE", token: reader });
    expect(deleted.status).toBe(403);
    expect((await ask(`/${other.json.ID}`)).status).toBe(200);
  });

  test("tokens are shown to management alone", async () => {
    const { json } = await ask("", undefined, { Name: "mine-3", Token: webOnly, ...web });
    expect((await ask(`/${json.ID}`)).json[0].Token).toBe(webOnly);
    expect((await ask(`/${json.ID}`, reader)).json[0].Token).toBe("<hidden>");
    expect((await ask("/mine-3/explain", reader)).json.Query.Token).toBe("<hidden>");
  });
});

describe("execution", () => {
  test("shows what the caller may see; a query may lend its own token", async () => {
    await ask("", undefined, { Name: "bare", ...web });
    await ask("", undefined, { Name: "lent", Token: webOnly, ...web });
    const bare = await ask("/bare/execute", reader);
    expect(bare.json.Nodes).toEqual([]);
    expect(bare.json.ResultsFilteredByACLs).toBe(true);
    expect((await ask("/bare/execute", webOnly)).json.Nodes).toHaveLength(1);
    expect((await ask("/lent/execute", reader)).json.Nodes).toHaveLength(1);
    await ask("", undefined, { Name: "void", Token: "11111111-2222-4333-8444-555555555555", ...web });
    expect(await ask("/void/execute")).toMatchObject({ status: 403, text: "ACL not found" });
  });
});

test("snapshots are management's", async () => {
  for (const method of ["GET", "PUT"]) {
    const refused = await edge.ask("/v1/snapshot", { method, token: writer });
    expect(refused).toMatchObject({ status: 403, text: "Permission denied" });
  }
});
