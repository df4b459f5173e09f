/** The unmodified npm package `consul` against agent, catalog, health and watches. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type Consul from "consul";
import { Edge } from "../../../edge.ts";
import { Changes, consulClient } from "./client.ts";

/** The package's typings know less than the package. */
const untyped = (options: object): never => options as never;

let edge: Edge;
let consul: Consul;
beforeAll(async () => {
  edge = await Edge.start(["--no-agent"]);
  consul = consulClient(edge);
});
afterAll(() => edge[Symbol.asyncDispose]());

describe("agent", () => {
  test("a service with a TTL check lives by its beats", async () => {
    await consul.agent.service.register(
      untyped({ name: "web", id: "web-1", port: 80, tags: ["a"], check: { ttl: "60s" } }),
    );
    expect(await consul.agent.services()).toMatchObject({ "web-1": { Service: "web", Port: 80, Tags: ["a"] } });
    expect(await consul.health.service({ service: "web", passing: true })).toEqual([]);
    await consul.agent.check.pass("service:web-1");
    expect(await consul.health.service({ service: "web", passing: true })).toHaveLength(1);
    await consul.agent.check.fail({ id: "service:web-1", note: "down" });
    expect(await consul.health.state("critical")).toMatchObject([{ CheckID: "service:web-1", Output: "down" }]);
    await consul.agent.service.maintenance({ id: "web-1", enable: true, reason: "rest" });
    expect(await consul.agent.checks()).toHaveProperty("_service_maintenance:web-1");
    await consul.agent.service.maintenance({ id: "web-1", enable: false });
    await consul.agent.service.deregister("web-1");
    expect(await consul.agent.services()).toEqual({});
  });

  test("checks of the node", async () => {
    await consul.agent.check.register(untyped({ name: "disk", ttl: "60s", notes: "space" }));
    await consul.agent.check.warn("disk");
    expect(await consul.agent.check.list()).toMatchObject({ disk: { Status: "warning", Notes: "space" } });
    await consul.agent.check.deregister("disk");
    await expect(consul.agent.check.pass("disk")).rejects.toMatchObject({ isPapi: true, statusCode: 404 });
  });

  test("itself and its members", async () => {
    expect(await consul.agent.self()).toMatchObject({ Config: { Datacenter: "dc1", NodeName: "holdfast" } });
    expect(await consul.agent.members()).toMatchObject([{ Name: "holdfast", Status: 1 }]);
    await consul.agent.reload();
    await consul.agent.maintenance({ enable: true, reason: "test" });
    expect(await consul.agent.checks()).toHaveProperty("_node_maintenance");
    await consul.agent.maintenance(false);
    expect(await consul.agent.checks()).not.toHaveProperty("_node_maintenance");
  });

  test("what it refuses is an error with Consul's text", async () => {
    await expect(consul.agent.service.deregister("nobody")).rejects.toMatchObject({ statusCode: 404 });
    await expect(consul.agent.service.register({ name: "a", address: "0.0.0.0" })).rejects.toMatchObject({
      statusCode: 400,
      message: expect.stringContaining("Invalid service address") as string,
    });
  });
});

describe("catalog", () => {
  test("register, read, deregister", async () => {
    const registration = {
      node: "ext",
      address: "10.0.0.1",
      service: { id: "db-1", service: "db", port: 5432 },
      check: { checkid: "db-check", name: "db", status: "passing", serviceid: "db-1" },
    };
    await consul.catalog.register(untyped(registration));
    expect(await consul.catalog.datacenters(untyped({}))).toEqual(["dc1"]);
    expect(await consul.catalog.nodes(untyped({}))).toMatchObject([{ Node: "ext" }, { Node: "holdfast" }]);
    expect(await consul.catalog.services()).toMatchObject({ db: [], consul: [] });
    expect(await consul.catalog.service.nodes("db")).toMatchObject([{ Node: "ext", ServicePort: 5432 }]);
    expect(await consul.catalog.node.services("ext")).toMatchObject({
      Node: { Node: "ext" },
      Services: { "db-1": {} },
    });
    expect(await consul.health.node("ext")).toMatchObject([{ CheckID: "db-check", Status: "passing" }]);
    expect(await consul.health.checks("db")).toHaveLength(1);
    await consul.catalog.deregister(untyped({ node: "ext" }));
    expect(await consul.catalog.service.nodes("db")).toEqual([]);
  });

  test("a name that has to be encoded", async () => {
    const name = "a b/c%ü";
    await consul.agent.service.register({ name, id: name, port: 1 });
    expect(await consul.catalog.service.nodes(name)).toMatchObject([{ ServiceName: name }]);
    expect(await consul.health.service(name)).toHaveLength(1);
    await consul.agent.service.deregister(name);
  });
});

/** A watch takes the method itself, and calls it on the client. */
const watchOf = (method: (options: never) => unknown, options: object = {}) =>
  consul.watch(untyped({ method, options }));

describe("watch", () => {
  test("of a service's health: each change once, in order", async () => {
    // oxlint-disable-next-line typescript/unbound-method
    using changes = new Changes<{ Service: { Port: number } }[]>(watchOf(consul.health.service, { service: "seen" }));
    expect(await changes.next()).toEqual([]);
    for (const port of [1, 2, 3]) {
      await consul.agent.service.register({ name: "seen", port });
      expect((await changes.next())[0]!.Service.Port).toBe(port);
    }
    await consul.agent.service.deregister("seen");
    expect(await changes.next()).toEqual([]);
    expect(changes.errors).toEqual([]);
  });

  test("of the list of services", async () => {
    // oxlint-disable-next-line typescript/unbound-method
    using changes = new Changes<Record<string, string[]>>(watchOf(consul.catalog.service.list));
    expect(await changes.next()).not.toHaveProperty("listed");
    await consul.agent.service.register({ name: "listed", tags: ["t"] });
    expect(await changes.next()).toMatchObject({ listed: ["t"] });
    expect(changes.errors).toEqual([]);
  });
});
