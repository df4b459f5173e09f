/** Two datacenters on one machine: each has state of its own, and every surface can name the other. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Edge } from "../../../edge.ts";

let edge: Edge;
beforeAll(async () => {
  edge = await Edge.start(["--no-agent", "--datacenters", "east=enam,west=wnam", "--datacenter", "west"]);
  await edge.put("/services/web/instances/a?datacenter=east", { address: "192.0.2.1", port: 80 });
  await edge.put("/services/web/instances/b", { address: "192.0.2.2", port: 80 });
});
afterAll(() => edge[Symbol.asyncDispose]());

const idsOf = ({ json }: { json: { instances: { id: string }[] } }): string[] => json.instances.map(({ id }) => id);

describe("datacenters", () => {
  test("a resolve answers its own one's, or the one asked for, cached or not", async () => {
    for (let time = 0; time < 3; time++) {
      expect(idsOf(await edge.api("/resolve/web"))).toEqual(["b"]);
      expect(idsOf(await edge.api("/resolve/web?datacenter=east"))).toEqual(["a"]);
      expect(idsOf(await edge.api("/resolve/web?datacenter=west"))).toEqual(["b"]);
    }
  });

  test("a change in the other is seen by cached resolves", async () => {
    await edge.put("/services/fresh/instances/a?datacenter=east", { address: "192.0.2.1", port: 80 });
    expect(idsOf(await edge.api("/resolve/fresh?datacenter=east"))).toEqual(["a"]);
    await edge.put("/services/fresh/instances/z?datacenter=east", { address: "192.0.2.9", port: 80 });
    const seen = await edge.until("/resolve/fresh?datacenter=east", (reply) => idsOf(reply).length === 2);
    expect(idsOf(seen)).toEqual(["a", "z"]);
    expect(idsOf(await edge.api("/resolve/fresh"))).toEqual([]);
  });

  test("every operation of the native API takes one; an unknown one is not there", async () => {
    expect((await edge.api("/status?datacenter=east")).json.datacenter).toBe("east");
    expect((await edge.api("/status")).json.datacenter).toBe("west");
    expect((await edge.ask("/api/v1/namespaces?datacenter=east")).json).toMatchObject({ datacenter: "east" });
    expect(await edge.api("/status?datacenter=north")).toMatchObject({ status: 404 });
    expect(await edge.api("/resolve/web?datacenter=north")).toMatchObject({ status: 404 });
    expect(await edge.api("/status?datacenter=east&datacenter=west")).toMatchObject({ status: 400 });
  });

  test("Consul's list begins with the nearest and has no index; ?dc chooses", async () => {
    const list = await edge.ask("/v1/catalog/datacenters");
    expect(list.json).toEqual(["west", "east"]);
    expect(list.headers.get("x-consul-index")).toBeNull();
    expect(await edge.ask("/v1/status/leader?dc=east")).toMatchObject({ status: 200 });
    expect(await edge.ask("/v1/status/leader?datacenter=north")).toMatchObject({
      status: 500,
      text: "No path to datacenter",
    });
  });
});
