/** Prepared queries through the npm client, and what it does not do by hand; two datacenters on one machine. */
import Consul from "consul";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { Edge } from "../../../edge.ts";

let edge: Edge;
let consul: Consul;

beforeAll(async () => {
  edge = await Edge.start(["--no-agent", "--open", "--datacenters", "dc1,dc2,dc3"]);
  const { hostname, port } = new URL(edge.address);
  consul = new Consul({ host: hostname, port: Number(port) });
  await edge.put("/services/web/instances/a", { address: "192.0.2.1", port: 80, tags: ["v1"], meta: { env: "prod" } });
  await edge.put("/services/web/instances/b", { address: "192.0.2.2", port: 80, tags: ["V2"] });
  const ttl = [{ id: "up", type: "ttl", ttl: 600 }];
  await edge.put("/services/sick/instances/c", { address: "192.0.2.3", port: 80, checks: ttl });
  await edge.put("/services/sick/instances/d?datacenter=dc3", { address: "192.0.2.4", port: 80 });
});
afterAll(() => edge[Symbol.asyncDispose]());

beforeEach(async () => {
  for (const { ID } of await consul.query.list()) await edge.ask(`/v1/query/${ID}`, { method: "DELETE" });
});

const create = (body: object) => edge.ask("/v1/query", { method: "POST", body });
const execute = (name: string, search = "") => edge.ask(`/v1/query/${name}/execute${search}`);
const idsOf = ({ json }: { json: { Nodes: { Service: { ID: string } }[] } }): string[] =>
  json.Nodes.map(({ Service }) => Service.ID).toSorted();

describe("with the npm client", () => {
  test("create, get, list, update, execute, destroy", async () => {
    const made = await consul.query.create({ name: "find-web", service: { service: "web" }, dns: { ttl: "10s" } });
    expect(made.ID).toMatch(/^[0-9a-f-]{36}$/);
    expect(await consul.query.get(made.ID)).toMatchObject({
      ID: made.ID,
      Name: "find-web",
      Service: { Service: "web", Tags: null, NodeMeta: null, Failover: { NearestN: 0, Datacenters: null } },
      DNS: { TTL: "10s" },
    });
    const found = await consul.query.execute("find-web");
    expect(found).toMatchObject({ Service: "web", Datacenter: "dc1", Failovers: 0, DNS: { TTL: "10s" } });
    expect(found.Nodes).toHaveLength(2);
    expect(found.Nodes[0]).toMatchObject({ Node: { Datacenter: "dc1" }, Service: { Service: "web", Port: 80 } });
    await consul.query.update({ query: made.ID, name: "find-web", service: { service: "web", onlypassing: true } });
    const list = await consul.query.list();
    expect(list).toHaveLength(1);
    expect(list[0]).toMatchObject({ Name: "find-web", Service: { OnlyPassing: true }, DNS: { TTL: "" } });
    expect(list[0].ModifyIndex).toBeGreaterThan(list[0].CreateIndex);
    await edge.ask(`/v1/query/${made.ID}`, { method: "DELETE" });
    await expect(consul.query.execute("find-web")).rejects.toThrow("not found");
  });
});

describe("execution", () => {
  test("tags must and must not be there, in any case; metadata too", async () => {
    await create({ Name: "v2", Service: { Service: "web", Tags: ["v2"] } });
    await create({ Name: "not-v2", Service: { Service: "web", Tags: ["!v2"] } });
    await create({ Name: "prod", Service: { Service: "web", ServiceMeta: { env: "prod" } } });
    expect(idsOf(await execute("v2"))).toEqual(["b"]);
    expect(idsOf(await execute("not-v2"))).toEqual(["a"]);
    expect(idsOf(await execute("prod"))).toEqual(["a"]);
  });

  test("limit, and what is no limit", async () => {
    await create({ Name: "web", Service: { Service: "web" } });
    expect(idsOf(await execute("web", "?limit=1"))).toHaveLength(1);
    expect(await execute("web", "?limit=x")).toMatchObject({
      status: 500,
      text: 'Bad limit: strconv.Atoi: parsing "x": invalid syntax',
    });
  });

  test("nothing critical; a check may be ignored", async () => {
    await create({ Name: "sick", Service: { Service: "sick" } });
    await create({ Name: "ignore", Service: { Service: "sick", IgnoreCheckIDs: ["up"] } });
    expect((await execute("sick")).json).toMatchObject({ Nodes: [], Datacenter: "dc1", Failovers: 0 });
    expect(idsOf(await execute("ignore"))).toEqual(["c"]);
  });

  test("other datacenters are asked in order, the unknown are left out", async () => {
    const failover = (Failover: object) => ({ Service: { Service: "sick", Failover } });
    await create({ Name: "named", ...failover({ Datacenters: ["nowhere", "dc2", "dc3"] }) });
    await create({ Name: "nearest", ...failover({ NearestN: 1, Datacenters: ["dc2"] }) });
    await create({ Name: "targets", ...failover({ Targets: [{ Peer: "p" }, { Datacenter: "dc3" }] }) });
    const named = await execute("named");
    expect(named.json).toMatchObject({ Datacenter: "dc3", Failovers: 2 });
    expect(named.json.Nodes[0]).toMatchObject({ Node: { Datacenter: "dc3" }, Service: { ID: "d" } });
    expect((await execute("nearest")).json).toMatchObject({ Nodes: [], Datacenter: "dc2", Failovers: 1 });
    expect((await execute("targets")).json).toMatchObject({ Datacenter: "dc3", Failovers: 2 });
    // Asked for there, it begins there.
    await edge.ask("/v1/query?dc=dc3", { method: "POST", body: { Name: "there", Service: { Service: "sick" } } });
    expect((await execute("there", "?dc=dc3")).json).toMatchObject({ Datacenter: "dc3", Failovers: 0 });
    expect(await execute("there")).toMatchObject({ status: 404, text: "Query not found" });
  });

  test("templates by name; explain shows what they become", async () => {
    const made = await create({
      Name: "geo-",
      Template: { Type: "name_prefix_match", Regexp: "^geo-(\\w+)$", RemoveEmptyTags: true },
      Service: { Service: "${match(1)}", Tags: ["${match(2)}"] },
    });
    expect(idsOf(await execute("geo-web"))).toEqual(["a", "b"]);
    const explained = await edge.ask("/v1/query/geo-web/explain");
    expect(explained.json.Query).toMatchObject({ Name: "geo-", Service: { Service: "web", Tags: null } });
    expect(await execute(made.json.ID)).toMatchObject({
      status: 500,
      text: "prepared query templates can only be resolved up by name, not by ID",
    });
  });

  test("only what is in the mesh, by the query or by who executes it", async () => {
    const register = (body: object) => edge.ask("/v1/agent/service/register", { method: "PUT", body });
    await register({ Name: "shop", ID: "plain", Port: 1 });
    await register({ Name: "shop", ID: "native", Port: 2, Connect: { Native: true } });
    await register({
      Kind: "connect-proxy",
      Name: "any-name",
      ID: "proxy",
      Port: 3,
      Proxy: { DestinationServiceName: "shop" },
    });
    await create({ Name: "shop", Service: { Service: "shop" } });
    await create({ Name: "mesh", Service: { Service: "shop", Connect: true } });
    expect(idsOf(await execute("shop"))).toEqual(["native", "plain"]);
    expect(idsOf(await execute("shop", "?connect"))).toEqual(["native", "proxy"]);
    expect(idsOf(await execute("mesh"))).toEqual(["native", "proxy"]);
  });

  test("from the cache where that is welcome", async () => {
    await create({ Name: "web", Service: { Service: "web" } });
    await execute("web", "?cached");
    const kept = await execute("web", "?cached");
    expect(kept.headers.get("x-cache")).toBe("HIT");
    expect(kept.headers.get("age")).toBe("0");
    expect((await execute("web")).headers.get("x-cache")).toBeNull();
  });
});

describe("refusals", () => {
  const at = { Service: { Service: "web" } };
  test.each([
    [{ ...at }, "Invalid prepared query: Must be bound to a session"],
    [{ Name: "a" }, "Invalid prepared query: Must provide a Service name to query"],
    [
      { Name: "a", Service: { Service: "web", Failover: { NearestN: -1 } } },
      "Invalid prepared query: Bad NearestN '-1', must be >= 0",
    ],
    [
      { Name: "a", Service: { Service: "web", Failover: { NearestN: 1, Targets: [{ Peer: "p" }] } } },
      "Invalid prepared query: Targets cannot be populated with NearestN or Datacenters",
    ],
    [
      { Name: "a", ...at, DNS: { TTL: "soon" } },
      "Invalid prepared query: Bad DNS TTL 'soon': time: invalid duration \"soon\"",
    ],
    [{ Name: "a", ...at, DNS: { TTL: "-1s" } }, "Invalid prepared query: DNS TTL '-1000000000', must be >=0"],
    [
      { Name: "a", ...at, Token: "<hidden>" },
      "Invalid prepared query: Bad Token '<hidden>', it looks like a query definition with a redacted token was submitted",
    ],
    [{ ID: "x", ...at }, "ID must be empty when creating a new prepared query"],
    [{ Session: "nope", ...at }, 'raft apply failed: invalid session "nope"'],
    [
      { Name: "a", Template: { Type: "other" }, ...at },
      "raft apply failed: failed compiling template: Bad Template.Type 'other'",
    ],
  ])("%j", async (body, text) => {
    expect(await create(body)).toMatchObject({ status: 500, text });
  });

  test("a text of a template that cannot be read is named by its field", async () => {
    const refused = await create({
      Name: "a",
      Template: { Type: "name_prefix_match" },
      Service: { Service: "web", Tags: ["x", "${broken"] },
    });
    expect(refused.status).toBe(500);
    expect(refused.text).toMatch(
      /^raft apply failed: failed compiling template: Bad format '\$\{broken' in Service\.Tags\[1\]: /,
    );
  });

  test("names are unique, also against ids", async () => {
    const { json } = await create({ Name: "web", ...at });
    expect((await create({ Name: "WEB", ...at })).text).toBe(
      "raft apply failed: name 'WEB' aliases an existing query name",
    );
    expect((await create({ Name: json.ID, ...at })).text).toBe(
      `raft apply failed: name '${json.ID}' aliases an existing query ID`,
    );
    const wild = { Template: { Type: "name_prefix_match" }, Service: { Service: "${name.full}" } };
    expect(await create(wild)).toMatchObject({ status: 200 });
    expect((await create(wild)).text).toBe("raft apply failed: a query template with an empty name already exists");
  });

  test("unknown fields, ids that are none, what is not there, wrong methods", async () => {
    expect(await create({ Near: "_agent", Name: "a", ...at })).toMatchObject({
      status: 400,
      text: 'Request decode failed: json: unknown field "Near"',
    });
    const missing = "00000000-0000-4000-8000-000000000000";
    expect(await edge.ask(`/v1/query/${missing}`)).toMatchObject({ status: 404, text: "Query not found" });
    for (const method of ["PUT", "DELETE"]) {
      expect(await edge.ask(`/v1/query/${missing}`, { method })).toMatchObject({
        status: 500,
        text: `Cannot modify non-existent prepared query: '${missing}'`,
      });
    }
    expect((await edge.ask("/v1/query/web")).text).toContain("UUID must be 36 characters");
    const wrong = await edge.ask("/v1/query/web/execute", { method: "PUT" });
    expect(wrong).toMatchObject({ status: 405, text: "method PUT not allowed" });
    expect(wrong.headers.get("allow")).toBe("GET");
  });
});

test("a list waits for a change of any query", async () => {
  const first = await edge.ask("/v1/query");
  const index = first.headers.get("x-consul-index")!;
  const waiting = edge.ask(`/v1/query?index=${index}&wait=10s`);
  await create({ Name: "fresh", Service: { Service: "web" } });
  const second = await waiting;
  expect(second.json).toMatchObject([{ Name: "fresh" }]);
  expect(Number(second.headers.get("x-consul-index"))).toBeGreaterThan(Number(index));
});
