/** Virtual addresses of a whole edge, as Consul's API shows and takes them. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Reply } from "../../../edge.ts";
import { Edge } from "../../../edge.ts";

let edge: Edge;
beforeAll(async () => {
  edge = await Edge.start(["--no-agent"]);
});
afterAll(() => edge[Symbol.asyncDispose]());

const put = (path: string, body: object): Promise<Reply> => edge.ask(`/v1${path}`, { method: "PUT", body });
const assign = (Service: string, ManualVIPs: string[], query = ""): Promise<Reply> =>
  put(`/internal/service-virtual-ip${query}`, { Service, ManualVIPs });

const registerProxy = (service: string, query = ""): Promise<Reply> =>
  put(`/agent/service/register${query}`, {
    Name: `${service}-sidecar-proxy`,
    Kind: "connect-proxy",
    Port: 21_000,
    TaggedAddresses: { lan: { Address: "10.0.0.9", Port: 1 } },
    Proxy: { DestinationServiceName: service },
  });

const chainOf = async (service: string): Promise<{ AutoVirtualIPs: string[]; ManualVirtualIPs: string[] }> =>
  (await edge.ask(`/v1/discovery-chain/${service}`)).json.Chain;

describe("a service in the mesh", () => {
  test("has an address that is there with the answer to its registration", async () => {
    await registerProxy("web");
    const [entry] = (await edge.ask("/v1/health/connect/web")).json;
    const virtual = entry.Service.TaggedAddresses["consul-virtual"];
    expect(virtual).toEqual({ Address: expect.stringMatching(/^240\.0\.0\.\d+$/), Port: 21_000 });
    expect(entry.Service.TaggedAddresses.lan).toEqual({ Address: "10.0.0.9", Port: 1 });
    const [node] = (await edge.ask("/v1/catalog/service/web-sidecar-proxy")).json;
    expect(node.ServiceTaggedAddresses["consul-virtual"]).toEqual(virtual);
    const agents = (await edge.ask("/v1/agent/services")).json;
    expect(agents["web-sidecar-proxy"].TaggedAddresses["consul-virtual"]).toEqual(virtual);
    expect(await chainOf("web")).toMatchObject({ AutoVirtualIPs: [virtual.Address], ManualVirtualIPs: [] });
    expect((await edge.api("/services/web-sidecar-proxy")).json.virtualIp).toBeNull();
  });

  test("keeps it over a start of the whole", async () => {
    await edge.put("/services/solo/instances/a", { address: "192.0.2.1", port: 80, meshFor: "solo" });
    const { virtualIp } = (await edge.api("/services/solo")).json;
    expect(virtualIp).toMatch(/^240\./);
    await edge.kill();
    await edge.boot();
    expect((await edge.api("/services/solo")).json.virtualIp).toBe(virtualIp);
    const { json } = await edge.put("/services/solo/instances/b", { address: "192.0.2.2", port: 80, meshFor: "solo" });
    expect(json.virtualIp).toBe(virtualIp);
  });

  test("others have none", async () => {
    await edge.put("/services/plain/instances/a", { address: "192.0.2.1", port: 80 });
    expect(await chainOf("plain")).toMatchObject({ AutoVirtualIPs: null, ManualVirtualIPs: null });
    await put("/config", { Kind: "service-defaults", Name: "plain", Protocol: "http" });
    expect((await chainOf("plain")).AutoVirtualIPs).toHaveLength(1);
  });

  test("of the same name in another namespace has another address", async () => {
    const vip = async (query: string): Promise<string> => {
      await registerProxy("shared", query);
      const [entry] = (await edge.ask(`/v1/health/connect/shared${query}`)).json;
      return entry.Service.TaggedAddresses["consul-virtual"].Address;
    };
    expect(await vip("?ns=one")).not.toBe(await vip("?ns=two"));
  });
});

test("V5: a snapshot brings no addresses into another namespace, and its own back into the same one", async () => {
  await edge.put("/services/kept/instances/a", { address: "192.0.2.1", port: 80, meshFor: "kept" });
  const addressIn = async (namespace: string): Promise<string | null> =>
    (await edge.api("/services/kept", {}, namespace)).json.virtualIp;
  const own = await addressIn("default");
  const { text: body } = await edge.api("/snapshot");
  await edge.api("/restore", { method: "POST", body }, "copy");
  await edge.until("/status", async () => (await addressIn("copy")) !== null);
  expect(await addressIn("copy")).toMatch(/^240\./);
  expect(await addressIn("copy")).not.toBe(own);
  const [shown] = (await edge.api("/services/kept/instances", {}, "copy")).json.instances;
  expect(shown.virtualIp).toBe(await addressIn("copy"));
  await edge.api("/restore?force=true", { method: "POST", body });
  await edge.until("/status", async () => (await addressIn("default")) !== null);
  expect(await addressIn("default")).toBe(own);
});

describe("an operator's addresses", () => {
  test("are shown, moved within the namespace, and refused across", async () => {
    await registerProxy("a");
    await registerProxy("b");
    await registerProxy("a", "?ns=far");
    expect((await assign("a", ["10.1.0.1", "10.1.0.2", "10.1.0.1"])).json).toEqual({
      Found: true,
      UnassignedFrom: null,
    });
    expect((await assign("b", ["10.1.0.2"])).json).toEqual({
      Found: true,
      UnassignedFrom: [{ ServiceName: { Name: "a" }, Peer: "" }],
    });
    expect((await chainOf("a")).ManualVirtualIPs).toEqual(["10.1.0.1"]);
    expect((await chainOf("b")).ManualVirtualIPs).toEqual(["10.1.0.2"]);
    expect(await assign("a", ["10.1.0.1"], "?ns=far")).toMatchObject({
      status: 500,
      text: expect.stringContaining("10.1.0.1 belongs to a service of another namespace"),
    });
    expect((await assign("nobody", ["10.1.0.3"])).json).toEqual({ Found: false, UnassignedFrom: null });
  });

  test.each([
    [["no"], '"no" is not a valid IPv4 address'],
    [["2001:db8::1"], '"2001:db8::1" is not a valid IPv4 address'],
    [
      Array.from({ length: 9 }, (_one, index) => `10.2.0.${index}`),
      "cannot associate more than 8 manual virtual IPs with the same service",
    ],
  ])("%j are refused in Consul's words", async (addresses, text) => {
    expect(await assign("a", addresses)).toMatchObject({ status: 500, text });
  });

  test("are for who may write the mesh", async () => {
    const body = { Service: "a", ManualVIPs: ["10.3.0.1"] };
    expect((await edge.ask("/v1/internal/service-virtual-ip", { method: "PUT", body, token: null })).status).toBe(403);
  });
});
