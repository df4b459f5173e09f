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
  await define({ Name: "mesh", Service: { Service: "web", Connect: true } });
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
    expect((await ask("1.0.0.127.in-addr.arpa", "PTR")).rcode).toBe("REFUSED");
  });

  test("a template fails over, and says how long its answer holds", async () => {
    const answered = await ask("fail-sick.query.consul", "SRV");
    const [record] = answered.answers as (SrvAnswer & { ttl: number })[];
    expect(record).toMatchObject({ ttl: 7, data: { port: 82, target: "c0000203.addr.dc2.consul" } });
    const [address] = (await ask("fail-web.query.holdfast", "A")).answers as (Answer & { data: string })[];
    expect(address!.data).toBe("192.0.2.1");
    expect((await ask("other.query.consul", "A")).rcode).toBe("NXDOMAIN");
    expect((await ask("mesh.query.consul", "A")).rcode).toBe("NXDOMAIN");
  });

  test("our own zone goes on as before", async () => {
    expect(dataOf(await ask("web.holdfast", "A"))).toEqual(["192.0.2.1"]);
    expect(await ask("sick.holdfast", "A")).toMatchObject({ rcode: "NOERROR", answers: [] });
    expect((await ask("web.consul", "A")).rcode).toBe("NXDOMAIN");
    expect((await ask("example.com", "A")).rcode).toBe("REFUSED");
  });
});
