/** DNS over HTTPS of a whole edge: nodes, stored lookups and two datacenters behind Consul's names and ours. */
import type { Answer, RecordType, SrvAnswer } from "dns-packet";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Edge } from "../../../edge.ts";
import type { Answered } from "./fixture.ts";
import { dataOf, query, read } from "./fixture.ts";

let edge: Edge;
beforeAll(async () => {
  edge = await Edge.start(["--no-agent", "--datacenters", "dc1,dc2"]);
  const checks = [{ id: "up", type: "ttl", ttl: 600 }];
  await edge.put("/services/web/instances/a", { address: "192.0.2.1", port: 80, node: "Alpha" });
  await edge.put("/services/sick/instances/b", { address: "192.0.2.2", port: 81, node: "alpha", checks });
  await edge.put("/services/sick/instances/c?datacenter=dc2", { address: "192.0.2.3", port: 82 });
  const define = (body: object) => edge.ask("/v1/query", { method: "POST", body });
  await define({
    Name: "fail-",
    Template: { Type: "name_prefix_match" },
    Service: { Service: "${name.suffix}", Failover: { Datacenters: ["dc2"] } },
    DNS: { TTL: "7s" },
  });
  await define({ Name: "mesh", Service: { Service: "api", Connect: true } });
  const register = (Service: object) =>
    edge.ask("/v1/catalog/register", {
      method: "PUT",
      body: { Node: "mesh-node", Address: "192.0.2.50", SkipNodeUpdate: false, Service },
    });
  const proxy = { DestinationServiceName: "api" };
  await register({ Service: "api", Port: 8080, Address: "192.0.2.60" });
  await register({ Kind: "connect-proxy", ID: "p", Service: "api-proxy", Port: 20_000, Proxy: proxy });
  await register({ ID: "n", Service: "api", Port: 8443, Address: "192.0.2.61", Connect: { Native: true } });
  await register({ Kind: "ingress-gateway", Service: "gate", Port: 8888 });
  const Listeners = [{ Port: 8888, Protocol: "tcp", Services: [{ Name: "api" }] }];
  await edge.ask("/v1/config", { method: "PUT", body: { Kind: "ingress-gateway", Name: "gate", Listeners } });
});
afterAll(() => edge[Symbol.asyncDispose]());

async function ask(name: string, type: RecordType): Promise<Answered> {
  const response = await edge.request("/dns-query", {
    method: "POST",
    headers: { "content-type": "application/dns-message" },
    body: query(name, type),
  });
  return read(new Uint8Array(await response.arrayBuffer()));
}

describe("names in Consul's zone", () => {
  test("services and nodes, in both datacenters", async () => {
    expect(dataOf(await ask("web.service.consul", "A"))).toEqual(["192.0.2.1"]);
    expect(dataOf(await ask("ALPHA.node.consul", "A"))).toEqual(["192.0.2.1"]);
    expect(dataOf(await ask("sick.service.dc2.consul", "A"))).toEqual(["192.0.2.3"]);
    expect((await ask("sick.service.consul", "A")).rcode).toBe("NXDOMAIN");
    expect((await ask("alpha.node.dc2.consul", "A")).rcode).toBe("NXDOMAIN");
    expect((await ask("web.service.dc3.consul", "A")).rcode).toBe("NXDOMAIN");
  });

  test("addresses lead back to their nodes", async () => {
    expect(dataOf(await ask("1.2.0.192.in-addr.arpa", "PTR"))).toEqual(["alpha.node.dc1.consul"]);
    expect(dataOf(await ask("61.2.0.192.in-addr.arpa", "PTR"))).toEqual(["api.service.dc1.consul"]);
    expect(dataOf(await ask("3.2.0.192.in-addr.arpa", "PTR"))).toEqual(["sick.service.dc2.consul"]);
    expect((await ask("1.0.0.127.in-addr.arpa", "PTR")).rcode).toBe("REFUSED");
  });

  test("a template fails over, and says how long its answer holds", async () => {
    const answered = await ask("fail-sick.query.consul", "SRV");
    const [record] = answered.answers as (SrvAnswer & { ttl: number })[];
    expect(record).toMatchObject({ ttl: 7, data: { port: 82, target: "c0000203.addr.dc2.consul" } });
    const [address] = (await ask("fail-web.query.holdfast", "A")).answers as (Answer & { data: string })[];
    expect(address!.data).toBe("192.0.2.1");
    expect((await ask("other.query.consul", "A")).rcode).toBe("NXDOMAIN");
    expect(dataOf(await ask("mesh.query.consul", "A"))).toEqual(["192.0.2.50", "192.0.2.61"]);
  });

  test("the mesh's endpoints, gateways that let traffic in, and virtual addresses", async () => {
    expect(dataOf(await ask("api.service.consul", "A"))).toEqual(["192.0.2.60", "192.0.2.61"]);
    const { answers } = await ask("api.connect.consul", "SRV");
    const told = (answers as SrvAnswer[]).map(({ data }) => `${data.target}:${data.port}`);
    expect(told.toSorted()).toEqual(["c000023d.addr.dc1.consul:8443", "mesh-node.node.dc1.consul:20000"]);
    expect(dataOf(await ask("api.ingress.consul", "A"))).toEqual(["192.0.2.50"]);
    expect((await ask("web.ingress.consul", "A")).rcode).toBe("NXDOMAIN");
    expect((await ask("web.connect.consul", "A")).rcode).toBe("NXDOMAIN");
    const [virtual] = dataOf(await ask("api.virtual.consul", "A"));
    expect(virtual).toMatch(/^240\./);
    expect((await ask("web.virtual.consul", "A")).rcode).toBe("NXDOMAIN");
    const own = ((await ask("api.connect.holdfast", "SRV")).answers as SrvAnswer[]).map(({ data }) => data.target);
    for (const target of own) expect(dataOf(await ask(target, "A"))).toHaveLength(1);
  });

  test("what nobody registered: the default node, and the service consul", async () => {
    expect(dataOf(await ask("holdfast.node.consul", "A"))).toEqual(["127.0.0.1"]);
    expect(dataOf(await ask("consul.service.consul", "SRV"))).toEqual([
      { priority: 1, weight: 1, port: 8300, target: "holdfast.node.dc1.consul" },
    ]);
    expect(dataOf(await ask("consul.service.dc2.consul", "A"))).toEqual(["127.0.0.1"]);
  });

  test("our own zone goes on as before", async () => {
    expect(dataOf(await ask("web.holdfast", "A"))).toEqual(["192.0.2.1"]);
    expect(await ask("sick.holdfast", "A")).toMatchObject({ rcode: "NOERROR", answers: [] });
    expect((await ask("web.consul", "A")).rcode).toBe("NXDOMAIN");
    expect((await ask("example.com", "A")).rcode).toBe("REFUSED");
  });
});
